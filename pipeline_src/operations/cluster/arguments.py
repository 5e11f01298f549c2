"""Reads and changes the command line that Snakemake is started with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline_src.config.load import CONFIGFILE
from pipeline_src.errors import InputError


def configuration_files(arguments: Sequence[str]) -> list[Path]:
    """Files given with --configfile, which takes all following words."""
    found: list[Path] = []
    taking = False
    for word in arguments:
        option, _, value = word.partition("=")
        if word.startswith("-"):
            taking = option in CONFIGFILE
            found += [Path(value)] if taking and value else []
        elif taking:
            found.append(Path(word))
            if not found[-1].exists():
                raise InputError(
                    f"launch: {word}: no such configuration file; targets go before --configfile"
                )
    return found


def without_targets(arguments: Sequence[str]) -> list[str]:
    """The part of a command line that `--unlock` needs: all but the targets, which come first."""
    first = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    return list(arguments[first:])


def with_configuration(arguments: Sequence[str], path: Path) -> list[str]:
    """A command line with this file in the place of all that it gives with --configfile."""
    kept: list[str] = []
    taking = False
    for word in arguments:
        if word.startswith("-"):
            taking = word.partition("=")[0] in CONFIGFILE
            kept += [CONFIGFILE[0], str(path)] if taking else []
        kept += [] if taking else [word]
    return kept
