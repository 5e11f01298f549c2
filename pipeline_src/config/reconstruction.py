"""Configuration of what a study's models reconstruct besides its own patients."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline_src.config.section import PathText, Section

#: Options of the reconstruct command that a configuration gives.
SHAPING = ("pattern", "slice_axis", "other_size")


class Reconstruction(Section):
    """Files that a trained model of the study reconstructs, for `snakemake reconstructions`."""

    any_text: ClassVar[bool] = True

    inputs: list[PathText] = Field(
        min_length=1,
        description="NIfTI, NumPy or HDF5 files, folders of these, or patterns, relative to "
        "data_root",
    )
    model: str = Field(description="which, such as sft_kd_at")
    dataset: str = Field(description="that it was trained on")
    acceleration: int = Field(description="that it was trained for")
    seed: int | None = Field(default=None, description="of its training; null: the first of seeds")
    pattern: str = Field(default="**/*", description="files to use in a folder")
    slice_axis: Literal[0, 1, 2] | None = Field(
        default=None,
        description="axis of the files that slices lie along; null: as in the model's training",
    )
    other_size: Literal["crop", "redraw"] | None = Field(
        default=None,
        description="slices of another size than the model's: crop or pad them, or draw a mask for "
        "them; null: refuse them",
    )

    def training(self, seeds: list[int]) -> dict[str, str]:
        """The training that makes the model: data set, acceleration, seed and model."""
        seed = seeds[0] if self.seed is None else self.seed
        return {
            "dataset": self.dataset,
            "acceleration": f"{self.acceleration}x",
            "seed": str(seed),
            "model": self.model,
        }

    def paths(self, data_root: str) -> list[str]:
        """The inputs, as the reconstruct command takes them."""
        return [str(Path(data_root) / path) for path in self.inputs]

    def settings(self, seeds: list[int]) -> dict[str, Any]:
        """What defines the results, besides the files."""
        trained = self.training(seeds)
        return {"trained": trained, **{key: getattr(self, key) for key in SHAPING}}

    def words(self, data_root: str) -> list[str]:
        """Arguments of the reconstruct command, except for model and output."""
        options = [("pattern", self.pattern), ("slice-axis", self.slice_axis)]
        options.append(("other-size", self.other_size))
        told = [word for key, value in options if value is not None for word in (f"--{key}", value)]
        return [*self.paths(data_root), *map(str, told)]
