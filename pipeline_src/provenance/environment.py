"""Describes the code, packages and machine that make a result, for its manifest."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline_src.modules import PACKAGE

REPORTED_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "h5py", "nibabel", "pandas")


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect numbers."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in REPORTED_PACKAGES
    }


def commit_and_problem() -> tuple[str | None, str]:
    """The commit of the checkout that runs, with ``-dirty`` for local edits, or None; and why it is
    not known, in one line: ``outside git`` or git's own reason, such as that the checkout belongs
    to another user.
    """
    # Git refuses to read another user's checkout, and that is left as it is: programs named in its
    # configuration would be run.
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            timeout=10,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return None, "git is not installed"
    except (OSError, subprocess.SubprocessError) as error:
        return None, f"git cannot be asked ({error})"
    if not done.returncode:
        return done.stdout.strip(), ""
    said = (done.stderr.strip().splitlines() or [f"git failed with status {done.returncode}"])[0]
    reason = said.removeprefix("fatal: ")
    return None, "outside git" if reason.startswith("not a git repository") else reason


def machine() -> dict[str, Any]:
    """The processor, its core count, and the operating system."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"processor": model, "cores": os.cpu_count(), "system": platform.platform()}


def record() -> dict[str, Any]:
    """All of the above as one block for a manifest; `commit_problem` if there is no commit."""
    commit, problem = commit_and_problem()
    told = {"commit_problem": problem} if commit is None else {}
    return {"commit": commit, **told, "packages": package_versions(), "machine": machine()}


def status_kib(field: str) -> int:
    """A field of Linux's status file of this process, such as `VmRSS`, in KiB.

    Raises:
        OSError: the system does not tell it.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise OSError(field)
