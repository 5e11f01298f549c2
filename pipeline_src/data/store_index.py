"""Reads what a volume store contains, without its images."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from pipeline_src.data.hdf5_files import own_dataset, reading_hdf5
from pipeline_src.data.store import FORMAT


@dataclass(frozen=True)
class StoreIndex:
    """The contents of a store.

    Attributes:
        digest: SHA-256 over images and index, as recorded in the store.
        patients: ids by part, in the store's order.
        volumes, slices: their numbers.
        dropped: how many items were left out, by reason.
    """

    digest: str
    patients: dict[str, list[str]]
    volumes: int
    slices: int
    dropped: dict[str, int]


def read_index(path: Path) -> StoreIndex:
    """Read the tables of a store that `write_store` wrote; its images are neither read nor checked.

    Raises:
        InputError: the file is missing, damaged, or not a store.
    """
    with reading_hdf5(path, otherwise="is damaged or not a volume store") as file:
        if file.attrs.get("format") != FORMAT:
            raise ValueError("it is of another format")
        rows, volumes, dropped = (
            json.loads(own_dataset(path, file, name)[()])
            for name in ("slices", "volumes", "dropped")
        )
        patients: dict[str, dict[str, None]] = {}
        for row in rows:
            patients.setdefault(str(row["part"]), {})[str(row["patient"])] = None
        return StoreIndex(
            digest=str(file.attrs["digest"]),
            patients={part: list(ids) for part, ids in patients.items()},
            volumes=len(volumes),
            slices=len(rows),
            dropped=dict(Counter(str(row["reason"]) for row in dropped)),
        )
