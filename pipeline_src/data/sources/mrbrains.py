"""T1 volumes of the MRBrainS challenge, 2013 and 2018 releases."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipeline_src.config.data import MrbrainsSource
from pipeline_src.data.sources.nifti import read_nifti
from pipeline_src.data.volume import VolumeReference, require_folder

# Folder of the patients, and the T1 volume below each.
LAYOUTS = {
    "2013": ("TrainingData", ("T1.nii", "T1.nii.gz")),
    "2018": ("training", ("pre/reg_T1.nii.gz", "pre/reg_T1.nii")),
}


def list_volumes(source: MrbrainsSource, data_root: Path) -> list[VolumeReference]:
    """One T1 volume a subject; the subject's folder is the patient id.

    Raises:
        InputError: the release's folder is missing.
    """
    partition, names = LAYOUTS[source.release]
    folder = require_folder(data_root / source.path / partition, "the MRBrainS folder")
    volumes = []
    for subject in sorted(p for p in folder.iterdir() if p.is_dir()):
        path = next((subject / name for name in names if (subject / name).exists()), None)
        # A subject whose volume is missing must fail by name, not vanish.
        path = path or subject / names[0]
        volumes.append(VolumeReference(subject.name, "", "", path, partial(read_nifti, path)))
    return volumes
