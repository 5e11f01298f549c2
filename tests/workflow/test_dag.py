"""What the DAG makes, and what it makes again after a change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from conftest import Checkout

from pipeline_src.reporting.figures.kinds import KINDS

AT_TRAININGS = [
    "Training sft_kd_at: heart 4x seed 0",
    "Training std_kd_at: heart 4x seed 0",
]
WHAT_FOLLOWS_AT = [
    "Evaluating: heart 4x seed 0",
    "Figure: PSNR box plot of heart at 4x",
    "Figure: SSIM box plot of heart at 4x",
    "Figure: differences in heart at 4x",
    "Figure: learning curves of heart at 4x",
    "Figure: reconstructions of heart at 4x",
    "Figure: teachers' reconstructions of heart at 4x",
    "Report: results/tiny/report.html",
    "Tables",
]
BOX_PLOTS = ["Figure: PSNR box plot of heart at 4x", "Figure: SSIM box plot of heart at 4x"]
PANELS = [
    "Figure: reconstructions of heart at 4x",
    "Figure: teachers' reconstructions of heart at 4x",
]
SCHEMES = ["Figure: the networks", "Figure: the recipes of distillation"]
#: Kinds of figure of a study without ablations and shifts.
MADE = [kind for kind in KINDS if kind not in ("panel_domain", "robustness")]


@contextmanager
def edited(path: Path, text: str = "\nEDITED = 1\n") -> Iterator[None]:
    """A source file with a line added, put back afterwards."""
    before = path.read_text()
    path.write_text(before + text)
    try:
        yield
    finally:
        path.write_text(before)


def test_the_study_ends_with_its_tables_figures_and_report(finished: Checkout) -> None:
    results = finished.root / "results" / "tiny"
    table = pd.read_csv(results / "tables" / "main.csv")
    assert list(table.columns[:6]) == [
        "dataset",
        "acceleration",
        "model",
        "training",
        "psnr_db",
        "ssim",
    ]
    cells = set(zip(table["model"], table["training"], strict=True))
    assert cells == {
        ("zero_filled", "none"),
        ("teacher", "standard"),
        ("teacher", "sft"),
        ("student", "standard"),
        ("student_matched", "standard"),
        ("student_sft_start", "sft"),
        ("at", "std_kd"),
        ("at", "sft_kd"),
        ("sp", "std_kd"),
        ("sp", "sft_kd"),
    }
    assert table["psnr_db"].between(5, 60).all()
    for suffix in ("md", "tex", "html"):
        assert (results / "tables" / f"main.{suffix}").stat().st_size > 0
    for kind in MADE:
        folder = results / "figures" / KINDS[kind].folder.format(dataset="heart", acceleration="4x")
        for suffix in ("png", "pdf"):
            assert (folder / f"{kind}.{suffix}").stat().st_size > 1000
    page = (results / "report.html").read_text()
    assert "Synthetic data" in page
    # One of them stands on the first screen as well.
    assert page.count("<figure>") == len(MADE) + 1
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert ' src="http' not in page
    assert not list(results.rglob(".*"))


def test_a_second_run_has_nothing_to_do(finished: Checkout) -> None:
    done = finished.tiny()
    assert done.returncode == 0
    assert "Nothing to be done" in done.stdout + done.stderr


def test_an_edited_loss_reruns_its_trainings_and_what_follows(finished: Checkout) -> None:
    with edited(finished.root / "pipeline_src/distillation/losses/at.py"):
        assert finished.planned() == sorted(AT_TRAININGS + WHAT_FOLLOWS_AT)
    assert finished.planned() == []


@pytest.mark.parametrize(
    ("module", "messages"),
    [
        ("panel", PANELS),
        ("boxplot", BOX_PLOTS),
        ("forest", ["Figure: differences in heart at 4x"]),
        ("curves", ["Figure: learning curves of heart at 4x"]),
        ("mask", ["Figure: mask of heart at 4x"]),
        ("contact_sheet", ["Figure: contact sheet of heart"]),
        ("networks", SCHEMES[:1]),
        ("recipes", SCHEMES[1:]),
        ("dag", ["Figure: the steps of the study"]),
    ],
)
def test_an_edited_figure_reruns_only_that_figure(
    finished: Checkout, module: str, messages: list[str]
) -> None:
    with edited(finished.root / f"pipeline_src/reporting/figures/{module}.py"):
        assert finished.planned() == [*messages, "Report: results/tiny/report.html"]
        if module == "mask":
            assert finished.planned("figures") == messages


def test_an_edited_kind_of_figure_reruns_only_that_figure(finished: Checkout) -> None:
    kinds = finished.root / "pipeline_src/reporting/figures/kinds.py"
    with edited(kinds):
        assert finished.planned() == []
    with edited(kinds, '\nKINDS["boxplot_psnr"].options["edited"] = True\n'):
        assert finished.planned() == [
            "Figure: PSNR box plot of heart at 4x",
            "Report: results/tiny/report.html",
        ]


def test_the_look_of_figures_reruns_figures_and_no_training(finished: Checkout) -> None:
    with edited(finished.root / "pipeline_src/reporting/figure_style.py"):
        planned = finished.planned()
    assert all(p.startswith(("Figure:", "Report:")) for p in planned)
    assert len(planned) == len(MADE) + 1


def test_the_engine_reruns_every_training_but_not_the_data(finished: Checkout) -> None:
    with edited(finished.root / "pipeline_src/training/engine.py"):
        planned = finished.planned()
    assert sum(p.startswith("Training") for p in planned) == 9
    assert not any(p.startswith(("Preparing", "Mask")) for p in planned)


@pytest.mark.parametrize(
    "module", ["models/authors.py", "evaluation/parity.py", "cli.py", "commands/train.py"]
)
def test_code_that_no_step_computes_with_reruns_nothing(finished: Checkout, module: str) -> None:
    with edited(finished.root / "pipeline_src" / module):
        assert finished.planned() == []


def test_a_methods_option_reruns_that_method_alone(finished: Checkout) -> None:
    planned = finished.planned("--config", "methods={at: {form: original}, sp: {}}")
    assert [p for p in planned if p.startswith("Training")] == AT_TRAININGS


def test_a_further_seed_trains_only_that_seed(finished: Checkout) -> None:
    planned = finished.planned("--config", "seeds=[0,1]")
    trainings = [p for p in planned if p.startswith("Training")]
    assert len(trainings) == 9
    assert all(p.endswith("seed 1") for p in trainings)


def test_a_title_trains_nothing(finished: Checkout) -> None:
    planned = finished.planned("--config", "title=Hearts")
    assert planned == [*SCHEMES, "Report: results/tiny/report.html"]


def test_one_model_can_be_asked_for_by_path(fresh: Checkout) -> None:
    planned = fresh.planned("results/tiny/heart/4x/seed0/std_kd_sp/weights.safetensors")
    assert planned == [
        "Mask of heart at 4x",
        "Preparing heart",
        "Training std_kd_sp: heart 4x seed 0",
        "Training teacher: heart 4x seed 0",
    ]


def test_a_training_repeats_to_the_bit(finished: Checkout) -> None:
    weights = finished.root / "results/tiny/heart/4x/seed0/sft_kd_at/weights.safetensors"
    before = hashlib.sha256(weights.read_bytes()).hexdigest()
    manifest = json.loads((weights.parent / "manifest.json").read_text())
    assert manifest["outputs"]["weights.safetensors"] == before
    done = finished.tiny("--forcerun", "distil", "--until", "distil")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == before
    done = finished.tiny()
    assert done.returncode == 0, done.stderr


def test_snakemakes_own_report_holds_tables_and_figures_in_one_offline_file(
    finished: Checkout, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    done = finished.tiny("--report", str(path))
    assert done.returncode == 0, done.stderr
    page = path.read_text()
    for category in ("Tables", "Reconstructions", "Image quality", "Training", "Sampling", "Data"):
        assert category in page
    assert '<script src="http' not in page
    assert '<link rel="stylesheet" href="http' not in page
