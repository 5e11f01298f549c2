"""The kinds of figure, told without importing what draws them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_src.errors import InputError


@dataclass(frozen=True)
class Kind:
    """How one kind of figure is made.

    Attributes:
        module: the module of this package that draws it.
        heading: the heading of the report that it stands under.
        options: what its module is told besides the files and the title.
        picks_setting: whether its file is of several settings, of which it shows one.
        of: what there is one of it for: a setting, a data set, or the study.
        shows_plan: whether its file is a configuration, of which it shows the models.
        keys: dotted keys of the configuration that it shows instead.
    """

    module: str
    heading: str
    options: dict[str, Any] = field(default_factory=dict)
    picks_setting: bool = False
    of: Literal["setting", "dataset", "study"] = "setting"
    shows_plan: bool = False
    keys: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """Where it lies in the figures of a study, with the names of wildcards."""
        return {"setting": "{dataset}/{acceleration}/", "dataset": "{dataset}/", "study": ""}[
            self.of
        ]


#: In the order of the report.
KINDS = {
    "panel": Kind("panel", "Reconstructions"),
    "panel_teachers": Kind("panel", "Reconstructions"),
    "panel_domain": Kind("panel", "Reconstructions"),
    "boxplot_ssim": Kind("boxplot", "Image quality", {"metric": "ssim"}),
    "boxplot_psnr": Kind("boxplot", "Image quality", {"metric": "psnr_db"}),
    "forest": Kind("forest", "Differences", {"metric": "psnr_db"}, picks_setting=True),
    "curves": Kind("curves", "Training"),
    "mask": Kind("mask", "Sampling"),
    "contact_sheet": Kind("contact_sheet", "Data", of="dataset"),
    "networks": Kind("networks", "Method", of="study", shows_plan=True, keys=("networks", "sft")),
    "recipes": Kind(
        "recipes",
        "Method",
        of="study",
        shows_plan=True,
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
    "dag": Kind("dag", "Steps", of="study", shows_plan=True),
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
