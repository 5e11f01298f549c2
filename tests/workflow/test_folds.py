"""Cross-validation from end to end: a store, a mask and zero filling for each seed."""

from __future__ import annotations

import pandas as pd
from conftest import Checkout

from pipeline_src.data.store import read_store
from pipeline_src.files import read_json

FOLDED = """
seeds: [0, 1]
repeat_over: [seed, mask, split]
datasets:
  heart:
    source: {kind: phantom, anatomy: cardiac, patients: 4, slices: 1, matrix: 32}
    preparation: {matrix: [32, 32]}
    split: {folds: 2, validation: 1}
sampling: {center_lines: 4}
networks:
  teacher: {depth: 2, cascades: 2, features: 2}
  student: {depth: 2, cascades: 2, features: 2}
study: folded
accelerations: [4]
methods: {at: {recipes: [std_kd]}}
recipes: [std_kd]
controls: []
training: {epochs: 1, threads: 1, device: cpu, convolutions: library}
"""


def test_folds_run_to_the_report_and_crate(fresh: Checkout) -> None:
    (fresh.root / "folded.yaml").write_text(FOLDED)
    done = fresh.snakemake("--configfile", "folded.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    heart, tables = (fresh.root / "results/folded" / name for name in ("heart", "tables"))
    assert not (heart / "volumes.h5").exists()
    assert not (heart / "4x/mask.npz").exists()
    tested = []
    for seed in (0, 1):
        store = read_store(heart / f"split{seed}/volumes.h5")
        tested += sorted(store.part("test")[1]["patient"].unique())
        for model in ("zero_filled", "std_kd_at"):
            rows = pd.read_csv(heart / f"4x/seed{seed}/{model}/volumes.csv")
            assert set(rows["data"]) == {store.digest[:12]}
            assert set(rows["seed"]) == {seed}
            assert set(rows["trained_on"]) == {1}
    assert sorted(tested) == [f"phantom00{n}" for n in range(1, 5)]
    masks = [read_json(heart / f"4x/seed{seed}/mask.manifest.json")["mask"] for seed in (0, 1)]
    assert masks[0]["seed"] != masks[1]["seed"]
    main = pd.read_csv(tables / "main.csv")
    assert set(main["patients"]) == {4}
    assert set(main["seeds"]) == {2}
    assert (tables / "differences.csv").exists()
    figure = read_json(fresh.root / "results/folded/figures/heart/4x/mask.manifest.json")
    assert figure["title"].endswith(", seed 0")
    page = (fresh.root / "results/folded/report.html").read_text()
    assert "cross-validation over 2 folds" in page
    packed = fresh.command("crate", "results/folded")
    assert packed.returncode == 0, packed.stderr
    # Nothing is left to do, nor is a result taken for another's.
    again = fresh.snakemake("-n", "--configfile", "folded.yaml")
    assert "Nothing to be done" in again.stdout + again.stderr
