"""Commands a person types, and what they say when something is wrong."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Checkout


def trainings(output: str) -> int:
    """How many trainings a dry run plans."""
    counts = {name: int(count) for name, count in re.findall(r"^(\w+) +(\d+)$", output, re.M)}
    rules = [name for name in counts if name == "train" or name.startswith(("train_", "distil"))]
    return sum(counts[rule] for rule in rules)


def test_a_bare_dry_run_plans_the_demo(fresh: Checkout) -> None:
    done = fresh.snakemake("-n")
    assert done.returncode == 0, done.stderr
    assert trainings(done.stdout + done.stderr) == 2 * 2 * 17 + 5  # with those of the ablations
    # In place of a list of all files.
    assert "Job 0: Everything in results/demo\n" in done.stdout + done.stderr
    assert not (fresh.root / "results").exists()


def test_the_paper_is_planned_without_its_data(fresh: Checkout) -> None:
    done = fresh.snakemake("-n", "--cores", "2", "--configfile", "config/paper.yaml")
    assert done.returncode == 0, done.stderr
    # Five seeds; two settings' worth of models twice, and those of the ablations.
    assert trainings(done.stdout + done.stderr) == 5 * (2 * 2 * 16 + 8)


@pytest.mark.parametrize("target", ["tables", "figures", "report"])
def test_targets_a_person_types(fresh: Checkout, target: str) -> None:
    done = fresh.tiny("-n", target)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("epochs=3", ["epochs", "3", "training.epochs"]),
        ("training={epoch: 3}", ["training.epoch", "3", "training.epochs"]),
        ("accelerations=[0]", ["accelerations", "acceleration 0"]),
        ("methods={fitnet: {}}", ["methods", "'fitnet'", "'fitnets'"]),
    ],
)
def test_a_wrong_configuration_stops_before_any_job(
    fresh: Checkout, override: str, words: list[str]
) -> None:
    done = fresh.tiny("--config", override)
    assert done.returncode != 0
    [line] = [x for x in done.stderr.splitlines() if x.startswith("error: ")]
    assert line.startswith("error: --config: ")
    assert all(word in line for word in words), line
    assert "Job" not in done.stderr
    assert not (fresh.root / "results").exists()


@pytest.mark.parametrize("going_on", [False, True])
def test_missing_data_is_said_in_one_line(fresh: Checkout, going_on: bool) -> None:
    """Before any step; with --keep-going by the one that needs it, since others may be worth it."""
    study = ("--configfile", "config/replication.yaml", "--config", "data_root=nowhere")
    option = ("--keep-going",) if going_on else ()
    done = fresh.snakemake(*study, "--until", "prepare", "mask", *option)
    assert done.returncode != 0
    lines = {x for x in done.stderr.splitlines() if x.startswith("error: ") and "nowhere/" in x}
    assert len(lines) == (2 if going_on else 1)
    assert all("does not exist" in line and "data_root" in line for line in lines)
    assert (fresh.root / "results").exists() == going_on
    assert not list((fresh.root / "results").rglob("volumes.h5"))


def test_several_configuration_files(fresh: Checkout) -> None:
    (fresh.root / "more.yaml").write_text("seeds: [5]\ntraining: {epochs: 2}\n")
    teacher = "results/tiny/heart/4x/seed5/teacher/weights.safetensors"
    done = fresh.snakemake(teacher, "-n", "--configfile", "tiny.yaml", "more.yaml")
    assert done.returncode == 0, done.stderr
    assert trainings(done.stdout + done.stderr) == 1
    # Of which Snakemake would leave out the first without a word.
    twice = fresh.snakemake("-n", "--configfile", "tiny.yaml", "--configfile", "more.yaml")
    assert twice.returncode == 1
    assert "name all files after one --configfile" in twice.stderr.splitlines()[-1]


def test_what_steps_failed_of_comes_below_all_else(fresh: Checkout) -> None:
    models = ("teacher", "student")
    weights = [f"results/tiny/heart/4x/seed0/{model}/weights.safetensors" for model in models]
    fresh.configure("training: {epochs: 1, threads: 1, device: cpu, learning_rate: 1.0e+30}")
    done = fresh.tiny("--keep-going", *weights)
    assert done.returncode == 1
    told = [x for x in done.stderr.splitlines() if x.startswith("failed: ")]
    assert {x.split(": ")[1] for x in told} == {f"Training {model}" for model in models}
    for line in told:
        assert "error: " in line
        assert "the loss is" in line
    # Only Snakemake's own closing words follow.
    after = done.stderr[done.stderr.rindex("failed: ") :]
    assert "Error in rule" not in after


def test_the_log_of_an_earlier_run_is_no_cause_of_this_one(fresh: Checkout, tmp_path: Path) -> None:
    log = fresh.root / "results/tiny/logs/prepare/heart.log"
    log.parent.mkdir(parents=True)
    log.write_text("error: of an earlier run\n")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: no controller' >&2; exit 1\n")
    (programs / "sbatch").chmod(0o755)
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    cluster = replace(fresh, environment={"PATH": path})
    slurm = ("--profile", "workflow/profiles/slurm", "--retries", "0")
    done = cluster.tiny("--until", "prepare", *slurm)
    assert done.returncode == 1
    [line] = [x for x in done.stderr.splitlines() if x.startswith("failed: ")]
    assert line.startswith("failed: Preparing heart: SLURM refuses it: no controller; see "), line


def test_an_environment_that_is_not_activated(fresh: Checkout, tmp_path: Path) -> None:
    """Steps run by the Python that runs Snakemake, not by one that comes first elsewhere."""
    other = tmp_path / "other" / "python"
    other.parent.mkdir()
    other.write_text("#!/bin/sh\necho 'of another environment' >&2; exit 1\n")
    other.chmod(0o755)
    path = os.pathsep.join([str(other.parent), os.defpath])
    done = replace(fresh, environment={"PATH": path}).tiny("results/tiny/heart/4x/mask.npz")
    assert done.returncode == 0, done.stderr
