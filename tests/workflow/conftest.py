"""A small study, run once by Snakemake in a copy of the project."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from snakemake_study import BASE

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("Snakefile", "workflow", "profiles", "pipeline_src", "config", "environment.yaml")

TINY = (
    BASE
    + """\
methods: {at: {}, sp: {}}
training: {epochs: 1, threads: 1, device: cpu}
evaluation: {panel_methods: [at]}
"""
)


@dataclass(frozen=True)
class Checkout:
    """A copy of the project in which Snakemake can be run.

    Attributes:
        environment: variables of its runs besides this process's.
        prefix: words of a program that its runs are started by.
    """

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()

    def snakemake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._module("snakemake", *arguments)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._module("pipeline_src", *arguments)

    def _module(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {
            "PYTHONPATH": str(self.root),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **self.environment,
        }
        return subprocess.run(
            [*self.prefix, sys.executable, "-m", module, *arguments],
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
        )

    def tiny(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Targets go first: --configfile takes every word that follows it.
        return self.snakemake(*arguments, "--configfile", "tiny.yaml")

    def configure(self, *texts: str | dict[str, object]) -> None:
        """Put sections, as YAML or as they are read of it, in the place of those of `tiny.yaml`."""
        path = self.root / "tiny.yaml"
        study = yaml.safe_load(path.read_text())
        for text in texts:
            study |= yaml.safe_load(text) if isinstance(text, str) else text
        path.write_text(yaml.safe_dump(study))

    def planned(self, *arguments: str) -> list[str]:
        """The messages of the jobs that a dry run would start, but for the default target."""
        done = self.tiny("-n", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        said = re.findall(r"^Job \d+: (?!Everything)(.+)$", done.stdout + done.stderr, re.MULTILINE)
        return sorted(said)


@pytest.fixture
def copied(finished: Checkout, tmp_path: Path) -> Checkout:
    """Another checkout with a copy of the finished results, and without Snakemake's records."""
    checkout = copy_project(tmp_path)
    shutil.copytree(finished.root / "results", checkout.root / "results")
    return checkout


def copy_project(root: Path) -> Checkout:
    for name in COPIED:
        source = PROJECT / name
        if source.is_symlink():
            (root / name).symlink_to(source.readlink())
        elif source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / "tiny.yaml").write_text(TINY)
    return Checkout(root)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """The tiny study, complete. Tests must leave it as they found it, or take `own_copy`.

    Of several processes of tests the first runs it, and the others take a copy.
    """
    base = tmp_path_factory.getbasetemp()
    once = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made, whole = once / "study-of-all", once / "study-of-all.whole"
    with (once / "study-of-all.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            done = copy_project(made).tiny()
            assert done.returncode == 0, done.stdout + done.stderr
            assert "finished: open results/tiny/report.html" in done.stderr
            whole.touch()
    checkout = _copy_finished(made, tmp_path_factory.mktemp("finished"))
    results = checkout.root / "results"
    found = {path for path in results.rglob("*") if path.is_file()}
    yield checkout
    left = {path for path in results.rglob("*") if path.is_file()}
    assert found == left, "a test has not left the finished study as it was"


@pytest.fixture
def own_copy(finished: Checkout, tmp_path: Path) -> Checkout:
    """The tiny study, complete, to be changed."""
    return _copy_finished(finished.root, tmp_path)


def _copy_finished(source: Path, root: Path) -> Checkout:
    checkout = copy_project(root)
    for name in ("results", ".snakemake"):
        shutil.copytree(source / name, checkout.root / name, symlinks=True)
    return checkout


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    """The project, nothing run yet."""
    return copy_project(tmp_path)


def documented_example(start: str, page: str = "add-a-method.md") -> str:
    """The code block of a page of docs that starts with the given line."""
    text = (PROJECT / "docs" / page).read_text()
    blocks = re.findall(r"```\w+\n(.*?)```", text, re.DOTALL)
    [block] = [b for b in blocks if b.startswith(start)]
    return str(block)
