"""The data source of drawn (synthetic) phantoms."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_src.config.datasets import PhantomSource
from pipeline_src.data.volume_reference import Header, VolumeReference, volume_shape

DESCRIPTION = "drawn (synthetic) phantoms"


def list_volumes(source: PhantomSource, data_root: Path) -> list[VolumeReference]:
    """Patients `phantom001`, `phantom002`, ...; the cardiac ones at ED and ES.

    Raises:
        InputError: the volumes would be too large.
    """
    del data_root  # nothing is read
    header = Header(volume_shape((source.matrix, source.matrix, source.slices), "source: phantom"))
    volumes = []
    for number in range(1, source.patients + 1):
        # Patient n is the same whether 5 or 500 are drawn.
        patient_seed = int(
            np.random.SeedSequence([source.seed, number]).generate_state(1, np.uint64)[0]
        )
        for phase in ("ED", "ES") if source.anatomy == "cardiac" else ("",):
            read = partial(_draw, source.anatomy, patient_seed, source.matrix, source.slices, phase)
            volumes.append(
                VolumeReference(f"phantom{number:03d}", "", phase, None, read, lambda: header)
            )
    return volumes


def _draw(*patient: Any) -> NDArray[np.float32]:
    # A plan draws nothing, and what draws imports SciPy: a second and 50 MiB.
    from pipeline_src.data.phantoms import draw_volume

    return draw_volume(*patient)
