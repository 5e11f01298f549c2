"""Measuring trained models under a shift: other masks, noise, intensities or images than those of
their training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline_src.config.setting import acceleration_factor
from pipeline_src.config.shifts import Family, Shift
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import BATCH, Evaluator, through
from pipeline_src.evaluation.metrics_files import DATA_DIGITS
from pipeline_src.evaluation.subject import Subject
from pipeline_src.models.weights import load_network
from pipeline_src.provenance.manifest import other_label
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.families import draw_samples
from pipeline_src.sampling.masks import Mask, described_mask, read_mask
from pipeline_src.tensors import as_batch

#: What is drawn for shifts; each has a stream of its own. The order must stay.
STREAMS = ("seed", "acceleration", "noise", *get_args(Family))
SHIFT = "shift"


def generator(shift: Shift, seed: int, *size: int) -> np.random.Generator:
    """What a shift draws from: the seed, its kind or family, and for a mask its number and size.

    All levels of noise draw the same noise, so that they differ in size alone.
    """
    stream = STREAMS.index(shift.value if shift.kind == "family" else shift.kind)
    number = int(shift.value) if shift.kind == "seed" else 0
    return np.random.default_rng([seed, stream, number, *size])


def shifted_mask(shift: Shift, trained: Mask, seed: int, center_lines: int, factor: int) -> Mask:
    """The mask of a shift, at the acceleration of the training unless it is a shift of that.

    Raises:
        InputError: fewer lines than ``center_lines`` would be sampled.
    """
    rows, columns = trained.samples.shape
    factor = int(shift.value) if shift.kind == "acceleration" else factor
    family = shift.value if shift.kind == "family" else "kt_focus"
    if not max(center_lines, 1) <= rows // factor:
        raise InputError(
            f"{shift.name}: {factor}x leaves {rows // factor} of {rows} lines, and center_lines "
            f"are {center_lines}; use a lower acceleration or fewer center_lines"
        )
    rng = generator(shift, seed, rows, columns, factor)
    samples = draw_samples(family, (rows, columns), factor, center_lines, rng)
    return described_mask(
        samples,
        {"kind": "shift", "shift": shift.name, "seed": seed, "center_lines": center_lines},
    )


def noise_image(
    mask: Mask, deviations: NDArray[np.floating], rng: np.random.Generator
) -> NDArray[np.float32]:
    """What noise in the sampled k-space adds to zero-filled images: Re F^H M n.

    F is orthonormal; n is complex, its real and its imaginary part Gaussian of the standard
    deviation of each image.

    Args:
        mask: which samples are measured.
        deviations: `(images,)`.
        rng: what draws the noise.

    Returns:
        `(images, rows, columns)`.
    """
    size = (len(deviations), *mask.samples.shape)
    noise = rng.standard_normal(size) + 1j * rng.standard_normal(size)
    image = np.fft.ifft2(noise * mask.samples, norm="ortho").real
    added: NDArray[np.float32] = (image * deviations[:, None, None]).astype(np.float32)
    return added


class ShiftedEvaluator(Evaluator):
    """The reported patients of a data set under one shift.

    Args:
        store: of the models' training, or of a shift's other images.
        mask: of the models' training.
        labels: `dataset` and `acceleration` of the training.
        seed: of what is drawn.
        center_lines: lowest frequencies that drawn masks always sample.

    Raises:
        InputError: as `Evaluator`, or the store is not the shift's, or its mask cannot be drawn.
    """

    def __init__(
        self,
        store: Path,
        mask: Path,
        part: str,
        labels: dict[str, str],
        shift: Shift,
        seed: int,
        center_lines: int,
    ) -> None:
        of_data = shift.kind == "data"
        super().__init__(
            store, mask, part, {"acceleration": labels["acceleration"]} if of_data else labels
        )
        own = self._store.description.get("dataset")
        if of_data and own not in (None, shift.value):
            raise InputError(
                f"{store}: is of data set {own}; --shift {shift.name} takes that of {shift.value}"
            )
        self._shift, self._seed, self._trained = shift, seed, read_mask(mask)
        self._labels, self._conditions = labels, {SHIFT: shift.name}
        if shift.draws_mask:
            try:
                factor = acceleration_factor(labels["acceleration"])
            except ValueError as error:
                raise InputError(f"--acceleration: {error}") from None
            self._mask = shifted_mask(shift, self._trained, seed, center_lines, factor)
            self._fidelity = data_fidelity(self._mask)
            self._source |= {
                "mask": self._mask.digest[:DATA_DIGITS],
                "sampled": float(self._mask.samples.mean()),
            }

    def refuse_other_training(self, subject: Subject) -> None:
        """Refuse a model whose training the shift would not be told from.

        Raises:
            InputError: it was trained under another mask, in another setting, or on another store
                although the shift is not one of images.
        """
        made, files = subject.made, self._files
        if not subject.was_trained_under(self._trained, files["mask.npz"]):
            raise InputError(
                f"{subject.folder}: was trained under another mask than {files['mask.npz']}; give "
                "that of its training, which the shift is told from"
            )
        if other := other_label(made.get, self._labels):
            key, theirs, ours = other
            raise InputError(f"{subject.folder}: is of {key} {theirs}, not {ours}")
        digest = made.data_digest or self._store.digest
        if self._shift.kind != "data" and digest != self._store.digest:
            raise InputError(
                f"{subject.folder}: was trained on another store ({digest[:12]}) than "
                f"{files['volumes.h5']} ({self._store.digest[:12]}); give that one, or the shift "
                "data_NAME"
            )

    def volumes(self, subjects: Sequence[Subject]) -> pd.DataFrame:
        """All metrics of subjects, one row per subject and volume, as `volumes.csv` has them with
        the column `shift`."""
        tables = []
        for subject in subjects:
            torch.set_num_threads(subject.threads)
            _, measured = self._measured(self._reconstructions(subject))
            tables.append(self._named(subject, measured))
        return pd.concat(tables, ignore_index=True)

    @torch.no_grad()
    def _reconstructions(self, subject: Subject) -> Iterator[NDArray[np.float32]]:
        """`(rows, columns)` for each slice, at the intensities of the targets."""
        network = load_network(subject.weights).eval() if subject.weights else None
        scale = float(self._shift.value) if self._shift.kind == "scale" else 1.0
        rng = generator(self._shift, self._seed) if self._shift.kind == "noise" else None
        for start in range(0, len(self._images), BATCH):
            these = slice(start, start + BATCH)
            target = as_batch(self._images[these])
            zero_filled = self._fidelity.zero_filled(target)
            if rng is not None:
                deviations = float(self._shift.value) * self._data_range[these]
                added = noise_image(self._mask, deviations, rng)
                zero_filled = zero_filled + as_batch(added)
            image = through(network, zero_filled * scale, self._fidelity)
            yield from (image / scale)[:, 0].numpy()
