"""Differences with their intervals: rows, verdicts, and what cannot be told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from figure_helpers import cut_off, differences, heading, legend, overlapping, words
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from reporting_helpers import METHODS, ONE_SETTING, SFT_TEACHER, STUDENT, TEACHER, measured

from pipeline_src.errors import InputError
from pipeline_src.evaluation.comparison import THESE_PATIENTS
from pipeline_src.reporting.figures.forest import (
    FAMILIES,
    VERDICTS,
    draw,
    from_files,
    number,
    p_value,
)
from pipeline_src.reporting.figures.intervals import limits
from pipeline_src.reporting.tables import differences as tested

pytestmark = pytest.mark.usefixtures("styled")

MINUS = "\N{MINUS SIGN}"


def forest(table: pd.DataFrame, metric: str = "psnr_db") -> Figure:
    return draw(table[table["metric"] == metric], "Heart 4x", metric)


def rows_from_the_top(axis: Axes) -> list[str]:
    return [label.get_text() for label in axis.get_yticklabels()]


def markers(axis: Axes) -> list[Line2D]:
    """In the order of the rows."""
    found = [line for line in axis.lines if line.get_gid() in VERDICTS]
    return sorted(found, key=lambda line: float(line.get_ydata()[0]))


def intervals(axis: Axes) -> list[Line2D]:
    return [line for line in axis.lines if line.get_gid() == "interval"]


@pytest.mark.parametrize("methods", [("fitnets", "at"), METHODS])
def test_a_row_a_comparison_below_the_heading_of_its_family(methods: tuple[str, ...]) -> None:
    table = differences(methods, compared=methods[-1:])
    of_metric = table[table["metric"] == "psnr_db"]
    figure = forest(table)
    axis = figure.axes[0]
    found = rows_from_the_top(axis)
    assert [name.partition(" \N{MINUS SIGN} ")[0] for name in found] == list(
        of_metric["first_title"]
    )
    assert len(markers(axis)) == len(intervals(axis)) == len(of_metric)
    bold = [text for text in axis.texts if text.get_weight() == "bold"]
    assert [text.get_text() for text in bold] == list(FAMILIES.values())
    # Each heading stands on the row before the first of its family.
    firsts = of_metric.groupby("family", sort=False).ngroup().diff().fillna(1).to_numpy() > 0
    ticks = np.array(axis.get_yticks())
    assert [text.xy[1] for text in bold] == list(ticks[firsts] - 1)
    assert overlapping(figure) == []
    assert cut_off(figure) == []


def test_families_of_the_figure_are_those_that_are_tested() -> None:
    assert list(FAMILIES) == list(tested.FAMILIES)


def test_the_studys_own_table_can_be_drawn(tmp_path: Path) -> None:
    trained = [TEACHER, SFT_TEACHER, STUDENT, ("at", "std_kd"), ("at", "sft_kd")]
    volumes = measured({model: k / 8 for k, model in enumerate(trained)})
    table = tested.difference_table(volumes, ONE_SETTING)
    table.to_csv(tmp_path / "differences.csv", index=False)
    figure = from_files([tmp_path / "differences.csv"], "", "psnr_db", ("heart", "4x"))
    assert len(markers(figure.axes[0])) == (table["metric"] == "psnr_db").sum() == 10
    assert heading(figure).startswith("Heart 4x: differences")
    assert "12 patients, 3 seeds" in heading(figure)


def test_marks_stand_at_the_effect_and_lines_reach_over_the_interval() -> None:
    table = differences(("at",))
    axis = forest(table).axes[0]
    of_metric = table[table["metric"] == "psnr_db"]
    assert [line.get_xdata()[0] for line in markers(axis)] == list(of_metric["effect"])
    ends = [list(line.get_xdata()) for line in intervals(axis)]
    assert ends == of_metric[["low", "high"]].to_numpy().tolist()
    assert [line.get_ydata()[0] for line in markers(axis)] == list(axis.get_yticks())


def test_verdicts_are_told_by_shape_and_filling() -> None:
    axis = forest(differences()).axes[0]
    looks = {
        line.get_gid(): (line.get_marker(), line.get_markerfacecolor()) for line in markers(axis)
    }
    assert {verdict: marker for verdict, (marker, _) in looks.items()} == {
        "better": ">",
        "worse": "<",
        "equivalent": "s",
        "no difference shown": "o",
        "cannot tell": "x",
    }
    assert looks["no difference shown"][1] == "white"
    dotted = {line.get_linestyle() for line in intervals(axis)}
    assert dotted == {"-", ":"}


def test_legend_names_the_verdicts_that_there_are() -> None:
    table = differences(("at",))
    figure = forest(table[table["verdict"] != "worse"])
    named = legend(figure)
    assert named == ["better", "equivalent within the margin", "no difference shown", "cannot tell"]


def test_zero_has_a_line_and_is_never_outside() -> None:
    table = differences(("at",))
    table[["effect", "low", "high"]] = [2.0, 1.9, 2.1]
    axis = forest(table).axes[0]
    low, high = axis.get_xlim()
    assert low < 0 < 2.1 < high
    assert any(list(line.get_xdata()) == [0, 0] for line in axis.lines)
    assert axis.get_xlabel().count("difference in PSNR (dB)") == 1


def test_numbers_stand_beside_their_rows() -> None:
    table = differences(("at",))
    said = words(forest(table))
    assert said.count("+0.40 [+0.30, +0.60]") == 5
    assert said.count(f"{MINUS}0.30 [{MINUS}0.40, {MINUS}0.10]") > 0
    assert said.count("<0.001") == 5
    assert "+0.0040 [+0.0030, +0.0060]" in words(forest(table, "ssim"))
    assert "difference in SSIM" in forest(table, "ssim").axes[0].get_xlabel()


def test_numbers_in_words() -> None:
    assert number(-0.126, 2) == f"{MINUS}0.13"
    assert number(float("nan"), 2) == "\N{EN DASH}"
    assert [p_value(p) for p in (1.0, 0.0421, 0.00099, float("nan"))] == [
        "1.000",
        "0.042",
        "<0.001",
        "\N{EN DASH}",
    ]


# What cannot be told.


def test_rows_without_numbers_keep_their_place_and_draw_nothing() -> None:
    table = differences(("fitnets", "at"))
    empty = table["first_title"] == "SFT-KD-Recon AT"
    table.loc[empty, ["effect", "low", "high", "p_holm", "patients", "seeds"]] = np.nan
    table.loc[empty, "verdict"] = "cannot tell"
    table.loc[empty, "reason"] = "not measured"
    figure = forest(table)
    axis = figure.axes[0]
    missing = (empty & (table["metric"] == "psnr_db")).sum()
    rows = rows_from_the_top(axis)
    assert rows.count("SFT-KD-Recon AT") == missing > 0
    assert len(markers(axis)) == len(rows) - missing
    # Twice a row: for the difference and for its p.
    assert words(figure).count("\N{EN DASH}") == 2 * missing
    assert "20 patients, 3 seeds" in heading(figure)
    assert "not measured" in heading(figure)


def test_effect_without_an_interval_is_a_mark_alone() -> None:
    table = differences(("at",))
    table[["low", "high", "p_holm"]] = np.nan
    table["verdict"], table["reason"] = "cannot tell", "1 seed, 3 needed; 1 patient, 7 needed"
    figure = forest(table)
    axis = figure.axes[0]
    assert intervals(axis) == []
    assert len(markers(axis)) == len(rows_from_the_top(axis))
    assert heading(figure).endswith("Cannot tell: 1 seed, 3 needed; 1 patient, 7 needed")
    assert overlapping(figure) == []


def test_table_without_any_number_is_drawn() -> None:
    table = differences(("at",))
    table[["effect", "low", "high", "p_holm"]] = np.nan
    table["verdict"] = "cannot tell"
    assert limits(table) == (-1.0, 1.0)
    assert markers(forest(table).axes[0]) == []


def test_each_reason_is_told_once() -> None:
    table = differences(METHODS)
    untold = table["verdict"] == "cannot tell"
    assert untold.sum() > 5
    assert heading(forest(table)).count("6 patients, 9 needed") == 1
    # A verdict's reason is no reason why it cannot be told.
    assert "Cannot tell" not in heading(forest(table[~untold]))


# Which rows are drawn.


def test_setting_is_picked_from_a_file_of_several(tmp_path: Path) -> None:
    other = differences(("at", "sp"), "brain")
    pd.concat([differences(("at",)), other]).to_csv(tmp_path / "both.csv", index=False)
    figure = from_files([tmp_path / "both.csv"], "", "psnr_db", ("brain", "4x"))
    assert len(markers(figure.axes[0])) == len(other) // 2
    assert heading(figure).startswith("Brain 4x: ")
    with pytest.raises(InputError, match="several settings; name one of: heart 4x, brain 4x"):
        from_files([tmp_path / "both.csv"], "", "psnr_db")


def test_file_of_one_setting_needs_no_choice(tmp_path: Path) -> None:
    differences(("at",)).to_csv(tmp_path / "one.csv", index=False)
    assert len(markers(from_files([tmp_path / "one.csv"], "", "ssim").axes[0])) > 0
    with pytest.raises(InputError, match="no differences in vif"):
        from_files([tmp_path / "one.csv"], "", "vif")


def test_file_that_is_no_table_of_differences_is_refused(tmp_path: Path) -> None:
    table = differences(("at",))
    table.drop(columns=["low", "reason"]).to_csv(tmp_path / "short.csv", index=False)
    with pytest.raises(InputError, match=r"short\.csv: holds no diff.*: low, reason"):
        from_files([tmp_path / "short.csv"], "", "psnr_db")
    table.assign(verdict="splendid").to_csv(tmp_path / "odd.csv", index=False)
    with pytest.raises(InputError, match="unknown verdict: 'splendid'"):
        from_files([tmp_path / "odd.csv"], "", "psnr_db")


def test_family_of_ones_own_comes_last_under_its_name() -> None:
    table = differences(("at",))
    own = table[table["family"] == "recipe"].assign(family="my question")
    axis = forest(pd.concat([own, table])).axes[0]
    bold = [text.get_text() for text in axis.texts if text.get_weight() == "bold"]
    assert bold[-1] == "my question"
    assert rows_from_the_top(axis)[-1] == "SFT-KD-Recon AT"


def test_headings_of_the_groups_fit_the_axes() -> None:
    figure = forest(differences(METHODS, compared=METHODS[:1]))
    figure.draw_without_rendering()
    [axis] = figure.axes
    right = axis.get_window_extent().x1
    of_groups = [text for text in axis.texts if text.get_weight() == "bold"]
    assert len(of_groups) == len(FAMILIES)
    for text in of_groups:
        assert text.get_window_extent().x1 <= right, text.get_text()


def test_the_title_is_the_settings_whatever_the_models_are_called() -> None:
    assert heading(forest(differences(METHODS))).startswith("Heart 4x: differences")


def test_rows_of_one_first_model_tell_the_second() -> None:
    labels = [label.get_text() for label in forest(differences(METHODS)).axes[0].get_yticklabels()]
    assert "SFT-KD-Recon \N{MINUS SIGN} SFT start alone" in labels
    assert "SFT-KD-Recon \N{MINUS SIGN} SFT teacher alone" in labels


def test_verdicts_about_the_measured_patients_alone_are_told_with_their_groups() -> None:
    table = differences(("at",))
    assert "these patients" not in heading(forest(table))
    alone = heading(forest(table.assign(scope=THESE_PATIENTS)))
    assert "Verdicts hold for these patients, too few to speak of others" in alone
    assert "others:" not in alone
    some = table["scope"].where(table["family"] != "recipe", THESE_PATIENTS)
    told = heading(forest(table.assign(scope=some)))
    assert "others: SFT-KD-Recon against Std-KD, same method" in told
