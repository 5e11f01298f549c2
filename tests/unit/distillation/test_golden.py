"""Losses on small fixed inputs against values that are worked out here, without their code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from pipeline_src.config.distillation import Method
from pipeline_src.config.networks import Network, Networks
from pipeline_src.distillation.base import build_loss
from pipeline_src.models.taps import Tap
from pipeline_src.training.objectives import sft_losses

Array = NDArray[np.float64]
Arrays = Mapping[tuple[str, int], Array]

NETWORKS = Networks(
    teacher=Network(depth=5, cascades=5, features=3),
    student=Network(depth=3, cascades=5, features=3),
)
BATCH, CHANNELS, ROWS, COLUMNS = 3, 3, 4, 5


def fixed(phase: float) -> Arrays:
    """Features of five cascades; sines, so that no random stream shapes them."""
    features = {}
    for k in range(1, 6):
        for place, channels in (("mid", CHANNELS), ("out", 1), ("image", 1)):
            count = BATCH * channels * ROWS * COLUMNS
            wave = np.sin(1.7 * np.arange(count) + phase + 0.6 * k)
            wave = wave.reshape(BATCH, channels, ROWS, COLUMNS)
            features[place, k] = np.maximum(wave, 0) if place == "mid" else wave
    return features


STUDENT, TEACHER = fixed(0.3), fixed(1.1)


def loss_value(
    method: str,
    form: str | None,
    student: Arrays,
    teacher: Arrays,
    selection: bool = False,
    **options: object,
) -> float:
    loss = build_loss(method, Method.model_validate({"form": form, **options}), NETWORKS)

    def features(arrays: Arrays) -> dict[Tap, torch.Tensor]:
        return {tap: torch.from_numpy(arrays[tap.place, tap.cascade]) for tap in loss.taps()}

    compare = loss.compare_for_selection if selection else loss.compare
    return compare(loss.summarise(features(student)), loss.summarise(features(teacher))).item()


def energy(feature: Array) -> Array:
    """Sum over channels of squares, `(batch, rows, columns)`."""
    out = np.zeros((len(feature), *feature.shape[2:]))
    for channel in range(feature.shape[1]):
        out += feature[:, channel] ** 2
    return out


def over_batch(maps: Array) -> Array:
    """Each pixel's values divided by their length over the batch."""
    length = np.sqrt((maps**2).sum(axis=0))
    return np.divide(maps, length, out=np.zeros_like(maps), where=length > 0)


def attention_authors(student: Array, teacher: Array) -> float:
    return float(np.mean(np.abs(over_batch(energy(student)) - over_batch(energy(teacher)))))


def attention_original(student: Array, teacher: Array) -> float:
    total, count = 0.0, 0
    for s, t in zip(energy(student) / CHANNELS, energy(teacher) / CHANNELS, strict=True):
        difference = s / np.sqrt((s**2).sum()) - t / np.sqrt((t**2).sum())
        total += float((difference**2).sum())
        count += difference.size
    return total / count


def congruence_authors(student: Array, teacher: Array) -> float:
    difference = np.abs(student - teacher)
    values = []
    for b in range(BATCH - 1):
        for row in range(ROWS):
            for column in range(COLUMNS):
                pair = difference[b, :, row, column] * difference[b + 1, :, row, column]
                values.append(pair.sum())
    return float(np.mean(values))


def correlations(feature: Array) -> Array:
    """Second-order Taylor expansion of exp(-0.4 |x - y|^2) for unit vectors x and y."""
    unit = [f.ravel() / np.linalg.norm(f) for f in feature]
    out = np.zeros((BATCH, BATCH))
    for a in range(BATCH):
        for b in range(BATCH):
            product = float(unit[a] @ unit[b])
            out[a, b] = math.exp(-0.8) * (1 + 0.8 * product + 0.8**2 / 2 * product**2)
    return out


def congruence_original(student: Array, teacher: Array) -> float:
    return float(((correlations(student) - correlations(teacher)) ** 2).sum() / BATCH**2)


def gram(first: Array, second: Array) -> Array:
    out = np.zeros((BATCH, first.shape[1], second.shape[1]))
    for b, m, n in np.ndindex(*out.shape):
        out[b, m, n] = (first[b, m] * second[b, n]).sum() / (ROWS * COLUMNS)
    return out


def similarities(feature: Array) -> Array:
    flat = feature.reshape(BATCH, -1)
    matrix = flat @ flat.T
    return np.stack([row / np.sqrt((row**2).sum()) for row in matrix])


def similarity(student: Array, teacher: Array) -> float:
    return float(((similarities(student) - similarities(teacher)) ** 2).sum() / BATCH**2)


def over(place: str, cascades: range | list[int], formula: object) -> float:
    assert callable(formula)
    return float(np.mean([formula(STUDENT[place, k], TEACHER[place, k]) for k in cascades]))


def squared(feature: Array) -> Array:
    return (feature**2).sum(axis=1, keepdims=True)


def squared_over_batch(feature: Array) -> Array:
    energy = squared(feature)
    return energy / np.sqrt((energy**2).sum(axis=0, keepdims=True))


def flow(place: str, of: Callable[[Array], Array]) -> float:
    terms = []
    for k in (1, 2, 3):
        student = gram(of(STUDENT[place, k]), of(STUDENT[place, k + 1]))
        teacher = gram(of(TEACHER[place, k]), of(TEACHER[place, k + 1]))
        terms.append(np.mean((student - teacher) ** 2))
    return float(np.mean(terms))


GOLDEN = {
    ("at", "authors"): over("mid", range(1, 6), attention_authors),
    ("at", "original"): over("mid", range(1, 6), attention_original),
    ("fitnets", "authors"): over("out", [3], attention_authors),
    ("fitnets", "original"): over("mid", [3], lambda s, t: np.mean((s - t) ** 2)),
    ("cc", "authors"): over("out", range(1, 6), congruence_authors),
    ("cc", "original"): over("out", range(1, 6), congruence_original),
    ("fsp", "authors"): flow("out", squared),
    ("fsp", "original"): flow("mid", lambda feature: feature),
    ("sp", "authors"): over("out", range(1, 5), similarity),
    ("sp", "original"): over("mid", range(1, 5), similarity),
    ("imitation", None): over("image", [5], lambda s, t: np.mean(np.abs(s - t))),
}


@pytest.mark.parametrize(("method", "form"), GOLDEN)
def test_loss_equals_its_formula(method: str, form: str | None) -> None:
    assert GOLDEN[method, form] > 1e-6
    assert loss_value(method, form, STUDENT, TEACHER) == pytest.approx(
        GOLDEN[method, form], rel=1e-9
    )


SELECTION = {key: value for key, value in GOLDEN.items() if key != ("fsp", "authors")} | {
    ("fsp", "authors"): flow("out", squared_over_batch)
}


@pytest.mark.parametrize(("method", "form"), SELECTION)
def test_loss_that_selects_the_weights(method: str, form: str | None) -> None:
    assert loss_value(method, form, STUDENT, TEACHER, selection=True) == pytest.approx(
        SELECTION[method, form], rel=1e-9
    )


def one_pixel(place: str, *cascades: list[float]) -> Arrays:
    """One channel and one pixel: cascade k holds one number per slice."""
    return {
        (place, k): np.array(values).reshape(-1, 1, 1, 1)
        for k, values in enumerate(cascades, start=1)
    }


# Worked by hand: (method, place, student's numbers, teacher's numbers, loss).
BY_HAND = [
    # Squares 9, 16 and 16, 9 have length sqrt(337); the maps differ by 7 in both slices.
    ("at", "mid", [[3.0, 4.0]], [[4.0, 3.0]], 7 / math.sqrt(337)),
    ("fitnets", "out", [[3.0, 4.0]], [[-4.0, 3.0]], 7 / math.sqrt(337)),
    # D = 1, 2, 3; neighbours 1 x 2 and 2 x 3.
    ("cc", "out", [[1.0, 0.0, 5.0]], [[0.0, 2.0, 2.0]], 4.0),
    # Products of the two cascades' squares: 4, 144 and 25, 196.
    ("fsp", "out", [[1.0, 3.0], [2.0, 4.0]], [[5.0, 2.0], [1.0, 7.0]], (21**2 + 52**2) / 2),
    # Rows (0.6, 0.8) twice, and (1, 0), (0, 0).
    ("sp", "out", [[3.0, 4.0]], [[1.0, 0.0]], (0.16 + 0.64 + 0.36 + 0.64) / 4),
]


@pytest.mark.parametrize(("method", "place", "student", "teacher", "expected"), BY_HAND)
def test_authors_form_equals_a_value_worked_by_hand(
    method: str,
    place: str,
    student: list[list[float]],
    teacher: list[list[float]],
    expected: float,
) -> None:
    value = loss_value(
        method, "authors", one_pixel(place, *student), one_pixel(place, *teacher), cascades=[1]
    )
    assert value == pytest.approx(expected, rel=1e-12)


def test_cascades_are_averaged_not_summed() -> None:
    student, teacher = one_pixel("out", [1.0, 1.0], [0.0, 0.0]), one_pixel("out", *[[0.0] * 2] * 2)
    assert loss_value("cc", "authors", student, teacher, cascades=[1]) == 1.0
    assert loss_value("cc", "authors", student, teacher, cascades=[1, 2]) == 0.5


def images(count: int, phase: float) -> Array:
    return np.sin(0.9 * np.arange(count * ROWS * COLUMNS) + phase).reshape(count, 1, ROWS, COLUMNS)


@pytest.mark.parametrize("normalisation", ["mean", "numel"])
def test_sft_losses_equal_their_formulas(normalisation: str) -> None:
    teacher, target = images(BATCH, 0.2), images(BATCH, 1.5)
    branches = np.stack([images(BATCH, 2.0 + i) for i in range(4)])
    student = np.mean([np.mean(np.abs(branch - target)) for branch in branches])
    imitation = np.mean([np.mean(np.abs(branch - teacher)) for branch in branches])
    if normalisation == "numel":
        imitation /= BATCH * ROWS * COLUMNS
    expected = [np.mean(np.abs(teacher - target)), student, imitation]
    found = sft_losses(
        torch.from_numpy(teacher),
        torch.from_numpy(branches),
        torch.from_numpy(target),
        normalisation,
    )
    assert [term.item() for term in found] == pytest.approx(expected, rel=1e-12)


def test_sft_losses_worked_by_hand() -> None:
    target = torch.zeros(2, 1, 1, 1)
    teacher = torch.tensor([1.0, 3.0]).view(2, 1, 1, 1)
    branches = torch.tensor([[2.0, 2.0], [5.0, -1.0]]).view(2, 2, 1, 1, 1)
    # |teacher| 1, 3; |branches| 2, 2, 5, 1; from the teacher 1, 1, 4, 4, and two elements.
    mean = [term.item() for term in sft_losses(teacher, branches, target, "mean")]
    numel = [term.item() for term in sft_losses(teacher, branches, target, "numel")]
    assert mean == [2.0, 2.5, 2.5]
    assert numel == [2.0, 2.5, 1.25]
