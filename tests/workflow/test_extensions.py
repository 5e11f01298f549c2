"""What a method author adds: a loss of one's own, and ablations."""

from __future__ import annotations

import pandas as pd
from conftest import Checkout, documented_example

ABLATIONS = """
ablations:
  terms:
    title: Loss terms
    models: [sft_teacher, sft_kd_at]
    base: all
    variants:
      teacher_only: {set: {sft: {student_weight: 0, imitation_weight: 0}}}
  start:
    models: [std_kd_at, sft_kd_at]
    variants:
      random: {set: {distillation: {start: random}}}
      sft: {set: {distillation: {start: sft}}}
  protocol:
    models: [std_kd_at]
    variants:
      joint: {set: {distillation: {protocol: joint}}}
"""


def test_the_documented_loss_from_outside_the_package_trains(fresh: Checkout) -> None:
    package = fresh.root / "my_losses"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "rkd.py").write_text(documented_example('"""Relational'))
    fresh.configure(documented_example("methods:\n  at: {}\n  fitnets: {}\n  rkd"))
    done = fresh.tiny("tables")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(fresh.root / "results/tiny/tables/main.csv")
    assert set(table[table["model"] == "rkd"]["training"]) == {"std_kd", "sft_kd"}

    module = package / "rkd.py"
    module.write_text(module.read_text() + "\nEDITED = 1\n")
    trainings = [p for p in fresh.planned("tables") if p.startswith("Training")]
    assert trainings == [
        "Training sft_kd_rkd: heart 4x seed 0",
        "Training std_kd_rkd: heart 4x seed 0",
    ]


def test_ablations_train_only_what_they_change_and_have_their_tables(own_copy: Checkout) -> None:
    configuration = own_copy.root / "ablated.yaml"
    configuration.write_text((own_copy.root / "tiny.yaml").read_text() + ABLATIONS)

    def run(*arguments: str) -> str:
        done = own_copy.snakemake(*arguments, "--configfile", "ablated.yaml")
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    planned = run("tables", "-n")
    for name in (
        "sft_teacher@terms.teacher_only",
        "sft_kd_at@terms.teacher_only",
        "std_kd_at@start.sft",
        "sft_kd_at@start.random",
        "std_kd_at@protocol.joint",
    ):
        assert f"Training {name}: heart 4x seed 0" in planned
    assert planned.count(": Training") == 5
    run("tables")
    tables = own_copy.root / "results/tiny/tables"
    main = pd.read_csv(tables / "main.csv")
    start = pd.read_csv(tables / "ablation_start.csv").fillna({"row": ""})
    assert len(start) == 6

    def psnr(row: str, training: str) -> float:
        chosen = start[(start["row"] == row) & (start["training"] == training)]
        return float(chosen["psnr_db"].iloc[0])

    own = main[(main["model"] == "at")].set_index("training")["psnr_db"]
    # What a change does not touch keeps the study's figures.
    assert psnr("", "std_kd") == psnr("random", "std_kd") == own["std_kd"]
    assert psnr("", "sft_kd") == psnr("sft", "sft_kd") == own["sft_kd"]
    assert psnr("sft", "std_kd") != own["std_kd"]
    assert psnr("random", "sft_kd") != own["sft_kd"]
    for name in ("terms", "start", "protocol"):
        for suffix in ("md", "tex", "html"):
            assert (tables / f"ablation_{name}.{suffix}").stat().st_size > 0
    run()
    page = (own_copy.root / "results/tiny/report.html").read_text()
    assert "Loss terms" in page
