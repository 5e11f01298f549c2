"""The commands `reconstruct` and `bundle`: a trained network at work."""

from __future__ import annotations

from functools import partial

from pipeline_src.commands import Subcommands, add_command
from pipeline_src.inference.commands import add_parsers as add_inference


def add_parsers(subcommands: Subcommands) -> None:
    """Add the commands and their options."""
    add_inference(partial(add_command, subcommands))
