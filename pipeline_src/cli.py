"""The command line: every step of the pipeline as one command that a person can run.

Modules are imported where a command needs them, so that no step pays for what it does not use.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline_src.config import Models, Study, load_study
from pipeline_src.errors import InputError, Interrupted
from pipeline_src.files import leftovers
from pipeline_src.provenance import PACKAGE, Sitting, code_digest, write_manifest
from pipeline_src.reporting.figures.kinds import KINDS


@dataclass(frozen=True)
class Made:
    """What a command made, for the manifest beside it.

    Attributes:
        inputs: files by role.
        outputs: files of one folder; the manifest is named after the first.
        code: places of the package whose code shaped them.
        facts: settings and labels.
    """

    inputs: dict[str, Path]
    outputs: list[Path]
    code: tuple[str, ...]
    facts: dict[str, Any]


Command = Callable[[argparse.Namespace], Made | list[Made] | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for wrong input, or 75 for a training that
    was asked to stop and goes on when it is started again."""
    options = _parser().parse_args(arguments)
    sitting = Sitting()
    try:
        made = options.command(options)
        for result in made if isinstance(made, list) else [made]:
            if result is not None:
                _write_manifest(result, options.command_name, sitting)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 75
    return 0


def _write_manifest(made: Made, command: str, sitting: Sitting) -> None:
    path = made.outputs[0].with_suffix(".manifest.json")
    write_manifest(
        path,
        command=command,
        inputs=made.inputs,
        outputs=made.outputs,
        code={place: code_digest(place) for place in made.code},
        sittings=[sitting.so_far()],
        facts=made.facts,
    )
    # What an earlier run left that was killed while it wrote.
    for written in (*made.outputs, path):
        for found in leftovers(written):
            found.unlink()


def _numbered(role: str, paths: Sequence[Path]) -> dict[str, Path]:
    return {f"{role}/{number}": path for number, path in enumerate(paths)}


def _study(options: argparse.Namespace) -> Study:
    return load_study(options.config, options.set)


def _dataset(options: argparse.Namespace, study: Study) -> str:
    name: str = options.dataset
    if name not in study.datasets:
        raise InputError(
            f"--dataset {name}: not in {options.config}; there are {', '.join(study.datasets)}"
        )
    return name


def _prepare(options: argparse.Namespace) -> Made:
    from tqdm import tqdm

    from pipeline_src.data.preparation import prepare
    from pipeline_src.data.store import write_store
    from pipeline_src.preflight import source_files_of

    study = _study(options)
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
        "display_quarter_turns": dataset.display_quarter_turns,
        "source": dataset.source.model_dump(mode="json"),
        "preparation": dataset.preparation.model_dump(mode="json"),
        "split": dataset.split.model_dump(mode="json"),
    }
    write_store(options.output, prepared, description)
    print(
        f"{name}: {len(prepared.images)} slices of {len(prepared.volumes)} volumes, "
        f"{len(prepared.dropped)} left out (see `dropped` in {options.output})"
    )
    sources = [Path(path) for path in source_files_of(study, name)]
    return Made(_numbered("volumes", sources), [options.output], ("data",), description)


def _mask(options: argparse.Namespace) -> Made:
    from pipeline_src.sampling.masks import study_mask, write_mask

    study = _study(options)
    name = _dataset(options, study)
    mask = study_mask(study, name, options.acceleration)
    write_mask(options.output, mask)
    given = study.datasets[name].masks.get(options.acceleration)
    return Made(
        {"lines": Path(given)} if given else {},
        [options.output],
        ("sampling/masks.py",),
        {"dataset": name, "acceleration": f"{options.acceleration}x", "mask": mask.description},
    )


def _train(options: argparse.Namespace) -> None:
    # cuBLAS reads this when it starts; without it its sums may differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    from pipeline_src.training.builder import Inputs
    from pipeline_src.training.interruption import parent_process
    from pipeline_src.training.run import run_training

    study = _study(options)
    plan = Models(study).plan(options.model, options.seed)
    inputs = Inputs(options.data, options.mask, options.teacher, options.warm_start)
    labels = {
        "dataset": options.dataset,
        "acceleration": options.acceleration,
        "name": options.model,
    }
    run_training(plan, inputs, options.output, labels, options.save_every, parent_process())


def _evaluate(options: argparse.Namespace) -> list[Made]:
    from tqdm import tqdm

    from pipeline_src.evaluation.evaluate import Evaluation, Subject

    subjects = [Subject.of_folder(folder) for folder in options.models]
    if options.zero_filled:
        subjects.append(Subject(options.zero_filled, "zero_filled"))
    if not subjects:
        raise InputError("evaluate: give models' folders, or --zero-filled")
    labels = {"dataset": options.dataset, "acceleration": options.acceleration}
    evaluation = Evaluation(options.data, options.mask, options.part)
    made = []
    for subject in tqdm(subjects, desc="evaluating", unit="model", disable=None):
        written = evaluation.evaluate(subject, {**labels})
        inputs = {"store": options.data, "mask": options.mask}
        if subject.weights:
            inputs["weights"] = subject.weights
        made.append(
            Made(
                inputs,
                written,
                ("data/store.py", "sampling", "models", "evaluation"),
                {**labels, **subject.labels, "part": options.part},
            )
        )
    return made


def _tables(options: argparse.Namespace) -> Made:
    from pipeline_src.reporting.study_tables import write_study_tables

    study = _study(options) if options.config else None
    written = write_study_tables(
        options.metrics, study, options.paper, options.output, options.cost
    )
    print(f"{len(written)} files in {options.output}")
    inputs = _numbered("metrics", options.metrics) | {"paper": options.paper}
    if options.cost:
        inputs["cost"] = options.cost
    if options.config:
        inputs["config"] = options.config
    facts = {"study": study.study if study else None}
    return Made(inputs, written, ("evaluation", "reporting"), facts)


def _figure(options: argparse.Namespace) -> Made:
    from pipeline_src.reporting.figures import draw_figure

    setting = (options.dataset, options.acceleration) if options.dataset else None
    draw_figure(options.kind, options.inputs, options.title, options.output, setting)
    outputs = [options.output, options.output.with_suffix(".pdf")]
    facts = {"figure": options.kind, "title": options.title}
    return Made(_numbered("shown", options.inputs), outputs, ("reporting/figures",), facts)


def _report(options: argparse.Namespace) -> Made:
    from pipeline_src.reporting.report import write_report

    study = _study(options)
    text = options.config.read_text(encoding="utf-8")
    write_report(study, options.tables, options.figures, text, options.output)
    inputs = _numbered("tables", options.tables) | _numbered("figures", options.figures)
    inputs["config"] = options.config
    return Made(inputs, [options.output], ("reporting",), {"study": study.study})


def _crate(options: argparse.Namespace) -> Made:
    from pipeline_src.reporting.crate import write_crate

    output = options.output or options.results / f"{options.results.name}.crate.zip"
    write_crate(options.results, output, options.license)
    print(output)
    return Made({}, [output], ("reporting/crate.py", "reporting/crate_content.py"), {})


def _cost(options: argparse.Namespace) -> Made:
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
    return Made(inputs, [options.output], ("evaluation/cost.py", "models"), {})


def _check(options: argparse.Namespace) -> None:
    from pipeline_src.distillation.base import build_loss
    from pipeline_src.preflight import check_files

    study = _study(options)
    models = check_files(study)
    for name, method in study.methods.items():
        build_loss(name, method, study.networks)
    counts = [len(models.names(setting)) for setting in study.settings()]
    models_each = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    print(
        f"{options.config}: good; {len(counts)} settings x {models_each} models x "
        f"{len(study.seeds)} seeds = {sum(counts) * len(study.seeds)} trainings"
    )


def _parity(options: argparse.Namespace) -> None:
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


def _import_weights(options: argparse.Namespace) -> None:
    from pipeline_src.models.authors import import_checkpoint

    networks = import_checkpoint(options.checkpoint, options.padding, options.output)
    for role, network in networks.items():
        print(
            f"{options.output / role}.safetensors: {network.network.name}, "
            f"{len(network.state_dict())} tensors"
        )


def _export_weights(options: argparse.Namespace) -> None:
    from pipeline_src.models.authors import Role, export_checkpoint

    given: dict[Role, Path] = {"teacher": options.teacher, "student": options.student}
    weights = {role: path for role, path in given.items() if path}
    if not weights:
        raise InputError("export-weights: give --teacher, --student or both")
    print(f"{options.output}: {export_checkpoint(weights, options.output)} tensors")


def _provenance(options: argparse.Namespace) -> None:
    from pipeline_src.lineage import describe, trace

    where = {}
    for pair in options.where:
        key, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"--where {pair}: must be KEY=VALUE, such as model=at")
        where[key] = value
    changed = []
    for step in trace(options.file, where):
        print(describe(step))
        place = str(step.path.resolve())
        if step.problem and place not in changed:
            changed.append(place)
    if changed:
        raise InputError(f"{options.file}: cannot be traced as it stands; see {', '.join(changed)}")


def _status(options: argparse.Namespace) -> None:
    from pipeline_src.status.showing import show

    show(options.config or options.results, options.once, sys.stdout)


def _schema(options: argparse.Namespace) -> None:
    from pipeline_src.config.reference import write_reference

    write_reference(options.folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline_src", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str, study: bool = True) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, command_name=name)
        if study:
            add_study(sub)
        return sub

    def add_study(sub: argparse.ArgumentParser, required: bool = True) -> None:
        sub.add_argument("--config", type=Path, required=required, help="configuration file")
        sub.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="lay a value over the file, such as training.epochs=3",
        )

    def add_data(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--data", type=Path, required=True, help="volume store (volumes.h5)")
        sub.add_argument("--mask", type=Path, required=True, help="mask (mask.npz)")

    def add_names(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--dataset", required=True, help="name of the data set")
        sub.add_argument("--acceleration", required=True, help="such as 4x")

    sub = add("prepare", _prepare, "Read a data set's volumes into one store of slices.")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--output", type=Path, required=True, help="store to write (.h5)")

    sub = add("mask", _mask, "Draw or read the sampling mask of a data set.")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--acceleration", type=_factor, required=True, help="such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="mask to write (.npz)")

    sub = add("train", _train, "Train one model.")
    add_data(sub)
    sub.add_argument("--output", type=Path, required=True, help="folder to write to")
    add_names(sub)
    sub.add_argument("--model", required=True, help="teacher, student, sft_teacher, std_kd_at ...")
    sub.add_argument("--seed", type=int, required=True, help="seed of the run")
    sub.add_argument("--teacher", type=Path, help="weights of the frozen teacher")
    sub.add_argument("--warm-start", type=Path, help="student blocks of SFT to start from")
    sub.add_argument(
        "--save-every",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="save the state this often within an epoch, besides after each (default: 30)",
    )

    sub = add("evaluate", _evaluate, "Measure models on the reported patients.", study=False)
    sub.add_argument(
        "models", type=Path, nargs="*", metavar="MODEL", help="folder with weights.safetensors"
    )
    sub.add_argument(
        "--zero-filled", type=Path, metavar="FOLDER", help="measure zero filling, into this folder"
    )
    add_data(sub)
    add_names(sub)
    sub.add_argument("--part", choices=("test", "validation"), required=True, help="patients")

    sub = add("tables", _tables, "Make the tables from metrics alone.", study=False)
    sub.add_argument("metrics", type=Path, nargs="+", metavar="METRICS", help="volumes.csv files")
    add_study(sub, required=False)
    sub.add_argument(
        "--paper",
        type=Path,
        default=PACKAGE.parent / "config" / "paper_results.csv",
        help="the paper's main table (default: the project's)",
    )
    sub.add_argument("--cost", type=Path, help="measurement of the cost command")
    sub.add_argument(
        "--output", type=Path, default=Path("tables"), help="folder (default: %(default)s)"
    )

    sub = add("figure", _figure, "Draw one figure as PNG and PDF.", study=False)
    sub.add_argument("kind", choices=KINDS, help="what to draw")
    sub.add_argument("inputs", type=Path, nargs="+", help="files or model folders it shows")
    sub.add_argument("--title", default="", help="heading")
    sub.add_argument("--dataset", help="show this data set of a file that has several")
    sub.add_argument("--acceleration", help="at this acceleration, such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="the PNG; the PDF lies beside it")

    sub = add("report", _report, "Write the report: one HTML page that opens offline.")
    sub.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="HTML tables, the main one first"
    )
    sub.add_argument("--figures", type=Path, nargs="+", required=True, help="PNG files")
    sub.add_argument("--output", type=Path, required=True, help="the page")

    sub = add("cost", _cost, "Measure what teacher and student cost.", study=False)
    sub.add_argument("--teacher", type=Path, required=True, help="its weights")
    sub.add_argument("--student", type=Path, required=True, help="its weights")
    add_data(sub)
    sub.add_argument("--threads", type=int, help="CPU threads besides one (default: all cores)")
    sub.add_argument("--repeats", type=int, default=30, help="measurements of each")
    sub.add_argument("--output", type=Path, required=True, help="table to write (.csv)")

    sub = add("crate", _crate, "Pack a finished study as an RO-Crate.", study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="zip to write (default: in the results folder)")
    sub.add_argument(
        "--license",
        default="https://spdx.org/licenses/MIT",
        help="address of the licence of the results (default: %(default)s)",
    )

    add("check", _check, "Check a configuration and the files it names.")

    sub = add(
        "provenance",
        _provenance,
        "Print where a result comes from, back to the files.",
        study=False,
    )
    sub.add_argument("file", type=Path, metavar="FILE", help="table, figure, metrics, weights ...")
    sub.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="follow only inputs made with this value, such as model=at or seed=0",
    )

    sub = add("parity", _parity, "Recompute a file of the authors' results.", study=False)
    sub.add_argument("vectors", type=Path, metavar="VECTORS", help="file of vectors (.npz)")

    sub = add(
        "import-weights",
        _import_weights,
        "Turn a checkpoint of the authors' code into safetensors, running nothing in it.",
        study=False,
    )
    sub.add_argument("checkpoint", type=Path, help="file written by torch.save")
    sub.add_argument("--padding", type=int, default=0, help="padding it was trained with")
    sub.add_argument("--output", type=Path, required=True, help="folder to write to")

    sub = add(
        "export-weights", _export_weights, "Write weights under the authors' names.", study=False
    )
    sub.add_argument("--teacher", type=Path, help="weights of a teacher")
    sub.add_argument("--student", type=Path, help="weights of a student")
    sub.add_argument("--output", type=Path, required=True, help="checkpoint to write (.pt)")

    sub = add("schema", _schema, "Write the JSON schema and the key reference.", study=False)
    sub.add_argument("folder", type=Path, help="root of the project")
    return parser


def _factor(text: str) -> int:
    factor = int(text.removesuffix("x"))
    if factor < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is impossible; it must be 2x or more")
    return factor
