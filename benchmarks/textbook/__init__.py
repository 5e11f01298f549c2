"""The training step as from the textbook: what the benchmark compares the engine with.

Ordinary PyTorch after the paper and the authors' published scripts, written without the
pipeline's code: each sample read from its HDF5 file when it is asked for, the library's
convolutions in their default layout, data fidelity by 2-D FFT on complex k-space, one branch of
student-friendly training after the other, the frozen teacher run anew in every step, Adam with
its default arguments. The losses are those of the engine up to rounding.
"""

from benchmarks.textbook.data import Sample, VolumeSlices, slice_loader, write_volumes
from benchmarks.textbook.networks import DataFidelity, TextbookDCCNN, copy_weights
from benchmarks.textbook.steps import KINDS, NETWORKS, build

__all__ = [
    "KINDS",
    "NETWORKS",
    "DataFidelity",
    "Sample",
    "TextbookDCCNN",
    "VolumeSlices",
    "build",
    "copy_weights",
    "slice_loader",
    "write_volumes",
]
