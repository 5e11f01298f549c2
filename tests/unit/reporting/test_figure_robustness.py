"""Losses under shifts: rows by kind, marks and intervals where the table has them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from figure_helpers import cut_off, heading, legend, overlapping, words
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from reporting_helpers import ONE_SETTING, STUDENT, TEACHER, measured

from pipeline_src.config.shifts import FAMILIES
from pipeline_src.errors import InputError
from pipeline_src.reporting.figures.robustness import VERDICTS, draw, from_files
from pipeline_src.reporting.tables.robustness import robustness_table

pytestmark = pytest.mark.usefixtures("styled")

MODELS = [TEACHER, STUDENT, ("at", "std_kd"), ("at", "sft_kd")]
SHIFTS = ["noise_0.01", *FAMILIES, "seed_1", "acceleration_2", "acceleration_10"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    def loss(number: int, model: int) -> object:
        return lambda seed, patient: 30 - number - model / 8 + (seed + patient % 3) / 16

    before = measured({model: 32.0 + n for n, model in enumerate(MODELS)}, patients=4)
    shifted = [
        measured(
            {model: loss(number, n) for n, model in enumerate(MODELS)},  # type: ignore[misc]
            shift=shift,
            sampled=0.25,
            patients=4,
        )
        for number, shift in enumerate(SHIFTS)
    ]
    return robustness_table(pd.concat(shifted), before, ONE_SETTING)


def drawn(table: pd.DataFrame) -> Figure:
    return draw(table[table["metric"] == "psnr_db"], "Heart 4x", "psnr_db")


def marks(axis: Axes, *verdicts: str) -> list[Line2D]:
    return [line for line in axis.lines if line.get_gid() in verdicts]


def test_a_mark_and_an_interval_for_every_row_of_the_table(table: pd.DataFrame) -> None:
    figure = drawn(table)
    left, right = figure.axes
    rows = table[table["metric"] == "psnr_db"]
    own, compared = (rows[(rows["against"] == "unshifted") == one] for one in (True, False))
    assert sorted(float(m.get_xdata()[0]) for m in marks(left, "loss")) == sorted(own["loss"])
    found = sorted(float(m.get_xdata()[0]) for m in marks(right, *VERDICTS))
    assert found == sorted(compared["loss"])
    intervals = {tuple(map(float, line.get_xdata())) for line in marks(left, "interval")}
    assert intervals == set(own[["low", "high"]].itertuples(index=False, name=None))
    assert len(own) == len(SHIFTS) * len(MODELS)
    assert len(compared) == len(SHIFTS) + 1


def test_shifts_of_a_kind_stand_together_and_nothing_overlaps(table: pd.DataFrame) -> None:
    figure = drawn(table)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == [
        "other lines, draw 1",
        *FAMILIES.values(),
        *("2x", "10x", "noise of 1 %", "mean of all shifts but other images"),
    ]
    bold = [text.get_text() for text in figure.axes[0].texts if text.get_weight() == "bold"]
    assert bold == [
        *("Other lines of the same density", "Other kinds of mask", "Other accelerations"),
        *("Noise in k-space", "All together"),
    ]
    assert overlapping(figure) == []
    assert cut_off(figure) == []


def test_the_legend_tells_models_and_verdicts_by_shape(table: pd.DataFrame) -> None:
    figure = drawn(table)
    handles = figure.legends[0].legend_handles
    looks = [(h.get_marker(), h.get_markerfacecolor()) for h in handles if isinstance(h, Line2D)]
    said = legend(figure)
    assert said[:4] == ["Teacher", "Student", "Std-KD AT", "SFT-KD-Recon AT"]
    assert said[4:] == [
        f"difference: {verdict}" for verdict in VERDICTS if verdict in set(table["verdict"])
    ]
    assert len(set(looks)) == len(said) > 4
    assert len({look.marker for look in VERDICTS.values()}) == len(VERDICTS)


def test_heading_tells_patients_seeds_and_what_is_compared(table: pd.DataFrame) -> None:
    said = heading(drawn(table))
    assert said.startswith("Heart 4x: loss under conditions not trained for")
    assert "4 patients, 3 seeds" in said
    assert "SFT-KD-Recon AT minus Std-KD AT" in said
    assert "loss in PSNR (dB)" in words(drawn(table))


def test_verdicts_about_the_measured_patients_alone_are_told_with_their_groups(
    table: pd.DataFrame,
) -> None:
    about = "Verdicts hold for these patients, too few to speak of others"
    enough = table.assign(scope="patients and seeds")
    assert "these patients" not in heading(drawn(enough))
    assert heading(drawn(table)).endswith(about)
    some = enough["scope"].where(enough["kind"] == "all", table["scope"])
    told = drawn(table.assign(scope=some))
    assert f"{about}: Other lines of the same density" in heading(told)
    assert "All together" not in heading(told)
    assert overlapping(told) == cut_off(told) == []
    # Losses have no verdict.
    assert "these patients" not in heading(drawn(table[table["against"] == "unshifted"]))


def test_a_study_without_both_recipes_has_the_losses_alone(table: pd.DataFrame) -> None:
    figure = drawn(table[table["against"] == "unshifted"])
    left, right = figure.axes
    assert marks(left, "loss")
    assert not right.get_visible()


def test_other_tables_and_settings_are_refused(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "robustness.csv"
    table.to_csv(path, index=False)
    assert from_files([path], "", "psnr_db", ("heart", "4x")).axes
    with pytest.raises(InputError, match="no differences in psnr_db of heart 5x"):
        from_files([path], "", "psnr_db", ("heart", "5x"))
    for column, value, said in (
        ("kind", "magic", "unknown kind: 'magic'"),
        ("verdict", "great", "unknown verdict: 'great'"),
    ):
        table.assign(**{column: value}).to_csv(path, index=False)
        with pytest.raises(InputError, match=said):
            from_files([path], "", "psnr_db")
    table.drop(columns="loss").to_csv(path, index=False)
    with pytest.raises(InputError, match="holds no robustness; columns missing: loss"):
        from_files([path], "", "psnr_db")
