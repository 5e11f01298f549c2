"""A study on files, its preparation, and whether the store holds what the files held."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from hostile_running import Hostile
from numpy.typing import NDArray
from tiny_study import TINY_STUDY

SIDE = 8

Volumes = Mapping[tuple[str, str], NDArray[Any]]


def tiny_study() -> dict[str, Any]:
    """A valid configuration of one set of 16 x 16 phantoms, to be changed."""
    return copy.deepcopy(TINY_STUDY)


def study_text(folder: Path, source: dict[str, Any], split: dict[str, Any]) -> str:
    """A configuration of 8 x 8 slices from files below ``folder``."""
    study: dict[str, Any] = tiny_study()
    study["data_root"] = str(folder)
    study["sampling"] = {"center_lines": 1}
    study["datasets"]["heads"] |= {
        "source": source,
        "preparation": {"matrix": [SIDE, SIDE]},
        "split": split,
    }
    return yaml.safe_dump(study, sort_keys=False)


def on_files(
    command: str,
    folder: Path,
    text: str,
    shown: str,
    volumes: Volumes,
    *,
    left_out: set[str] = frozenset(),  # type: ignore[assignment]
    refused: bool | None = None,
) -> Hostile:
    """The command on a study of these volumes, by patient and frame, and of patients without any.

    Every volume must be in the store or be told as dropped, scaled and cropped.
    """
    config, store = folder / "study.yaml", folder / "out" / "volumes.h5"
    config.write_text(text, encoding="utf-8")
    store.parent.mkdir()
    shown = f"{text}\n{shown}"
    if command == "check":
        return Hostile(["check", "--config", str(config)], shown, store, refused=refused)

    def verify() -> None:
        with h5py.File(store) as file:
            tables = {n: json.loads(file[n][()]) for n in ("slices", "volumes", "dropped")}
            images = np.asarray(file["images"])
        kept = {(row["patient"], row["frame"]) for row in tables["volumes"]}
        whole = {(r["patient"], r["frame"]) for r in tables["dropped"] if r["slice"] == -1}
        assert kept | whole == set(volumes) | {(patient, "") for patient in left_out}
        assert len(tables["volumes"]) + len(whole) == len(volumes) + len(left_out)
        assert len(images) == len(tables["slices"])
        for row, image in zip(tables["slices"], images, strict=True):
            given = volumes[row["patient"], row["frame"]].astype(np.float64)
            plane = _cropped(given[:, :, row["slice"]] / given.max())
            assert np.allclose(image, plane, rtol=1e-5, atol=1e-6), row
        for patient, frame in kept:
            there = [r["slice"] for r in tables["slices"] if r["patient"] == patient]
            gone = [r["slice"] for r in tables["dropped"] if r["patient"] == patient]
            shapes = [v.shape[2] for (p, _), v in volumes.items() if p == patient]
            assert len(there) + len([n for n in gone if n >= 0]) >= min(shapes), (patient, frame)

    arguments = ["prepare", "--config", str(config), "--dataset", "heads", "--output", str(store)]
    return Hostile(arguments, shown, store, verify, refused)


def _cropped(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    top, left = ((size - SIDE) // 2 for size in plane.shape)
    return plane[top : top + SIDE, left : left + SIDE]
