"""What manifests say of the code's commit, also where git does not tell it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline_src.provenance import environment as provenance

COMMIT = ("git", "-c", "user.name=a", "-c", "user.email=a", "commit", "-q", "-m", "all")

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with one file, in which the package seems to lie."""
    monkeypatch.setattr(provenance, "PACKAGE", tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    (tmp_path / "file").write_text("first")
    for command in (("git", "init", "-q"), ("git", "add", "."), COMMIT):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


@needs_git
def test_a_commit_is_told_and_there_is_no_problem(checkout: Path) -> None:
    [commit] = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=checkout).split()
    assert provenance.commit_and_problem() == (commit.decode(), "")
    assert "commit_problem" not in provenance.record()
    (checkout / "file").write_text("second")
    assert provenance.record()["commit"] == f"{commit.decode()}-dirty"


@needs_git
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another's checkout")
def test_the_checkout_of_another_is_not_looked_into(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its configuration may name programs that git would run."""
    monkeypatch.delenv("SUDO_UID", raising=False)
    hook = checkout / "hook"
    hook.write_text(f"#!/bin/sh\ntouch {checkout}/trace\n")
    hook.chmod(0o755)
    subprocess.run(["git", "config", "core.fsmonitor", str(hook)], cwd=checkout, check=True)
    for path in (checkout, *checkout.rglob("*")):
        os.chown(path, 65534, 65534)
    made = provenance.record()
    assert made["commit"] is None
    assert made["commit_problem"].startswith("detected dubious ownership in repository at ")
    assert "\n" not in made["commit_problem"]
    assert not (checkout / "trace").exists()


@needs_git
def test_outside_git(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    assert provenance.record()["commit"] is None
    assert provenance.record()["commit_problem"] == "outside git"


@needs_git
def test_a_checkout_without_a_commit_is_told(checkout: Path) -> None:
    shutil.rmtree(checkout / ".git")
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    commit, problem = provenance.commit_and_problem()
    assert commit is None
    assert problem not in ("", "outside git")


def test_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.record()["commit_problem"] == "git is not installed"
