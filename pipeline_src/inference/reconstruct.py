"""Reconstructs one volume with a trained network, a few slices at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.data.preparation import refuse_no_image
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import BATCH, through
from pipeline_src.inference import kspace
from pipeline_src.inference.fitting import Fit, OtherSize, fit
from pipeline_src.inference.masks import Chosen, as_samples, judged, mask_of_file, redrawn
from pipeline_src.inference.quality import Quality
from pipeline_src.inference.trained import Trained
from pipeline_src.inference.volumes import Array, Scratch, Volume
from pipeline_src.sampling.data_fidelity import DataFidelity, data_fidelity

#: Slices of the contact sheet.
SHOWN = 4


@dataclass(frozen=True)
class Options:
    """How volumes are reconstructed; None: as the model or the volume says.

    Attributes:
        mask: file of another mask than the model's or the volume's own.
        scale: number by which a volume is divided; None: its maximum.
        anyway: also reconstruct under a mask that the network was not trained for.
        batch: number of slices in memory at once.
    """

    other_size: OtherSize | None = None
    mask: Path | None = None
    order: kspace.Order = "fft"
    scale: float | None = None
    anyway: bool = False
    batch: int = BATCH


@dataclass(frozen=True)
class Plan:
    """A volume with all decisions that are made before its numbers are read."""

    volume: Volume
    fit: Fit
    chosen: Chosen

    @property
    def mode(self) -> Literal["retrospective", "prospective"]:
        """Whether a full image is undersampled here, or k-space was undersampled when it was
        measured.
        """
        return "retrospective" if self.volume.domain == "image" else "prospective"


@dataclass
class Result:
    """A reconstructed volume.

    Attributes:
        image: in the order of the file, in the units of the input.
        facts: scale, quality and seconds.
        shown: for each slice of the contact sheet its index, and images at the scale of the
            network: the input (None for k-space), zero-filled, reconstruction.
    """

    image: Array
    facts: dict[str, Any]
    shown: list[tuple[int, NDArray[np.float32] | None, NDArray[np.float32], NDArray[np.float32]]]


def plan(volume: Volume, trained: Trained, options: Options) -> Plan:
    """Decide on size and mask.

    Raises:
        InputError: the volume or its mask does not fit the network.
    """
    fitted = fit(volume, trained, options.other_size)
    found, whose = volume.mask, f"{volume.path}: mask"
    if options.mask is not None:
        found, whose = mask_of_file(options.mask), str(options.mask)
    if found is not None:
        samples = as_samples(found, fitted.matrix, whose)
        if volume.domain == "kspace":
            samples = kspace.mask_in_fft_order(samples, options.order)
            hint = "; or say with --kspace-order that k-space and mask are not in FFT order"
        else:
            hint = ""
        chosen = judged(samples, trained, whose, anyway=options.anyway, hint=hint)
        return Plan(volume, fitted, chosen)
    if volume.domain == "kspace":
        raise InputError(
            f"{volume.path}: is k-space without a mask; add the samples that were taken as `mask` "
            "to an .npz or HDF5 file, or give --mask FILE (.npy of 0 and 1)"
        )
    if fitted.kind == "redraw":
        mask = redrawn(trained, fitted.matrix)
        return Plan(volume, fitted, Chosen(mask, "redrawn for this size", _other_size(fitted)))
    remark = _other_size(fitted) if fitted.kind == "crop" else ""
    return Plan(volume, fitted, Chosen(trained.mask, "the model's", remark))


def _other_size(fitted: Fit) -> str:
    rows, columns = fitted.size
    done = {"redraw": "the mask was drawn for it", "crop": "it was cropped or padded"}
    return f"slices are of {rows}x{columns}, another size than the model's; {done[fitted.kind]}"


def reconstruct(
    plan: Plan,
    trained: Trained,
    options: Options,
    scratch: Scratch,
    device: torch.device,
    advance: Callable[[int], object] = lambda _: None,
) -> Result:
    """Reconstruct all slices; ``advance`` is called with the number of slices just done.

    A slice that is zero everywhere stays so.

    Raises:
        InputError: the volume's numbers cannot be used.
    """
    volume = plan.volume
    numbers = volume.view(volume.read(scratch))
    image = scratch(volume.shape, np.float32)
    out = volume.view(image)
    work = _Work(plan, trained, options, numbers)
    fidelity = data_fidelity(plan.chosen.mask).to(device)
    facts = work.survey()
    quality = Quality(work.peak) if volume.domain == "image" else None
    wanted = set(work.slices_to_show())
    result = Result(image, facts, [])
    seconds = 0.0
    for indices, planes in work.blocks():
        zero_filled = work.zero_filled(planes, fidelity, device)
        started = time.perf_counter()
        made = through(trained.network, zero_filled, fidelity)
        found = made[:, 0].cpu().numpy()
        seconds += time.perf_counter() - started
        measured = zero_filled[:, 0].cpu().numpy()
        # Nothing was measured in these slices; only the network's biases would be visible.
        found[~measured.any(axis=(1, 2))] = 0
        out[:, :, indices] = np.moveaxis(plan.fit.back(found) * np.float32(work.scale), 0, 2)
        for at, index in enumerate(indices.tolist()):
            target = planes[at] if quality else None
            if quality and target is not None:
                quality.add(index, target, found[at], measured[at])
            if index in wanted:
                result.shown.append((index, target, measured[at], found[at]))
        advance(len(planes))
    result.shown.sort(key=lambda one: one[0])
    facts["seconds_per_slice"] = seconds / out.shape[2]
    if quality:
        facts["quality"] = quality.summary()
    return result


@dataclass
class _Work:
    """The slices of one volume, block by block, at the scale of the network."""

    plan: Plan
    trained: Trained
    options: Options
    numbers: Array
    scale: float = 1.0
    peak: float = 1.0
    filled: list[int] = field(default_factory=list)

    def survey(self) -> dict[str, Any]:
        """Read all numbers once, and choose the scale."""
        volume = self.plan.volume
        if volume.domain == "kspace":
            samples = self.plan.chosen.mask.samples
            maximum, imaginary = kspace.survey(
                (planes for _, planes in self._read()), samples, str(volume.path)
            )
            of = "the maximum of the zero-filled volume"
            extra: dict[str, Any] = {"imaginary_share_of_amplitude": imaginary}
        else:
            maximum, of, extra = self._survey_image(), "the maximum of the volume", {}
        self.scale, told = maximum, of
        if volume.scale is not None:
            self.scale, told = volume.scale, "as the store has it"
        if self.options.scale is not None:
            self.scale, told = self.options.scale, "given"
        self.peak /= self.scale
        return {"scale": {"divided_by": self.scale, "is": told, "maximum": maximum}, **extra}

    def _survey_image(self) -> float:
        label = str(self.plan.volume.path)
        low, high, bad, self.peak = np.inf, -np.inf, 0, 0.0
        for indices, planes in self._read():
            finite = np.isfinite(planes)
            bad += int(planes.size - finite.sum())
            low, high = min(low, float(planes.min())), max(high, float(planes.max()))
            seen = self.plan.fit.to_network(planes)
            self.peak = max(self.peak, float(seen.max()))
            self.filled += indices[seen.any(axis=(1, 2))].tolist()
        refuse_no_image(label, bad=bad, low=low, high=high)
        if self.peak <= 0:
            raise InputError(f"{label}: is zero everywhere within the cropped part")
        return high

    def _read(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Blocks of slices `(slices, rows, columns)` as in the file, with their numbers; k-space in
        FFT order.
        """
        batch = self.options.batch
        for group in self.plan.volume.together:
            for start in range(0, len(group), batch):
                indices = group[start : start + batch]
                block = np.moveaxis(self.numbers[:, :, indices], 2, 0)
                if self.plan.volume.domain == "kspace":
                    ordered = kspace.in_fft_order(np.ascontiguousarray(block), self.options.order)
                    yield indices, ordered
                else:
                    # What is too large becomes infinite, which the survey refuses.
                    with np.errstate(over="ignore"):
                        planes = np.ascontiguousarray(block, dtype=np.float32)
                    yield indices, planes

    def blocks(self) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """The same blocks, divided by the scale and fitted to the network's size."""
        for indices, planes in self._read():
            scaled: NDArray[Any] = planes / self.scale
            yield (indices, scaled if np.iscomplexobj(scaled) else self.plan.fit.to_network(scaled))

    def zero_filled(
        self, planes: NDArray[Any], fidelity: DataFidelity, device: torch.device
    ) -> torch.Tensor:
        """Zero-filled images `(slices, 1, rows, columns)`."""
        if np.iscomplexobj(planes):
            measured = kspace.zero_filled(planes, self.plan.chosen.mask.samples)
            return torch.from_numpy(measured)[:, None].to(device)
        return fidelity.zero_filled(torch.from_numpy(planes)[:, None].to(device))

    def slices_to_show(self) -> list[int]:
        """Slices across the volume, from those that are not empty."""
        there = sorted(self.filled) or list(range(self.numbers.shape[2]))
        inner = np.linspace(0, len(there) - 1, SHOWN + 2).round().astype(int)[1:-1]
        if len(there) <= SHOWN:
            inner = np.arange(len(there))
        return list(dict.fromkeys(there[int(i)] for i in inner))
