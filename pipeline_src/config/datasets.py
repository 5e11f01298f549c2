"""Configuration of the data: where it comes from and how it is prepared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import regex
from pydantic import (
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from pipeline_src.config.section import PathText, Section, Title
from pipeline_src.config.split import AnySplit, Folds
from pipeline_src.modules import PACKAGE, source_of_module

# A configuration or a header with a larger number is a mistake or an attack.
LARGEST_SIDE = 2**14
AXES = ("LR", "PA", "IS")

Side = Annotated[int, Field(gt=0, le=LARGEST_SIDE)]


class PhantomSource(Section):
    """Drawn (synthetic) phantoms, embedded in the project."""

    kind: Literal["phantom"] = Field(description="chooses this source")
    anatomy: Literal["brain", "cardiac"] = Field(
        description="brain: T1-like axial slices; cardiac: short-axis slices at ED and ES"
    )
    patients: int = Field(ge=1, le=100_000, description="number of patients to draw")
    slices: int = Field(ge=1, le=10_000, description="slices per volume")
    matrix: int = Field(ge=16, le=LARGEST_SIDE, description="pixels per side of the square drawing")
    seed: NonNegativeInt = Field(default=0, description="seed from which every patient is drawn")


class NiftiSource(Section):
    """NIfTI files found by a pattern: any folder, or a BIDS tree."""

    kind: Literal["nifti"] = Field(description="chooses this source")
    path: PathText = Field(description="folder of the files, relative to data_root")
    pattern: str = Field(
        default="sub-*/anat/*_T1w.nii.gz",
        description="glob below path that finds the volumes; hidden files and folders are ignored",
    )
    patient_pattern: str = Field(
        default=r"sub-([A-Za-z0-9]+)",
        description="regular expression searched in each file's path below `path`; its first "
        "group that takes part is the patient, or the whole match",
    )
    frame_pattern: str | None = Field(
        default=None,
        description="regular expression searched in the same path, without .nii or .nii.gz, for "
        "what distinguishes the volumes (visits) of one patient: its groups joined by _, or the "
        "whole match; null: the entities of BIDS, such as ses and run",
    )
    slice_axis: Literal[0, 1, 2] = Field(
        default=2, description="axis of the file along which slices are counted"
    )
    orientation: str | None = Field(
        default=None,
        description="null: the axes of all files must point the same way; three letters such as "
        "RAS: every file is turned so that its axes point there, before slice_axis is taken; "
        "as_stored: whatever the files have",
    )
    without_volume: Literal["error", "leave_out"] = Field(
        default="error",
        description="a patient whose folder matches the first part of `pattern` but holds no "
        "volume: stop, or report the patient as left out; splits are drawn as if the volume was "
        "there",
    )

    @field_validator("patient_pattern", "frame_pattern")
    @classmethod
    def _is_a_regular_expression(cls, value: str | None) -> str | None:
        try:
            regex.compile(value or "")
        except regex.error as error:
            raise ValueError(f"is not a regular expression ({error})") from None
        return value

    @field_validator("orientation")
    @classmethod
    def _is_an_orientation(cls, value: str | None) -> str | None:
        if value in (None, "as_stored"):
            return value
        if len(value) != 3 or not all(sum(c in axis for c in value) == 1 for axis in AXES):
            raise ValueError(
                "is not an orientation; give one letter each of LR, PA and IS, such as RAS, or "
                "as_stored"
            )
        return value


class AcdcSource(Section):
    """The ACDC challenge's layout: `training/` and `testing/` with `patientNNN` folders."""

    kind: Literal["acdc"] = Field(description="chooses this source")
    path: PathText = Field(
        description="folder that holds training/ and testing/, relative to data_root"
    )
    frames: list[Literal["ED", "ES"]] = Field(
        default=["ED", "ES"],
        min_length=1,
        description="frames to take; read from Info.cfg where it exists, else the first frame "
        "is ED and the second ES",
    )


class MrbrainsSource(Section):
    """T1 volumes of the MRBrainS challenge in the layout of either release."""

    kind: Literal["mrbrains"] = Field(description="chooses this source")
    path: PathText = Field(description="folder of the release, relative to data_root")
    release: Literal["2013", "2018"] = Field(
        default="2018",
        description="2018: training/*/pre/reg_T1.nii.gz; 2013: TrainingData/*/T1.nii",
    )


class AuthorsHdf5Source(Section):
    """Volumes prepared by the paper's authors, one HDF5 file each with the key `volfs`."""

    kind: Literal["authors_hdf5"] = Field(description="chooses this source")
    path: PathText = Field(
        description="folder that holds {train,validation}/acc_{R}x/*.h5, relative to data_root"
    )
    acceleration: int = Field(
        default=4, ge=2, description="R of the folder to read; `volfs` is the same in each"
    )


class OwnSource(Section):
    """Volumes that a user's own module finds and reads."""

    kind: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,63}$", description="what the source is called, of your choice"
    )
    module: str = Field(description="import path of the module that lists the volumes")
    path: PathText = Field(default="", description="folder of the files, relative to data_root")
    options: dict[str, Any] = Field(
        default={}, description="the source's own options, as its module's `Options` takes them"
    )

    def source(self, dataset: str) -> Path:
        """The file of its module, which a data set's store depends on.

        Raises:
            InputError: the module cannot be found.
        """
        return source_of_module(self.module, f"datasets.{dataset}.source.module")


#: Pydantic's tag for a user's own source.
OWN = "another"


def _source_tag(data: Any) -> str | None:
    if isinstance(data, dict):
        if "module" in data:
            return OWN
        return str(data["kind"]) if data.get("kind") is not None else None
    return OWN if isinstance(data, OwnSource) else getattr(data, "kind", None)


Source = Annotated[
    Annotated[PhantomSource, Tag("phantom")]
    | Annotated[NiftiSource, Tag("nifti")]
    | Annotated[AcdcSource, Tag("acdc")]
    | Annotated[MrbrainsSource, Tag("mrbrains")]
    | Annotated[AuthorsHdf5Source, Tag("authors_hdf5")]
    | Annotated[OwnSource, Tag(OWN)],
    Discriminator(_source_tag),
]


def source_module(source: Any) -> str:
    """Import path of the module of a source section."""
    if isinstance(source, OwnSource):
        return source.module
    return f"{PACKAGE.name}.data.sources.{source.kind}"


class SliceRange(Section):
    """Which slices of a volume are used, as in Python's `range`."""

    start: NonNegativeInt = Field(default=0, description="first slice")
    stop: PositiveInt | None = Field(default=None, description="one past the last; null: all")
    step: PositiveInt = Field(default=1, description="take every step-th slice")


class Preparation(Section):
    """From a volume to target slices. Each volume is scaled so that its maximum is 1."""

    matrix: tuple[Side, Side] = Field(
        description="rows (phase-encode axis) and columns of a prepared slice"
    )
    downscale: PositiveInt = Field(
        default=1, description="average blocks of this many pixels per side before cropping"
    )
    slices: SliceRange = Field(default=SliceRange(), description="slices taken of each volume")
    undersized: Literal["error", "pad", "drop"] = Field(
        default="error",
        description="a slice smaller than `matrix`: stop, pad with zeros, or leave its volume out",
    )

    @field_validator("matrix", mode="before")
    @classmethod
    def _rows_and_columns(cls, matrix: Any) -> Any:
        if not isinstance(matrix, list | tuple) or len(matrix) != 2:
            raise ValueError("give [rows, columns], such as [64, 64]")
        return matrix


class Dataset(Section):
    """One data set of the study."""

    title: Title = Field(
        default="",
        description="name in tables and figures; empty: the key",
    )
    credit: Title = Field(
        default="",
        description="whose images these are, their licence and consent: said to reviewers and "
        "where an archive shows them; empty: not recorded",
    )
    source: Source = Field(description="where the volumes come from, chosen by `kind`")
    preparation: Preparation = Field(description="how volumes become slices")
    split: AnySplit = Field(description="which patients train, validate and test")
    paper: Literal["mrbrains", "cardiac"] | None = Field(
        default=None,
        description="the paper's data set that this is, prepared as there; its values are then "
        "compared with the paper's. null: another one, of which only directions are compared",
    )
    report_on: Literal["test", "validation"] = Field(
        default="test",
        description="patients the tables report; validation is the paper's choice and is "
        "said in every table",
    )
    masks: dict[int, str] = Field(
        default={},
        description="given masks, acceleration to file (.npy, or .csv of sampled line indices), "
        "relative to the folder where the pipeline is started or, if not there, to the project's; "
        "others are drawn by `sampling`",
    )
    allow_unusual_masks: bool = Field(
        default=False,
        description="take given masks that do not sample the lowest frequencies, have another "
        "share of lines than 1/R, or sample whole lines along axis 1",
    )

    @field_validator("masks", mode="wrap")
    @classmethod
    def _factors_are_given_once(cls, masks: Any, read: Callable[[Any], Any]) -> Any:
        factors = read(masks)
        # 4 and '4' are two keys of YAML, of which the second would win.
        if isinstance(masks, dict) and len(factors) < len(masks):
            raise ValueError(f"one factor is given twice among {', '.join(map(repr, masks))}")
        return factors

    @model_validator(mode="after")
    def _something_to_report(self) -> Dataset:
        if isinstance(self.split, Folds):
            if self.report_on != "test":
                raise ValueError(
                    "report_on: validation is given beside split.folds, which test every patient; "
                    "leave one of them out"
                )
        elif self.report_on == "test" and not self.split.test:
            raise ValueError(
                "split.test is empty, so there is nothing to report; name test patients, or set "
                "report_on: validation to report on the patients that chose the weights"
            )
        return self

    @property
    def synthetic(self) -> bool:
        """Whether the images are drawn rather than read from files."""
        return self.source.kind == "phantom"
