"""Trained networks at work: reconstructing files, and bundles that stand alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports this package, and torch takes a second
    from pipeline_src.inference.dccnn import Reconstructor


def load(folder: str | Path) -> Reconstructor:
    """The network of a bundle, ready to reconstruct; needs torch and safetensors alone.

    Raises:
        ValueError: a file is missing or damaged, or they do not fit each other.
    """
    from pipeline_src.inference.dccnn import load

    return load(folder)
