"""The volume store: one HDF5 file per data set, holding everything that training needs."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.data.hdf5_files import own_dataset, reading_hdf5
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path

if TYPE_CHECKING:  # preparing imports much that no training needs
    from pipeline_src.data.preparation import PreparedData

FORMAT = "sft-kd-recon volume store 1"
TABLES = ("slices", "volumes", "dropped")
COLUMNS = {"patient": str, "frame": str, "part": str, "slice": int, "volume": int | str}


def write_store(path: Path, prepared: PreparedData, description: dict[str, Any]) -> None:
    """Write prepared slices, their index and ``description`` (a JSON-serialisable mapping).

    Layout: `images` (slices, rows, columns) float32; JSON tables `slices`, `volumes`, `dropped`
    and `description` as attributes of the file; `digest`, the SHA-256 over images and index.
    """
    size, digest = prepared.images[0].shape, hashlib.sha256()
    # HDF5 crashes where a disk is full, so the file is made in memory and written as a whole.
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        shape, chunk = (len(prepared.images), *size), (1, *size)
        images = file.create_dataset("images", shape, np.float32, chunks=chunk)
        for number, image in enumerate(prepared.images):
            images[number] = image
            digest.update(np.ascontiguousarray(image, np.float32).data)
        digest.update(json.dumps(prepared.slices).encode())
        for name in TABLES:
            # A dataset, not an attribute: attributes end at 64 KiB.
            file.create_dataset(name, data=json.dumps(getattr(prepared, name)))
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = digest.hexdigest()
        file.attrs["description"] = json.dumps(description)
    with atomic_path(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


@dataclass(frozen=True)
class Store:
    """A store that was read.

    Attributes:
        images: `(slices, rows, columns)` float32.
        slices, volumes, dropped: the tables of `PreparedData`; rows of `slices` match `images`.
        description: what `write_store` was given.
        digest: SHA-256 over images and index.
    """

    images: NDArray[np.float32]
    slices: pd.DataFrame
    volumes: pd.DataFrame
    dropped: pd.DataFrame
    description: dict[str, Any]
    digest: str

    def part(self, part: str) -> tuple[NDArray[np.float32], pd.DataFrame]:
        """Images `(n, rows, columns)` and index rows of `train`, `validation` or `test`."""
        rows = self.slices[self.slices["part"] == part]
        return self.images[rows.index.to_numpy()], rows.reset_index(drop=True)

    def volume_maxima(self, part: str) -> NDArray[np.float32]:
        """For each slice of a part, the maximum of its prepared volume: the data range."""
        images, rows = self.part(part)
        peaks = pd.Series(images.max(axis=(1, 2)))
        return (
            peaks.groupby(rows["volume"].to_numpy())
            .transform("max")
            .to_numpy(np.float32, copy=True)
        )


def _is_plain(value: object, kind: Any) -> bool:
    """Whether a value is of that kind, and one that tables can hold: true is no number there."""
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    if isinstance(value, int):
        return abs(value) < 1 << 31
    return not any("\ud800" <= character <= "\udfff" for character in str(value))


def read_store(path: Path) -> Store:
    """Read a store.

    Raises:
        InputError: the file is missing, damaged, or not a store.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist; make it with the prepare command")
    with reading_hdf5(path, otherwise="is damaged or no volume store") as file:
        if not np.array_equal(file.attrs.get("format"), FORMAT):
            raise InputError(f"{path}: is not a volume store; make one with the prepare command")
        if missing := {"images", *TABLES} - set(file):
            raise KeyError(f"it has no {', '.join(sorted(missing))}")
        found = {name: own_dataset(path, file, name) for name in ("images", *TABLES)}
        texts = {name: bytes(found[name][()]) for name in TABLES}
        images, rows = found["images"], json.loads(texts["slices"])
        if images.ndim != 3 or images.dtype != np.float32 or len(images) != len(rows):
            raise ValueError(f"images {images.shape} of {images.dtype} for {len(rows)} slices")
        whose: dict[int | str, tuple[str, ...]] = {}
        for row in rows:
            if not all(_is_plain(row[name], kind) for name, kind in COLUMNS.items()):
                raise ValueError(f"a slice is of {row!r:.200}")
            of_volume = (row["patient"], row["frame"], row["part"])
            if whose.setdefault(row["volume"], of_volume) != of_volume:
                raise ValueError(f"volume {row['volume']!r} is of two patients, frames or parts")
        store = Store(
            images=np.asarray(images),
            description=dict(json.loads(file.attrs["description"])),
            digest=str(file.attrs["digest"]),
            **{name: pd.DataFrame(json.loads(text)) for name, text in texts.items()},
        )
        if not _is_plain(store.description.get("display_quarter_turns", 0), int):
            raise ValueError("display_quarter_turns in its description is no whole number")
        digest = hashlib.sha256(store.images.data)
        digest.update(texts["slices"])
        if digest.hexdigest() != store.digest:
            raise ValueError("it is not as it was written; make it anew with the prepare command")
        if not np.isfinite(store.images).all():
            raise ValueError("its images hold NaN or infinity")
        return store
