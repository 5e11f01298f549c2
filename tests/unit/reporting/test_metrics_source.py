"""Metrics tell what they were measured on, and those of different data are not put together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from reporting_helpers import ONE_SETTING, STUDENT, TEACHER, measured

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.main_table import main_table, table_notes
from pipeline_src.reporting.tables.study_tables import write_numbers
from pipeline_src.tabular import read_rows, write_rows

STORE, OTHER = "0123456789ab", "123456789012"


def written(folder: Path, *given: dict[str, object]) -> list[Path]:
    """A file of each set of columns, of a model of its own."""
    paths = []
    for number, columns in enumerate(given):
        model = (TEACHER, STUDENT)[number % 2]
        rows = measured({model: 30.0}, seeds=(number // 2,), patients=2).assign(**columns)
        paths.append(folder / f"{number}.csv")
        write_rows(paths[-1], rows)
    return paths


def told(data: str, sampled: float | None, **columns: object) -> dict[str, object]:
    return {"data": data, "sampled": sampled, **columns}


def test_files_without_the_columns_are_read_beside_those_with_them(tmp_path: Path) -> None:
    found = read_metrics(written(tmp_path, {}, told(OTHER, 0.25), told("", None)))
    assert found["data"].tolist() == ["", "", OTHER, OTHER, "", ""]
    assert found["sampled"].isna().tolist() == [True, True, False, False, True, True]
    write_numbers(found, tmp_path / "numbers.csv")
    numbers = read_rows(tmp_path / "numbers.csv", "numbers", ("sampled", "value"))
    assert set(numbers.loc[numbers["model"] == "student", "data"]) == {OTHER}
    assert set(numbers.loc[numbers["model"] == "student", "sampled"]) == {0.25}


def test_metrics_of_two_stores_under_one_name_are_refused(tmp_path: Path) -> None:
    # At another acceleration too: a data set is one store.
    paths = written(tmp_path, {}, told(STORE, 0.25), told(OTHER, 0.2, acceleration="5x"))
    with pytest.raises(InputError) as caught:
        read_metrics(paths)
    line = str(caught.value)
    assert line.startswith(f"{paths[2]}: heart was measured on other data than in {paths[1]} ")
    assert f"({OTHER}, not {STORE})" in line
    assert "evaluate both again" in line


def test_metrics_of_two_masks_in_one_setting_are_refused(tmp_path: Path) -> None:
    paths = written(tmp_path, told(STORE, 0.25), told(STORE, 0.2))
    with pytest.raises(InputError, match=r"1\.csv: heart 4x was measured with another mask than"):
        read_metrics(paths)


def test_metrics_of_slices_are_refused_by_their_files_name(tmp_path: Path) -> None:
    paths = written(tmp_path, {}, {}, {"slice": 3})
    with pytest.raises(
        InputError, match=r"2\.csv: holds slices, not volumes; give the volumes.csv"
    ):
        read_metrics(paths)


OWN = {"repeated": "split mask", "trained_on": 3}


def test_each_seed_may_have_its_own_data_where_the_metrics_say_so(tmp_path: Path) -> None:
    # Both models of seed 0, then both of seed 1.
    first, second = told(STORE, 0.25, mask="a", **OWN), told(OTHER, 0.2, mask="b", **OWN)
    found = read_metrics(written(tmp_path, first, first, second, second))
    assert set(zip(found["seed"], found["data"], strict=True)) == {(0, STORE), (1, OTHER)}
    assert set(found["trained_on"]) == {3}


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"data": OTHER}, "heart seed 1 was measured on other data than"),
        ({"mask": "c"}, "heart 4x seed 1 was measured with another mask than"),
        ({"repeated": ""}, "heart was measured by other repeats than"),
    ],
)
def test_models_of_one_seed_share_its_data(
    tmp_path: Path, columns: dict[str, object], said: str
) -> None:
    first = told(STORE, 0.25, mask="a", **OWN)
    with pytest.raises(InputError, match=said):
        read_metrics(written(tmp_path, first, first, first, first | columns))


def test_a_split_of_its_own_has_the_mask_of_all(tmp_path: Path) -> None:
    own = told(STORE, 0.25, mask="a", repeated="split", trained_on=3)
    other = own | {"data": OTHER}
    read_metrics(written(tmp_path, own, own, other, other))
    with pytest.raises(InputError, match="heart 4x was measured with another mask than"):
        read_metrics(written(tmp_path, own, own, other | {"mask": "b"}))


def test_data_sets_and_settings_of_their_own_may_differ(tmp_path: Path) -> None:
    paths = written(
        tmp_path,
        told(STORE, 0.25),
        told(STORE, 0.2, acceleration="5x"),
        told(OTHER, 0.3, dataset="brain"),
    )
    found = read_metrics(paths)
    assert found["sampled"].drop_duplicates().tolist() == [0.25, 0.2, 0.3]


def test_notes_give_the_sampled_share_of_each_setting_where_it_is_known() -> None:
    labels = Labels(
        {"heart": DatasetLabel("ACDC"), "brain": DatasetLabel("MRBrainS")}, ("4x", "5x")
    )
    rows = [
        measured({TEACHER: 30.0}, sampled=0.2467),
        measured({TEACHER: 30.0}, acceleration="5x"),
        measured({TEACHER: 30.0}, dataset="brain", sampled=0.25),
    ]
    notes = table_notes(main_table(pd.concat(rows), labels), labels)
    assert "ACDC 4x: 24.7 %; MRBrainS 4x: 25.0 % of k-space sampled." in notes
    unknown = table_notes(main_table(rows[1].assign(acceleration="4x"), ONE_SETTING), ONE_SETTING)
    assert "sampled" not in " ".join(unknown)


def test_notes_count_trainings_only_where_there_are_some() -> None:
    zero = measured({("zero_filled", "none"): 20.0}, seeds=(0,)).assign(seed=float("nan"))
    notes = table_notes(main_table(zero, ONE_SETTING), ONE_SETTING)
    assert "seed" not in " ".join(notes)
    unknown = measured({STUDENT: 20.0}, seeds=(0,)).assign(seed=float("nan"))
    notes = table_notes(main_table(unknown, ONE_SETTING), ONE_SETTING)
    assert notes[-1] == "The seed of 1 of 1 models is unknown."
    notes = table_notes(
        main_table(pd.concat([zero, measured({STUDENT: 1.0})]), ONE_SETTING), ONE_SETTING
    )
    assert notes[-1] == "3 seeds per model; ± is the standard deviation over seeds."
