"""Agreement with vectors made by the authors' code: networks, features, losses, metrics."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from unit_helpers import needs_vectors, read_vectors

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Network, Networks
from pipeline_src.distillation.base import build_loss
from pipeline_src.evaluation.metric_tables import measure
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.models.taps import Features, Tap, tapped
from pipeline_src.models.weights import load_tensors
from pipeline_src.sampling.data_fidelity import FourierDataFidelity, LineDataFidelity
from pipeline_src.sampling.masks import lines_mask
from pipeline_src.training.objectives import sft_losses

pytestmark = needs_vectors

# Relative for features and losses; absolute for images, whose values lie in 0..1.
RELATIVE = 1e-4
IMAGE = 1e-5
NETWORKS = Networks(
    teacher=Network(depth=5, cascades=5, padding=5), student=Network(depth=3, cascades=5, padding=5)
)
CASCADES = (1, 2, 3, 4, 5)
ALL_TAPS = [Tap(place, k) for place in ("mid", "out") for k in CASCADES]
#: The vectors' names of the two places.
NAMES = {"mid": "mid", "out": "conv_out"}

Vectors = dict[str, NDArray[np.float32]]


@pytest.fixture(scope="module")
def vectors() -> Vectors:
    return read_vectors()


@pytest.fixture(scope="module")
def fidelity(vectors: Vectors) -> LineDataFidelity:
    return LineDataFidelity(vectors["lines"].astype(bool))


def authors_state(vectors: Vectors, prefix: str, letter: str) -> dict[str, Tensor]:
    """`{t,s}cascade3.conv1.weight` as `cascades.2.convolutions.0.weight`."""
    state = {}
    start = f"{prefix}/state/{letter}cascade"
    for name, value in vectors.items():
        if name.startswith(start):
            cascade, convolution, kind = name.removeprefix(start).split(".")
            number = int(convolution.removeprefix("conv")) - 1
            state[f"cascades.{int(cascade) - 1}.convolutions.{number}.{kind}"] = torch.from_numpy(
                value
            )
    return state


def loaded(vectors: Vectors, role: str) -> DCCNN:
    network = DCCNN(getattr(NETWORKS, role))
    load_tensors(network, authors_state(vectors, role, role[0]), origin=role)
    return network.eval()


@pytest.fixture(scope="module")
def passes(vectors: Vectors, fidelity: LineDataFidelity) -> dict[str, tuple[Tensor, Features]]:
    """Reconstruction and features of both networks."""
    found = {}
    zero_filled = torch.from_numpy(vectors["zero_filled"])
    with torch.no_grad():
        for role in ("teacher", "student"):
            network = loaded(vectors, role)
            with tapped(network, ALL_TAPS) as features:
                found[role] = (network(zero_filled, fidelity), features)
    return found


def assert_image(found: Tensor, expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=IMAGE)


def assert_feature(found: Tensor, expected: NDArray[np.float32]) -> None:
    """To the largest value of the feature."""
    scale = float(np.abs(expected).max())
    assert scale > 0
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=RELATIVE * scale)


def test_zero_filled_image(vectors: Vectors, fidelity: LineDataFidelity) -> None:
    target = torch.from_numpy(vectors["target"])
    assert_image(fidelity.zero_filled(target), vectors["zero_filled"])
    fourier = FourierDataFidelity(lines_mask(vectors["lines"].astype(bool), 32))
    assert_image(fourier.zero_filled(target), vectors["zero_filled"])


def test_kspace_is_the_orthonormal_transform_of_the_target_on_the_sampled_lines(
    vectors: Vectors,
) -> None:
    spectrum = np.fft.fft2(vectors["target"].astype(np.float64), norm="ortho")
    lines = vectors["lines"][:, None]
    np.testing.assert_allclose(vectors["kspace"], spectrum * lines, rtol=0, atol=IMAGE)


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_reconstruction(
    vectors: Vectors, passes: dict[str, tuple[Tensor, Features]], role: str
) -> None:
    assert_image(passes[role][0], vectors[f"{role}/recon"])


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize("place", ["mid", "out"])
@pytest.mark.parametrize("cascade", CASCADES)
def test_feature(
    vectors: Vectors,
    passes: dict[str, tuple[Tensor, Features]],
    role: str,
    place: str,
    cascade: int,
) -> None:
    tap = next(t for t in ALL_TAPS if (t.place, t.cascade) == (place, cascade))
    assert_feature(passes[role][1][tap], vectors[f"{role}/cascade{cascade}/{NAMES[place]}"])


@pytest.fixture(scope="module")
def sft_pass(vectors: Vectors, fidelity: LineDataFidelity) -> tuple[Tensor, Tensor]:
    network = SFTNetwork(DCCNN(NETWORKS.teacher), DCCNN(NETWORKS.student))
    load_tensors(network.teacher, authors_state(vectors, "sft", "t"), origin="sft")
    load_tensors(network.student, authors_state(vectors, "sft", "s"), origin="sft")
    with torch.no_grad():
        teacher, branches = network(torch.from_numpy(vectors["zero_filled"]), fidelity)
    return teacher, branches


def test_sft_teacher(vectors: Vectors, sft_pass: tuple[Tensor, Tensor]) -> None:
    assert_image(sft_pass[0], vectors["sft/recon"])


@pytest.mark.parametrize("branch", [1, 2, 3, 4])
def test_sft_branch(vectors: Vectors, sft_pass: tuple[Tensor, Tensor], branch: int) -> None:
    assert len(sft_pass[1]) == 4
    assert_image(sft_pass[1][branch - 1], vectors[f"sft/branch{branch}"])


@pytest.mark.parametrize(
    ("normalisation", "imitation"),
    [("mean", "imitation_mean"), ("numel", "imitation_over_numel")],
)
def test_sft_losses(
    vectors: Vectors, sft_pass: tuple[Tensor, Tensor], normalisation: str, imitation: str
) -> None:
    target = torch.from_numpy(vectors["target"])
    found = [term.item() for term in sft_losses(*sft_pass, target, normalisation)]
    expected = [float(vectors[f"loss/sft/{n}"]) for n in ("teacher_rec", "student_rec", imitation)]
    assert found == pytest.approx(expected, rel=RELATIVE, abs=0)


@pytest.mark.parametrize(
    ("method", "form", "key"),
    [
        ("at", "authors", "reference"),
        ("fitnets", "authors", "reference"),
        ("cc", "authors", "reference"),
        ("fsp", "authors", "reference"),
        ("fsp", "authors", "reference_selection"),
        ("sp", "authors", "reference"),
        ("at", "original", "canonical"),
        ("fitnets", "original", "canonical_mid_cascade3_mse"),
        ("fsp", "original", "mid_cascades1to4"),
    ],
)
def test_distillation_loss(
    vectors: Vectors,
    passes: dict[str, tuple[Tensor, Features]],
    method: str,
    form: str,
    key: str,
) -> None:
    loss = build_loss(method, Method.model_validate({"form": form}), NETWORKS)
    student, teacher = (loss.summarise(passes[role][1]) for role in ("student", "teacher"))
    expected = float(vectors[f"loss/{method}/{key}"])
    compare = loss.compare_for_selection if key.endswith("selection") else loss.compare
    assert compare(student, teacher).item() == pytest.approx(expected, rel=RELATIVE, abs=0)


@pytest.mark.parametrize(
    ("metric", "key"),
    [("psnr_db", "psnr_volume"), ("ssim", "ssim_volume"), ("hfn", "hfn"), ("nmse", "nmse")],
)
def test_metric_of_zero_filling(vectors: Vectors, metric: str, key: str) -> None:
    target, image = vectors["target"][:, 0], vectors["zero_filled"][:, 0]
    peak = np.full(len(target), target.max(), dtype=np.float32)
    rows = pd.DataFrame({"patient": "p", "frame": "", "slice": range(len(target)), "volume": 0})
    (volume,) = measure(target, image, rows, peak)[1].to_dict("records")
    assert volume[metric] == pytest.approx(float(vectors[f"metric/zf/{key}"]), rel=RELATIVE, abs=0)
