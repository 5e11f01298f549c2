"""Sets up a device, and reconstructs one volume with a trained network, a few slices at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.data.preparation import refuse_no_image
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import through
from pipeline_src.inference import kspace
from pipeline_src.inference.error_bound import Bounding, ErrorBound
from pipeline_src.inference.quality import Quality
from pipeline_src.inference.scales import chosen_scale
from pipeline_src.inference.trained import Trained
from pipeline_src.inference.volume_plan import Options, Plan
from pipeline_src.inference.volumes import Array, Scratch
from pipeline_src.models.dccnn import use_kernels
from pipeline_src.sampling.data_fidelity import DataFidelity, data_fidelity
from pipeline_src.tensors import as_batch
from pipeline_src.training.device import set_convolution_precision

#: Slices of the contact sheet.
SHOWN = 4


@dataclass(frozen=True)
class Shown:
    """A slice of the contact sheet, at the scale of the network.

    Attributes:
        target: the input; None for k-space.
        bound: of each pixel's error, where one is calibrated.
    """

    index: int
    target: NDArray[np.float32] | None
    zero_filled: NDArray[np.float32]
    image: NDArray[np.float32]
    bound: NDArray[np.float32] | None = None


@dataclass
class Result:
    """A reconstructed volume.

    Attributes:
        image: in the order of the file, in the units of the input.
        bound: of each pixel's error, likewise, where one is calibrated.
        facts: scale, quality and seconds.
        shown: slices of the contact sheet.
    """

    image: Array
    bound: Array | None
    facts: dict[str, Any]
    shown: list[Shown]


def place(wanted: str, threads: int) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`, set up so that runs are reproducible to the bit.

    Raises:
        InputError: CUDA is requested but there is none.
    """
    torch.set_num_threads(threads)
    seen = torch.cuda.is_available()
    if wanted == "cuda" and not seen:
        raise InputError("--device cuda: torch sees no CUDA device; give --device cpu")
    device = torch.device("cuda" if wanted != "cpu" and seen else "cpu")
    if device.type == "cuda":
        set_convolution_precision("ieee")
    return device


def use_convolutions(trained: Trained, kind: str, device: torch.device) -> None:
    """Use torch's convolutions (`library`), as in the evaluation, or the compiled ones.

    Raises:
        InputError: the compiled ones are not available.
    """
    if kind == "library":
        return
    try:
        use_kernels(trained.network, "fp32", device.type)
    except CompilationError as error:
        raise InputError(
            f"--convolutions compiled: they cannot be made here ({error}); give --convolutions "
            "library"
        ) from None


def reconstruct(
    plan: Plan,
    trained: Trained,
    options: Options,
    scratch: Scratch,
    device: torch.device,
    advance: Callable[[int], object] = lambda _: None,
    error_bound: ErrorBound | None = None,
) -> Result:
    """Reconstruct all slices; ``advance`` is called with the number of slices just done, and
    ``error_bound`` tells how far off each pixel may be.

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
    bounding = None if error_bound is None else Bounding(error_bound)
    bound = None if bounding is None else scratch(volume.shape, np.float32)
    result = Result(image, bound, facts, [])
    seconds = 0.0
    for indices, planes in work.blocks():
        zero_filled = work.zero_filled(planes, fidelity, device)
        started = time.perf_counter()
        made = through(trained.network, zero_filled, fidelity)
        found = made[:, 0].cpu().numpy()
        seconds += time.perf_counter() - started
        if not np.isfinite(found).all():
            raise InputError(f"{volume.path}: the network makes NaN or infinity of it")
        measured = zero_filled[:, 0].cpu().numpy()
        # Nothing was measured in these slices; only the network's biases would be visible.
        found[~measured.any(axis=(1, 2))] = 0
        out[:, :, indices] = np.moveaxis(plan.fit.back(found) * np.float32(work.scale), 0, 2)
        for at, index in enumerate(indices.tolist()):
            # What was padded is no image, and counts for nothing.
            one, filled = plan.fit.common(found[at]), plan.fit.common(measured[at])
            target = plan.fit.common(planes[at]) if quality else None
            if quality and target is not None:
                quality.add(index, target, one, filled)
            limit = None
            if bounding is not None and bound is not None:
                limit = bounding.of(one, filled, target)
                volume.view(bound)[:, :, index] = limit * np.float32(work.scale)
            if index in wanted:
                result.shown.append(Shown(index, target, filled, one, limit))
        advance(len(planes))
    result.shown.sort(key=lambda one: one.index)
    facts["seconds_per_slice"] = seconds / out.shape[2]
    if quality:
        facts["quality"] = {"over": plan.over, **quality.summary()}
    if bounding is not None:
        facts["error_bound"] = bounding.summary()
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
                (planes for _, planes in self._read()),
                samples,
                str(volume.path),
                self.options.order,
            )
            extra: dict[str, Any] = {"imaginary_share_of_amplitude": imaginary}
        else:
            maximum, extra = self._survey_image(), {}
        bounded = self.options.error_bound is not None
        self.scale, told = chosen_scale(volume, maximum, self.options.scale, bounded=bounded)
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
            return as_batch(measured).to(device)
        return fidelity.zero_filled(as_batch(planes).to(device))

    def slices_to_show(self) -> list[int]:
        """Slices across the volume, from those that are not empty."""
        there = sorted(self.filled) or list(range(self.numbers.shape[2]))
        inner = np.linspace(0, len(there) - 1, SHOWN + 2).round().astype(int)[1:-1]
        if len(there) <= SHOWN:
            inner = np.arange(len(there))
        return list(dict.fromkeys(there[int(i)] for i in inner))
