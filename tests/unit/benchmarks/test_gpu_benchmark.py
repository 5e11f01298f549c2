"""The command for GPU machines: its dry run, what a kill leaves, and how time is shared out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from waiting import PATIENCE, wait_until

from benchmarks.gpu import pack
from benchmarks.gpu.budget import PHASES, Cost, patience, phase_limit, plan_study
from benchmarks.gpu.kinds import kinds
from benchmarks.gpu.lines import NAME, Lines
from benchmarks.gpu.phase import OutOfTimeError, Run, Settings
from benchmarks.gpu.scale import TOY
from benchmarks.gpu.study import archive, cost_of, count_slices, template, with_plan
from benchmarks.gpu.summary import MOST_LINES, paper_minutes, summary
from pipeline_src.config import check_study
from pipeline_src.config.distillation import PAPER_METHODS, available_methods

COST = Cost(
    step_seconds=[0.002] * 25,
    validation_seconds=0.001,
    starts=15,
    start_seconds=5.0,
    slices=400,
    validation_slices=100,
    batch=4,
    rest_seconds=10.0,
)


def start(out: Path, *options: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[3]
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gpu", "--dry-run", "--out", str(out), *options],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )


def read(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / NAME).read_text().splitlines()]


def test_a_dry_run_goes_through_all_phases_within_its_budget(tmp_path: Path) -> None:
    began = time.monotonic()
    process = start(tmp_path / "out", "--budget", "58")
    said = process.communicate(timeout=180)[0]
    # Beyond the budget: what a busy machine adds to the start and the end of a phase.
    assert time.monotonic() - began < 58 + 40
    lines = read(tmp_path / "out")
    phases = {line["name"]: line["status"] for line in lines if line["what"] == "phase"}
    assert list(phases) == list(PHASES)
    # On a busy machine earlier phases may leave no time for the study; none is killed.
    assert set(phases.values()) <= {"done", "left out: no time left"}
    assert phases["pack"] == "done"
    judged = [line.get("ok") for line in lines if line["phase"] in ("checks", "numerics")]
    assert False not in judged
    assert [line["what"] for line in lines if line["phase"] == "pack"] == ["packed"]
    assert not [line for line in lines if line["phase"] == "facts" and line.get("ok") is False]
    assert [line for line in lines if line["what"] == "failed"] == []
    # Whether steps repeat is judged on the CPU too; a busy machine may have left none the time.
    steps = [line for line in lines if line["phase"] == "checks" and line["what"] == "steps"]
    assert {line["ok"] for line in steps} <= {True}
    assert {line["form"] for line in steps} <= {"eager"}
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(files) <= 8
    assert {NAME, "log.txt", "summary.txt", "study.zip"} <= set(files)
    assert 5 < len(said.splitlines()) <= MOST_LINES
    assert said == (tmp_path / "out" / "summary.txt").read_text()


def test_a_killed_phase_leaves_whole_lines_and_the_next_phases_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with start(out, "--budget", "900", "--phases", "facts", "checks", "pack") as process:
        checks = partial(Lines(out / NAME).read, "checks")
        wait_until(lambda: checks() != [] or process.poll() is not None, "the first check")
        children = psutil.Process(process.pid).children()
        assert [child.cmdline()[3:4] for child in children] == [["checks"]]
        children[0].kill()
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    phases = {line["name"]: line["status"] for line in read(out) if line["what"] == "phase"}
    assert phases == {"facts": "done", "checks": "killed by SIGKILL", "pack": "done"}


def test_an_earlier_run_is_not_mixed_with_a_new_one(tmp_path: Path) -> None:
    Lines(tmp_path / NAME).add("run", "start")
    process = start(tmp_path, "--budget", "10")
    process.communicate()
    assert process.returncode == 2
    assert len(read(tmp_path)) == 1


@pytest.fixture
def a_run(tmp_path: Path) -> Run:
    for name in ("out", "work"):
        (tmp_path / name).mkdir()
    settings = Settings(tmp_path / "out", tmp_path / "work", None, True, time.time() + 60)
    return Run(settings, Lines(tmp_path / "out" / NAME))


def test_the_records_of_a_finished_study_come_back_as_they_are_laid_down(a_run: Run) -> None:
    records = a_run.settings.work / "study" / pack.ARCHIVE
    (records / "tables").mkdir(parents=True)
    for name in ("README.md", "records.tar.xz", "tables/main.md"):
        (records / name).write_text(name)
    pack.run(a_run)
    with zipfile.ZipFile(a_run.settings.out / "records.zip") as archive:
        assert archive.namelist() == ["gpu/README.md", "gpu/records.tar.xz", "gpu/tables/main.md"]


def test_an_unfinished_study_has_no_records_and_says_why(a_run: Run) -> None:
    results = a_run.settings.work / "study" / "results" / "gpu"
    results.mkdir(parents=True)
    values = with_plan(template(TOY, None, "cpu"), plan_study(100, COST))
    (results / "config.yaml").write_text(yaml.safe_dump(values))
    archive(a_run, results)
    [line] = a_run.lines.read("study", "archived")
    assert line["ok"] is None
    assert "finish the study" in line["reason"]
    pack.run(a_run)
    assert not (a_run.settings.out / "records.zip").exists()


def test_a_part_that_would_overrun_is_left_and_is_no_failure(a_run: Run) -> None:
    def late() -> None:
        raise OutOfTimeError("no state before")

    assert not a_run.guarded("checks", "killed process", late)
    [line] = a_run.lines.read("checks")
    assert line["ok"] is None
    assert "no state before" in line["reason"]


def test_a_fork_that_cannot_use_cuda_plans_the_study_without_forks(a_run: Run) -> None:
    study = check_study(template(TOY, None, "cpu"))
    for forked, expected in ((None, 7.0), (1.5, 1.5)):
        a_run.lines.path.unlink(missing_ok=True)
        a_run.lines.add("timing", "start", seconds=7.0, forked_seconds=forked)
        assert cost_of(study, a_run.lines, TOY).start_seconds == expected


def test_a_part_of_a_line_is_cut_off(tmp_path: Path) -> None:
    lines = Lines(tmp_path / NAME)
    lines.add("facts", "device", gpu="one")
    with lines.path.open("a") as stream:
        stream.write('{"phase": "fa')
    lines.mend()
    lines.add("facts", "mps")
    assert [line["what"] for line in lines.read("facts")] == ["device", "mps"]
    assert lines.read("facts", "device") == [{"phase": "facts", "what": "device", "gpu": "one"}]


def test_half_the_budget_shortens_the_study() -> None:
    whole, half = plan_study(400, COST), plan_study(200, COST)
    assert whole.fits
    assert half.fits
    assert 1 <= half.epochs < whole.epochs
    assert whole.predicted_seconds <= 400
    assert half.predicted_seconds <= 200


def test_slices_are_thinned_only_where_too_few_epochs_would_fit() -> None:
    assert plan_study(10_000, COST).thinning == 1
    assert plan_study(10_000, COST).epochs == 150
    thin = plan_study(100, COST)
    assert thin.thinning > 1
    assert thin.epochs >= 4
    assert thin.fits


def test_a_study_that_cannot_fit_says_so_and_is_the_smallest() -> None:
    plan = plan_study(50, COST)
    assert (plan.epochs, plan.fits) == (1, False)
    assert plan.predicted_seconds > 50


def test_slower_steps_mean_fewer_epochs() -> None:
    slower = replace(COST, step_seconds=[0.004] * 25)
    assert plan_study(400, slower).epochs < plan_study(400, COST).epochs


def test_phases_never_get_more_than_is_left() -> None:
    left = 450.0
    for phase in PHASES:
        limit = phase_limit(phase, 450, left)
        assert 0 < limit <= left
        left -= limit
    # What earlier phases do not use is the study's.
    assert phase_limit("study", 450, 400) == pytest.approx(400 - 0.03 * 450)
    # A phase that overruns its limit takes from the study and not from the packing.
    assert 0 < patience("checks", 60) <= patience("checks", 450)
    assert patience("checks", 450) < 0.1 * 450
    assert phase_limit("study", 60, 30 - patience("timing", 60)) > 0
    assert phase_limit("study", 60, 4) == 0
    assert phase_limit("study", 450, 3) == 0
    assert phase_limit("pack", 450, -20) > 0


def test_the_kinds_of_steps_are_those_of_the_registries() -> None:
    names = [kind.name for kind in kinds(TOY)]
    assert len(names) == len(set(names))
    for method in available_methods():
        assert {f"{method}_features", f"{method}_joint"} <= set(names)
    assert {f"{method}_original_features" for method in PAPER_METHODS} <= set(names)
    assert {"teacher", "student", "sft", "control", "reconstruction", "imitation"} <= set(names)


@pytest.mark.parametrize("patients", [2, 10])
def test_the_study_on_real_data_splits_its_patients(tmp_path: Path, patients: int) -> None:
    for part, number in (("training", patients), ("testing", 2)):
        for patient in range(number):
            (tmp_path / "acdc" / part / f"patient{patient:03}").mkdir(parents=True)
    values = template(TOY, tmp_path, "cpu")
    split = check_study(values).datasets["cardiac"].split
    assert split.train + split.validation == patients  # type: ignore[operator]
    assert split.test == ["testing/patient000", "testing/patient001"]


def test_slices_are_counted_by_part() -> None:
    study = check_study(template(TOY, None, "cpu"))
    counted = count_slices(study)
    assert counted == {"train": 2 * 2 * 3, "validation": 2 * 3, "test": 2 * 3}
    thinned = with_plan(template(TOY, None, "cpu"), plan_study(100, COST))
    assert count_slices(check_study(thinned))["train"] < counted["train"]


def test_minutes_of_the_papers_setting() -> None:
    one = {"fp32": 1.0}
    times = dict.fromkeys(("teacher", "student", "sft", "reconstruction", "at_features"), one)
    # 15 models: 3, two controls of two stages, and ten students of two stages.
    assert paper_minutes(times)["fp32"] == pytest.approx((3 + 4 + 20) * 461 * 150 / 60_000)
    assert paper_minutes({"teacher": one}) == {}


def test_the_summary_of_nothing_is_short(tmp_path: Path) -> None:
    lines = Lines(tmp_path / NAME)
    assert len(summary(lines).splitlines()) < MOST_LINES
    for number in range(100):
        lines.add("run", "phase", name=f"n{number}", status="done", seconds=1, limit=2)
    assert len(summary(lines).splitlines()) == MOST_LINES
