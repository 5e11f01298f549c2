"""Which Python the steps' commands are run by."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path


def put_own_python_first() -> None:
    """Make `python` in steps and jobs the one that runs Snakemake, if it has what they need.

    Where Snakemake was started by its path and its environment is not activated, there may be no
    `python`, or one of another environment. A Snakemake in an environment of its own leaves steps
    to that which is activated.
    """
    own = Path(sys.executable).with_name("python")
    able = own.exists() and importlib.util.find_spec("torch") is not None
    if able and shutil.which("python") != str(own):
        os.environ["PATH"] = os.pathsep.join([str(own.parent), os.environ.get("PATH", os.defpath)])
