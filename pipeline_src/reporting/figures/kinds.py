"""Lists the kinds of figure, without importing what draws them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_src.errors import InputError

Shows = Literal["slices", "panels", "manifests", "table", "mask", "store", "plan"]


@dataclass(frozen=True)
class Kind:
    """How one kind of figure is made.

    Attributes:
        module: the module of this package that draws it.
        what: its name in words, before the setting or data set that it shows.
        heading: the heading of the report under which it appears.
        shows: its input files: metrics of `slices` of all models, `panels` of some, `manifests` of
            their trainings, the `table` of differences, a `mask`, a `store`, or the configuration,
            of which it shows the models (`plan`).
        options: options of its module besides files and title.
        picks_setting: whether its file contains several settings, of which it shows one.
        of: what there is one figure for: a setting, a data set, or the study.
        keys: dotted keys of the configuration that it shows instead of the models.
    """

    module: str
    what: str
    heading: str
    shows: Shows
    options: dict[str, Any] = field(default_factory=dict)
    picks_setting: bool = False
    of: Literal["setting", "dataset", "study"] = "setting"
    keys: tuple[str, ...] = ()

    @property
    def shows_plan(self) -> bool:
        """Whether its file is a configuration."""
        return self.shows == "plan"

    @property
    def message(self) -> str:
        """What a run prints about it, with the names of wildcards."""
        return {
            "setting": f"{self.what} {{dataset}} at {{acceleration}}",
            "dataset": f"{self.what} {{dataset}}",
            "study": self.what,
        }[self.of]

    @property
    def folder(self) -> str:
        """Its folder within the figures of a study, with the names of wildcards."""
        return {"setting": "{dataset}/{acceleration}/", "dataset": "{dataset}/", "study": ""}[
            self.of
        ]


#: In the order of the report.
KINDS = {
    "panel": Kind("panel", "reconstructions of", "Reconstructions", "panels"),
    "panel_teachers": Kind("panel", "teachers' reconstructions of", "Reconstructions", "panels"),
    "panel_domain": Kind(
        "panel", "reconstructions by SFT in either domain of", "Reconstructions", "panels"
    ),
    "boxplot_ssim": Kind(
        "boxplot", "SSIM box plot of", "Image quality", "slices", {"metric": "ssim"}
    ),
    "boxplot_psnr": Kind(
        "boxplot", "PSNR box plot of", "Image quality", "slices", {"metric": "psnr_db"}
    ),
    "forest": Kind(
        "forest",
        "differences in",
        "Differences",
        "table",
        {"metric": "psnr_db"},
        picks_setting=True,
    ),
    "curves": Kind("curves", "learning curves of", "Training", "manifests"),
    "mask": Kind("mask", "mask of", "Sampling", "mask"),
    "contact_sheet": Kind("contact_sheet", "contact sheet of", "Data", "store", of="dataset"),
    "networks": Kind(
        "networks", "the networks", "Method", "plan", of="study", keys=("networks", "sft")
    ),
    "recipes": Kind(
        "recipes",
        "the recipes of distillation",
        "Method",
        "plan",
        of="study",
        keys=(
            "networks",
            "sft",
            "recipes",
            "methods",
            "distillation",
            "training.epochs",
            "evaluation.panel_methods",
        ),
    ),
    "dag": Kind("dag", "the steps of the study", "Steps", "plan", of="study"),
}


def figure_kind(name: str) -> Kind:
    """The kind of that name.

    Raises:
        InputError: there is none.
    """
    try:
        return KINDS[name]
    except KeyError:
        raise InputError(f"no kind of figure {name!r}; there are {', '.join(KINDS)}") from None
