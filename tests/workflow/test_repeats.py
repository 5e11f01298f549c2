"""A study run twice from nothing gives the same results to the bit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import Checkout

from pipeline_src.acceleration.fork_client import VARIABLE
from pipeline_src.files import read_json

#: What is held against each other; PDFs, pages and manifests say when they were made.
COMPARED = (
    "**/*.safetensors",
    "**/slices.csv",
    "**/volumes.csv",
    "**/panel.npz",
    "tables/*",
    "figures/**/*.png",
)


def arrays_sha256(path: Path) -> str:
    """Of what a .npz file holds; the archive itself names the time at which it was written."""
    digest = hashlib.sha256()
    with np.load(path) as arrays:
        for name in sorted(arrays):
            array = arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def bytes_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def digests(results: Path, *, whole: bool = True) -> dict[str, str]:
    """SHA-256 of every compared file of a study, by its path."""
    found: dict[str, str] = {}
    for pattern in COMPARED:
        # Run times are measured anew in every run.
        left_out = ("manifest.json", "cost.csv", "cost.md", "cost.tex", "cost.html")
        paths = [p for p in results.glob(pattern) if not p.name.endswith(left_out)]
        assert paths or not whole, f"{results}: no {pattern}"
        sha256: Callable[[Path], str] = arrays_sha256 if pattern.endswith("npz") else bytes_sha256
        found |= {path.relative_to(results).as_posix(): sha256(path) for path in paths}
    return found


def forked(results: Path) -> set[bool]:
    """Whether the processes that made a study's results were forks of a server."""
    manifests = [read_json(path) for path in results.rglob("*manifest.json")]
    return {run["forked"] for manifest in manifests for run in manifest["runs"]}


def test_a_study_repeats_on_one_core_in_another_order_and_without_forks(
    finished: Checkout, fresh: Checkout
) -> None:
    """The other run used all cores, Snakemake's own order and a fork server."""
    fresh.environment[VARIABLE] = "off"
    late = "results/tiny/heart/4x/seed0/sft_kd_sp/weights.safetensors"
    for targets in ([late], []):
        done = fresh.tiny(*targets, "--cores", "1")
        assert done.returncode == 0, done.stdout + done.stderr
    found, expected = (digests(run.root / "results/tiny") for run in (fresh, finished))
    assert found == expected
    assert len(found) > 60
    assert forked(fresh.root / "results/tiny") == {False}
    if hasattr(os, "pidfd_open"):
        # The first steps begin before it is ready.
        assert True in forked(finished.root / "results/tiny")
