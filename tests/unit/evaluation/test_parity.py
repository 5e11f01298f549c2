"""Agreement with the authors' vectors in single precision and of the evaluation's tables; the
command `parity` compares every quantity in double precision."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from unit_helpers import needs_vectors, read_vectors

from pipeline_src.evaluation.metric_tables import measure
from pipeline_src.models.authors import network_from_authors
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.sampling.data_fidelity import FourierDataFidelity, LineDataFidelity
from pipeline_src.sampling.masks import lines_mask

pytestmark = needs_vectors

Role = Literal["teacher", "student"]
Vectors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return read_vectors()


@pytest.fixture(scope="module")
def fidelity(vectors: Vectors) -> LineDataFidelity:
    return LineDataFidelity(vectors["lines"].astype(bool))


def network(vectors: Vectors, prefix: str, role: Role) -> DCCNN:
    folder = f"{prefix}/state/"
    state = {
        name.removeprefix(folder): torch.from_numpy(value)
        for name, value in vectors.items()
        if name.startswith(folder + role[0])
    }
    return network_from_authors(state, role, 5, origin=prefix).eval()


def assert_image(found: Tensor, expected: NDArray[np.float32]) -> None:
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-5)


def test_zero_filled_image(vectors: Vectors, fidelity: LineDataFidelity) -> None:
    target = torch.from_numpy(vectors["target"])
    assert_image(fidelity.zero_filled(target), vectors["zero_filled"])
    fourier = FourierDataFidelity(lines_mask(vectors["lines"].astype(bool), 32))
    assert_image(fourier.zero_filled(target), vectors["zero_filled"])


@pytest.mark.parametrize("role", ["teacher", "student"])
@torch.no_grad()
def test_reconstruction(vectors: Vectors, fidelity: LineDataFidelity, role: Role) -> None:
    zero_filled = torch.from_numpy(vectors["zero_filled"])
    found = network(vectors, role, role)(zero_filled, fidelity)
    assert_image(found, vectors[f"{role}/recon"])


@torch.no_grad()
def test_student_friendly_teacher_and_its_branches(
    vectors: Vectors, fidelity: LineDataFidelity
) -> None:
    sft = SFTNetwork(network(vectors, "sft", "teacher"), network(vectors, "sft", "student"))
    teacher, branches = sft(torch.from_numpy(vectors["zero_filled"]), fidelity)
    assert_image(teacher, vectors["sft/recon"])
    assert_image(branches, np.stack([vectors[f"sft/branch{k}"] for k in (1, 2, 3, 4)]))


@pytest.mark.parametrize(
    ("metric", "key"),
    [("psnr_db", "psnr_volume"), ("ssim", "ssim_volume"), ("hfn", "hfn"), ("nmse", "nmse")],
)
def test_metric_of_zero_filling(vectors: Vectors, metric: str, key: str) -> None:
    target, image = vectors["target"][:, 0], vectors["zero_filled"][:, 0]
    peak = np.full(len(target), target.max(), dtype=np.float32)
    rows = pd.DataFrame({"patient": "p", "frame": "", "slice": range(len(target)), "volume": 0})
    (volume,) = measure(target, image, rows, peak)[1].to_dict("records")
    assert volume[metric] == pytest.approx(float(vectors[f"metric/zf/{key}"]), rel=1e-4, abs=0)
