"""What the launch command does not start with; none of it reaches Snakemake or SLURM."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.operations.cluster.launcher import Launcher, snakemake_in
from pipeline_src.operations.cluster.supervision import Patience


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--", "--quiet", "progress"], "--quiet: leave it out"),
        (["--", "all", "-q"], "-q: leave it out"),
        (["--", "--directory", "x"], "--directory: go to that folder"),
        (["--", "-d", "x"], "-d: go to that folder"),
        (["--poll", "0", "--", "all"], "--poll must be more than 0"),
        (["--grace", "-1", "--", "all"], "--grace must be more than 0"),
    ],
)
def test_options_that_it_cannot_work_with(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["launch", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: launch: ")
    assert line in said


def test_snakemakes_arguments_without_the_two_dashes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["launch", "--profile", "slurm", "--configfile", "study.yaml"])
    said = capsys.readouterr().err
    assert "Snakemake's arguments follow two dashes: launch -- ARGUMENTS" in said


def test_a_target_after_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("study: tiny\n")
    words = ["--configfile", "study.yaml", "tables"]
    with pytest.raises(InputError, match="tables: no such configuration file; targets go before"):
        Launcher(tmp_path, words).run()


@pytest.mark.parametrize("option", ["--configfile", "--configfiles", "--configfile="])
def test_a_configuration_that_runs_code_is_not_given_to_snakemake(
    option: str, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    code = [f"import os; os.mkdir({str(trace)!r})"]
    (tmp_path / "study.yaml").write_text(
        f"__use_yte__: true\n__definitions__: {json.dumps(code)}\n"
    )
    words = [f"{option}study.yaml"] if option.endswith("=") else [option, "study.yaml"]
    with pytest.raises(InputError, match="__use_yte__"):
        Launcher(tmp_path, words).run()
    assert not trace.exists()


def test_a_second_launcher(tmp_path: Path) -> None:
    (tmp_path / ".snakemake").mkdir()
    with (tmp_path / ".snakemake/launcher.lock").open("w") as stream:
        stream.write("process 7 on login1")
        stream.flush()
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="process 7 on login1 is launching here already"):
            Launcher(tmp_path, ["all"]).run()


@pytest.mark.parametrize(("host", "where"), [("login2", "on login2"), (None, "by hand")])
def test_the_lock_of_a_snakemake_that_may_live_elsewhere(
    host: str | None, where: str, tmp_path: Path
) -> None:
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").touch()
    if host:
        (tmp_path / ".snakemake/launched.json").write_text(json.dumps({"host": host}))
    with pytest.raises(InputError, match=f"started {where}; if it has ended, launch with --unlock"):
        Launcher(tmp_path, ["all"]).run()


def test_no_snakemake_works_in_a_new_folder(tmp_path: Path) -> None:
    assert snakemake_in(tmp_path) is None


def test_a_slurm_that_does_not_answer_is_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = iter([None, None, []])
    monkeypatch.setattr("pipeline_src.operations.cluster.slurm.jobs_of", lambda _: next(answers))
    assert not Launcher(tmp_path, ["all"], patience=Patience(poll=0.01))._end_orphans()
    [away, again] = capsys.readouterr().out.splitlines()
    assert "does not answer (squeue fails); waiting for it without end" in away
    assert "Ctrl-C" in away
    assert "doctor --profile" in away
    assert "answers again" in again
