"""Finds finished trainings by their digest, and keeps them while Snakemake may not know about them.

When Snakemake starts a job again, it first deletes the outputs of a run whose end it has not seen.
The result of a training that ended while no Snakemake was running would be lost; it is set aside
beforehand, and the training itself puts it back if it is still the same.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.planning.places import MANIFEST, MODEL_FOLDERS, STUDENT_WEIGHTS, WEIGHTS, history
from pipeline_src.provenance.manifest import Manifest

NAME = "finished"
#: The files that a training writes; other names in a manifest are ignored.
_STAGE = "STAGE"
_OUTPUT = re.compile(
    "|".join(
        re.escape(name).replace(_STAGE, r"\w+")
        for name in (WEIGHTS, STUDENT_WEIGHTS, history(_STAGE))
    ),
    re.ASCII,
)


def is_complete(folder: Path, digest: str) -> bool:
    """Whether the folder holds the whole result of the training that has this digest."""
    manifest = _manifest(folder)
    names = _files(manifest)
    if folder.is_symlink() or not names or not all(_is_own_file(folder / name) for name in names):
        return False
    try:
        return manifest.training_sha256 == digest and all(
            sha256_file(folder / name) == sha256 for name, sha256 in manifest.outputs.items()
        )
    except InputError:
        return False


def set_aside(folder: Path) -> None:
    """Keep a second copy of the result in the folder, by hard links if possible.

    If the folder holds no complete result, an earlier copy is kept.
    """
    if not is_whole(folder):
        return
    fresh = folder / f"{NAME}.new"
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    for name in _files(_manifest(folder)):
        try:
            os.link(folder / name, fresh / name)
        except FileNotFoundError:
            shutil.rmtree(fresh)
            return
        except OSError:
            shutil.copy2(folder / name, fresh / name)
    forget(folder)
    fresh.rename(folder / NAME)


def restore_finished(folder: Path, digest: str) -> bool:
    """Put a result that was set aside back in its place, if it belongs to this training; in either
    case the copy is removed.
    """
    aside = folder / NAME
    wanted = is_complete(aside, digest)
    if wanted:
        # The manifest comes last, as when it was written.
        for name in _files(_manifest(aside)):
            os.utime(aside / name)
            (aside / name).replace(folder / name)
    forget(folder)
    return wanted


def forget(folder: Path) -> None:
    """Remove the copy that was set aside."""
    shutil.rmtree(folder / NAME, ignore_errors=True)


def forget_all(study: Path) -> None:
    """Remove the copies in a study, except those whose result is gone: its next run puts it
    back.
    """
    for aside in study.glob(f"{MODEL_FOLDERS}/{NAME}"):
        if is_whole(aside.parent):
            forget(aside.parent)


def is_whole(folder: Path) -> bool:
    """Whether all files of a result exist; they are not read."""
    names = _files(_manifest(folder))
    return bool(names) and all((folder / name).exists() for name in names)


def trained_folders(results: Path) -> Iterator[Path]:
    """Folders of finished trainings in the results of all studies."""
    for manifest in sorted(results.glob(f"*/{MODEL_FOLDERS}/{MANIFEST}")):
        if _manifest(manifest.parent).training_sha256 is not None:
            yield manifest.parent


def _is_own_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _files(manifest: Manifest) -> list[str]:
    """Names of the files that a training's manifest lists, itself last; none if it names a file
    that trainings do not write beside it.
    """
    outputs = manifest.outputs
    return [*outputs, MANIFEST] if outputs and all(map(_OUTPUT.fullmatch, outputs)) else []


def _manifest(folder: Path) -> Manifest:
    """The folder's manifest; an empty one if it has none that can be read."""
    try:
        return Manifest.read(folder / MANIFEST)
    except InputError:
        return Manifest()
