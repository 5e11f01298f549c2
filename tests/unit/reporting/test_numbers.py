"""Every number of a study in long form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reporting_helpers import VOLUMES, value

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics_files import METRICS, read_metrics
from pipeline_src.reporting.tables.study_tables import write_numbers

LABELS = ["dataset", "acceleration", "model", "training", "variant", "seed"]
KEYS = [*LABELS, "part", "patient", "frame", "metric"]
SOURCE = ["data", "mask", "sampled"]
COLUMNS = [*KEYS[:-1], *SOURCE, "metric", "value"]


def written(tmp_path: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    """The tables written as the evaluation does, one file per model, and read back in long form."""
    paths = []
    tmp_path.mkdir(exist_ok=True)
    for table in tables:
        for number, (_, rows) in enumerate(table.groupby(["model", "training"], sort=False)):
            paths.append(tmp_path / f"{len(paths)}_{number}.csv")
            rows.to_csv(paths[-1], index=False)
    output = tmp_path / "tables" / "all_numbers.csv"
    write_numbers(read_metrics(paths), output)
    assert list(output.parent.iterdir()) == [output]
    text = {"patient": str, "frame": str, "variant": str, "seed": "Int64"}
    return pd.read_csv(output, dtype=text, keep_default_na=False, na_values={"seed": [""]})


def test_every_number_is_there_once_and_exact(tmp_path: Path) -> None:
    table = written(tmp_path, VOLUMES)
    assert list(table.columns) == COLUMNS
    assert len(table) == len(VOLUMES) * len(METRICS)
    assert not table.duplicated(KEYS).any()
    for row in table.itertuples(index=False):
        seed = None if pd.isna(row.seed) else int(row.seed)
        where = (row.dataset, row.acceleration, row.model, row.training, seed, row.patient)
        assert row.value == value(str(row.metric), *where, row.frame)


def test_seeds_are_whole_and_zero_filling_has_none(tmp_path: Path) -> None:
    written(tmp_path, VOLUMES)
    lines = (tmp_path / "tables" / "all_numbers.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    seeds = {(line.split(",")[2], line.split(",")[5]) for line in lines[1:]}
    assert {seed for model, seed in seeds if model == "zero_filled"} == {""}
    assert {seed for model, seed in seeds if model != "zero_filled"} == {"0", "1"}


def test_order_does_not_depend_on_the_files(tmp_path: Path) -> None:
    shuffled = VOLUMES.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(
        written(tmp_path / "a", shuffled), written(tmp_path / "b", VOLUMES)
    )


def test_accelerations_go_by_size_and_metrics_by_name(tmp_path: Path) -> None:
    rows = VOLUMES[VOLUMES["acceleration"] == "4x"]
    both = pd.concat([rows.assign(acceleration="10x"), rows])
    table = written(tmp_path, both)
    brain = table[table["dataset"] == "brain"]
    assert list(dict.fromkeys(brain["acceleration"])) == ["4x", "10x"]
    assert list(table["metric"][: len(METRICS)]) == list(METRICS)


def test_awkward_values_and_names_read_back(tmp_path: Path) -> None:
    rows = VOLUMES.iloc[:3].copy()
    values = [0.1 + 0.2, 1 / 3, np.nextafter(1.0, 2.0)]
    rows["psnr_db"] = values
    rows.loc[rows.index[0], "nmse"] = np.inf
    rows["patient"] = ["007", "1e5", "a,b"]
    rows["frame"] = ["", "01", "ED"]
    table = written(tmp_path, rows)
    psnr = table[table["metric"] == "psnr_db"].set_index("patient")
    assert psnr["value"].to_dict() == dict(zip(["007", "1e5", "a,b"], values, strict=True))
    assert psnr["frame"].to_dict() == {"007": "", "1e5": "01", "a,b": "ED"}
    assert np.isinf(table[table["metric"] == "nmse"]["value"]).sum() == 1


def test_variants_stand_beside_the_study(tmp_path: Path) -> None:
    variant = VOLUMES[VOLUMES["model"] == "at"].assign(variant="terms.alone")
    table = written(tmp_path, VOLUMES, variant)
    assert (table["variant"] == "terms.alone").sum() == len(variant) * len(METRICS)
    assert len(table) == (len(VOLUMES) + len(variant)) * len(METRICS)


def test_files_without_variant_and_frame(tmp_path: Path) -> None:
    rows = VOLUMES.drop(columns=["variant", "frame"]).drop_duplicates(
        ["dataset", "acceleration", "model", "training", "seed", "patient"]
    )
    table = written(tmp_path, rows)
    assert set(table["variant"]) == set(table["frame"]) == {""}


def test_the_same_volume_twice(tmp_path: Path) -> None:
    again = VOLUMES[VOLUMES["model"] == "at"]
    with pytest.raises(InputError, match=r"there twice \(brain, .*\); give each"):
        written(tmp_path, VOLUMES, again)
    assert not (tmp_path / "tables").exists()


def test_slices_are_no_volumes(tmp_path: Path) -> None:
    slices = pd.concat([VOLUMES.assign(slice=number) for number in range(2)])
    with pytest.raises(InputError, match=r"\.csv: holds slices, not volumes"):
        written(tmp_path, slices)


@pytest.mark.parametrize(("column", "bad"), [("seed", "first"), ("seed", 0.5), ("ssim", "good")])
def test_what_is_no_number(column: str, bad: object, tmp_path: Path) -> None:
    rows = VOLUMES.astype({column: object})
    rows.iloc[-1, rows.columns.get_loc(column)] = bad
    with pytest.raises(InputError, match=r"is not a (number|seed)"):
        written(tmp_path, rows)
    assert not (tmp_path / "tables").exists()


def test_no_file_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no metrics file given"):
        write_numbers(read_metrics([]), tmp_path / "out.csv")
    with pytest.raises(InputError, match=r"gone\.csv"):
        write_numbers(read_metrics([tmp_path / "gone.csv"]), tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []
