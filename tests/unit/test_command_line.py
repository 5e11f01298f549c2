"""The command line: every module of the folder adds commands, and each says what it does."""

from __future__ import annotations

import argparse
from importlib import import_module
from pathlib import Path

import pytest

from pipeline_src import commands
from pipeline_src.cli import main
from pipeline_src.provenance.crate_workflow import STEPS


def added() -> dict[str, argparse.ArgumentParser]:
    subcommands = argparse.ArgumentParser().add_subparsers()
    commands.add_all(subcommands)
    return dict(subcommands.choices)


def test_every_module_is_called_what_its_command_is() -> None:
    names = [path.stem for path in Path(*commands.__path__).glob("[!_]*.py")]
    for name in names:
        subcommands = argparse.ArgumentParser().add_subparsers()
        import_module(f"{commands.__name__}.{name}").add_parser(subcommands)
        assert list(subcommands.choices) == [name.replace("_", "-")]
    assert len(names) == len(added())


def test_every_command_is_called_what_its_function_is() -> None:
    for name, parser in added().items():
        assert parser.get_default("command_name") == name
        assert parser.get_default("command").__name__ == name.replace("-", "_")
        assert parser.description


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:4] == "    "
    }
    assert added().keys() <= listed


def test_the_steps_of_a_crate_are_commands() -> None:
    assert set(STEPS) <= set(added())
