"""Computes how much work a training is, from its plan and the number of slices, without torch, and
the memory and run time that a job requests from its cluster.

Requests are several times what a common machine needs, because too little costs another attempt,
which requests more. A training that runs out of time loses nothing: it saves its state and is
resumed in the next attempt.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline_src.config.networks import Network, OtherNetwork, feature_cascades
from pipeline_src.files import MOST_HELD
from pipeline_src.models.multiply_adds import counts, fidelity_multiply_adds
from pipeline_src.planning.plans import TrainingPlan

MIB = 2**20
#: A step is a forward pass, and gradients of images and of weights.
PASSES_OF_A_STEP = 3
#: Multiply-adds per second that even a slow machine computes: per CPU thread, and on a GPU.
SLOW_CPU_THREAD = 8e9
SLOW_GPU = 1e12
#: MiB of a process with all its libraries and the Snakemake that starts it, without and with a GPU.
PROCESS_MIB, GPU_PROCESS_MIB = 1500, 6000
#: Minutes that starting, loading and writing may take.
START_MINUTES = 10
#: Bytes per voxel while preparing: as stored, unpacked, in single precision, scaled, cropped.
BYTES_OF_VOXEL = 32
#: Slices of a large volume, and how often it is in memory while it is measured.
LARGE_VOLUME, COPIES_OF_VOLUME = 300, 8
#: Seconds for the figures of merit of one slice.
MERIT_SECONDS = 0.2


@dataclass(frozen=True)
class SliceCounts:
    """How many slices a data set has in each part, and of what size."""

    train: int
    validation: int
    test: int
    rows: int
    columns: int

    @property
    def total(self) -> int:
        """Slices of all parts."""
        return self.train + self.validation + self.test

    @property
    def bytes_of_one(self) -> int:
        """Bytes of one slice in single precision."""
        return 4 * self.rows * self.columns

    def held_bytes(self, count: int) -> int:
        """Bytes in memory of that many slices of a store; more stay in its file."""
        return min(count * self.bytes_of_one, MOST_HELD)

    @property
    def store_bytes(self) -> int:
        """Bytes of all slices."""
        return self.total * self.bytes_of_one


def slices_of_store(path: Path) -> SliceCounts:
    """Numbers of slices in a volume store; raises FileNotFoundError if it does not exist (yet)."""
    return _read_slices(path, path.stat().st_mtime_ns)


@lru_cache
def _read_slices(path: Path, _written: int) -> SliceCounts:
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        parts = Counter(row["part"] for row in json.loads(file["slices"][()]))
        rows, columns = file["images"].shape[1:]
    return SliceCounts(parts["train"], parts["validation"], parts["test"], int(rows), int(columns))


def forward_multiply_adds(
    network: Network | OtherNetwork, slices: SliceCounts, cascades: int | None = None
) -> int:
    """Multiply-adds for reconstructing one slice, with all or some of a network's cascades."""
    rows, columns = slices.rows, slices.columns
    whole = counts(network, rows, columns).multiply_adds
    whole += fidelity_multiply_adds(network, rows, columns)
    return whole if cascades is None else whole * cascades // feature_cascades(network)


def branch_cascades(plan: TrainingPlan) -> int:
    """Student cascades of all SFT branches: one branch leaves after each cascade but the last."""
    if plan.sft is None:
        return 0
    cascades = feature_cascades(plan.network)
    branches = plan.sft.losses.branches or cascades - 1
    return sum(cascades - left for left in range(1, branches + 1))


def training_multiply_adds(plan: TrainingPlan, slices: SliceCounts) -> int:
    """Multiply-adds of a whole training: every step, validation, and the frozen teacher once.

    In a feature stage all cascades are counted, even those that its loss does not need and that are
    not run (FitNets needs three of five): only the losses know which they are.
    """
    one = forward_multiply_adds(plan.network, slices)
    if plan.sft is not None:
        one += forward_multiply_adds(plan.sft.student, slices, branch_cascades(plan))
    epoch = one * (PASSES_OF_A_STEP * slices.train + slices.validation)
    total = epoch * plan.training.epochs * len(plan.stages)
    if plan.distillation is not None:
        teacher = forward_multiply_adds(plan.distillation.teacher, slices)
        total += teacher * (slices.train + slices.validation)
    return total


def activation_bytes(plan: TrainingPlan, slices: SliceCounts) -> int:
    """Bytes of the features that one step keeps for its gradients."""
    kept = counts(plan.network, slices.rows, slices.columns).activations
    if plan.sft is not None:
        student = plan.sft.student
        whole = counts(student, slices.rows, slices.columns).activations
        kept += whole * branch_cascades(plan) // feature_cascades(student)
    return kept * plan.training.batch_size * 4


def training_bytes(plan: TrainingPlan, slices: SliceCounts) -> int:
    """The most memory that a training holds beyond an idle process: training and validation parts,
    features, and for distillation the cached answers of the teacher.
    """
    held = slices.held_bytes(slices.train + slices.validation)
    # The features, their gradients and the convolutions' work space.
    held += 3 * activation_bytes(plan, slices)
    if plan.distillation is not None:
        remembered = (1 + feature_cascades(plan.network)) * slices.bytes_of_one
        allowed = plan.distillation.options.teacher_cache_mib * MIB
        held += min(allowed, remembered * (slices.train + slices.validation))
    return held


def training_memory(plan: TrainingPlan, slices: SliceCounts, gpu: bool, attempt: int) -> int:
    """Main memory for a training, in MiB.

    On a GPU its features are in GPU memory, but the data passes through main memory in either case,
    and images that are too many for that of the GPU lie there as a whole.
    """
    process = GPU_PROCESS_MIB if gpu else PROCESS_MIB
    needed = training_bytes(plan, slices)
    if gpu:
        used = slices.train + slices.validation
        needed += used * slices.bytes_of_one - slices.held_bytes(used)
    return attempt * (process + math.ceil(needed / MIB))


def training_minutes(plan: TrainingPlan, slices: SliceCounts, gpu: bool, attempt: int) -> int:
    """Run time for a training, in minutes."""
    rate = SLOW_GPU if gpu else SLOW_CPU_THREAD * plan.training.threads
    seconds = training_multiply_adds(plan, slices) / rate
    return attempt * (START_MINUTES + math.ceil(seconds / 60))


def evaluation_memory(slices: SliceCounts, attempt: int) -> int:
    """Memory for an evaluation in MiB; it holds the reported patients and the reconstructions of
    one volume, and reconstructs a few slices at a time.
    """
    reported = max(slices.test, slices.validation)
    held = slices.held_bytes(reported)
    held += COPIES_OF_VOLUME * min(reported, LARGE_VOLUME) * slices.bytes_of_one
    return attempt * (PROCESS_MIB + math.ceil(held / MIB))


def evaluation_minutes(
    plans: list[TrainingPlan], slices: SliceCounts, threads: int, attempt: int
) -> int:
    """Minutes for measuring models one after another on a CPU."""
    reported = max(slices.test, slices.validation)
    seconds = reported * MERIT_SECONDS * max(1, len(plans))
    for plan in plans:
        work = forward_multiply_adds(plan.network, slices) * reported
        seconds += work / (SLOW_CPU_THREAD * threads)
    return attempt * (START_MINUTES + math.ceil(seconds / 60))


def preparation_memory(voxels: int, attempt: int) -> int:
    """Memory for a preparation in MiB; it holds one volume at a time, so it depends on the
    largest.
    """
    return attempt * (PROCESS_MIB + math.ceil(BYTES_OF_VOXEL * voxels / MIB))


def preparation_minutes(source_mib: float, attempt: int) -> int:
    """Minutes for a preparation, at 0.2 MiB per second."""
    return attempt * (START_MINUTES + math.ceil(source_mib / 12))
