"""Ablations: some models of a study, trained again under named changes."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from pipeline_src.config.section import Section


class Variant(Section):
    """One row of an ablation: the study with some keys changed."""

    title: str = Field(default="", description="name of the row; empty: the key")
    set: dict[str, Any] = Field(description="keys to change, nested as in the study")


class Ablation(Section):
    """Some of the study's models, trained again with each of several changes."""

    title: str = Field(default="", description="heading of the table; empty: the key")
    models: list[str] = Field(
        min_length=1, description="models compared, such as sft_teacher or sft_kd_at"
    )
    datasets: list[str] | None = Field(
        default=None, min_length=1, description="data sets it is run on; null: all"
    )
    accelerations: list[int] | None = Field(
        default=None, min_length=1, description="accelerations it is run at; null: all"
    )
    base: str = Field(default="as configured", description="name of the unchanged row")
    compare_with: str | None = Field(
        default=None,
        description="variant that the other rows are compared with; null: the unchanged row",
    )
    variants: dict[str, Variant] = Field(min_length=1, description="changed studies by name")
