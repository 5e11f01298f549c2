"""Which Python the steps' commands are run by."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def put_own_python_first() -> None:
    """Make `python` in steps and jobs the one that runs Snakemake.

    Where Snakemake was started by its path and its environment is not activated, there may be no
    `python`, or one of another environment.
    """
    own = Path(sys.executable).with_name("python")
    if own.exists() and shutil.which("python") != str(own):
        os.environ["PATH"] = os.pathsep.join([str(own.parent), os.environ.get("PATH", os.defpath)])
