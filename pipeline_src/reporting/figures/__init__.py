"""One module a figure, named as its kind; each has `from_files(inputs, title)`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt

from pipeline_src.reporting.style import apply_style, save


def draw_figure(kind: str, inputs: Sequence[Path], title: str, output: Path) -> None:
    """Draw a figure from the files it shows and save it as PNG and PDF.

    Raises:
        InputError: an input is missing or of the wrong kind.
    """
    apply_style()
    figure = import_module(f"{__name__}.{kind}").from_files(inputs, title)
    try:
        save(figure, output)
    finally:
        plt.close(figure)
