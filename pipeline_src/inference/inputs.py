"""Finds the files to reconstruct: given one by one, in folders, or by patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline_src.data.data_files import (
    is_hidden,
    matching,
    refuse_absent,
    refuse_no_utf8,
    refuse_unfinished,
)
from pipeline_src.errors import InputError
from pipeline_src.inference.array_kinds import hdf5_input, npy_input, npz_input, sample_input
from pipeline_src.inference.bundle_files import SAMPLE
from pipeline_src.inference.left_out import LeftOut
from pipeline_src.inference.nifti_kind import nifti_input
from pipeline_src.inference.volumes import Volume

SUFFIXES = (".nii.gz", ".nii", ".npy", ".npz", ".h5", ".hdf5")


def list_inputs(
    given: Sequence[str],
    pattern: str = "**/*",
    output: Path | None = None,
    left_out: LeftOut | None = None,
) -> list[tuple[Path, Path]]:
    """Files, each with its name below the output folder, without a suffix.

    From a folder, all files of a known kind below it that ``pattern`` matches are taken, except
    hidden ones and those in ``output``. A text with `*`, `?` or `[` that is not the name of a file
    is used as a pattern. ``left_out`` takes the errors of single files.

    Raises:
        InputError: there is no file, one is of an unknown kind, only a placeholder or of a name
            that is no UTF-8, or two would have the same name.
    """
    left_out = left_out or LeftOut(keep_going=False)
    found: list[tuple[Path, Path]] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            files = [p for p in matching(path, pattern) if suffix_of(p) and not p.is_dir()]
            if output is not None:
                results, there = output.resolve(), files
                files = [p for p in there if not p.parent.resolve().is_relative_to(results)]
                if there and not files:
                    raise InputError(
                        f"--output {output}: holds the files of {path}, and what lies in it is "
                        "never an input; give another folder"
                    )
            found += [(p, p.relative_to(path)) for p in files]
            if not files:
                raise InputError(
                    f"{path}: holds no file of a known kind that matches {pattern!r} "
                    f"({', '.join(SUFFIXES)}); see --pattern"
                )
        elif not path.exists() and not path.is_symlink() and glob.has_magic(text):
            files = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
            files = [p for p in files if p.is_file() and not is_hidden(p)]
            if not files:
                raise InputError(f"{text}: no file matches this pattern")
            found += [(p, Path(p.name)) for p in files]
        else:
            found.append((path, Path(path.name)))
    # Of a file that is given twice, the first. Two links to one file are two inputs.
    once = {Path(os.path.realpath(p.parent), p.name): (p, below) for p, below in reversed(found)}
    given_once = list(reversed(once.values()))
    usable: list[tuple[Path, Path]] = []
    for group in [[one] for one in given_once] if left_out.keep_going else [given_once]:
        with left_out():
            refuse_unfinished([path for path, _ in group])
            refuse_absent([path for path, _ in group], otherwise="")
            refuse_no_utf8(path for path, _ in group)
            usable += group
    named: dict[Path, Path] = {}
    for path, below in usable:
        with left_out():
            name = _without_suffix(path, below)
            if name in named:
                raise InputError(
                    f"{path}: its output would be named {name}, like that of {named[name]}; rename "
                    "one of them, or give them one at a time, with an output folder each"
                )
            named[name] = path
    return [(path, name) for name, path in named.items()]


def _without_suffix(path: Path, below: Path) -> Path:
    suffix = path.suffix if path.name == SAMPLE else suffix_of(path)
    if not suffix:
        raise InputError(
            f"{path}: is of an unknown kind; give {', '.join(SUFFIXES)}, a folder of "
            f"these, or the {SAMPLE} of a bundle"
        )
    return below.with_name(below.name[: -len(suffix)])


def suffix_of(path: Path) -> str:
    """The suffix of a file of a known kind; empty for other files."""
    return next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")


def open_input(path: Path, name: Path, slice_axis: int, orientation: str | None) -> Volume:
    """Open a file without reading its numbers.

    Raises:
        InputError: it cannot be read, or holds no image or k-space.
    """
    if path.name == SAMPLE:
        return sample_input(path, name)
    match suffix_of(path):
        case ".nii" | ".nii.gz":
            volume = nifti_input(path, name, slice_axis, orientation)
        case ".npy":
            volume = npy_input(path, name, slice_axis)
        case ".npz":
            volume = npz_input(path, name, slice_axis)
        case _:
            volume = hdf5_input(path, name, slice_axis)
    return replace(volume, slicing=(slice_axis, orientation))


def is_nifti(path: Path) -> bool:
    """Whether a file is called like a NIfTI file."""
    return suffix_of(path) in (".nii", ".nii.gz")
