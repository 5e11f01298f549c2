"""The records of a study made by hand: stores, masks and manifests, and no weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline_src.config import Study
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.files import write_json
from pipeline_src.planning.study_models import Models
from pipeline_src.sampling.given_masks import study_mask
from pipeline_src.sampling.masks import write_mask

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def run(started: str, seconds: float, **facts: Any) -> dict[str, Any]:
    return {
        "started": started,
        "seconds": seconds,
        "startup_seconds": 1.0,
        "processor_seconds": seconds / 2,
        "peak_memory_mib": 100,
        "energy_joules": None,
        "host": "a",
        "processor": "Abacus",
        "cores": 4,
        "system": "OS",
    } | facts


def write_made(path: Path, runs: Sequence[dict[str, Any]], **facts: Any) -> None:
    """A manifest with what is read of it here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made_by = {"commit": COMMIT, "packages": {"torch": "2.0", "numpy": "1.0"}}
    write_json(
        path,
        {"inputs": {}, "outputs": {}, "runs": list(runs), "made_by": made_by} | facts,
    )


def write_small_store(path: Path, patients: dict[str, list[str]], dropped: int = 0) -> None:
    prepared = PreparedData()
    for part, ids in patients.items():
        for patient in ids:
            number = len(prepared.volumes)
            prepared.images.append(np.full((4, 4), number + 1, dtype=np.float32))
            told: dict[str, str | int] = {"patient": patient, "frame": "", "part": part}
            prepared.slices.append(told | {"slice": 0, "volume": number})
            prepared.volumes.append(dict(told))
    prepared.dropped += [
        {"patient": "z", "frame": "", "slice": n, "reason": "too small"} for n in range(dropped)
    ]
    write_store(path, prepared, {})


def write_records(study: Study, results: Path, patients: dict[str, list[str]]) -> None:
    """All records of a finished study.

    Each training took two runs of 60 and 30 s. Each seed of a setting was measured by one
    process, whose manifests tell of 1, 2, 3 ... s.
    """
    models = Models(study)
    for dataset in study.datasets:
        folder = results / dataset
        folder.mkdir(parents=True)
        write_small_store(folder / "volumes.h5", patients, dropped=2)
        write_made(
            folder / "volumes.manifest.json",
            [run("0", 10)],
            command="prepare",
            inputs={f"volumes/{n}": {"path": f"{n}.nii", "sha256": "a"} for n in range(3)},
            outputs={"volumes.h5": "f" * 64},
            repeated=["a is b"],
        )
    for one in study.settings():
        setting = f"{one.dataset}/{one.acceleration}"
        mask = study_mask(study, one.dataset, one.factor)
        (results / setting).mkdir()
        write_mask(results / setting / "mask.npz", mask)
        write_made(
            results / setting / "zero_filled" / "volumes.manifest.json",
            [run(f"zero {setting}", 1)],
            command="evaluate",
        )
        measured = patients[study.datasets[one.dataset].report_on]
        rows = "".join(f"{patient}\n" for patient in measured)
        (results / setting / "zero_filled" / "volumes.csv").write_text(f"patient\n{rows}")
        for seed in study.seeds:
            for number, name in enumerate(models.names(one)):
                folder = results / setting / f"seed{seed}" / name
                write_made(
                    folder / "manifest.json",
                    [run("0", 60, peak_memory_mib=3072), run("1", 30)],
                    command="train",
                    device="cpu",
                )
                write_made(
                    folder / "volumes.manifest.json",
                    [run(f"{setting} {seed}", number + 1)],
                    command="evaluate",
                )
