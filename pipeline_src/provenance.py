"""What made a result: code, packages and machine."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent
REPORTED_PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "h5py", "nibabel", "pandas")


def source_files(*places: str) -> list[Path]:
    """The Python files of the named modules or packages, relative names like ``models/sft.py``.

    Raises:
        FileNotFoundError: a place does not exist in this package.
    """
    found: list[Path] = []
    for place in places:
        path = PACKAGE / place
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            found.extend(sorted(path.rglob("*.py")))
        else:
            raise FileNotFoundError(path)
    return sorted(set(found))


def code_digest(*places: str) -> str:
    """The SHA-256 over the names and bytes of ``source_files(*places)``."""
    digest = hashlib.sha256()
    for path in source_files(*places):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()


def package_versions() -> dict[str, str]:
    """Versions of the packages that shape a number, and of Python."""
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in REPORTED_PACKAGES
    }


def git_commit() -> str | None:
    """The commit of the checkout that runs, with ``-dirty`` for local edits; None outside git."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=PACKAGE,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


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
    """Everything above as one block for a manifest."""
    return {"commit": git_commit(), "packages": package_versions(), "machine": machine()}
