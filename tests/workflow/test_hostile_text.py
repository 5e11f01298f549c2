"""Free text of a configuration reaches shell lines as text: none of it is ever run."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest
import yaml
from conftest import Checkout

#: Each would leave a file behind if a shell read it.
HOSTILE = "King's $(touch RAN) `touch RAN` \"; touch RAN; ' {RAN} %s *"


def rewrite(checkout: Checkout, change: dict[str, object]) -> None:
    path = checkout.root / "tiny.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))


def nothing_ran(checkout: Checkout) -> bool:
    return not list(checkout.root.rglob("RAN"))


def test_titles(copied: Checkout) -> None:
    content = yaml.safe_load((copied.root / "tiny.yaml").read_text())
    content["datasets"]["heart"]["title"] = f"heart {HOSTILE}"
    rewrite(copied, {"title": f"study {HOSTILE}", "datasets": content["datasets"]})
    done = copied.tiny()
    assert done.returncode == 0, done.stdout + done.stderr
    assert nothing_ran(copied)
    made = json.loads(
        (copied.root / "results/tiny/figures/heart/4x/mask.manifest.json").read_text()
    )
    assert made["settings"]["title"] == f"heart {HOSTILE} 4x"
    assert "King&#39;s $(touch RAN)" in (copied.root / "results/tiny/report.html").read_text()


def test_paths_patterns_and_patients(fresh: Checkout) -> None:
    folder = fresh.root / "scans $(touch RAN)" / "it's `touch RAN`; touch RAN"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    patients = ["a'$(touch RAN)", "b; touch RAN", "c`touch RAN`"]
    for patient in patients:
        image = rng.random((32, 32, 2), dtype=np.float32)
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), folder / f"sub-{patient}_T1w.nii.gz")
    lines = np.zeros(32, dtype=bool)
    lines[[0, 1, 2, 3, 7, 11, 30, 31]] = True
    np.save(fresh.root / "mask $(touch RAN)'.npy", lines)
    source = {
        "kind": "nifti",
        "path": folder.name,
        "pattern": "sub-*_T1w.nii.gz",
        "patient_pattern": "sub-(.+)_T1w",
    }
    split = {part: [p] for part, p in zip(("train", "validation", "test"), patients, strict=True)}
    dataset = {
        "source": source,
        "preparation": {"matrix": [32, 32]},
        "split": split,
        "masks": {4: "mask $(touch RAN)'.npy"},
    }
    rewrite(fresh, {"data_root": str(folder.parent), "datasets": {"heart": dataset}})
    targets = ("results/tiny/heart/volumes.h5", "results/tiny/heart/4x/mask.npz")
    done = fresh.tiny(*targets)
    assert done.returncode == 0, done.stdout + done.stderr
    assert nothing_ran(fresh)
    assert all((fresh.root / target).exists() for target in targets)


@pytest.mark.parametrize("key", ["study", "dataset"])
def test_names_that_become_folders_are_refused(key: str, fresh: Checkout) -> None:
    content = yaml.safe_load((fresh.root / "tiny.yaml").read_text())
    change = (
        {"study": HOSTILE}
        if key == "study"
        else {"datasets": {HOSTILE: content["datasets"]["heart"]}}
    )
    rewrite(fresh, change)
    done = fresh.tiny("-n")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert nothing_ran(fresh)
