"""The commands of the command line: each module adds its own by `add_parser`.

This module has what they share. Modules that take long to import are imported where a command needs
them, so that no step waits for what it does not use.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, TypeAlias

from pipeline_src.config import Study, load_study
from pipeline_src.errors import InputError
from pipeline_src.planning.places import Kind, Places
from pipeline_src.planning.repeats import of_repeat
from pipeline_src.planning.steps import Step

#: What `add_subparsers` returns.
Subcommands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


@dataclass(frozen=True)
class Made:
    """What a command made, for the manifest beside it.

    Attributes:
        inputs: files by role.
        outputs: files of one folder; the manifest is named after the first.
        step: settings and code that define them.
        facts: labels.
        status: the command's exit status.
    """

    inputs: dict[str, Path]
    outputs: list[Path]
    step: Step
    facts: dict[str, Any]
    status: int = 0


#: A command returns what it made, or an exit status.
Command = Callable[[argparse.Namespace], Made | list[Made] | int | None]


def add_all(subcommands: Subcommands) -> None:
    """Add every command: those of each module in this folder."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}").add_parser(subcommands)


def add_command(
    subcommands: Subcommands, command: Command, study: bool = True
) -> argparse.ArgumentParser:
    """Add one command, with the options that name its configuration if it has a ``study``.

    It is called what its function is, and its help is the function's docstring.
    """
    name, text = command.__name__.replace("_", "-"), " ".join((command.__doc__ or "").split())
    sub = subcommands.add_parser(name, help=text, description=text)
    sub.set_defaults(command=command, command_name=name)
    if study:
        add_study(sub)
    return sub


def add_study(sub: argparse.ArgumentParser, required: bool = True, each: bool = False) -> None:
    """Add the options that name the configuration, read by `study_of`.

    ``each``: the option is repeated for every file, for commands with further files, which it would
    otherwise take too.
    """
    sub.add_argument(
        *("--config", "--configfile"),
        type=Path,
        nargs=1 if each else "+",
        action="extend",
        required=required,
        metavar="FILE",
        help="configuration file; several"
        + (", each after its own --config," if each else "")
        + " are merged, and later ones override earlier ones",
    )
    sub.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a value of the file, such as training.epochs=3",
    )


def add_modules(sub: argparse.ArgumentParser) -> None:
    """Add the option that names modules to import."""
    sub.add_argument(
        "--import",
        dest="modules",
        action="append",
        default=[],
        metavar="MODULE",
        help="import your own module that registers a network (its code runs)",
    )


def add_data(sub: argparse.ArgumentParser) -> None:
    """Add the options that name store and mask."""
    sub.add_argument("--data", type=Path, required=True, help="volume store (volumes.h5)")
    sub.add_argument("--mask", type=Path, required=True, help="mask (mask.npz)")


def add_setting(sub: argparse.ArgumentParser) -> None:
    """Add the options that name data set and acceleration."""
    sub.add_argument("--dataset", required=True, help="name of the data set")
    sub.add_argument("--acceleration", required=True, help="such as 4x")


def add_repeat(sub: argparse.ArgumentParser, what: str) -> None:
    """Add the option that names the repeat, read by `study_of_repeat`."""
    sub.add_argument("--seed", type=int, help=f"of the repeat, if repeat_over has {what}")


def numbered(role: str, paths: Sequence[Path]) -> dict[str, Path]:
    """Input files of one role, numbered for a manifest."""
    return {f"{role}/{number}": path for number, path in enumerate(paths)}


def study_of(options: argparse.Namespace) -> Study:
    """Read the configuration."""
    return load_study(options.config, options.set)


def named(options: argparse.Namespace) -> str:
    """The names of the configuration's files, for a message."""
    return " + ".join(map(str, options.config))


def dataset_of(options: argparse.Namespace, study: Study) -> str:
    """The data set that ``--dataset`` names.

    Raises:
        InputError: the study has no data set of that name.
    """
    name: str = options.dataset
    if name not in study.datasets:
        raise InputError(
            f"--dataset {name}: not in {named(options)}; there are {', '.join(study.datasets)}"
        )
    return name


def study_of_repeat(options: argparse.Namespace, kind: Kind) -> Study:
    """The study, as configured for the repeat of `--seed` if its stores or masks are repeated.

    Raises:
        InputError: `--seed` is given but they are not repeated, or it is missing but they are.
    """
    study = study_of(options)
    repeated = Places(study).repeated(kind)
    if repeated and options.seed is None:
        known = ", ".join(map(str, study.seeds))
        raise InputError(
            f"--seed is missing: by repeat_over each seed has its own {kind} ({known})"
        )
    if not repeated and options.seed is not None:
        raise InputError(
            f"--seed {options.seed}: by repeat_over one {kind} serves all seeds; leave it out"
        )
    return of_repeat(study, options.seed)
