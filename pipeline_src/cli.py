"""The command line: every step of the pipeline as one command that a person can run."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline_src import commands
from pipeline_src.errors import InputError, Interrupted, in_one_line
from pipeline_src.files import remove_leftovers
from pipeline_src.inference.commands import add_parsers as add_inference
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.code import digests
from pipeline_src.provenance.manifest import Sitting, refuse_manifest_of_other, write_manifest
from pipeline_src.reporting.figures.kinds import KINDS

Command = Callable[[argparse.Namespace], commands.Made | list[commands.Made] | int | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, 2 for wrong input, 75 for a training that was
    asked to stop and goes on when it is started again, or one that the command tells."""
    options = _parser().parse_args(arguments)
    sitting = Sitting()
    try:
        made = options.command(options)
        status = made if isinstance(made, int) else 0
        for result in made if isinstance(made, list) else [made]:
            if isinstance(result, commands.Made):
                _write_manifest(result, options.command_name, sitting)
        sys.stdout.flush()
        return status
    except Interrupted as stopped:
        print(stopped, file=sys.stderr)
        return 75
    except BrokenPipeError:
        # The reader, such as head, has seen enough; Python must not write what is left at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (InputError, OSError, MemoryError) as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        return 2


def _write_manifest(made: commands.Made, command: str, sitting: Sitting) -> None:
    path = made.outputs[0].with_suffix(".manifest.json")
    refuse_manifest_of_other(path, command)
    write_manifest(
        path,
        command=command,
        inputs=made.inputs,
        outputs=made.outputs,
        settings=made.step.settings,
        code=digests(made.step.code),
        sittings=[sitting.so_far()],
        facts=made.facts,
    )
    # What an earlier run left that was killed while it wrote.
    remove_leftovers([*made.outputs, path])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pipeline_src", description=__doc__)
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str, study: bool = True) -> argparse.ArgumentParser:
        sub = subcommands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command, command_name=name)
        if study:
            add_study(sub)
        return sub

    def add_study(sub: argparse.ArgumentParser, required: bool = True, each: bool = False) -> None:
        # Beside files that an option would swallow, each configuration has an option of its own.
        sub.add_argument(
            *("--config", "--configfile"),
            type=Path,
            nargs=1 if each else "+",
            action="extend",
            required=required,
            metavar="FILE",
            help="configuration file; what several say is merged, the last word counts",
        )
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

    def add_repeat(sub: argparse.ArgumentParser, what: str) -> None:
        sub.add_argument("--seed", type=int, help=f"of the repeat, where repeat_over has {what}")

    sub = add("prepare", commands.prepare, "Read a data set's volumes into one store of slices.")
    add_repeat(sub, "split")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--output", type=Path, required=True, help="store to write (.h5)")

    sub = add("mask", commands.mask, "Draw or read the sampling mask of a data set.")
    add_repeat(sub, "mask")
    sub.add_argument("--dataset", required=True, help="name in the configuration")
    sub.add_argument("--acceleration", type=_factor, required=True, help="such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="mask to write (.npz)")

    sub = add("train", commands.train, "Train one model.")
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

    sub = add("evaluate", commands.evaluate, "Measure models on reported patients.", study=False)
    sub.add_argument(
        "models", type=Path, nargs="*", metavar="MODEL", help="folder with weights.safetensors"
    )
    sub.add_argument(
        "--zero-filled", type=Path, metavar="FOLDER", help="measure zero filling, into this folder"
    )
    add_data(sub)
    add_names(sub)
    sub.add_argument("--part", choices=("test", "validation"), required=True, help="patients")
    sub.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="write to FOLDER/{model} instead of the models' folders: for other data than they "
        "were trained on",
    )

    sub = add("tables", commands.tables, "Make the tables from metrics alone.", study=False)
    sub.add_argument("metrics", type=Path, nargs="+", metavar="METRICS", help="volumes.csv files")
    add_study(sub, required=False, each=True)
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

    sub = add("figure", commands.figure, "Draw one figure as PNG and PDF.", study=False)
    sub.add_argument("kind", choices=KINDS, help="what to draw")
    sub.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        help="files it shows; learning curves: manifests of trainings",
    )
    sub.add_argument("--title", default="", help="heading")
    sub.add_argument("--dataset", help="show this data set of a file that has several")
    sub.add_argument("--acceleration", help="at this acceleration, such as 4x")
    sub.add_argument("--output", type=Path, required=True, help="the PNG; the PDF lies beside it")

    sub = add("report", commands.report, "Write the report: one HTML page that opens offline.")
    sub.add_argument(
        "--tables", type=Path, nargs="+", required=True, help="HTML tables, the main one first"
    )
    sub.add_argument("--figures", type=Path, nargs="+", required=True, help="PNG files")
    sub.add_argument(
        "--results",
        type=Path,
        help="folder of the study, such as results/demo, whose manifests tell reviewers how it was "
        "made (default: the page says that this is not recorded)",
    )
    sub.add_argument("--output", type=Path, required=True, help="the page")

    sub = add("cost", commands.cost, "Measure what teacher and student cost.", study=False)
    sub.add_argument("--teacher", type=Path, required=True, help="its weights")
    sub.add_argument("--student", type=Path, required=True, help="its weights")
    add_data(sub)
    sub.add_argument("--threads", type=int, help="CPU threads besides one (default: all cores)")
    sub.add_argument("--repeats", type=int, default=30, help="measurements of each")
    sub.add_argument("--output", type=Path, required=True, help="table to write (.csv)")

    sub = add("crate", commands.crate, "Pack a finished study as an RO-Crate.", study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="zip to write (default: in the results folder)")
    sub.add_argument(
        "--license",
        default="https://spdx.org/licenses/MIT",
        help="address of the licence of the results (default: %(default)s)",
    )

    sub = add("archive", commands.archive, "Keep a study's records beside documents.", study=False)
    sub.add_argument("results", type=Path, help="results folder, such as results/demo")
    sub.add_argument("--output", type=Path, help="folder (default: docs/studies/{study})")

    sub = add("restore", commands.restore, "Make tables and figures from records.", study=False)
    sub.add_argument("folder", type=Path, help="folder of the records, such as docs/studies/demo")
    sub.add_argument("--output", type=Path, help="results folder (default: results/{name})")

    sub = add("check", commands.check, "Check a configuration, the files it names and its data.")
    sub.add_argument("--no-data", action="store_true", help="leave out the data sets")
    sub.add_argument(
        "--import",
        dest="run_modules",
        action="store_true",
        help="import the modules of methods (their code runs) and check what they register",
    )
    sub.add_argument(
        "--cluster", action="store_true", help="trainings run elsewhere: ask for no GPU here"
    )

    sub = add("estimate", commands.estimate, "Tell what a study takes, before it is started.")
    sub.add_argument(
        "--from",
        dest="results",
        type=Path,
        metavar="RESULTS",
        help="take speeds from the trainings of these results; else each kind is timed here",
    )
    sub.add_argument(
        "--gpus",
        type=int,
        nargs="+",
        default=[1, 2, 4, 8],
        metavar="N",
        help="tell the wall time with so many GPUs (without one: trainings at once)",
    )
    sub.add_argument(
        "--cluster",
        action="store_true",
        help="it will run on a cluster's GPUs, where training.device leaves it open",
    )
    sub.add_argument(
        "--faster",
        type=float,
        default=1.0,
        metavar="TIMES",
        help="epochs are that many times as fast where the study will run (default: 1)",
    )
    sub.add_argument(
        "--job-overhead",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="to start a job and to notice its end; about 30 on a cluster (default: 0)",
    )

    sub = add("doctor", commands.doctor, "Look at what a study needs of this place.", study=False)
    add_study(sub, required=False)
    sub.add_argument("--profile", type=Path, help="Snakemake's profile for the cluster")

    sub = add(
        "launch",
        commands.launch,
        "Run Snakemake on a cluster and watch over it.",
        study=False,
    )
    sub.add_argument(
        "--orphans",
        choices=("cancel", "wait"),
        default="cancel",
        help="jobs that an earlier Snakemake left: cancel (trainings go on where they were) or "
        "wait for them (default: %(default)s)",
    )
    sub.add_argument(
        "--unlock", action="store_true", help="a Snakemake started elsewhere has ended: go on"
    )
    for name, default, text in (
        ("silence", 15, "without progress before the jobs that wait are named"),
        ("grace", 10, "for Snakemake to notice that a job has ended"),
        ("poll", 0.5, "between two looks at the queue"),
    ):
        text += f" (default: {default})"
        sub.add_argument(f"--{name}", type=float, default=default, metavar="MINUTES", help=text)
    sub.add_argument(
        "arguments", nargs="+", metavar="-- ARGUMENTS", help="Snakemake's, after two dashes"
    )

    sub = add("status", commands.status, "Show what every training is doing.", study=False)
    where = sub.add_mutually_exclusive_group(required=True)
    where.add_argument("results", type=Path, nargs="?", help="results folder, such as results/demo")
    where.add_argument(
        *("--config", "--configfile"),
        type=Path,
        nargs="+",
        action="extend",
        metavar="FILE",
        help="configuration; its results: results/{study}",
    )
    sub.add_argument("--once", action="store_true", help="a plain table, as when piped")

    sub = add(
        "provenance",
        commands.provenance,
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
    sub.add_argument(
        "--data",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="where files lie now that were given, should they or the results have moved",
    )

    sub = add("parity", commands.parity, "Recompute a file of the authors' results.", study=False)
    sub.add_argument("vectors", type=Path, metavar="VECTORS", help="file of vectors (.npz)")

    sub = add(
        "import-weights",
        commands.import_weights,
        "Turn a checkpoint of the authors' code into safetensors, running nothing in it.",
        study=False,
    )
    sub.add_argument("checkpoint", type=Path, help="file written by torch.save")
    sub.add_argument("--padding", type=int, default=0, help="padding it was trained with")
    sub.add_argument("--output", type=Path, required=True, help="folder to write to")

    sub = add(
        "export-weights",
        commands.export_weights,
        "Write weights under the authors' names.",
        study=False,
    )
    sub.add_argument("--teacher", type=Path, help="weights of a teacher")
    sub.add_argument("--student", type=Path, help="weights of a student")
    sub.add_argument("--output", type=Path, required=True, help="checkpoint to write (.pt)")

    add_inference(add)

    sub = add("schema", commands.schema, "Write JSON schema and key reference.", study=False)
    sub.add_argument("folder", type=Path, help="root of the project")
    return parser


def _factor(text: str) -> int:
    digits = text.removesuffix("x")
    factor = int(digits) if digits.isdecimal() else 0
    if factor < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is impossible; it must be 2x or more")
    return factor
