"""A source of data of one's own, as the documentation shows it, in a study."""

from __future__ import annotations

import h5py
import numpy as np
from conftest import Checkout, documented_example


def test_the_documented_source_from_outside_the_package_is_prepared(fresh: Checkout) -> None:
    page = "add-a-data-set.md"
    package, volumes = fresh.root / "my_data", fresh.root / "volumes"
    for folder in (package, volumes):
        folder.mkdir()
    (package / "__init__.py").touch()
    module = package / "arrays.py"
    module.write_text(documented_example('"""Volumes stored as NumPy', page))
    rng = np.random.default_rng(0)
    images = {f"p{k}": rng.random((3, 32, 32)).astype(np.float32) for k in range(4)}
    for patient, image in images.items():
        np.save(volumes / f"{patient}.npy", image)
    fresh.configure(documented_example("datasets:", page))

    # A look runs nothing of the module; told to, it lists the volumes.
    looked = fresh.command("check", "--config", "tiny.yaml")
    assert looked.returncode == 0, looked.stderr
    assert f"data set arrays: {module}, which a run imports" in looked.stdout
    assert "4 volumes" not in looked.stdout
    looked = fresh.command("check", "--config", "tiny.yaml", "--import")
    assert "data set arrays: 4 volumes of 4 patients; train 2" in looked.stdout
    wrong = ["--set", "datasets.arrays.source.options.axis=1"]
    refused = fresh.command("check", "--config", "tiny.yaml", "--import", *wrong)
    assert refused.returncode == 2
    assert "source.options.axis: no such option" in refused.stderr
    planned = fresh.tiny("-n", "--config", "datasets={arrays: {source: {options: {axis: 1}}}}")
    assert planned.returncode != 0
    assert "options.axis: no such option" in planned.stdout + planned.stderr

    store = "results/tiny/arrays/volumes.h5"
    done = fresh.tiny(store)
    assert done.returncode == 0, done.stdout + done.stderr
    with h5py.File(fresh.root / store) as file:
        kept = file["images"][()]
    assert kept.shape == (12, 32, 32)
    scaled = [image[0] / image.max() for image in images.values()]
    assert all(np.abs(kept - slice_).max(axis=(1, 2)).min() < 1e-6 for slice_ in scaled)

    module.write_text(module.read_text() + "\nEDITED = 1\n")
    assert any(p.startswith("Preparing") for p in fresh.planned(store))
