"""Small data sets, preparations and splits."""

from __future__ import annotations

from typing import Any, Never

from pipeline_src.config.datasets import Dataset, Preparation
from pipeline_src.config.split import Split
from pipeline_src.data.splits import split_patients
from pipeline_src.data.volume_reference import VolumeReference


def preparation(**options: Any) -> Preparation:
    return Preparation.model_validate({"matrix": [4, 4], **options})


def never_read() -> Never:
    raise AssertionError("a split must not read files")


def references(
    patients: list[str], partition: str = "", frames: tuple[str, ...] = ("",)
) -> list[VolumeReference]:
    return [
        VolumeReference(p, partition, f, None, never_read, never_read)
        for p in patients
        for f in frames
    ]


def split_of(volumes: list[VolumeReference], **choice: Any) -> dict[str, str]:
    return split_patients(volumes, Split.model_validate(choice))


def make_dataset(
    split: dict[str, Any] | None = None, report_on: str = "test", **options: Any
) -> Dataset:
    return Dataset.model_validate(
        {
            "source": {"kind": "nifti", "path": ".", "pattern": "sub-*.nii"},
            "preparation": {"matrix": [4, 4], **options},
            "split": split or {"train": ["a", "c"], "validation": ["b"], "test": ["d"]},
            "report_on": report_on,
        }
    )
