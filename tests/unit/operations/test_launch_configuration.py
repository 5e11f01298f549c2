"""Which configuration Snakemake gets when the launcher starts it again; Snakemake is a stand-in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline_src.operations.cluster.arguments import with_configuration
from pipeline_src.operations.cluster.launcher import Launcher
from pipeline_src.operations.cluster.supervision import Patience

FROZEN = "results/tiny/config.yaml"
#: Says what it is given; freezes a configuration and is killed, the first time.
SNAKEMAKE = f"""
import os, pathlib, signal, sys
print("given:", *sys.argv[1:], flush=True)
frozen = pathlib.Path("{FROZEN}")
if not os.path.exists("begun"):
    open("begun", "w").close()
    if FREEZES:
        frozen.write_text("{{study: tiny, training: {{epochs: 3}}, accelerations: [4]}}")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def launch(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, freezes: bool = True) -> None:
    """Launch in a folder where an earlier study lies too."""
    squeue = folder / "squeue"
    squeue.write_text("#!/bin/sh\n")
    squeue.chmod(0o755)
    (folder / "snakemake.py").write_text(SNAKEMAKE.replace("FREEZES", str(freezes)))
    (folder / "study.yaml").write_text(text)
    for study in ("tiny", "earlier"):
        (folder / "results" / study).mkdir(parents=True)
    (folder / "results/earlier/config.yaml").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    words = ["tables", "--configfile", "study.yaml", "--jobs", "2"]
    assert Launcher(folder, words, patience=Patience(poll=0.01)).run() == 0


def starts(said: str) -> list[str]:
    return [line.removeprefix("given: ") for line in said.splitlines() if "given: " in line]


def test_a_second_start_keeps_to_the_configuration_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    launch(tmp_path, monkeypatch, "study: tiny\ntraining: {epochs: 3}\n")
    said = capfd.readouterr().out
    [first, second] = starts(said)
    assert first == "tables --configfile study.yaml --jobs 2"
    assert second == f"tables --configfile {FROZEN} --jobs 2"
    assert f"launch: goes on with {FROZEN}" in said


@pytest.mark.parametrize(
    ("text", "freezes"),
    [("heart: {study: tiny}\n", True), ("study: tiny\n", False)],
    ids=["a-module", "killed-before-it-froze"],
)
def test_a_second_start_reads_the_file_where_the_frozen_one_cannot_take_its_place(
    text: str,
    freezes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    launch(tmp_path, monkeypatch, text, freezes)
    [first, second] = starts(capfd.readouterr().out)
    assert first == second


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("all --configfile a.yaml b.yaml --jobs 2", "all --configfile F --jobs 2"),
        ("all --configfiles=a.yaml b.yaml", "all --configfile F"),
        ("--jobs 2 --config data_root=x", "--jobs 2 --config data_root=x"),
    ],
)
def test_configurations_are_replaced_in_a_command_line(words: str, expected: str) -> None:
    assert with_configuration(words.split(), Path("F")) == expected.split()
