"""The layout of the ACDC challenge (Bernard et al., IEEE TMI 2018)."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from pipeline_src.config.data import AcdcSource
from pipeline_src.data.sources.nifti import read_nifti
from pipeline_src.data.volume import VolumeReference, require_folder
from pipeline_src.errors import InputError

FRAME_FILE = re.compile(r"(patient\d+)_frame(\d+)\.nii(\.gz)?$")


def list_volumes(source: AcdcSource, data_root: Path) -> list[VolumeReference]:
    """ED and ES frames of `{training,testing}/patientNNN/patientNNN_frameMM.nii.gz`.

    Raises:
        InputError: there is no partition, or a patient has not the frames asked for.
    """
    folder = require_folder(data_root / source.path, "the ACDC folder")
    partitions = [p for p in ("training", "testing") if (folder / p).is_dir()]
    if not partitions:
        raise InputError(f"{folder}: holds neither training/ nor testing/ of the ACDC layout")
    volumes = []
    for partition in partitions:
        for patient_folder in sorted(require_folder(folder / partition, "the partition").iterdir()):
            if not patient_folder.is_dir():
                continue
            for phase, path in _frames(patient_folder).items():
                if phase in source.frames:
                    volumes.append(
                        VolumeReference(
                            patient_folder.name, partition, phase, path, partial(read_nifti, path)
                        )
                    )
    return volumes


def _frames(folder: Path) -> dict[str, Path]:
    """The ED and ES files of one patient."""
    files = {}
    for path in require_folder(folder, "the patient's folder").iterdir():
        match = FRAME_FILE.match(path.name)
        if match:
            files[int(match[2])] = path
    info = folder / "Info.cfg"
    if info.exists():
        try:
            text = info.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{info}: cannot be read ({error})") from None
        stated = dict(re.findall(r"^\s*(ED|ES)\s*:\s*(\d+)", text, flags=re.MULTILINE))
        numbers = {phase: int(number) for phase, number in stated.items()}
    else:
        # Without Info.cfg: the challenge's files name ED before ES.
        numbers = dict(zip(("ED", "ES"), sorted(files), strict=False))
    if set(numbers) != {"ED", "ES"} or not set(numbers.values()) <= set(files):
        have = ", ".join(p.name for p in files.values()) or "none"
        raise InputError(f"{folder}: the ED and ES frames are not both there (frames: {have})")
    return {phase: files[number] for phase, number in numbers.items()}
