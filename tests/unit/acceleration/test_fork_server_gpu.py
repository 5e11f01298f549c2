"""A fork server never starts CUDA, and its forks do; CUDA is a stand-in that notes who asks it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from fork_helpers import ROOT, Server

from pipeline_src.acceleration.fork_client import ON_GPU

pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="fork servers are for Linux")

PROGRAM = """
import os, runpy, sys
import torch

def noting(name, answer):
    def ask(*_arguments, **_options):
        with open({notes!r}, "a") as notes:
            notes.write(f"{{os.getpid()}} {{name}}\\n")
        return answer
    return ask

answers = dict(is_available=False, device_count=0, init=None, _lazy_init=None, current_device=0)
for name, answer in answers.items():
    setattr(torch.cuda, name, noting(name, answer))
torch.cuda.is_initialized = lambda: {started}
torch.cuda._is_in_bad_fork = lambda: {asked}
runpy.run_module("pipeline_src.acceleration.fork_server", run_name="__main__", alter_sys=True)
"""


class Watched:
    """A server in whose process CUDA notes who asks it."""

    def __init__(self, folder: Path, *, started: bool = False, asked: bool = False) -> None:
        self.notes = folder / "notes"
        program = PROGRAM.format(notes=str(self.notes), started=started, asked=asked)
        self.server = Server(folder / "server", ["-c", program])
        study = yaml.safe_load((ROOT / "config/config.yaml").read_text())
        study["training"] |= {"device": "cuda", "threads": 2}
        self._config = folder / "study.yaml"
        self._config.write_text(yaml.safe_dump(study))

    def train(self, **environment: str) -> tuple[str, set[int]]:
        """Errors of a training that finds no GPU, and the processes that asked CUDA."""
        status, _, errors = self.server.run(
            *("train", "--config", str(self._config), "--dataset", "cardiac"),
            *("--acceleration", "4x", "--model", "teacher", "--seed", "0"),
            *("--data", "absent.h5", "--mask", "absent.npz", "--output", "absent"),
            environment={"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "", **environment},
        )
        assert status != 0
        notes = self.notes.read_text().splitlines() if self.notes.exists() else []
        return errors, {int(note.split()[0]) for note in notes}


def test_forks_ask_for_a_gpu_and_their_server_never_does(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    try:
        errors, asked = watched.train(**{ON_GPU: "1"})
        assert "'cuda' asked for, but torch sees no CUDA device" in errors
        assert len(asked) == 1
        assert watched.server.process.pid not in asked
        assert watched.server.process.poll() is None
        # On a CPU, the number of threads shapes the bits: the training runs by itself, where
        # nothing is noted.
        watched.notes.unlink()
        errors, asked = watched.train()
        assert "torch sees no CUDA device" in errors
        assert asked == set()
    finally:
        watched.server.stop()


@pytest.mark.parametrize("spoiled", ["started", "asked"])
def test_a_server_in_which_cuda_was_started_serves_nobody(
    tmp_path: Path, spoiled: str, capfd: pytest.CaptureFixture[str]
) -> None:
    watched = Watched(tmp_path, **{spoiled: True})
    assert watched.server.process.wait(timeout=60) == 0
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "has started CUDA" in said
    errors, asked = watched.train(**{ON_GPU: "1"})
    assert "torch sees no CUDA device" in errors
    assert asked == set()
    watched.server.process.communicate()
