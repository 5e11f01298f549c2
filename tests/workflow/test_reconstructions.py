"""`snakemake reconstructions`: a model of the study reconstructs what its configuration lists."""

from __future__ import annotations

import json
import shutil

import numpy as np
from conftest import TINY, Checkout

LISTED = """\
data_root: scans
reconstruct:
  hospital:
    inputs: [a.npy, "b*.npy"]
    model: student
    dataset: heart
    acceleration: 4
"""


def test_what_is_listed_is_reconstructed(fresh: Checkout) -> None:
    (fresh.root / "tiny.yaml").write_text(TINY + LISTED)
    (fresh.root / "scans").mkdir()
    image = np.random.default_rng(0).random((32, 32, 2), dtype=np.float32)
    for name in ("a", "b1", "b2"):
        np.save(fresh.root / f"scans/{name}.npy", image)
    done = fresh.tiny("reconstructions")
    assert done.returncode == 0, done.stdout + done.stderr
    folder = fresh.root / "results/tiny/reconstructed/hospital"
    overview = json.loads((folder / "reconstructions.json").read_text())
    assert [one["image"] for one in overview] == ["a.npy", "b1.npy", "b2.npy"]
    assert np.load(folder / "b2.npy").shape == (32, 32, 2)
    assert fresh.planned("reconstructions") == []
    check_what_makes_it_anew(fresh)
    # The report takes none of it.
    assert not (fresh.root / "results/tiny/report.html").exists()


def check_what_makes_it_anew(fresh: Checkout) -> None:
    """Also where Snakemake remembers nothing, as in a copy of the results."""
    shutil.rmtree(fresh.root / ".snakemake")
    assert fresh.planned("reconstructions") == []
    for change in ("{model: teacher}", "{seed: 0, other_size: crop}", '{inputs: ["b*.npy"]}'):
        over = ("--config", f"reconstruct={{hospital: {change}}}")
        assert "Reconstructing: hospital" in fresh.planned("reconstructions", *over)
    np.save(fresh.root / "scans/b3.npy", np.ones((32, 32, 1), np.float32))
    assert fresh.planned("reconstructions") == ["Reconstructing: hospital"]
    (fresh.root / "scans/b3.npy").unlink()
    assert fresh.planned("reconstructions") == []
    code = fresh.root / "pipeline_src/inference/volume_plan.py"
    code.write_text(code.read_text() + "\nEDITED = True\n")
    assert fresh.planned("reconstructions") == ["Reconstructing: hospital"]


def test_a_model_that_is_not_trained_is_refused(fresh: Checkout) -> None:
    (fresh.root / "tiny.yaml").write_text(TINY + LISTED.replace("student", "sft_kd_cc"))
    done = fresh.tiny("-n", "reconstructions")
    assert done.returncode != 0
    assert "reconstruct.hospital.model: 'sft_kd_cc' is not among" in done.stdout + done.stderr
