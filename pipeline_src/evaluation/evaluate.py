"""Reconstructs the reported patients with one model, and measures every slice and volume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline_src.data.store import read_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation import metrics
from pipeline_src.evaluation.metric_tables import measure
from pipeline_src.evaluation.metrics_files import DATA_DIGITS, REPEATS
from pipeline_src.evaluation.subject import Subject
from pipeline_src.evaluation.unseen import refuse_patients_of_training
from pipeline_src.files import atomic_path
from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.weights import load_network
from pipeline_src.planning.places import MASK, PANEL, SLICES, STORE, VOLUMES
from pipeline_src.provenance.manifest import other_label
from pipeline_src.sampling.data_fidelity import DataFidelity, data_fidelity
from pipeline_src.sampling.masks import read_mask, require_labels, require_size
from pipeline_src.tabular import write_rows
from pipeline_src.tensors import as_batch

#: Slices that are reconstructed together, which affects the last bits.
BATCH = 8


class Evaluator:
    """Evaluates models on the reported patients of a data set under one mask.

    Args:
        labels: `dataset` and `acceleration`, the labels of the metrics.

    Raises:
        InputError: a file is missing or damaged, the files do not fit each other or the labels, or
            the store has no patients in this part.
    """

    def __init__(self, store: Path, mask: Path, part: str, labels: dict[str, str]) -> None:
        self._files = {STORE: store, MASK: mask}
        self._store, self._mask = read_store(store, parts=[part]), read_mask(mask)
        require_size(self._mask, mask, self._store.images.shape[1:], store)
        if min(self._mask.samples.shape) < metrics.SSIM_WINDOW:
            raise InputError(
                f"{store}: slices of {'x'.join(map(str, self._mask.samples.shape))} are smaller "
                f"than the window of SSIM, {metrics.SSIM_WINDOW}x{metrics.SSIM_WINDOW}"
            )
        require_labels(labels, self._store, self._mask, [store, mask])
        self._part, self._labels = part, labels
        # Further columns, of those who measure under other conditions.
        self._conditions: dict[str, str] = {}
        self._images, self._rows = self._store.part(part)
        if self._rows.empty:
            there = ", ".join(f"{name} {count}" for name, count in self._store.patients.items())
            raise InputError(f"{store}: has no patients in part {part!r}; there are {there}")
        self._data_range = self._store.volume_maxima(part)
        self._fidelity = data_fidelity(self._mask)
        self._repeats: dict[str, int] = {}
        for what, description, path in (
            ("split", self._store.description, store),
            ("mask", self._mask.description, mask),
        ):
            seed = description.get("repeat")
            if type(seed) is int:
                self._repeats[what] = seed
            elif seed is not None:
                raise InputError(
                    f"{path}: is of repeat {seed!r}, which is not a seed; make it again"
                )
        self._source: dict[str, str | float] = {
            "data": self._store.digest[:DATA_DIGITS],
            "mask": self._mask.digest[:DATA_DIGITS],
            "sampled": float(self._mask.samples.mean()),
            **self._of_repeats(),
        }

    @property
    def repeat(self) -> int | None:
        """The seed for which this store or mask was made; None if one serves all seeds.

        Raises:
            InputError: they were made for two different seeds.
        """
        seeds = sorted(set(self._repeats.values()))
        if len(seeds) > 1:
            files = " and ".join(map(str, self._files.values()))
            raise InputError(
                f"{files}: are those of seeds {' and '.join(map(str, seeds))}; give both of one"
            )
        return seeds[0] if seeds else None

    def _of_repeats(self) -> dict[str, str | int]:
        """The columns `results.REPEATS`, if the store or the mask was made for one seed only."""
        if self.repeat is None:
            return {}
        train = self._store.patients.get("train", 0)
        values = (" ".join(self._repeats), train if "split" in self._repeats else "")
        return dict(zip(REPEATS, values, strict=True))

    def refuse_foreign(self, subject: Subject) -> None:
        """Check that a model was trained on these data, so that its metrics may lie beside it.

        Raises:
            InputError: it was trained on another store or under another mask.
        """
        remedy = "give --output FOLDER to measure it on these"
        theirs = subject.made.data_digest or self._store.digest
        if theirs != self._store.digest:
            raise InputError(
                f"{subject.folder}: was trained on another store ({theirs[:12]}) than "
                f"{self._files[STORE]} ({self._store.digest[:12]}); {remedy}"
            )
        if not subject.was_trained_under(self._mask, self._files[MASK]):
            raise InputError(
                f"{subject.folder}: was trained under another mask than "
                f"{self._files[MASK]}; {remedy}"
            )
        if other := other_label(subject.made.get, self._labels):
            key, theirs, ours = other
            raise InputError(f"{subject.folder}: is of {key} {theirs}, not {ours}; {remedy}")

    def refuse_known(self, subject: Subject) -> str:
        """As `refuse_patients_of_training`, for the measured patients."""
        return refuse_patients_of_training(subject, self._store, self._files[STORE], self._part)

    def refuse_place(self, folder: Path) -> None:
        """Check that a folder does not belong to the results of other files: a study's store and
        masks lie above each of its models.

        Raises:
            InputError: it does.
        """
        for parent in folder.resolve().parents[:3]:
            for name, given in self._files.items():
                own = parent / name
                if own.exists() and not own.samefile(given):
                    raise InputError(
                        f"{folder}: lies in the results of {own}, not of {given}; give another "
                        "folder with --output"
                    )

    def evaluate(self, subject: Subject, output: Path) -> list[Path]:
        """Evaluate one model and write to the folder ``output``; returns the files written.

        Writes `slices.csv` and `volumes.csv`, one row per slice or volume with all metrics, the
        labels, those of the subject and `results.SOURCE`, and `panel.npz` with the slice that the
        figures show.
        """
        torch.set_num_threads(subject.threads)
        shown: list[NDArray[np.float32]] = []
        at = panel_slice(self._rows)

        def passing() -> Iterator[NDArray[np.float32]]:
            """The reconstructions; that of the figures is kept."""
            made = reconstruct(self._images, self._fidelity, subject.weights)
            for number, image in enumerate(made):
                if number == at:
                    shown.append(image.copy())
                yield image

        slices, volumes = self._measured(passing())
        for name, table in ((SLICES, slices), (VOLUMES, volumes)):
            write_rows(output / name, self._named(subject, table))
        self._write_panel(subject, output, at, shown[0], slices)
        return [output / name for name in (VOLUMES, SLICES, PANEL)]

    def _measured(
        self, reconstructions: Iterable[NDArray[np.float32]]
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """All metrics of the reconstruction `(rows, columns)` of each slice, per slice and per
        volume.

        Raises:
            InputError: the store was written to meanwhile.
        """
        tables = measure(self._images, reconstructions, self._rows, self._data_range)
        self._store.require_unchanged()
        return tables

    def _named(self, subject: Subject, table: pd.DataFrame) -> pd.DataFrame:
        """Metrics with the columns that say what they are of."""
        identity: dict[str, str | int | float] = {
            **self._labels,
            **self._conditions,
            **subject.labels,
            "part": self._part,
            **self._source,
        }
        return pd.concat([pd.DataFrame([identity] * len(table)), table], axis=1)

    def _write_panel(
        self,
        subject: Subject,
        output: Path,
        shown: int,
        image: NDArray[np.float32],
        slices: pd.DataFrame,
    ) -> None:
        with atomic_path(output / PANEL) as path, path.open("wb") as stream:
            np.savez(
                stream,
                target=self._images[shown],
                image=image,
                psnr_db=slices["psnr_db"][shown],
                ssim=slices["ssim"][shown],
                model=subject.labels["model"],
                training=subject.labels["training"],
                variant=subject.labels["variant"],
                patient=self._rows["patient"][shown],
                frame=self._rows["frame"][shown],
                slice=self._rows["slice"][shown],
                quarter_turns=self._store.description.get("display_quarter_turns", 0),
            )


@torch.no_grad()
def reconstruct(
    targets: NDArray[np.float32], fidelity: DataFidelity, weights: Path | None, batch: int = BATCH
) -> Iterator[NDArray[np.float32]]:
    """Undersample targets `(slices, rows, columns)` and reconstruct them; without weights,
    zero-fill.

    Yields `(rows, columns)` for each slice; ``batch`` of them are reconstructed together.
    """
    network = load_network(weights).eval() if weights else None
    for chunk in as_batch(targets).split(batch):
        yield from through(network, fidelity.zero_filled(chunk), fidelity)[:, 0].numpy()


@torch.no_grad()
def through(
    network: ReconstructionNetwork | None, zero_filled: Tensor, fidelity: DataFidelity
) -> Tensor:
    """Reconstruct zero-filled images `(batch, 1, rows, columns)`; without a network, return them as
    they are.

    The result has the same shape. The other images of a batch may affect the last bits.
    """
    return network(zero_filled, fidelity) if network else zero_filled


def panel_slice(rows: pd.DataFrame) -> int:
    """The slice that the figures show, as a position in the part whose index rows are given: the
    middle slice of the first volume, so that nobody chose it by its result.
    """
    first = rows.index[rows["volume"] == rows["volume"].iloc[0]]
    return int(first[len(first) // 2])
