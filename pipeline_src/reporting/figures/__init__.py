"""Draws figures: `kinds` lists them, and each has a module with `from_files(inputs, title,
**options)`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pipeline_src.errors import InputError
from pipeline_src.reporting.figures.kinds import figure_kind


def draw_figure(
    kind: str,
    inputs: Sequence[Path],
    title: str,
    output: Path,
    setting: tuple[str, str] | None = None,
) -> None:
    """Draw a figure from its input files and save it as PNG and PDF.

    ``setting`` is the data set and acceleration (`("cardiac", "4x")`) to show, for kinds that
    choose one from a file of several.

    Raises:
        InputError: there is no such kind, an input is missing or of the wrong kind, or it does not
            contain the setting.
    """
    made = figure_kind(kind)
    if setting is not None and not made.picks_setting:
        raise InputError(f"figure {kind}: shows its files as they are; no setting can be chosen")
    # Imported here, since importing matplotlib is slow and listing the kinds does not need it.
    import matplotlib.pyplot as plt

    from pipeline_src.reporting.figure_style import apply_style, save

    apply_style()
    options = made.options | ({"setting": setting} if setting else {})
    figure = import_module(f"{__name__}.{made.module}").from_files(inputs, title, **options)
    try:
        save(figure, output)
    finally:
        plt.close(figure)
