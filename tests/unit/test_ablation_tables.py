"""Tables of ablations from the metrics of a study and its variants."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline_src.config import check_study, split_model_name, split_variant
from pipeline_src.errors import InputError
from pipeline_src.evaluation.results import METRICS
from pipeline_src.reporting.ablations import ablation_table, write_ablation_table

ABLATION: dict[str, Any] = {
    "models": ["student", "sft_teacher", "sft_kd_at"],
    "base": "four branches",
    "variants": {
        "one": {"title": "one branch", "set": {"sft": {"branches": 1}}},
        "joint": {"set": {"distillation": {"protocol": "joint"}}},
    },
}
#: PSNR by trained name; one seed and two volumes, 1 dB below and above.
PSNR = {
    "zero_filled": 20.0,
    "student": 30.0,
    "sft_teacher": 31.0,
    "sft_kd_at": 32.0,
    "sft_teacher@a.one": 33.0,
    "sft_kd_at@a.one": 34.0,
    "sft_kd_at@a.joint": 35.0,
    # Of another ablation: must not be taken for this one's.
    "sft_kd_at@b.one": 50.0,
}


def measured(names: list[str]) -> pd.DataFrame:
    """Rows as the evaluation writes them, in an order of no meaning."""
    rows = []
    for name in sorted(names, reverse=True):
        model, training = split_model_name(name)
        for patient, offset in (("p1", -1.0), ("p2", 1.0)):
            rows.append(
                {
                    "dataset": "heads",
                    "acceleration": "4x",
                    "seed": 0,
                    "model": model,
                    "training": training,
                    "variant": split_variant(name)[1],
                    "part": "test",
                    "patient": patient,
                    "frame": "",
                    "slices": 1,
                }
                | dict.fromkeys(METRICS, 0.5)
                | {"psnr_db": PSNR[name] + offset}
            )
    return pd.DataFrame(rows)


@pytest.fixture
def ablated(tiny_study: dict[str, Any]) -> Any:
    other = {"models": ["sft_kd_at"], "variants": {"one": {"set": {"sft": {"branches": 1}}}}}
    return check_study(
        tiny_study | {"methods": {"at": {}}, "ablations": {"a": ABLATION, "b": other}}
    )


def test_ablation_table_has_the_rows_of_study_and_variants_with_their_own_figures(
    ablated: Any,
) -> None:
    table = ablation_table(measured(list(PSNR)), ablated, "a")
    found = [
        (r["row"], r["model"], r["training"], r["variant"], r["psnr_db"])
        for _, r in table.iterrows()
    ]
    assert found == [
        ("", "student", "standard", "", 30.0),
        ("", "teacher", "sft", "", 31.0),
        ("", "at", "sft_kd", "", 32.0),
        # A model that the variant does not change keeps the study's figures.
        ("one", "student", "standard", "", 30.0),
        ("one", "teacher", "sft", "a.one", 33.0),
        ("one", "at", "sft_kd", "a.one", 34.0),
        ("joint", "student", "standard", "", 30.0),
        ("joint", "teacher", "sft", "", 31.0),
        ("joint", "at", "sft_kd", "a.joint", 35.0),
    ]
    assert set(table["volumes"]) == {2}


def test_each_table_takes_the_variants_of_its_own_ablation(ablated: Any) -> None:
    table = ablation_table(measured(list(PSNR)), ablated, "b")
    assert table["psnr_db"].tolist() == [32.0, 50.0]


@pytest.mark.parametrize("name", ["student", "sft_teacher@a.one", "sft_kd_at@a.joint"])
def test_missing_metrics_are_an_error_that_names_the_model(name: str, ablated: Any) -> None:
    volumes = measured([n for n in PSNR if n != name])
    with pytest.raises(InputError) as caught:
        ablation_table(volumes, ablated, "a")
    assert str(caught.value) == f"ablation a: no metrics of {name} for heads 4x"


def written(ablated: Any, folder: Path) -> Path:
    path = folder / "volumes.csv"
    measured(list(PSNR)).to_csv(path, index=False)
    write_ablation_table([path], ablated, "a", folder / "out")
    return folder / "out"


def test_ablation_is_written_in_four_formats_with_the_rows_titles(
    ablated: Any, tmp_path: Path
) -> None:
    folder = written(ablated, tmp_path)
    assert {p.name for p in folder.iterdir()} == {
        f"ablation_a.{suffix}" for suffix in ("csv", "md", "tex", "html")
    }
    rows = [line.split("|") for line in (folder / "ablation_a.md").read_text().splitlines()[:5]]
    head, _, *body = [[cell.strip() for cell in row[1:-1]] for row in rows]
    assert [cell.split("4x ")[-1] for cell in head[1:]] == [
        "Student",
        "SFT teacher",
        "SFT-KD-Recon AT",
    ]
    assert body == [
        ["four branches", "30.00 / 0.5000", "31.00 / 0.5000", "32.00 / 0.5000"],
        ["one branch", "30.00 / 0.5000", "33.00 / 0.5000", "34.00 / 0.5000"],
        ["joint", "30.00 / 0.5000", "31.00 / 0.5000", "35.00 / 0.5000"],
    ]
    assert len(pd.read_csv(folder / "ablation_a.csv")) == 9


def test_unknown_ablation_lists_those_there_are(ablated: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--ablation c: .*there are: a, b$"):
        write_ablation_table([], ablated, "c", tmp_path)


@pytest.mark.parametrize("title", ["one branch", "four branches"])
def test_two_rows_of_one_title_are_refused(title: str, tiny_study: dict[str, Any]) -> None:
    variants = {"one": ABLATION["variants"]["one"], "two": {"title": title, "set": {}}}
    ablation = ABLATION | {"variants": variants}
    with pytest.raises(InputError, match=f"'{title}'"):
        check_study(tiny_study | {"methods": {"at": {}}, "ablations": {"a": ablation}})
