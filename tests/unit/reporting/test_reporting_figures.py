"""Every kind of figure from files as the pipeline writes them: drawn, refused, saved."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from figure_helpers import (
    INPUTS,
    cut_off,
    differences,
    drawn_texts,
    forest_inputs,
    mask_inputs,
    overlapping,
    panel_inputs,
)
from matplotlib.figure import Figure
from reporting_helpers import METHODS

from pipeline_src.errors import InputError
from pipeline_src.reporting.figure_style import PAGE_WIDTH, TINY, apply_style
from pipeline_src.reporting.figures import draw_figure
from pipeline_src.reporting.figures.kinds import KINDS
from pipeline_src.sampling.masks import drawn_mask, write_mask


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def figure_of(kind: str, inputs: list[Path], title: str = "Heart phantom 4x") -> Figure:
    """The figure of a kind, not yet saved."""
    made = KINDS[kind]
    apply_style()
    module = import_module(f"pipeline_src.reporting.figures.{made.module}")
    figure = module.from_files(inputs, title, **made.options)
    assert isinstance(figure, Figure)
    return figure


@pytest.mark.parametrize("kind", INPUTS)
def test_figure_is_drawn_as_png_and_pdf_with_the_same_bytes_every_time(
    kind: str, tmp_path: Path
) -> None:
    inputs = INPUTS[kind](tmp_path)
    for name in ("first", "second"):
        draw_figure(kind, inputs, "Heart phantom 4x", tmp_path / name / f"{kind}.png")
    folder = tmp_path / "first"
    assert {path.name for path in folder.iterdir()} == {f"{kind}.png", f"{kind}.pdf"}
    assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{kind}.pdf").read_bytes().startswith(b"%PDF")
    for suffix in ("png", "pdf"):
        first, second = (
            (tmp_path / name / f"{kind}.{suffix}").read_bytes() for name in ("first", "second")
        )
        assert first == second
    pixels = plt.imread(folder / f"{kind}.png")
    assert pixels.std() > 0.01


@pytest.mark.parametrize("kind", INPUTS)
def test_figure_fits_a_page_and_its_text_can_be_read(kind: str, tmp_path: Path) -> None:
    figure = figure_of(kind, INPUTS[kind](tmp_path))
    width, height = figure.get_size_inches()
    assert 3 < width <= PAGE_WIDTH + 1e-9
    assert 1 < height <= 9.4
    texts = drawn_texts(figure)
    assert len(texts) > 5
    assert min(text.get_fontsize() for text in texts) >= TINY
    assert overlapping(figure) == []
    assert cut_off(figure) == []
    assert "Heart phantom 4x" in figure.get_suptitle()


def test_text_of_the_largest_figures_can_be_read(tmp_path: Path) -> None:
    both = [(m, recipe) for m in METHODS for recipe in ("std_kd", "sft_kd")]
    models = [("zero_filled", "none"), ("teacher", "standard"), ("student", "standard"), *both]
    figures = [figure_of("panel", panel_inputs(tmp_path, models))]
    # Several reasons why it cannot be told, and differences of two digits.
    table = differences(METHODS)
    table["effect"] *= 40
    untold = table["verdict"] == "cannot tell"
    table.loc[untold, "reason"] = [
        f"1 seed, 3 needed; {k} patients, 9 needed for 12 comparisons" for k in range(untold.sum())
    ]
    table.to_csv(tmp_path / "many.csv", index=False)
    figures.append(figure_of("forest", [tmp_path / "many.csv"]))
    for figure in figures:
        assert overlapping(figure) == []
        assert cut_off(figure) == []


def test_texts_on_each_other_or_off_the_figure_are_noticed() -> None:
    """What the tests above rely on."""
    figure = plt.figure(figsize=(3, 3), layout="none")
    for x, text in ((0.2, "first"), (0.25, "second"), (0.95, "reaching out")):
        figure.text(x, 0.5, text)
    assert overlapping(figure) == [("first", "second")]
    assert cut_off(figure) == ["reaching out"]


def test_drawing_a_figure_leaves_none_open(tmp_path: Path) -> None:
    plt.close("all")
    draw_figure("mask", mask_inputs(tmp_path), "Heart phantom 4x", tmp_path / "out.png")
    assert plt.get_fignums() == []


def test_figures_follow_their_inputs(tmp_path: Path) -> None:
    write_mask(tmp_path / "other.npz", drawn_mask((32, 16), 4, 1, 4))
    for name, inputs in (
        ("a", mask_inputs(tmp_path)),
        ("b", [tmp_path / "other.npz"]),
    ):
        draw_figure("mask", inputs, "Heart phantom 4x", tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("kind", INPUTS)
def test_figure_of_a_missing_input_is_refused_and_nothing_is_left(
    kind: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="absent"):
        draw_figure(kind, [tmp_path / "absent"], "Heart", tmp_path / "out" / f"{kind}.png")
    assert not (tmp_path / "out").exists()


def test_setting_is_picked_where_a_file_has_several_and_refused_elsewhere(tmp_path: Path) -> None:
    inputs = forest_inputs(tmp_path)
    draw_figure("forest", inputs, "", tmp_path / "out.png", ("heart", "4x"))
    with pytest.raises(InputError, match=r"no differences .* of brain 4x; there are: heart 4x"):
        draw_figure("forest", inputs, "", tmp_path / "other.png", ("brain", "4x"))
    with pytest.raises(InputError, match=r"figure mask: .* no setting can be chosen"):
        draw_figure("mask", mask_inputs(tmp_path), "", tmp_path / "other.png", ("heart", "4x"))
    assert not (tmp_path / "other.png").exists()
