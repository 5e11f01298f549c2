"""The command line: every module of the folder adds commands, and each says what it does."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from runpy import run_module

import pytest
from unit_helpers import one_line

from pipeline_src import commands
from pipeline_src.cli import main
from pipeline_src.provenance.crate_workflow import STEPS

PROJECT = Path(__file__).resolve().parents[2]


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


def test_a_python_without_the_packages_is_one_line(tmp_path: Path) -> None:
    """As where the environment was not activated."""
    given = [sys.executable, "-S", "-m", "pipeline_src", "status", str(tmp_path)]
    done = subprocess.run(
        given, capture_output=True, text=True, cwd=PROJECT, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 2
    assert one_line(done.stderr).startswith(f"error: {sys.executable} lacks the package ")


def test_a_module_of_the_project_that_is_missing_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "pipeline_src.operations.status.showing", None)
    monkeypatch.setattr(sys, "argv", ["pipeline_src", "status", str(tmp_path)])
    with pytest.raises(ModuleNotFoundError, match="status"):
        run_module("pipeline_src", run_name="__main__")


INTERRUPTED = """
import runpy, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == {name!r}:
            sys.meta_path.remove(self)
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.argv = ["pipeline_src", "status", "."]
runpy.run_module("pipeline_src", run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize(
    "name", ["pipeline_src.acceleration.fork_client", "pipeline_src.cli", "pipeline_src.commands"]
)
def test_an_interrupt_during_the_imports_is_one_line(name: str) -> None:
    script = INTERRUPTED.format(name=name)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=PROJECT
    )
    assert done.stderr == "interrupted\n"
    assert done.returncode == -signal.SIGINT  # which shells show as 130


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    listed = {
        line.split()[0] for line in capsys.readouterr().out.splitlines() if line[:4] == "    "
    }
    assert added().keys() <= listed


def test_the_steps_of_a_crate_are_commands() -> None:
    assert set(STEPS) <= set(added())
