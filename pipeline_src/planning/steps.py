"""Defines each result of a study by its settings and the source files that affect it.

Snakemake uses both for every rule, and every manifest records them. If they differ from a result's
manifest, it was made for another study, or by other code. Modules that list data or read masks are
imported only where they are needed, since most commands do neither.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from pipeline_src.config.datasets import source_module
from pipeline_src.config.error_bounds import bounded_models
from pipeline_src.config.networks import OtherNetwork
from pipeline_src.config.shifts import Shift
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.planning.given_files import source_files_of
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.step_code import sources
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.figures.kinds import KINDS, figure_kind
from pipeline_src.reporting.tables.method_options import method_options


@dataclass(frozen=True)
class Step:
    """What defines a result.

    Attributes:
        settings: values of the configuration, JSON-serialisable.
        code: source files.
        given: files from outside the results; None if they are not available.
        made_from: results of the study, and what else it is made from; None if they are not all
            there, or not compared.
    """

    settings: Mapping[str, Any]
    code: list[Path] = field(repr=False)
    given: list[Path] | None = None
    made_from: list[Path] | None = None


def prepare_step(study: Study, dataset: str) -> Step:
    """A data set's store."""
    volumes = [Path(path) for path in source_files_of(study, dataset)]
    module = source_module(study.datasets[dataset].source)
    code = _code_of(dataset, "data.preparation", "data.store", module)
    return Step(store_settings(study, dataset), code, volumes or None)


def store_settings(study: Study, dataset: str) -> dict[str, Any]:
    """What defines a data set's store, besides code and files."""
    kept = {"source", "preparation", "split"}
    return study.datasets[dataset].model_dump(mode="json", include=kept)


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


def calibrate_step(pixels: float, patients: float) -> Step:
    """A bound of the errors of a model."""
    return Step({"pixels": pixels, "patients": patients}, sources("inference.calibration"))


def tables_step(study: Study | None, paper: Path) -> Step:
    """All tables of a study, compared with the paper's values; without a study, from the metrics
    alone.
    """
    told = {} if study is None else table_settings(study)
    settings = {"paper": sha256_file(paper), **told}
    return Step(settings, sources("reporting.tables.study_tables"))


def table_settings(study: Study) -> dict[str, Any]:
    """What the tables tell of a study, besides its metrics."""
    settings: dict[str, Any] = {
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
    if study.evaluation.compared_methods:
        settings["compared_methods"] = study.evaluation.compared_methods
    if bounded := bounded_models(study):
        settings["error_bounds"] = bounded
    return settings


def figure_step(
    kind: str,
    title: str,
    shown: int = 1,
    setting: tuple[str, str] | None = None,
    models: Models | None = None,
) -> Step:
    """A figure of ``shown`` files; ``models`` is needed if it shows the study's configuration, or
    how the models depend on each other.

    Raises:
        InputError: there is no such kind, or not the module that draws it.
    """
    settings: dict[str, Any] = {"kind": kind, "title": title, "shown": shown}
    settings["setting"] = list(setting) if setting else None
    made = figure_kind(kind)
    # By value, as no result depends on the list of kinds itself.
    settings |= {"module": made.module, "options": made.options}
    if models is not None and made.keys:
        values = models.study.model_dump(mode="json")
        settings["study"] = {key: reduce(getitem, key.split("."), values) for key in made.keys}
    elif models is not None:
        settings["models"] = {
            name: [models.teacher(name), models.warm_start(name)] for name in models.names()
        }
    module = f"reporting.figures.{made.module}"
    return Step(settings, _code_of(f"figure {kind}", "reporting.figures", module))


def report_step(study: Study, paper: Path) -> Step:
    """The report, which also says how a study differs from the paper's configuration."""
    settings = study.model_dump(mode="json", exclude={"data_root", "outdated"})
    settings["paper"] = sha256_file(paper)
    settings["figures"] = [[kind, made.heading] for kind, made in KINDS.items()]
    # Each names itself in the methods section.
    kinds = {source_module(dataset.source) for dataset in study.datasets.values()}
    kinds |= {network.import_path for network in study.networks.others.values()}
    return Step(settings, _code_of(study.study, "reporting.report", *sorted(kinds)))


def reconstruct_step(settings: Mapping[str, Any], files: list[Path]) -> Step:
    """Reconstructions of files by a trained model; ``files`` are those, and the weights."""
    there = all(file.exists() for file in files)
    code = sources("inference.batch", "inference.inputs")
    return Step(settings, code, files if there else None)


def crate_step() -> Step:
    """The archive of a study."""
    return Step({}, sources("provenance.crate"))
