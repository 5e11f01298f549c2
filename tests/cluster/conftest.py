"""One SLURM for all tests here; they follow one another, since each owns the whole cluster."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_helpers import ClusterStudy, new_cluster_study
from slurm_node import SlurmNode, why_not


@pytest.fixture(scope="session")
def node() -> Iterator[SlurmNode]:
    """A SLURM of one node with two declared GPUs."""
    if reason := why_not():
        pytest.skip(reason)
    # Should tests be spread over several processes, these wait for each other.
    with (Path(tempfile.gettempdir()) / "sft_kd_recon_slurm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Not below pytest's folders, whose names are too long for SLURM's sockets.
        with tempfile.TemporaryDirectory(prefix="slurm") as folder:
            slurm = SlurmNode(Path(folder))
            slurm.start()
            yield slurm
            slurm.stop()


@pytest.fixture(scope="session")
def undisturbed(
    node: SlurmNode, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterStudy]:
    """The study after an uninterrupted run without SLURM. Tests must leave it as they found it."""
    study = new_cluster_study(tmp_path_factory.mktemp("undisturbed") / "project")
    study.run()
    yield study
    study.stop()


@pytest.fixture(scope="session")
def prepared(node: SlurmNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterStudy]:
    """The study with its data and mask."""
    study = new_cluster_study(tmp_path_factory.mktemp("prepared") / "project")
    study.run("results/tiny/heart/volumes.h5", target="results/tiny/heart/4x/mask.npz")
    yield study
    study.stop()


@pytest.fixture
def study(prepared: ClusterStudy, node: SlurmNode, tmp_path: Path) -> Iterator[ClusterStudy]:
    """The study with its data, nothing trained yet."""
    study = prepared.copy(tmp_path / "project")
    yield study
    study.stop()
    node.empty()
