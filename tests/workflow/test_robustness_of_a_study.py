"""A study that asks for shifts, another runtime and bounds of errors: what is measured, shown and
made anew, and nothing is trained."""

from __future__ import annotations

import pandas as pd
from conftest import TINY, Checkout

TRIED = """\
controls: []
methods: {at: {}}
robustness: {noise: [0.05], families: [poisson_disc]}
evaluation: {runtimes: [compiled], error_bounds: {patients: 0.5, models: [student]}}
"""
RESULTS = "results/tiny"
SHIFTS = ("poisson_disc", "noise_0.05")


def test_shifts_are_measured_shown_and_made_anew_alone(fresh: Checkout) -> None:
    (fresh.root / "tiny.yaml").write_text(TINY)
    fresh.configure(TRIED)
    done = fresh.tiny()
    assert done.returncode == 0, done.stdout + done.stderr
    results = fresh.root / RESULTS
    folder = results / "heart/4x/robustness/seed0"
    assert sorted(path.name for path in folder.glob("*.csv")) == sorted(f"{s}.csv" for s in SHIFTS)
    table = pd.read_csv(results / "tables/robustness.csv")
    psnr = table[(table["metric"] == "psnr_db") & (table["against"] == "unshifted")]
    assert list(psnr["title"].unique()) == [
        *("Zero-filled", "Teacher", "Student", "Std-KD AT", "SFT-KD-Recon AT")
    ]
    # Noise makes the zero-filled image worse, and the table says by how much.
    noisy = psnr[psnr["shift"] == "noise_0.05"].set_index("title").loc["Zero-filled"]
    assert noisy["loss"] > 0.1
    assert (results / "figures/heart/4x/robustness.png").stat().st_size > 10_000
    page = (results / "report.html").read_text()
    assert "Beyond what was trained for" in page
    assert "noise of 5 %: SFT-KD-Recon AT minus Std-KD AT" in page
    assert "Teacher and student in other runtimes" in page
    assert set(pd.read_csv(results / "tables/runtimes.csv")["runtime"]) == {"torch", "compiled"}
    assert "Bounds of reconstruction errors" in page
    bounds = pd.read_csv(results / "tables/error_bounds.csv")
    assert list(bounds["model"]) == ["student"]
    assert bounds["patients"].tolist() == [0.5]
    assert fresh.planned() == []

    # A shift that is added is measured, and no other again; nothing is trained.
    fresh.configure("robustness: {noise: [0.05, 0.1], families: [poisson_disc]}")
    planned = fresh.planned()
    assert [job for job in planned if job.startswith(("Robustness", "Train", "Evaluat"))] == [
        "Robustness to noise_0.1: heart 4x seed 0"
    ]
    assert "Tables" in planned

    # Another seed draws noise and lines again, by the manifests alone.
    fresh.configure("robustness: {noise: [0.05], families: [poisson_disc], seed: 1}")
    planned = fresh.planned()
    assert [job for job in planned if job.startswith(("Robustness", "Train", "Evaluat"))] == [
        f"Robustness to {shift}: heart 4x seed 0" for shift in ("noise_0.05", "poisson_disc")
    ]

    # The study as it was is packed and made again from its records.
    fresh.configure(TRIED)
    for words in (
        ["crate", RESULTS, "--output", "tiny.crate.zip"],
        ["archive", RESULTS, "--output", "kept"],
        ["restore", "kept", "--output", "again"],
    ):
        done = fresh.command(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    made = fresh.root / "again/tables/robustness.csv"
    assert made.read_bytes() == (results / "tables/robustness.csv").read_bytes()
