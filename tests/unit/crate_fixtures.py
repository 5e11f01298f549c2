"""A finished study made by hand, and its crate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from crate_helpers import COMMIT, make_results
from rocrate.rocrate import ROCrate

from pipeline_src.provenance import environment as provenance
from pipeline_src.provenance.crate import write_crate


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "commit_and_problem", lambda: (COMMIT, ""))
        yield make_results(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def archive(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crate") / "tiny.crate.zip"
    write_crate(finished, path)
    return path


@pytest.fixture(scope="module")
def crate(archive: Path) -> ROCrate:
    return ROCrate(archive)


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(finished.parent.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / "tiny"
