"""Finished trainings, known by what defines them, and kept while Snakemake may not know of them.

Snakemake deletes the outputs of a job that it has not seen end before it starts that job again. Of
a training that ended while no Snakemake watched, the result would be lost; set aside beforehand, it
is taken back by the training itself, if it is still the same.
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
#: What a training writes; a manifest that names something else is not followed.
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
    """Keep the result in the folder a second time, at no cost where links can be made.

    Where the folder holds no whole result, what was set aside before stays.
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
    """Put a result that was set aside in its place, if it is that of this training; it is gone
    from aside in either case."""
    aside = folder / NAME
    wanted = is_complete(aside, digest)
    if wanted:
        # The manifest last, as when it was written.
        for name in _files(_manifest(aside)):
            os.utime(aside / name)
            (aside / name).replace(folder / name)
    forget(folder)
    return wanted


def forget(folder: Path) -> None:
    """Remove what was set aside."""
    shutil.rmtree(folder / NAME, ignore_errors=True)


def forget_all(study: Path) -> None:
    """Remove what was set aside in a study, but where the result itself is away: its rerun takes it
    back."""
    for aside in study.glob(f"{MODEL_FOLDERS}/{NAME}"):
        if is_whole(aside.parent):
            forget(aside.parent)


def is_whole(folder: Path) -> bool:
    """Whether all files of a result are there, unread."""
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
    """Names of the files that a training's manifest tells of, itself last; none where it names a
    file that trainings do not write beside it."""
    outputs = manifest.outputs
    return [*outputs, MANIFEST] if outputs and all(map(_OUTPUT.fullmatch, outputs)) else []


def _manifest(folder: Path) -> Manifest:
    """The folder's manifest; an empty one where it has none that can be read."""
    try:
        return Manifest.read(folder / MANIFEST)
    except InputError:
        return Manifest()
