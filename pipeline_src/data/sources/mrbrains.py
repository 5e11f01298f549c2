"""Finds T1 volumes of the MRBrainS challenge, 2013 and 2018 releases."""

from __future__ import annotations

from pathlib import Path

from pipeline_src.config.datasets import MrbrainsSource
from pipeline_src.data.data_files import (
    DOWNLOADS,
    refuse_two_suffixes,
    refuse_unfinished,
    subfolders,
)
from pipeline_src.data.nifti_files import nifti_volume
from pipeline_src.data.volume_reference import VolumeReference

DESCRIPTION = "the MRBrainS challenge"
DISPLAY_QUARTER_TURNS = 1

# Folder of the patients, and the T1 volume below each.
LAYOUTS = {
    "2013": ("TrainingData", ("T1.nii", "T1.nii.gz")),
    "2018": ("training", ("pre/reg_T1.nii.gz", "pre/reg_T1.nii")),
}


def list_volumes(source: MrbrainsSource, data_root: Path) -> list[VolumeReference]:
    """One T1 volume per subject; the subject's folder is the patient id.

    Raises:
        InputError: the release's folder is missing, or a subject's volume lies there with two
            suffixes or is still being downloaded.
    """
    partition, names = LAYOUTS[source.release]
    volumes = []
    for subject in subfolders(data_root / source.path / partition, "the MRBrainS folder"):
        paths = [subject / name for name in names]
        unfinished = [path.with_name(path.name + ending) for path in paths for ending in DOWNLOADS]
        refuse_unfinished(path for path in unfinished if path.exists())
        there = [path for path in paths if path.exists() or path.is_symlink()]
        # A subject whose volume is missing must fail by name, not vanish.
        path = (there or paths)[0]
        refuse_two_suffixes(path)
        volumes.append(nifti_volume(subject.name, "", "", path))
    return volumes
