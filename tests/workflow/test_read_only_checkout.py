"""A checkout of another user that cannot be written to, with results in a folder of one's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import TINY, Checkout, copy_project

#: Root is bound by permission bits only without its capabilities.
BOUND = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
#: Another user, where root can give files away.
NOBODY = 65534
TEACHER = "results/tiny/heart/4x/seed0/teacher"


@pytest.fixture(scope="module")
def prefix() -> tuple[str, ...]:
    """What starts a process that is bound by permission bits."""
    if os.geteuid() != 0:
        return ()
    if shutil.which(BOUND[0]) is None:
        pytest.skip("root without setpriv (util-linux): no permission bit binds it")
    if subprocess.run([*BOUND, "true"], capture_output=True).returncode:
        pytest.skip("root cannot give up its capabilities here, and no permission bit binds it")
    return BOUND


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The checkout."""
    root = tmp_path_factory.mktemp("theirs")
    copy_project(root)
    paths = [path for path in (root, *root.rglob("*")) if not path.is_symlink()]
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    yield root
    for path in paths:
        path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture(scope="module")
def own(
    theirs: Path, prefix: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Checkout:
    """A folder with a configuration, and a training's results by ``theirs``."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "tiny.yaml").write_text(TINY)
    # Commands find the package as a user would let them; Snakemake is not told.
    place = Checkout(folder, {"PYTHONPATH": ""}, prefix)
    done = place.tiny(
        f"{TEACHER}/volumes.csv", "-s", str(theirs / "Snakefile"), "--directory", str(folder)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_it_cannot_be_written_to(theirs: Path, prefix: tuple[str, ...]) -> None:
    done = subprocess.run([*prefix, "touch", str(theirs / "new")], capture_output=True)
    assert done.returncode != 0


def test_results_lie_in_the_own_folder(own: Checkout, theirs: Path) -> None:
    assert (own.root / TEACHER / "volumes.csv").exists()
    assert not list(theirs.rglob("results"))
    assert not list(theirs.rglob(".snakemake"))


def test_a_second_run_has_nothing_to_do(own: Checkout, theirs: Path) -> None:
    target = f"{TEACHER}/volumes.csv"
    assert own.planned(target, "-s", str(theirs / "Snakefile")) == []
    # From within the checkout too.
    inside = Checkout(theirs, own.environment, own.prefix)
    done = inside.snakemake(
        *(target, "-n", "--directory", str(own.root)),
        *("--configfile", str(own.root / "tiny.yaml")),
    )
    assert "Nothing to be done" in done.stdout + done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "check --config tiny.yaml",
        f"provenance {TEACHER}/volumes.csv",
        "status results/tiny --once",
    ],
)
def test_commands_in_the_own_folder(own: Checkout, theirs: Path, command: str) -> None:
    place = Checkout(own.root, {"PYTHONPATH": str(theirs)}, own.prefix)
    done = place.command(*command.split())
    assert done.returncode == 0, done.stderr


def test_without_a_folder_of_ones_own(own: Checkout, theirs: Path) -> None:
    inside = Checkout(theirs, own.environment, own.prefix)
    done = inside.snakemake("--configfile", str(own.root / "tiny.yaml"))
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"error: {theirs}: cannot be written")
    assert "--directory" in last
    assert "Traceback" not in done.stderr
