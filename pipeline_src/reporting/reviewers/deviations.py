"""Finds where a study differs from the paper's: in options of the method, and in the experiment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_src.config.datasets import Dataset, SliceRange
from pipeline_src.config.distillation import is_papers
from pipeline_src.config.presets import PRESETS
from pipeline_src.config.section import flat, shown
from pipeline_src.config.split import Folds, PatientChoice
from pipeline_src.config.study import Study
from pipeline_src.modules import PACKAGE
from pipeline_src.reporting.study_design import folds_text

#: The paper's study: in comparisons, "the paper" means this configuration.
PAPER_CONFIG = PACKAGE.parent / "config" / "paper.yaml"
#: Keys that may differ without being a deviation: names, places, what is shown, what is run besides
#: the paper's models, and where and how fast it runs.
NO_DEVIATION = (
    *("study", "title", "preset", "data_root", "outdated", "ablations", "controls", "evaluation"),
    *("training.device", "training.threads", "training.convolutions"),
    "distillation.teacher_cache_mib",
)
#: Keys that are listed for each data set.
OF_DATA = ("datasets", "sampling")
SMALLER = "slices smaller than the matrix"
#: Most entries of a split that are written out.
FEW = 3


@dataclass(frozen=True)
class Option:
    """An option in which the paper's text and its authors' code differ, or this study from both.

    Attributes:
        key: dotted; `NAME` stands for every method.
        here, text, code: values.
        follows: which of the two the study follows.
    """

    key: str
    here: str
    text: str
    code: str
    follows: str


def options(study: Study) -> list[Option]:
    """Options of the presets that differ from the paper's text, its authors' code, or both."""
    values = study.model_dump(mode="json")
    text, code = PRESETS["paper"], PRESETS["authors"]
    found = []
    for key in dict.fromkeys((*text, *code)):
        here = _values_of_methods(study, values, key) if "NAME" in key else _there(values, key)
        same = [here == [preset.get(key)] for preset in (text, code)]
        # Only with two stages is there a feature stage whose weights are selected.
        unused = key.endswith("feature_stage_selection") and (
            study.distillation.protocol != "two_stage"
        )
        if here and not all(same) and not unused:
            follows = {(True, False): "the text", (False, True): "the code"}
            found.append(
                Option(
                    key,
                    " or ".join(map(render_value, here)),
                    render_value(text.get(key)),
                    render_value(code.get(key)),
                    follows.get((same[0], same[1]), "neither alone"),
                )
            )
    return found


def _values_of_methods(study: Study, values: Mapping[str, Any], key: str) -> list[Any]:
    """The different values of the paper's methods; the forms of users' own are no deviation."""
    names = [name for name, method in study.methods.items() if is_papers(name, method.module)]
    found: list[Any] = []
    for name in names:
        value = _at(values, key.replace("NAME", name))
        found += [] if value in found else [value]
    return found


def _there(values: Any, key: str) -> list[Any]:
    """The value of a key; nothing if the study's kind of network does not have it."""
    try:
        return [_at(values, key)]
    except KeyError:
        return []


def _at(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def render_value(value: Any) -> str:
    """A value of the configuration as text."""
    if isinstance(value, list):
        return ", ".join(map(render_value, value))
    return shown(value)


@dataclass(frozen=True)
class Deviation:
    """A difference between this study and the paper's."""

    what: str
    here: str
    paper: str


def deviations(study: Study, paper: Study) -> list[Deviation]:
    """Values of the configuration that differ from the paper's: data sets first."""
    return [*_of_datasets(study, paper), *_of_values(study, paper)]


def _of_values(study: Study, paper: Study) -> Iterator[Deviation]:
    told = {*PRESETS["paper"], *PRESETS["authors"]}
    ours, theirs = (flat(s.model_dump(mode="json")) for s in (study, paper))
    if set(study.methods) != set(paper.methods):
        yield Deviation("methods", ", ".join(study.methods) or "none", ", ".join(paper.methods))
    for key in dict.fromkeys((*theirs, *ours)):
        section, _, rest = key.partition(".")
        name, _, option = rest.partition(".")
        if section in OF_DATA or any(key == k or key.startswith(f"{k}.") for k in NO_DEVIATION):
            continue
        if section == "methods":
            if name not in study.methods or name not in paper.methods:
                continue
            if f"methods.NAME.{option}" in told:
                continue
        if key not in told and ours.get(key) != theirs.get(key):
            yield Deviation(key, render_value(ours.get(key)), render_value(theirs.get(key)))


def _of_datasets(study: Study, paper: Study) -> Iterator[Deviation]:
    """Each data set compared with the paper's one that it is, or with those of the same source, or
    with all.
    """
    beside = {name: _of_paper(d, paper) for name, d in study.datasets.items()}
    covered = [same for found in beside.values() for same in found]
    if missing := [n for n, d in paper.datasets.items() if d not in covered]:
        ours = ", ".join(study.dataset_title(name) for name in study.datasets)
        theirs = ", ".join(paper.dataset_title(name) for name in paper.datasets)
        without = " or ".join(paper.dataset_title(name) for name in missing)
        yield Deviation("data sets", f"{ours} (none is given as {without})", theirs)
    for name, dataset in study.datasets.items():
        of_paper = beside[name] or list(paper.datasets.values())
        facts = [_facts(d, paper.accelerations) for d in of_paper]
        for what, here in _facts(dataset, study.accelerations).items():
            of_them = list(dict.fromkeys(fact[what] for fact in facts))
            # If smaller slices are an error, there were none.
            if of_them != [here] and (what, here) != (SMALLER, "error"):
                title = f"{study.dataset_title(name)}: {what}"
                yield Deviation(title, here, " or ".join(of_them))


def _of_paper(dataset: Dataset, paper: Study) -> list[Dataset]:
    """The data set of the paper that this one represents, or else those from the same source."""
    known = list(paper.datasets.values())
    same = [d for d in known if d.paper == dataset.paper]
    return same or [d for d in known if d.source.kind == dataset.source.kind]


def _facts(dataset: Dataset, accelerations: list[int]) -> dict[str, str]:
    """What a data set is and how it is used, by key."""
    preparation = dataset.preparation
    rows, columns = preparation.matrix
    chosen = preparation.slices
    given = [r for r in accelerations if r in dataset.masks]
    return {
        "source": dataset.source.kind,
        "matrix": f"{rows} x {columns}",
        "averaged over blocks": f"{preparation.downscale} pixels per side",
        "slices": (
            "all"
            if chosen == SliceRange()
            else f"{chosen.start} to {'the last' if chosen.stop is None else chosen.stop - 1} "
            f"in steps of {chosen.step}"
        ),
        SMALLER: preparation.undersized,
        "split": split_text(dataset),
        "reported patients": dataset.report_on,
        "masks": {0: "drawn", len(accelerations): "given as files"}.get(
            len(given), f"given as files at {', '.join(f'{r}x' for r in given)}, else drawn"
        ),
    }


def split_text(dataset: Dataset) -> str:
    """How the patients of each part are chosen."""
    if isinstance(dataset.split, Folds):
        return f"{folds_text(dataset.split)}; dealt with seed {dataset.split.seed}"
    parts = [(part, choice) for part, choice in dataset.split if part != "seed" and choice]
    drawn = any(isinstance(choice, int) for _, choice in parts)
    text = ", ".join(f"{part} {_choice(choice)}" for part, choice in parts)
    return f"{text}; drawn with seed {dataset.split.seed}" if drawn else text


def _choice(choice: PatientChoice) -> str:
    if isinstance(choice, int):
        return str(choice)
    return " and ".join(choice) if len(choice) <= FEW else f"{len(choice)} named"
