"""What is known of a run of Snakemake while its rules are read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline_src.operations.snakemake_run import runs_elsewhere

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("words", "elsewhere"),
    [
        ("", False),
        ("-n", False),
        ("--executor local", False),
        ("--executor slurm", True),
        ("--profile workflow/profiles/slurm", True),
        ("-n --profile workflow/profiles/slurm-gres", True),
    ],
)
def test_an_executor_is_known_before_snakemake_sets_it(
    words: str, elsewhere: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On it depends which trainings want a GPU, what convolves, and how many cores a step takes."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr("sys.argv", ["snakemake", *words.split()])
    workflow = SimpleNamespace(non_local_exec=False, remote_exec=False)
    assert runs_elsewhere(workflow) == elsewhere
    # Within a job of a cluster, its own machine is the one that counts.
    workflow.remote_exec = True
    assert not runs_elsewhere(workflow)
