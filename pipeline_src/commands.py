"""What each command of the command line does.

Modules are imported where a command needs them, so that no step pays for what it does not use.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline_src.config import Study, load_study
from pipeline_src.errors import InputError
from pipeline_src.planning.models import Models
from pipeline_src.planning.places import Kind, Places
from pipeline_src.planning.repeats import of_repeat
from pipeline_src.planning.steps import (
    Step,
    cost_step,
    crate_step,
    evaluate_step,
    figure_step,
    mask_step,
    prepare_step,
    report_step,
    tables_step,
)
from pipeline_src.text import printable


@dataclass(frozen=True)
class Made:
    """What a command made, for the manifest beside it.

    Attributes:
        inputs: files by role.
        outputs: files of one folder; the manifest is named after the first.
        step: settings and code that define them.
        facts: labels.
    """

    inputs: dict[str, Path]
    outputs: list[Path]
    step: Step
    facts: dict[str, Any]


def _numbered(role: str, paths: Sequence[Path]) -> dict[str, Path]:
    return {f"{role}/{number}": path for number, path in enumerate(paths)}


def _study(options: argparse.Namespace) -> Study:
    return load_study(options.config, options.set)


def _named(options: argparse.Namespace) -> str:
    """The configuration's files."""
    return " + ".join(map(str, options.config))


def _dataset(options: argparse.Namespace, study: Study) -> str:
    name: str = options.dataset
    if name not in study.datasets:
        raise InputError(
            f"--dataset {name}: not in {_named(options)}; there are {', '.join(study.datasets)}"
        )
    return name


def _repeat(options: argparse.Namespace, kind: Kind) -> Study:
    """The study, as the repeat of `--seed` has it where its stores or masks are repeated.

    Raises:
        InputError: there is such an option and they are not, or none and they are.
    """
    study = _study(options)
    repeated = Places(study).repeated(kind)
    if repeated and options.seed is None:
        known = ", ".join(map(str, study.seeds))
        raise InputError(
            f"--seed is missing: by repeat_over each of seeds has a {kind} of its own ({known})"
        )
    if not repeated and options.seed is not None:
        raise InputError(
            f"--seed {options.seed}: by repeat_over one {kind} serves all seeds; leave it out"
        )
    return of_repeat(study, options.seed)


def prepare(options: argparse.Namespace) -> Made:
    """Read a data set's volumes into a store."""
    from tqdm import tqdm

    from pipeline_src.data.preparation import prepare
    from pipeline_src.data.sources import display_quarter_turns
    from pipeline_src.data.store import write_store

    study = _repeat(options, "store")
    name = _dataset(options, study)
    dataset = study.datasets[name]
    prepared = prepare(
        dataset,
        Path(study.data_root),
        progress=lambda v: tqdm(v, desc=f"preparing {name}", unit="volume", disable=None),
    )
    description = {
        "dataset": name,
        "synthetic": dataset.synthetic,
        "display_quarter_turns": display_quarter_turns(dataset.source),
        "source": dataset.source.model_dump(mode="json"),
        "preparation": dataset.preparation.model_dump(mode="json"),
        "split": dataset.split.model_dump(mode="json"),
        "repeated": prepared.repeated,
        **({} if options.seed is None else {"repeat": options.seed}),
    }
    write_store(options.output, prepared, description)
    print(
        f"{name}: {len(prepared.images)} slices of {len(prepared.volumes)} volumes, "
        f"{len(prepared.dropped)} left out (see `dropped` in "
        f"{printable(str(options.output))})"
    )
    for sentence in prepared.repeated:
        print(printable(f"look: {sentence}"))
    step = prepare_step(study, name)
    return Made(_numbered("volumes", step.given or []), [options.output], step, description)


def mask(options: argparse.Namespace) -> Made:
    """Draw or read a sampling mask."""
    from pipeline_src.sampling.given_masks import mask_file, study_mask
    from pipeline_src.sampling.masks import write_mask

    study = _repeat(options, "mask")
    name = _dataset(options, study)
    mask = study_mask(study, name, options.acceleration)
    if options.seed is not None:
        mask = replace(mask, description=mask.description | {"repeat": options.seed})
    write_mask(options.output, mask)
    given = study.datasets[name].masks.get(options.acceleration)
    return Made(
        {"lines": mask_file(given)} if given else {},
        [options.output],
        mask_step(study, name, options.acceleration),
        {"dataset": name, "acceleration": f"{options.acceleration}x", "mask": mask.description},
    )


def train(options: argparse.Namespace) -> None:
    """Train one model."""
    from pipeline_src.running.gpus import one_gpu
    from pipeline_src.running.interruption import parent_process
    from pipeline_src.running.run import run_training
    from pipeline_src.training.builder import Inputs

    study = _study(options)
    _dataset(options, study)
    plan = Models(study).plan(options.model, options.seed)
    models = Models(study)
    for path, model in (
        (options.teacher, models.teacher(options.model)),
        (options.warm_start, models.warm_start(options.model)),
    ):
        if path and model:
            refuse_other_weights(path, model, options)
    inputs = Inputs(options.data, options.mask, options.teacher, options.warm_start)
    labels = {
        "dataset": options.dataset,
        "acceleration": options.acceleration,
        "name": options.model,
    }
    with one_gpu() if plan.training.device != "cpu" else nullcontext():
        run_training(plan, inputs, options.output, labels, options.save_every, parent_process())


def refuse_other_weights(path: Path, model: str, options: argparse.Namespace) -> None:
    """Refuse weights of another model, seed or setting than a training starts from, as far as a
    manifest beside them says.

    Raises:
        InputError: it does.
    """
    from pipeline_src.files import read_json

    manifest = path.parent / "manifest.json"
    told = read_json(manifest) if manifest.exists() else {}
    wanted = {
        "name": model,
        "seed": options.seed,
        "dataset": options.dataset,
        "acceleration": options.acceleration,
    }
    for key, value in wanted.items() if isinstance(told, dict) else ():
        if told.get(key, value) != value:
            raise InputError(
                f"{path}: is of {key} {told[key]}, but {options.model} needs {key} {value}; give "
                "those, or weights without a manifest, as import-weights writes them"
            )


def evaluate(options: argparse.Namespace) -> list[Made]:
    """Measure models on the reported patients."""
    from tqdm import tqdm

    from pipeline_src.evaluation.evaluate import Evaluation, Subject

    subjects = [Subject.of_folder(folder) for folder in options.models]
    if not (subjects or options.zero_filled):
        raise InputError("evaluate: give models' folders, or --zero-filled")
    labels = {"dataset": options.dataset, "acceleration": options.acceleration}
    evaluation = Evaluation(options.data, options.mask, options.part, labels)
    if options.zero_filled:
        subjects.append(Subject(options.zero_filled, "zero_filled", evaluation.repeat))
    outputs = [s.folder if not options.output else options.output / s.folder.name for s in subjects]
    if len(set(outputs)) < len(outputs):
        raise InputError("evaluate: two models' folders have one name; give them one at a time")
    for subject, output in zip(subjects, outputs, strict=True):
        if options.output is None:
            evaluation.refuse_foreign(subject)
        evaluation.refuse_place(output)
    made = []
    pairs = list(zip(subjects, outputs, strict=True))
    for subject, output in tqdm(pairs, desc="evaluating", unit="model", disable=None):
        written = evaluation.evaluate(subject, output)
        inputs = {"store": options.data, "mask": options.mask}
        if subject.weights:
            inputs["weights"] = subject.weights
        made.append(
            Made(
                inputs,
                written,
                evaluate_step(options.part),
                {**labels, **subject.labels, "part": options.part},
            )
        )
    return made


def tables(options: argparse.Namespace) -> Made:
    """Make all tables from metrics."""
    from pipeline_src.reporting.tables.study_tables import write_study_tables

    study = _study(options) if options.config else None
    written = write_study_tables(
        options.metrics, study, options.paper, options.output, options.cost
    )
    print(f"{len(written)} files in {options.output}")
    inputs = _numbered("metrics", options.metrics) | {"paper": options.paper}
    if options.cost:
        inputs["cost"] = options.cost
    facts = {"study": study.study if study else None}
    return Made(inputs, written, tables_step(study, options.paper), facts)


def figure(options: argparse.Namespace) -> Made:
    """Draw one figure."""
    from pipeline_src.provenance.manifest import refuse_manifest_of_other
    from pipeline_src.reporting.figures import draw_figure
    from pipeline_src.reporting.figures.kinds import KINDS

    if options.output.suffix != ".png":
        raise InputError(f"--output {options.output}: give a name that ends with .png")
    refuse_manifest_of_other(options.output.with_suffix(".manifest.json"), "figure")
    setting = (options.dataset, options.acceleration) if options.dataset else None
    draw_figure(options.kind, options.inputs, options.title, options.output, setting)
    outputs = [options.output, options.output.with_suffix(".pdf")]
    facts = {"figure": options.kind, "title": options.title}
    inputs, models = _numbered("shown", options.inputs), None
    if KINDS[options.kind].shows_plan:
        # The file tells of more than is shown; what is shown stands among the settings.
        inputs, models = {}, Models(load_study(options.inputs[0]))
    step = figure_step(options.kind, options.title, len(options.inputs), setting, models)
    return Made(inputs, outputs, step, facts)


def report(options: argparse.Namespace) -> Made:
    """Write the report."""
    from pipeline_src.reporting.report import write_report
    from pipeline_src.reporting.reviewers.deviations import PAPER_CONFIG

    study = _study(options)
    texts = {path: path.read_text(encoding="utf-8") for path in options.config}
    [text, *more] = texts.values()
    if more:
        text = "\n".join(f"# {path}\n{text}" for path, text in texts.items())
    records = write_report(
        study, options.tables, options.figures, text, options.output, options.results
    )
    inputs = _numbered("tables", options.tables) | _numbered("figures", options.figures)
    inputs |= _numbered("records", records) | {"paper": PAPER_CONFIG}
    step = report_step(study, PAPER_CONFIG)
    return Made(inputs, [options.output], step, {"study": study.study})


def crate(options: argparse.Namespace) -> Made:
    """Pack a study as an RO-Crate."""
    from pipeline_src.provenance.crate import write_crate

    output = options.output or options.results / f"{options.results.name}.crate.zip"
    write_crate(options.results, output, options.license)
    print(output)
    return Made({}, [output], crate_step(), {})


def archive(options: argparse.Namespace) -> None:
    """Write a study's records beside the documents."""
    from pipeline_src.provenance.archive import write_archive

    folder = options.output or Path("docs/studies") / options.results.resolve().name
    for path in write_archive(options.results, folder):
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def restore(options: argparse.Namespace) -> int:
    """Make tables, figures and report from a study's records; exit status 1 where a table is not
    the one that lies beside them."""
    from pipeline_src.cli import main
    from pipeline_src.provenance.archive import changed_tables, remake, unpack

    results = options.output or Path("results") / options.folder.resolve().name
    remake(unpack(options.folder, results), results, main)
    changed = changed_tables(options.folder, results)
    if changed:
        print(
            f"{options.folder}/tables: this code makes other tables of the records "
            f"({', '.join(changed)}); to keep those:\n"
            f"python -m pipeline_src archive {results} --output {options.folder}"
        )
    else:
        print(f"{results}/report.html: made again; all tables are those of {options.folder}/tables")
    return int(bool(changed))


def cost(options: argparse.Namespace) -> Made:
    """Measure what the networks cost."""
    from pipeline_src.evaluation.cost import write_cost

    weights = {"teacher": options.teacher, "student": options.student}
    write_cost(
        weights,
        options.data,
        options.mask,
        options.output,
        threads=options.threads,
        repeats=options.repeats,
    )
    inputs = {**weights, "store": options.data, "mask": options.mask}
    return Made(inputs, [options.output], cost_step(), {})


def check(options: argparse.Namespace) -> None:
    """Check a configuration, the files that it names and the data."""
    from pipeline_src.distillation.base import build_loss
    from pipeline_src.operations.preflight import (
        check_files,
        describe_data,
        inspect_data,
        missing_gpu,
    )
    from pipeline_src.reporting.design import folds_tested, repeated_text

    study = _study(options)
    models = check_files(study)
    if not options.cluster and (problem := missing_gpu(study)):
        raise InputError(f"{problem}; give --cluster if trainings run on another one's")
    for name, found in [] if options.no_data else inspect_data(study):
        if isinstance(found, InputError):
            raise InputError(
                f"data set {name}: {found} (--no-data checks the configuration without its data)"
            )
        print("\n".join(describe_data(name, found)))
    for name, method in study.methods.items():
        if method.module is None or options.run_modules:
            build_loss(name, method, study.networks)
        else:
            place = method.source(name)
            print(f"method {name}: {place}, which a run imports; --import does it now")
    if own := repeated_text(study):
        print(f"each seed has {own} of its own (repeat_over)")
    for sentence in folds_tested(study):
        print(f"look: {sentence}")
    counts = [len(models.names(setting)) for setting in study.settings()]
    each = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    print(
        f"{printable(_named(options))}: ok; settings: {len(counts)}, models per setting: "
        f"{each}, seeds: {len(study.seeds)}; {sum(counts) * len(study.seeds)} trainings"
    )


def parity(options: argparse.Namespace) -> None:
    """Recompute the authors' results."""
    from pipeline_src.evaluation.parity import compare_all

    compared = compare_all(options.vectors)
    width = max(len(c.quantity) for c in compared)
    print(f"{'quantity':{width}}  {'expected':>14}  {'got':>14}  {'error':>9}")
    for c in compared:
        print(
            f"{c.quantity:{width}}  {c.expected:14.7e}  {c.got:14.7e}  {c.error:9.1e}"
            f"{' (absolute)' if c.kind == 'image' else ''}{'' if c.agrees else '  DIFFERS'}"
        )
    apart = [c.quantity for c in compared if not c.agrees]
    print(f"{len(compared) - len(apart)} of {len(compared)} quantities agree")
    if apart:
        raise InputError(f"{options.vectors}: {len(apart)} quantities differ: {', '.join(apart)}")


def import_weights(options: argparse.Namespace) -> None:
    """Turn the authors' checkpoint into safetensors."""
    from pipeline_src.models.authors import import_checkpoint, imported_path

    networks = import_checkpoint(options.checkpoint, options.padding, options.output)
    for role, network in networks.items():
        print(
            f"{imported_path(options.output, role)}: {network.network.name}, "
            f"{len(network.state_dict())} tensors"
        )


def export_weights(options: argparse.Namespace) -> None:
    """Write weights under the authors' names."""
    from pipeline_src.models.authors import Role, export_checkpoint

    given: dict[Role, Path] = {"teacher": options.teacher, "student": options.student}
    weights = {role: path for role, path in given.items() if path}
    if not weights:
        raise InputError("export-weights: give --teacher, --student or both")
    print(f"{options.output}: {export_checkpoint(weights, options.output)} tensors")


def provenance(options: argparse.Namespace) -> None:
    """Print where a result comes from."""
    from pipeline_src.provenance.lineage import describe, trace

    where = {}
    for pair in options.where:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--where {pair}: must be KEY=VALUE, such as model=at")
        where[key] = value
    changed, lost = [], False
    for step in trace(options.file, where, options.data):
        print(describe(step))
        place = str(step.path.resolve())
        if step.problem and place not in changed:
            changed.append(place)
            lost = lost or (step.manifest is None and not step.path.exists())
    if changed:
        way = "; --data FOLDER tells where files lie now that no step made" if lost else ""
        raise InputError(
            f"{options.file}: cannot be traced as it stands; see {', '.join(changed)}{way}"
        )


def estimate(options: argparse.Namespace) -> None:
    """Tell what a study takes."""
    from pipeline_src.operations.estimate.power import detectable_lines
    from pipeline_src.operations.estimate.speed import calibrate, speed_of_results
    from pipeline_src.operations.estimate.study import count_slices, estimate, shown, trainings
    from pipeline_src.operations.preflight import gpu_wanted, inspect_data
    from pipeline_src.running.gpus import one_gpu

    for name in ("gpus", "faster"):
        given = getattr(options, name)
        if min(given if isinstance(given, list) else [given]) <= 0:
            raise InputError(f"estimate: --{name} must be more than 0")
    study = _study(options)
    slices = count_slices(study)
    if options.results:
        speed = speed_of_results(options.results)
    else:
        with one_gpu() if study.training.device != "cpu" else nullcontext():
            speed = calibrate((t.plan, t.slices) for t in trainings(study, slices))
    found = estimate(
        study,
        speed,
        slices,
        gpus=options.gpus,
        gpu=gpu_wanted(study, elsewhere=options.cluster),
        faster=options.faster,
        job_overhead=options.job_overhead,
    )
    print(shown(found))
    parts = {
        name: looked.parts
        for name, looked in inspect_data(study)
        if not isinstance(looked, InputError)
    }
    reported = {name: found[study.datasets[name].report_on] for name, found in parts.items()}
    trained_on = {name: found["train"] for name, found in parts.items()}
    lines = detectable_lines(study, reported, trained_on)
    print("\nWhat it can show:", *lines, sep="\n")


def doctor(options: argparse.Namespace) -> int:
    """Look at what a study needs; exit status 1 where something will not run."""
    from pipeline_src.operations.cluster.doctor import examine
    from pipeline_src.modules import PACKAGE

    paths = options.config or [PACKAGE.parent / "config" / "config.yaml"]
    bad = 0
    for finding in examine(load_study(paths, options.set), options.profile):
        bad += finding.verdict == "bad"
        advice = f"\n      -> {finding.advice}" if finding.advice else ""
        print(f"{finding.verdict:4}  {finding.what}{advice}")
    print(f"{bad} to mend" if bad else "ready")
    return int(bad > 0)


def launch(options: argparse.Namespace) -> int:
    """Run Snakemake and watch over its cluster jobs."""
    from pipeline_src.operations.cluster.launcher import Launcher
    from pipeline_src.operations.cluster.supervision import Patience

    for name in ("poll", "silence", "grace"):
        if getattr(options, name) <= 0:
            raise InputError(f"launch: --{name} must be more than 0")
    patience = Patience(60 * options.poll, 60 * options.silence, 60 * options.grace)
    launcher = Launcher(Path.cwd(), options.arguments, options.orphans, options.unlock, patience)
    return launcher.run()


def status(options: argparse.Namespace) -> None:
    """Show what every training is doing."""
    from pipeline_src.operations.status.showing import show

    show(options.config or options.results, options.once, sys.stdout)


def schema(options: argparse.Namespace) -> None:
    """Write the JSON schema and the key reference."""
    from pipeline_src.config.reference import write_reference

    write_reference(options.folder)
