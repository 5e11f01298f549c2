"""Configuration of which patients train, select the weights and are reported."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, ClassVar

from pydantic import (
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveInt,
    Tag,
    field_validator,
    model_validator,
)

from pipeline_src.config.section import Section, refuse_repeats


def _surely_share(first: str, second: str) -> bool:
    """Whether two entries of a split match a common patient, whatever the patients are."""
    if first == second:
        return True
    # Brackets may be part of an id; `split_patients` decides once the patients are known.
    matches = fnmatchcase(first, second) or fnmatchcase(second, first)
    return matches and "[" not in first + second


PatientChoice = NonNegativeInt | list[str]


class Split(Section):
    """Patients (never slices) to train on, to choose weights on and to report on.

    Each is a list of patient ids or shell patterns (`partition/patient` works where the source
    has partitions, such as `testing/*`), or a number of patients drawn with `seed` from those
    that no list names.
    """

    any_text: ClassVar[bool] = True

    train: PatientChoice = Field(description="patients to train on")
    validation: PatientChoice = Field(description="patients on which the weights are chosen")
    test: PatientChoice = Field(default=0, description="patients never seen by training")
    seed: NonNegativeInt = Field(default=0, description="seed of the draw, where numbers are given")

    @field_validator("train", "validation", "test", mode="before")
    @classmethod
    def _number_or_ids(cls, choice: Any) -> Any:
        if isinstance(choice, list):
            for patient in choice:
                if not isinstance(patient, str):
                    raise ValueError(
                        f"patient id {patient!r} is not text; write it in quotes, as in '070'"
                    )
            refuse_repeats(choice)
        elif isinstance(choice, bool) or not isinstance(choice, int) or choice < 0:
            raise ValueError("expected a number of patients, or a list of patient ids")
        return choice

    @model_validator(mode="after")
    def _patients_are_in_one_part(self) -> Split:
        parts = ("train", "validation", "test")
        for first, second in (("validation", "train"), ("test", "train"), ("test", "validation")):
            ours, theirs = getattr(self, first), getattr(self, second)
            if isinstance(ours, int) or isinstance(theirs, int):
                continue
            for patient in ours:
                if any(_surely_share(patient, other) for other in theirs):
                    raise ValueError(
                        f"patient {patient!r} of {first} is also in {second}; "
                        f"a patient belongs to one of {', '.join(parts)}"
                    )
        for part in ("train", "validation"):
            if not getattr(self, part):
                raise ValueError(f"{part} is empty; at least one patient is needed there")
        return self

    @property
    def is_drawn(self) -> bool:
        """Whether a seed affects it."""
        parts = (self.train, self.validation, self.test)
        return any(isinstance(part, int) and part > 0 for part in parts)


class Folds(Section):
    """Cross-validation: patients are dealt into folds of equal size, give or take one; one fold is
    tested, `validation` patients of the others choose weights, the rest trains.

    With `repeat_over: [seed, split]` the repeats test the folds in turn, in the order of `seeds`,
    and once all were tested, those of another deal. Needs neither `train` nor `test`.
    """

    any_text: ClassVar[bool] = True

    folds: int = Field(ge=2, description="how many folds")
    validation: PositiveInt = Field(
        description="patients on which the weights are chosen, drawn from those that are not tested"
    )
    patients: list[str] | None = Field(
        default=None,
        min_length=1,
        description="ids or patterns of the patients that are dealt; null: all",
    )
    fold: NonNegativeInt | None = Field(
        default=None,
        description="the fold that is tested, from 0; null: another in each repeat, which needs "
        "`repeat_over: [seed, split]`",
    )
    seed: NonNegativeInt = Field(default=0, description="seed by which patients are dealt")

    @field_validator("patients")
    @classmethod
    def _patients_differ(cls, patients: list[str] | None) -> list[str] | None:
        refuse_repeats(patients or [])
        return patients

    @model_validator(mode="before")
    @classmethod
    def _parts_follow(cls, data: Any) -> Any:
        for part in ("train", "test"):
            if isinstance(data, dict) and part in data:
                raise ValueError(
                    f"{part} is given beside folds, which settle who trains and who is tested; "
                    "leave one of them out"
                )
        return data

    @model_validator(mode="after")
    def _fold_is_one(self) -> Folds:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(
                f"fold {self.fold} is beyond the {self.folds} folds; they count from 0"
            )
        return self


def _kind_of_split(split: Any) -> str:
    return "folds" if isinstance(split, Folds) or "folds" in _keys(split) else "parts"


def _keys(value: Any) -> Any:
    return value if isinstance(value, dict) else ()


AnySplit = Annotated[
    Annotated[Split, Tag("parts")] | Annotated[Folds, Tag("folds")],
    Discriminator(_kind_of_split),
]
