"""The contact sheet: every volume once, framed by its part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_helpers import contact_sheet_inputs, heading, legend, overlapping
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pipeline_src.data.store import read_store
from pipeline_src.reporting.figures.contact_sheet import COLUMNS, FRAMES, draw, shortened

pytestmark = pytest.mark.usefixtures("styled")


def tiles(figure: Figure) -> list[Axes]:
    return [axis for axis in figure.axes if axis.images]


def test_a_tile_a_volume_framed_by_its_part(tmp_path: Path) -> None:
    store = read_store(contact_sheet_inputs(tmp_path)[0])
    figure = draw(store, "Heart")
    shown = tiles(figure)
    assert [axis.get_title() for axis in shown] == ["p0", "p1", "p2", "p3"]
    frames = [
        (to_hex(s.get_edgecolor()), s.get_linestyle()) for s in (a.spines["left"] for a in shown)
    ]
    assert frames[0] == frames[1]
    assert len(set(frames)) == 3
    # Told apart in grey by their dashes.
    assert len({dashes for _, dashes in frames}) == 3
    assert [color for color, _ in frames[1:]] == [frame.color for frame in FRAMES.values()]
    assert legend(figure) == list(FRAMES)


def test_the_middle_slice_is_shown_on_one_grey_scale(tmp_path: Path) -> None:
    store = read_store(contact_sheet_inputs(tmp_path)[0])
    for volume, axis in enumerate(tiles(draw(store, "Heart"))):
        middle = store.images[store.slices.index[store.slices["volume"] == volume][1]]
        np.testing.assert_array_equal(np.asarray(axis.images[0].get_array()), np.rot90(middle))
        assert axis.images[0].get_clim() == (0, 1)


def test_heading_counts_patients_and_slices_of_each_part(tmp_path: Path) -> None:
    store = read_store(contact_sheet_inputs(tmp_path)[0])
    assert heading(draw(store, "Heart")) == (
        "Heart: synthetic, 16x16 pixels, middle slice of each volume\n"
        "train 2 patients (4 slices), validation 1 patient (2 slices), test 1 patient (2 slices)"
    )


def test_heading_says_what_stands_above_a_tile_beside_the_patient(tmp_path: Path) -> None:
    store = read_store(contact_sheet_inputs(tmp_path)[0])
    store.slices.loc[:1, "frame"] = "01"
    figure = draw(store, "Heart")
    assert tiles(figure)[0].get_title() == "p0 01"
    assert "middle slice of each volume (patient and frame above)\n" in heading(figure)


def test_part_that_is_empty_is_not_named(tmp_path: Path) -> None:
    store = read_store(contact_sheet_inputs(tmp_path, ["train", "validation"])[0])
    figure = draw(store, "Heart")
    assert "test" not in heading(figure)
    assert legend(figure) == ["train", "validation"]


def test_more_volumes_than_a_page_holds_are_thinned_out_evenly(tmp_path: Path) -> None:
    parts = ["train"] * 120 + ["test"] * 80
    figure = draw(read_store(contact_sheet_inputs(tmp_path, parts)[0]), "Heart")
    names = [int(axis.get_title()[1:]) for axis in tiles(figure)]
    assert len(names) < 200
    assert len(names) % COLUMNS == 0
    assert (names[0], names[-1]) == (0, 199)
    assert set(np.diff(names)) <= {2, 3}
    assert f", {len(names)} of 200 volumes" in heading(figure)
    assert figure.get_size_inches()[1] <= 9.2
    assert overlapping(figure) == []


def test_long_ids_keep_the_end_where_they_differ() -> None:
    assert shortened("patient003 ED") == "patient003 ED"
    assert shortened("BraTS20_Training_001") == "\N{HORIZONTAL ELLIPSIS}Training_001"


def test_names_keep_clear_of_the_frame_below_them(tmp_path: Path) -> None:
    figure = draw(read_store(contact_sheet_inputs(tmp_path)[0]), "Heart")
    figure.canvas.draw()
    for axis in tiles(figure):
        points = figure.dpi / 72
        frame = axis.get_window_extent().y1 + axis.spines["top"].get_linewidth() / 2 * points
        # The names here hold a letter that reaches below the line.
        assert axis.title.get_window_extent().y0 > frame + 0.3 * points
