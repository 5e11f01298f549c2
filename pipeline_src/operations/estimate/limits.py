"""Computes the memory and run time that a job requests from its cluster.

Requests are several times what a common machine needs, because too little costs another attempt,
which requests more. A training that runs out of time loses nothing: it saves its state and is
resumed in the next attempt.
"""

from __future__ import annotations

import math

from pipeline_src.operations.estimate.work import (
    MIB,
    SliceCounts,
    forward_multiply_adds,
    training_bytes,
    training_multiply_adds,
)
from pipeline_src.planning.plans import TrainingPlan

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


def training_memory(plan: TrainingPlan, slices: SliceCounts, gpu: bool, attempt: int) -> int:
    """Main memory for a training, in MiB.

    On a GPU its features are in GPU memory, but the data passes through main memory in either case.
    """
    process = GPU_PROCESS_MIB if gpu else PROCESS_MIB
    return attempt * (process + math.ceil(training_bytes(plan, slices) / MIB))


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
