"""Calibrates the bound of a trained network's errors on patients that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls

from pipeline_src.config.error_bounds import ROUNDING, too_few
from pipeline_src.data.store import Store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import BATCH, through
from pipeline_src.files import sha256_file
from pipeline_src.inference.error_bound import (
    LEAST,
    Covered,
    ErrorBound,
    Scale,
    Slice,
    foreground,
    parts_of_scale,
)
from pipeline_src.inference.trained import Trained
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.tensors import as_batch

#: Training slices, and pixels of them, by which the parts of the scale are weighed.
SLICES, PIXELS = 256, 200_000


def calibrate(
    trained: Trained, store: Store, origin: Path, pixels: float, patients: float
) -> ErrorBound:
    """Calibrate a bound on the validation patients of a store, and try it on its test patients.

    Args:
        trained: the network, whose mask fits the store.
        store: with the parts `train`, `validation` and `test`; the last may be empty.
        origin: the store's file, for messages.
        pixels: share of a patient's foreground that is to lie within the bound.
        patients: share of the patients of whom that is to be true.

    Raises:
        InputError: the store has too few validation patients for that, or no training slices.
    """
    count = store.patients.get("validation", 0)
    if rank(count, patients) > count:
        raise InputError(f"--patients {too_few(patients, count)} in {origin}")
    scale = _weighed(trained, store.part("train")[0], origin)
    factors = []
    for _, errors, scales in _by_patient(trained, store, "validation", scale):
        within = np.sort(errors / scales)
        factors.append(within[math.ceil(pixels * len(within)) - 1])
    factor = float(np.sort(factors)[rank(count, patients) - 1])
    tried = [
        Covered(
            patient=patient,
            covered=float((errors <= factor * scales).mean()),
            error=float(errors.mean()),
            bound=float(factor * scales.mean()),
        )
        for patient, errors, scales in _by_patient(trained, store, "test", scale)
    ]
    seed = trained.made.get("seed")
    return ErrorBound(
        model=trained.config.model,
        dataset=trained.config.dataset,
        acceleration=trained.config.acceleration,
        seed=None if seed is None else int(seed),
        weights_sha256=sha256_file(trained.weights),
        mask_sha256=trained.mask.digest,
        pixels=pixels,
        patients=patients,
        calibration_patients=count,
        scale=scale,
        factor=max(factor, LEAST),
        tried_on=tried,
    )


def _reconstructed(
    trained: Trained, images: NDArray[np.float32]
) -> Iterator[tuple[Slice, Slice, Slice]]:
    """Slices `(slices, rows, columns)` one by one: as it is, reconstructed, and zero-filled."""
    torch.set_num_threads(trained.config.threads)
    fidelity = data_fidelity(trained.mask)
    for block in np.split(images, range(BATCH, len(images), BATCH)):
        zero_filled = fidelity.zero_filled(as_batch(block))
        made = through(trained.network, zero_filled, fidelity)
        yield from zip(block, made[:, 0].numpy(), zero_filled[:, 0].numpy(), strict=True)


def _weighed(trained: Trained, images: NDArray[np.float32], origin: Path) -> Scale:
    """The scale whose parts, none of them negative, are nearest to the errors of slices
    `(slices, rows, columns)`, in the sense of least squares.
    """
    if not len(images):
        raise InputError(f"{origin}: has no training slices, which weigh the parts of the scale")
    chosen = np.unique(np.linspace(0, len(images) - 1, SLICES).astype(int))
    each = max(1, PIXELS // len(chosen))
    parts, errors = [], []
    for target, image, zero_filled in _reconstructed(trained, images[chosen]):
        there = np.flatnonzero(foreground(image))
        there = there[:: max(1, math.ceil(len(there) / each))]
        parts.append(parts_of_scale(image, zero_filled).reshape(4, -1)[:, there].T)
        errors.append(np.abs(image - target).ravel()[there])
    weights, _ = nnls(np.concatenate(parts), np.concatenate(errors))
    return Scale(**dict(zip(Scale.model_fields, map(float, weights), strict=True)))


def _by_patient(
    trained: Trained, store: Store, part: str, scale: Scale
) -> Iterator[tuple[str, NDArray[np.float64], NDArray[np.float64]]]:
    """Each patient of a part with the errors and the scales of all pixels of the foreground."""
    images, rows = store.part(part)
    whose = rows["patient"].to_numpy()
    for patient in dict.fromkeys(whose):
        errors, scales = [], []
        for target, image, zero_filled in _reconstructed(trained, images[whose == patient]):
            there = foreground(image)
            errors.append(np.abs(image.astype(np.float64) - target)[there])
            scales.append(scale.of(image, zero_filled)[there])
        if not sum(map(len, errors)):
            raise InputError(f"patient {patient!r}: is reconstructed as background alone")
        yield str(patient), np.concatenate(errors), np.concatenate(scales)


def refuse_other_network(bound: ErrorBound, path: Path, trained: Trained) -> None:
    """Refuse a bound that was calibrated for other weights or under another mask.

    Raises:
        InputError: it was.
    """
    if bound.weights_sha256 != sha256_file(trained.weights):
        raise InputError(
            f"{path}: was calibrated for other weights ({bound.model}, {bound.dataset} "
            f"{bound.acceleration}) than those of {trained.folder}"
        )
    if bound.mask_sha256 != trained.mask.digest:
        raise InputError(f"{path}: was calibrated under another mask than that of {trained.folder}")


def rank(count: int, patients: float) -> int:
    """Which of the factors of ``count`` patients, in order and from 1, promises a share of further
    patients; more than ``count`` where none does.
    """
    return math.ceil((count + 1) * patients - ROUNDING)
