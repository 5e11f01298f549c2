"""Panels: order, one scale for all residuals, bands that keep the recipes together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_helpers import (
    PANEL_MODELS,
    ZERO_FILLED,
    blob,
    heading,
    panel_domain_inputs,
    panel_inputs,
    panel_teachers_inputs,
    words,
    written_panel,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from reporting_helpers import METHODS, STUDENT, TEACHER

from pipeline_src.errors import InputError
from pipeline_src.reporting.figures.panel import (
    Picture,
    difference_box,
    draw,
    from_files,
    layout,
    residual_limit,
)
from pipeline_src.reporting.figures.panel_inset import inset_box, inset_corner

pytestmark = pytest.mark.usefixtures("styled")

ALL_METHODS = [(m, recipe) for m in METHODS for recipe in ("std_kd", "sft_kd")]


def tiles(figure: Figure) -> list[Axes]:
    """Axes with an image, row after row."""
    return [axis for axis in figure.axes if axis.axison and axis.images]


def titles(figure: Figure) -> list[str]:
    return [axis.get_title().replace("\n", " ") for axis in tiles(figure) if axis.get_title()]


def residuals(figure: Figure) -> list[Axes]:
    return [axis for axis in tiles(figure) if axis.images[0].get_cmap().name == "magma"]


def test_target_and_models_stand_in_the_order_given(tmp_path: Path) -> None:
    figure = from_files(panel_inputs(tmp_path), "Heart 4x")
    assert titles(figure) == [
        "Target",
        "Zero-filled",
        "Teacher",
        "Student",
        "Std-KD FitNets",
        "SFT-KD-Recon FitNets",
        "Std-KD AT",
        "SFT-KD-Recon AT",
    ]
    assert heading(figure).splitlines()[0] == "Heart 4x: subject p1, slice 3"
    assert words(figure).count("30.00\n0.9000") == len(PANEL_MODELS)


def test_panel_of_the_teachers_holds_both(tmp_path: Path) -> None:
    figure = from_files(panel_teachers_inputs(tmp_path), "Heart 4x")
    assert titles(figure) == ["Target", "Zero-filled", "Teacher", "SFT teacher"]


def test_a_model_under_a_change_says_so(tmp_path: Path) -> None:
    figure = from_files(panel_domain_inputs(tmp_path), "Heart 4x")
    assert titles(figure)[-2:] == ["SFT teacher", "SFT teacher (features)"]


def pictures_that_differ_at(row: int, column: int, side: int = 64) -> list[Picture]:
    """Zero filling that is wrong everywhere, and two models of which one is wrong at a place."""
    target = blob(0, side, side)
    images = [np.zeros_like(target), target.copy(), target.copy()]
    images[2][row : row + 8, column : column + 8] += 0.1
    titles = ("Zero-filled", "Teacher", "Student")
    return [
        Picture(title, title != "Zero-filled", target, image, 30, 0.9, "subject p1, slice 3")
        for title, image in zip(titles, images, strict=True)
    ]


@pytest.mark.parametrize("place", [(4, 50), (30, 28), (52, 0), (0, 0), (56, 56)])
def test_the_place_of_the_largest_difference_is_marked_alike_in_every_tile(
    place: tuple[int, int],
) -> None:
    pictures = pictures_that_differ_at(*place)
    found = difference_box(pictures)
    assert found is not None
    np.testing.assert_allclose(found[:2], place, atol=1)
    figure = draw(pictures, "Heart 4x")
    figure.draw_without_rendering()
    marks = {
        (patch.get_x(), patch.get_y(), patch.get_width())
        for axis in residuals(figure)
        for patch in axis.patches
        if patch.get_gid() == "difference"
    }
    assert marks == {(found[1] - 0.5, found[0] - 0.5, found[2])}
    images = [axis for axis in tiles(figure) if axis not in residuals(figure)]
    arrows = {(a.xy, a.get_position()) for axis in images for a in axis.texts}
    assert len(arrows) == 1
    ((tip, tail),) = arrows
    # It points at the place, from within the image.
    middle = np.array([found[1], found[0]]) + found[2] / 2
    assert np.abs(np.array(tip) - middle).max() <= found[2] / 2 + 1
    assert min(tail) >= 0
    assert max(tail) < 64
    assert "differ most" in heading(figure)


def test_the_inset_hides_neither_the_marked_place_nor_what_it_enlarges() -> None:
    for row in range(0, 84, 6):
        for column in range(0, 84, 6):
            top, right = inset_corner(
                np.zeros((96, 96), np.float32), (50, 50, 24), (row, column, 12)
            )
            assert (top, right) != (False, True)
            rows = range(39) if top else range(57, 96)
            columns = range(57, 96) if right else range(39)
            hidden = (
                set(rows) & set(range(row, row + 12)),
                set(columns) & set(range(column, column + 12)),
            )
            assert len(hidden[0]) * len(hidden[1]) < 36


@pytest.mark.parametrize("at_left", [True, False])
def test_the_inset_hides_as_little_as_it_can(at_left: bool) -> None:
    """An object that reaches from the enlarged square at the top to one of the lower corners."""
    target = np.zeros((96, 96), np.float32)
    target[:, : 50 if at_left else 96][:, 0 if at_left else 46 :] = 1
    assert inset_corner(target, (10, 36, 24), None) == (False, at_left)


def test_without_two_models_that_differ_nothing_is_marked(tmp_path: Path) -> None:
    alike = pictures_that_differ_at(0, 0)[:2] * 2
    for pictures in (alike, [Picture.read(panel_inputs(tmp_path, [ZERO_FILLED])[0])]):
        assert difference_box(pictures) is None
        assert "differ" not in heading(draw(pictures, "Heart 4x"))


def test_all_residuals_have_one_scale_set_by_the_trained_models(tmp_path: Path) -> None:
    paths = panel_inputs(tmp_path)
    figure = from_files(paths, "Heart 4x")
    scales = [axis.images[0].get_clim() for axis in residuals(figure)]
    assert len(scales) == len(PANEL_MODELS)
    assert len(set(scales)) == 1
    pictures = [Picture.read(path) for path in paths]
    trained = [np.abs(p.image - p.target) for p in pictures if p.title != "Zero-filled"]
    assert scales[0] == (0, max(np.percentile(r, 99.5) for r in trained))
    # Zero filling is far beyond it, as the bar's arrow says.
    assert np.abs(pictures[0].image - pictures[0].target).max() > 3 * scales[0][1]


def test_residuals_are_of_the_model_above_them(tmp_path: Path) -> None:
    paths = panel_inputs(tmp_path)
    pictures = [Picture.read(path) for path in paths]
    for axis, picture in zip(residuals(from_files(paths, "")), pictures, strict=True):
        shown = np.asarray(axis.images[0].get_array())
        np.testing.assert_array_equal(shown, np.abs(picture.image - picture.target))


def test_zero_filling_alone_sets_its_own_scale(tmp_path: Path) -> None:
    picture = Picture.read(panel_inputs(tmp_path, [ZERO_FILLED])[0])
    assert residual_limit([picture]) > 0.5


def test_all_images_have_one_grey_scale(tmp_path: Path) -> None:
    figure = from_files(panel_inputs(tmp_path), "Heart 4x")
    images = [axis for axis in tiles(figure) if axis not in residuals(figure)]
    insets = [child for axis in images for child in axis.child_axes]
    assert len(images) == len(insets) == len(PANEL_MODELS) + 1
    assert len({axis.images[0].get_clim() for axis in (*images, *insets)}) == 1


def test_insets_enlarge_the_framed_square(tmp_path: Path) -> None:
    figure = from_files(panel_inputs(tmp_path), "Heart 4x")
    for axis in tiles(figure):
        for inset in axis.child_axes:
            (frame,) = axis.patches
            row, column, side = (
                int(v + 0.5) for v in (frame.get_y(), frame.get_x(), frame.get_width())
            )
            image = np.asarray(axis.images[0].get_array())
            square = image[row : row + side, column : column + side]
            np.testing.assert_array_equal(np.asarray(inset.images[0].get_array()), square)


def test_bar_names_its_unit(tmp_path: Path) -> None:
    assert "|residual| / maximum\nof the volume" in words(from_files(panel_inputs(tmp_path), ""))


@pytest.mark.parametrize(
    ("tiles", "bands", "columns"), [(2, 1, 2), (6, 1, 6), (8, 1, 8), (9, 2, 6), (14, 2, 8)]
)
def test_tiles_are_laid_out_in_bands(tiles: int, bands: int, columns: int) -> None:
    assert layout(tiles) == (bands, columns)


def test_recipes_of_a_method_stay_in_one_band(tmp_path: Path) -> None:
    models = [ZERO_FILLED, TEACHER, STUDENT, *ALL_METHODS]
    figure = from_files(panel_inputs(tmp_path, models), "")
    figure.draw_without_rendering()
    named = {
        axis.get_title().replace("\n", " "): axis for axis in tiles(figure) if axis.get_title()
    }
    assert len(named) == 14
    for method in ("FitNets", "AT", "CC", "FSP", "SP"):
        std, sft = (named[f"{r} {method}"].get_position() for r in ("Std-KD", "SFT-KD-Recon"))
        assert std.y0 == pytest.approx(sft.y0)
        assert std.x1 <= sft.x0


def test_square_of_the_inset_is_found_from_the_targets_edges() -> None:
    target = np.zeros((64, 48), np.float32)
    target[40:44, 10:30:2] = 1
    row, column, side = inset_box(target)
    assert side == 12
    assert row <= 40
    assert row + side >= 44
    assert column >= 8
    assert column + side <= 32


def test_file_of_another_slice_is_refused(tmp_path: Path) -> None:
    first = written_panel(tmp_path / "a.npz", TEACHER, blob(0), blob(1))
    other = written_panel(tmp_path / "b.npz", STUDENT, blob(5), blob(1))
    with pytest.raises(InputError, match=r"b\.npz: shows another slice than .*a\.npz"):
        from_files([first, other], "")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_damaged_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "panel.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"panel\.npz: panel cannot be read"):
        from_files([tmp_path / "panel.npz"], "")


def test_file_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "panel.npz", target=blob(0))
    with pytest.raises(InputError, match=r"panel\.npz: panel cannot be read .*quarter_turns"):
        from_files([tmp_path / "panel.npz"], "")


@pytest.mark.parametrize(("frame", "shown"), [("ED", "frame ED, slice 3"), ("", "slice 3")])
def test_the_frame_is_named_where_there_is_one(frame: str, shown: str, tmp_path: Path) -> None:
    images = {"target": blob(0), "image": blob(0), "psnr_db": 30.0, "ssim": 0.9}
    names = {"model": "at", "training": "std_kd", "variant": "", "patient": "p1", "frame": frame}
    np.savez(tmp_path / "panel.npz", **images, **names, slice=3, quarter_turns=1)
    assert Picture.read(tmp_path / "panel.npz").caption == f"subject p1, {shown}"
