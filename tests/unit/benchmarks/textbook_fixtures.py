"""Slices for the benchmark's baseline and for the pipeline."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from textbook_case import COLUMNS, ROWS, SLICES, VOLUMES, Case, textbook

from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.sources.authors_hdf5 import read_authors_volume
from pipeline_src.data.store import read_store, write_store
from pipeline_src.sampling.data_fidelity import LineDataFidelity
from pipeline_src.sampling.masks import lines_mask
from pipeline_src.training.data import Slices


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("baseline")
    images = np.random.default_rng(3).random((VOLUMES, ROWS, COLUMNS, SLICES), dtype=np.float32)
    # Slices that differ in more than noise.
    images[:, 4:12, 3:9] += np.linspace(0.2, 1, SLICES, dtype=np.float32)
    images /= images.max(axis=(1, 2, 3), keepdims=True)
    lines = np.zeros(ROWS, dtype=np.bool_)
    lines[[0, 1, 2, 5, 17, 21]] = True
    mask = lines_mask(lines, COLUMNS)
    prepared = PreparedData()
    for path in textbook.write_volumes(folder / "volumes", images, mask):
        volume = read_authors_volume(path)
        for index in range(volume.shape[2]):
            prepared.images.append(volume[:, :, index])
            row = {"patient": path.stem, "part": "train", "slice": index, "volume": path.stem}
            prepared.slices.append({"frame": "", **row})
    write_store(folder / "store.h5", prepared, {})
    fidelity = LineDataFidelity(lines)
    slices = Slices(read_store(folder / "store.h5"), "train", fidelity, torch.device("cpu"))
    return Case(folder / "volumes", images, mask, fidelity, slices)
