"""The command `check`: checks a configuration, the files that it names and the data."""

from __future__ import annotations

import argparse

from pipeline_src.commands import Subcommands, add_command, named, study_of
from pipeline_src.errors import InputError, errors_of
from pipeline_src.text import printable


def add_parser(subcommands: Subcommands) -> None:
    """Add the command and its options."""
    sub = add_command(subcommands, check)
    sub.add_argument("--no-data", action="store_true", help="leave out the data sets")
    sub.add_argument(
        "--import",
        dest="run_modules",
        action="store_true",
        help="import the modules outside this project that it names (their code runs), and check "
        "what they register and their options",
    )
    sub.add_argument(
        "--cluster", action="store_true", help="trainings run elsewhere: ask for no GPU here"
    )


def check(options: argparse.Namespace) -> None:
    """Check a configuration, the files it names and its data."""
    from pipeline_src.operations.extensions import check_extensions
    from pipeline_src.operations.preflight import (
        check_files,
        describe_data,
        inspect_data,
        missing_gpu,
        nothing_drawn,
    )
    from pipeline_src.reporting.study_design import folds_tested, repeated_text

    study = study_of(options)
    origin = named(options) + (" with --set" if options.set else "")
    with errors_of(origin):
        models = check_files(study)
    if not options.cluster and (problem := missing_gpu(study)):
        raise InputError(f"{problem}; give --cluster if trainings run on another one's")
    looked = [] if options.no_data else inspect_data(study, run_modules=options.run_modules)
    for name, found in looked:
        if isinstance(found, InputError):
            raise InputError(
                f"data set {name}: {found} (--no-data checks the configuration without its data)"
            )
        print("\n".join(describe_data(name, found)))
    with errors_of(origin):
        for line in check_extensions(models, run_modules=options.run_modules):
            print(line)
    if own := repeated_text(study):
        print(f"each seed has its own {own} (repeat_over)")
    for sentence in (*folds_tested(study), *nothing_drawn(study)):
        print(f"warning: {sentence}")
    counts = [len(models.names(setting)) for setting in study.settings()]
    each = f"{min(counts)}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    print(
        f"{printable(named(options))}: ok; settings: {len(counts)}, models per setting: "
        f"{each}, seeds: {len(study.seeds)}; {sum(counts) * len(study.seeds)} trainings"
    )
