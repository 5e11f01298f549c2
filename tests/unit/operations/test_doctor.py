"""What the doctor finds, and what it advises; SLURM's commands are stand-ins here."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline_src.cli import main
from pipeline_src.config.load import check_study
from pipeline_src.errors import InputError
from pipeline_src.operations.doctor import slurm as doctor_slurm
from pipeline_src.operations.doctor.machine import Finding, examine
from pipeline_src.operations.doctor.slurm import refuse_too_large, training_rules

WriteConfig = Callable[[dict[str, Any]], Path]
ROOT = Path(__file__).resolve().parents[3]
PROFILE = ROOT / "workflow" / "profiles" / "slurm"
# As `sinfo -o "%R|%l|%m|%c|%G|%a"` prints them.
GOOD = ("cpu|2-00:00:00|192000|16|(null)|up", "gpu|1-00:00:00|512000+|16|gpu:h100:4|up")


@pytest.fixture(autouse=True)
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for SLURM's commands, the only one searched, and work elsewhere."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sbatch", "squeue", "scancel"):
        _command(folder / name, "")
    partitions(folder, *GOOD)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def _command(path: Path, output: str, status: int = 0) -> None:
    path.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\nexit {status}\n")
    path.chmod(0o755)


def partitions(folder: Path, *lines: str) -> None:
    _command(folder / "sinfo", "\n".join(lines))


def findings(study: dict[str, Any], profile: Path | None = PROFILE) -> list[Finding]:
    return list(examine(check_study(study, "the test"), profile))


def errors(study: dict[str, Any]) -> list[Finding]:
    return [finding for finding in findings(study) if finding.verdict == "error"]


def test_all_is_well(tiny_study: dict[str, Any]) -> None:
    assert errors(tiny_study) == []
    said = [finding.what for finding in findings(tiny_study)]
    assert "SLURM answers; partitions: cpu, gpu" in said
    assert any(text.startswith("partition gpu has the ") for text in said)


def test_a_partition_that_is_not_there(tiny_study: dict[str, Any], slurm: Path) -> None:
    partitions(slurm, GOOD[0], "a100|1-00:00:00|512000|16|gpu:a100:4|up")
    [found] = errors(tiny_study)
    assert found.what == "partition 'gpu' is not there"
    assert "set slurm_partition in set-resources" in found.advice


def test_a_partition_without_gpus(tiny_study: dict[str, Any], slurm: Path) -> None:
    partitions(slurm, GOOD[0], "gpu|1-00:00:00|512000|16|(null)|up")
    tiny_study["training"]["device"] = "auto"
    assert "partition gpu has no GPU" in [found.what for found in errors(tiny_study)]


def test_a_partition_that_is_down(tiny_study: dict[str, Any], slurm: Path) -> None:
    partitions(slurm, "cpu|1:00:00|192000|16|(null)|drain", GOOD[1])
    assert [found.what for found in errors(tiny_study)] == ["partition cpu is down"]


def test_too_short_and_too_small_a_partition(tiny_study: dict[str, Any], slurm: Path) -> None:
    partitions(slurm, GOOD[0], "gpu|5:00|1000|16|gpu:4|up")
    what = " and ".join(found.what for found in errors(tiny_study))
    assert "min, partition gpu allows 5" in what
    assert "MiB, nodes of gpu have 1000" in what


def test_nodes_of_too_few_processors(tiny_study: dict[str, Any], slurm: Path) -> None:
    partitions(slurm, GOOD[0], "gpu|1-00:00:00|512000|2+|gpu:4|up")
    tiny_study["training"]["threads"] = 4
    assert [f.what for f in errors(tiny_study)] == [
        "a training asks for 4 threads, nodes of gpu have 2"
    ]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (GOOD, ""),
        ((GOOD[0], "gpu|5:00|512000|16|gpu:4|up"), "min, partition gpu allows 5"),
        (("small|1-00:00:00|1000|16|gpu:4|up",), "MiB, nodes of small have 1000"),
        ((GOOD[0], "gpu|5:00|512000|16|gpu:4|up", "long|1-00:00:00|512000|16|gpu:2|up"), ""),
        ((GOOD[0],), "no partition of this cluster has a GPU"),
        ((), ""),
    ],
)
def test_a_study_that_no_partition_runs_is_refused_before_it_is_estimated(
    lines: tuple[str, ...], said: str, tiny_study: dict[str, Any], slurm: Path
) -> None:
    partitions(slurm, *lines)
    tiny_study["training"]["device"] = "auto"
    study = check_study(tiny_study, "the test")
    if said:
        with pytest.raises(InputError, match=f"^estimate: .*{said}") as caught:
            refuse_too_large(study)
        assert "no partition of this cluster" in str(caught.value)
    else:
        refuse_too_large(study)


def test_a_partition_too_short_for_a_further_attempt(
    tiny_study: dict[str, Any], slurm: Path
) -> None:
    partitions(slurm, GOOD[0], "gpu|30:00|512000|16|gpu:4|up")
    assert errors(tiny_study) == []
    [look] = [f.what for f in findings(tiny_study) if "attempt 4" in f.what]
    assert "partition gpu allows 30" in look


def test_partitions_of_other_rules_need_no_gpu(tiny_study: dict[str, Any], tmp_path: Path) -> None:
    text = (PROFILE / "config.yaml").read_text()
    changed = text.replace(
        "  train_sft_teacher:",
        "  evaluate: {slurm_partition: cpu}\n  prepare: {mem_mb: 9}\n  train_sft_teacher:",
    )
    (tmp_path / "config.yaml").write_text(changed)
    assert [f for f in findings(tiny_study, tmp_path) if f.verdict == "error"] == []


@pytest.mark.parametrize("given", ["[train=4]", ""])
def test_profiles_without_rules_are_looked_at_too(
    given: str, tiny_study: dict[str, Any], tmp_path: Path
) -> None:
    text = f"executor: slurm\ndefault-resources: [slurm_partition=cpu]\nset-resources: {given}\n"
    (tmp_path / "config.yaml").write_text(text)
    assert [f for f in findings(tiny_study, tmp_path) if f.verdict == "error"] == []


def test_slurm_that_does_not_answer(tiny_study: dict[str, Any], slurm: Path) -> None:
    _command(slurm / "sinfo", "", status=1)
    assert [found.what for found in errors(tiny_study)] == ["SLURM does not answer (sinfo fails)"]


def test_no_slurm(tiny_study: dict[str, Any], slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(slurm))
    for name in ("sbatch", "sinfo"):
        (slurm / name).unlink()
    [found] = errors(tiny_study)
    assert found.what == "no sbatch, sinfo here"


def test_data_that_is_not_there(tiny_study: dict[str, Any]) -> None:
    tiny_study["datasets"]["heads"]["source"] = {"kind": "acdc", "path": "acdc"}
    [found] = errors(tiny_study)
    assert found.what.startswith("data set heads: acdc/training") or "does not exist" in found.what
    assert "data_root" in found.advice


def test_gpus_for_a_study_on_the_cpu(tiny_study: dict[str, Any]) -> None:
    warnings = [f.what for f in findings(tiny_study) if f.verdict == "warning"]
    assert "GPUs are asked for, but training.device is cpu" in warnings


def test_a_cpu_build_for_a_study_on_gpus(
    tiny_study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.version.cuda", None)
    tiny_study["training"]["device"] = "cuda"
    [found] = errors(tiny_study)
    assert "has no CUDA: trainings run on the CPU" in found.what


def test_without_a_profile_the_cluster_is_not_asked(tiny_study: dict[str, Any]) -> None:
    assert not any("SLURM" in found.what for found in findings(tiny_study, None))


@pytest.mark.parametrize(
    ("limit", "minutes"),
    [
        ("infinite", math.inf),
        ("30", 0.5),
        ("5:30", 5.5),
        ("1:00:00", 60),
        ("2-00:00:00", 2880),
        ("1-12", 2160),
    ],
)
def test_time_limits_are_read(limit: str, minutes: float) -> None:
    assert doctor_slurm._minutes(limit) == minutes


def test_command_tells_how_much_is_to_mend(
    write_config: WriteConfig,
    tiny_study: dict[str, Any],
    slurm: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["doctor", "--config", str(write_config(tiny_study)), "--profile", str(PROFILE)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready"
    partitions(slurm, GOOD[0])
    assert main(arguments) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 error"


def test_a_profile_that_is_not_there(
    write_config: WriteConfig, tiny_study: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(write_config(tiny_study))
    assert main(["doctor", "--config", config, "--profile", "profiles/mine"]) == 2
    assert "profiles/mine/config.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("profile", ["slurm", "slurm-gres", "lsf"])
def test_profiles_give_every_training_rule_its_gpu(profile: str, project_root: Path) -> None:
    path = project_root / "workflow" / "profiles" / profile / "config.yaml"
    rules = yaml.safe_load(path.read_text())["set-resources"]
    assert sorted(rules) == sorted(training_rules())
    assert {"train", "train_sft_teacher", "train_as_long", "distil_joint"} <= set(rules)
    assert all(rules[rule] == rules["train"] for rule in rules)
