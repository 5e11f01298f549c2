"""Uses trained networks: reconstructs files, and packs bundles that work without this project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the command line imports this package, and torch takes a second
    from pipeline_src.inference.dccnn import Reconstructor


def load(folder: str | Path) -> Reconstructor:
    """The network of a bundle of a DC-CNN, ready to reconstruct; needs only torch and safetensors.

    `pipeline_src.inference.bundled.load` takes bundles of any kind, and needs the project.

    Raises:
        ValueError: a file is missing or damaged, or the files do not fit each other.
    """
    from pipeline_src.inference.dccnn import load

    return load(folder)
