"""Defines each result of a study by its settings and the source files that affect it.

Snakemake uses both for every rule, and every manifest records them. If they differ from a result's
manifest, it was made for another study, or by other code. Modules that list data or read masks are
imported only where they are needed, since most commands do neither.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pipeline_src.config.datasets import source_module
from pipeline_src.config.networks import OtherNetwork
from pipeline_src.config.shifts import Shift
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.planning.given_files import source_files_of
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.step_code import digests, sources
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.reporting.figures.kinds import figure_kind
from pipeline_src.reporting.tables.method_options import method_options


@dataclass(frozen=True)
class Step:
    """What defines a result.

    Attributes:
        settings: values of the configuration, JSON-serialisable.
        code: source files.
        given: files from outside the results; None if they are not available.
    """

    settings: Mapping[str, Any]
    code: list[Path] = field(repr=False)
    given: list[Path] | None = None


def prepare_step(study: Study, dataset: str) -> Step:
    """A data set's store."""
    chosen = study.datasets[dataset]
    settings = chosen.model_dump(mode="json", include={"source", "preparation", "split"})
    volumes = [Path(path) for path in source_files_of(study, dataset)]
    code = _code_of(dataset, "data.preparation", "data.store", source_module(chosen.source))
    return Step(settings, code, volumes or None)


def mask_step(study: Study, dataset: str, acceleration: int) -> Step:
    """The mask of a setting."""
    from pipeline_src.sampling.given_masks import mask_file

    chosen = study.datasets[dataset]
    given = chosen.masks.get(acceleration)
    settings = {
        "matrix": list(chosen.preparation.matrix),
        "acceleration": acceleration,
        **(
            {"file": given, "allow_unusual_masks": chosen.allow_unusual_masks}
            if given
            else study.sampling.model_dump(mode="json")
        ),
    }
    file = mask_file(given) if given else None
    return Step(
        settings, sources("sampling.given_masks"), [file] if file and file.exists() else None
    )


def train_step(plan: TrainingPlan) -> Step:
    """A trained model."""
    return Step(plan.model_dump(mode="json"), training_code(plan))


def training_code(plan: TrainingPlan) -> list[Path]:
    """Source files that all trainings share, and the modules of the plan's networks and method."""
    modules = ["training.stages"]
    others = [n for n in plan.networks.values() if isinstance(n, OtherNetwork)]
    modules += [network.import_path for network in others]
    if plan.distillation is not None:
        method = plan.distillation.method
        modules.append(plan.distillation.loss.module or f"distillation.losses.{method}")
    return _code_of(plan.model, *modules)


def _code_of(what: str, *modules: str) -> list[Path]:
    """Source files of modules, some of which may be users' own.

    Raises:
        InputError: one does not exist.
    """
    try:
        return sources(*modules)
    except ModuleNotFoundError as error:
        raise InputError(f"{what}: no module {error} found from here") from None


def evaluate_step(part: str) -> Step:
    """Metrics of a model, or of zero filling."""
    return Step({"part": part}, sources("evaluation.evaluate"))


def robustness_step(part: str, shift: Shift, seed: int, center_lines: int | None) -> Step:
    """Metrics of models under a shift; what it does not draw defines nothing."""
    settings: dict[str, Any] = {"part": part, "shift": shift.name}
    if shift.draws_mask or shift.kind == "noise":
        settings["seed"] = seed
    if shift.draws_mask:
        settings["center_lines"] = center_lines
    return Step(settings, sources("evaluation.robustness"))


def cost_step() -> Step:
    """What teacher and student cost."""
    return Step({}, sources("evaluation.cost"))


def runtimes_step(part: str, runtimes: list[str]) -> Step:
    """What teacher and student cost in other runtimes."""
    return Step({"part": part, "runtimes": runtimes}, sources("inference.runtime_cost"))


def tables_step(study: Study | None, paper: Path) -> Step:
    """All tables of a study, compared with the paper's values; without a study, from the metrics
    alone.
    """
    settings: dict[str, Any] = {"paper": sha256_file(paper)}
    if study is not None:
        settings |= {
            "datasets": {
                name: [dataset.title, dataset.paper, dataset.synthetic]
                for name, dataset in study.datasets.items()
            },
            "accelerations": study.accelerations,
            "seeds": study.seeds,
            "models": study.model_names(),
            "margins": study.evaluation.margins.model_dump(),
            "ablations": {
                name: ablation.model_dump(mode="json") for name, ablation in study.ablations.items()
            },
            "method": method_options(study),
        }
        if study.robustness is not None:
            settings["robustness"] = study.robustness.model_dump(mode="json", exclude={"seed"})
    return Step(settings, sources("reporting.tables.study_tables"))


def figure_step(
    kind: str,
    title: str,
    shown: int = 1,
    setting: tuple[str, str] | None = None,
    models: Models | None = None,
) -> Step:
    """A figure of ``shown`` files; ``models`` is needed if it shows the study's configuration, or
    how the models depend on each other.
    """
    settings: dict[str, Any] = {"kind": kind, "title": title, "shown": shown}
    settings["setting"] = list(setting) if setting else None
    made = figure_kind(kind)
    if models is not None and made.keys:
        values = models.study.model_dump(mode="json")
        settings["study"] = {key: reduce(getitem, key.split("."), values) for key in made.keys}
    elif models is not None:
        settings["models"] = {
            name: [models.teacher(name), models.warm_start(name)] for name in models.names()
        }
    module = f"reporting.figures.{made.module}"
    return Step(settings, sources("reporting.figures", module))


def report_step(study: Study, paper: Path) -> Step:
    """The report, which also says how a study differs from the paper's configuration."""
    settings = study.model_dump(mode="json", exclude={"data_root", "outdated"})
    settings["paper"] = sha256_file(paper)
    # Each names itself in the methods section.
    kinds = {source_module(dataset.source) for dataset in study.datasets.values()}
    kinds |= {network.import_path for network in study.networks.others.values()}
    return Step(settings, _code_of(study.study, "reporting.report", *sorted(kinds)))


def reconstruct_step(settings: Mapping[str, Any], files: list[Path]) -> Step:
    """Reconstructions of files by a trained model; ``files`` are those, and the weights."""
    there = all(file.exists() for file in files)
    code = sources("inference.batch", "inference.inputs", "inference.machine")
    return Step(settings, code, files if there else None)


def crate_step() -> Step:
    """The archive of a study."""
    return Step({}, sources("provenance.crate"))


def is_outdated(step: Step, manifest: str, output: str) -> bool:
    """Whether a result exists but was made with other settings, code or files."""
    return Path(output).exists() and bool(why_outdated(step, Path(manifest)))


def why_outdated(step: Step, manifest: Path) -> str:
    """Why a result is outdated, as the end of a sentence; empty if it is not.

    A result without a manifest is outdated, since nothing is known about it.
    """
    if not manifest.exists():
        return "has no manifest that says what made it"
    try:
        made = Manifest.read(manifest, "settings", "code")
    except InputError:
        return "has a manifest that does not say which settings and code made it"
    asked = json.loads(json.dumps(dict(step.settings)))
    if made.settings != asked:
        return f"was made with {_first_difference(made.settings, asked)}"
    if step.given is not None and (other := _other_file(made, step.given)):
        return f"was made from {other}"
    now, then = digests(step.code), made.code
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"was made by other code ({changed[0]}{more})"
    if edited := _edited(made, manifest):
        return f"was changed after it was made ({edited})"
    return ""


def _edited(made: Manifest, manifest: Path) -> str:
    """The first file beside a manifest that is not the one that it describes; empty if there is
    none.

    A manifest is written last, so only a file that is newer is read.
    """
    written = manifest.stat().st_mtime_ns
    for name, sha256 in made.outputs.items():
        path = manifest.parent / name
        try:
            if path.stat().st_mtime_ns > written and sha256_file(path) != sha256:
                return name
        except (OSError, InputError):
            continue  # Snakemake sees what is missing.
    return ""


def _other_file(made: Manifest, given: list[Path]) -> str:
    """How the input files that a manifest lists differ from those that exist now, in a few words;
    empty if they do not.

    A file of the same name, size and date is taken to be the same; otherwise its digest decides, as
    in a copy of the data.
    """
    try:
        inputs = made.require("inputs").inputs.values()
    except InputError:
        return "files of which nothing is known"
    listed = [(Path(one.path).name, one.size, one.modified, one.sha256) for one in inputs]
    if len(listed) != len(given):
        return f"{len(listed)} files where there are {len(given)} now"
    dated = Counter(one[:3] for one in listed)
    by_date = {one[:3]: one[3] for one in listed}
    left = Counter((name, sha256) for name, _, _, sha256 in listed)
    for path in given:
        file = path.resolve()
        state = file.stat()
        one = (file.name, state.st_size, state.st_mtime_ns)
        # Files of one name, such as T1.nii of every patient, may share a date only by its copy.
        sha256 = by_date[one] if dated[one] == 1 else sha256_file(file)
        if not left[file.name, sha256]:
            return f"another {path.name}"
        left[file.name, sha256] -= 1
    return ""


def _first_difference(made: Any, asked: Any, key: str = "") -> str:
    """The first value that differs between two nested mappings."""
    if isinstance(made, dict) and isinstance(asked, dict):
        for name in sorted(made.keys() | asked.keys()):
            if made.get(name) != asked.get(name):
                below = f"{key}.{name}".lstrip(".")
                return _first_difference(made.get(name), asked.get(name), below)
    return f"{key} {_short(made)} where {_short(asked)} is asked for"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
