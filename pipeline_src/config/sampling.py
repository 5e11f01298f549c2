"""Configuration of the sampling masks."""

from __future__ import annotations

from pydantic import Field, NonNegativeInt

from pipeline_src.config.section import Section


class Sampling(Section):
    """Cartesian masks of whole phase-encode lines, with the kt-FOCUSS density of DC-CNN."""

    seed: NonNegativeInt = Field(default=0, description="seed of the drawn lines")
    center_lines: NonNegativeInt = Field(
        default=10, description="lowest frequencies that are always sampled"
    )
