"""Each training of a machine has a GPU of its own; the GPUs are declared, none is used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from waiting import wait_until

from pipeline_src import locks
from pipeline_src.errors import InputError
from pipeline_src.operations.snakemake_run import share_gpus_asked_for
from pipeline_src.running import gpus
from pipeline_src.running.gpus import SHARED_BY, one_gpu, share_gpus, visible_gpus
from pipeline_src.training.device import choose_device

HOLD = """
import os, sys, time
from pathlib import Path
from pipeline_src import locks
locks.SHARED = Path(sys.argv[2])
from pipeline_src.running import gpus
gpus.torch_knows_gpus = lambda: True
with gpus.one_gpu(poll=0.05) as name:
    Path(sys.argv[1]).write_text(os.environ["CUDA_VISIBLE_DEVICES"])
    time.sleep(60)
"""
Hold = Callable[[], "Holder"]


class Holder:
    """A process that takes a GPU and keeps it."""

    def __init__(self, note: Path) -> None:
        self.note = note
        command = [sys.executable, "-c", HOLD, str(note), str(note.parent)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def gpu(self) -> str:
        wait_until(lambda: self.note.exists() and self.note.read_text() != "", "its note")
        return self.note.read_text()

    def waits(self) -> bool:
        assert self.process.stderr is not None
        return "waiting for a GPU: trainings use 0, 1" in self.process.stderr.readline()

    def kill(self) -> None:
        with self.process:  # waits, and closes the pipe
            self.process.send_signal(signal.SIGKILL)


@pytest.fixture(autouse=True)
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    monkeypatch.setattr(locks, "SHARED", tmp_path)
    monkeypatch.setattr(gpus, "torch_knows_gpus", lambda: True)
    # What a test leaves there is taken away again.
    monkeypatch.setenv(SHARED_BY, "1")
    for name in ("SLURM_JOB_ID", "SLURM_STEP_GPUS", SHARED_BY):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hold(tmp_path: Path) -> Iterator[Hold]:
    holders: list[Holder] = []

    def start() -> Holder:
        holders.append(Holder(tmp_path / f"note{len(holders)}"))
        return holders[-1]

    yield start
    for holder in holders:
        holder.kill()


def test_each_has_another_and_a_third_waits(hold: Hold) -> None:
    first, second = hold(), hold()
    assert {first.gpu(), second.gpu()} == {"0", "1"}
    third = hold()
    assert third.waits()
    assert not third.note.exists()
    freed = first.gpu()
    first.kill()
    assert third.gpu() == freed


def test_trainings_that_are_asked_to_share_spread_over_gpus_first(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert share_gpus(3) == "gpu=3: up to 2 trainings share each of 2 GPUs, its memory and its time"
    used = []
    for _ in range(4):
        used.append(hold().gpu())
    assert used == ["0", "1", "0", "1"]
    fifth = hold()
    assert fifth.waits()


def test_one_card_is_shared_by_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert share_gpus(1) == ""
    assert SHARED_BY not in os.environ
    assert "up to 4 trainings share the GPU" in share_gpus(4)
    with one_gpu() as first, one_gpu() as second:
        assert (first, second) == ("0", "0")


def test_snakemake_is_asked_for_what_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    import snakemake.api  # noqa: F401  # its modules cannot be imported in another order
    from snakemake.resources import Resources
    from snakemake.settings.types import ResourceSettings

    # As the command line is read; an object that holds the number, not the number itself.
    given = Resources.parser_factory(allow_expressions=False)(["gpu=6"])
    settings = ResourceSettings(cores=2, resources=given)
    workflow = SimpleNamespace(resource_settings=settings, non_local_exec=True, remote_exec=False)
    share_gpus_asked_for(workflow)
    assert SHARED_BY not in os.environ
    workflow.non_local_exec = False
    share_gpus_asked_for(workflow)
    assert os.environ[SHARED_BY] == "3"
    assert "up to 3 trainings share each of 2 GPUs" in capsys.readouterr().err


def test_what_the_environment_says_of_sharing_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED_BY, "3")
    assert share_gpus(8) == ""
    assert os.environ[SHARED_BY] == "3"


@pytest.mark.parametrize("told", ["0", "two", "-1", "", "1.5", "²"])
def test_a_share_that_is_no_number_is_refused(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED_BY, told)
    with pytest.raises(InputError, match=f"{SHARED_BY}=.*give how many"), one_gpu():
        pass


def test_a_torch_for_the_cpu_alone_takes_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else trainings on the CPU would wait for each other's GPU."""
    monkeypatch.setattr(gpus, "torch_knows_gpus", lambda: False)
    with one_gpu() as name:
        assert name is None
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_the_locks_do_not_follow_tmpdir(
    hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = []
    for number in range(2):
        monkeypatch.setenv("TMPDIR", str(tmp_path / str(number)))
        used.append(hold().gpu())
    assert sorted(used) == ["0", "1"]


def test_environment_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    with one_gpu() as name:
        assert os.environ["CUDA_VISIBLE_DEVICES"] == name == "0"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0,1"


def test_a_cluster_is_left_to_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under SLURM every job calls its own GPU 0."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with one_gpu() as name:
        assert name is None


def test_several_gpus_of_one_job_are_shared_out(
    hold: Hold, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of a Snakemake that runs within a job of SLURM."""
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    first, second = hold(), hold()
    assert {first.gpu(), second.gpu()} == {"0", "1"}


@pytest.mark.parametrize("hidden", ["-1", "", "-1,0"])
def test_hidden_gpus_are_none(hidden: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert visible_gpus() == []


def test_nothing_is_taken_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert visible_gpus() == []
    with one_gpu() as name:
        assert name is None


def test_a_gpu_that_torch_cannot_use_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days on the CPU of a GPU node would be a poor surprise."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setenv("SLURM_STEP_GPUS", "1")
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="SLURM gave this job GPU 1, but torch sees no CUDA"):
        choose_device("auto")
