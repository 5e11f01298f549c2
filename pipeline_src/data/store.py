"""The volume store: one HDF5 file per data set with everything that training needs."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.data.hdf5_files import MappedArray, ReservedFile, own_dataset, reading_hdf5
from pipeline_src.errors import InputError
from pipeline_src.files import MOST_HELD, atomic_path

if TYPE_CHECKING:  # preparing imports much that no training needs
    from pipeline_src.data.preparation import PreparedData

FORMAT = "sft-kd-recon volume store 1"
TABLES = ("slices", "volumes", "dropped")
COLUMNS = {"patient": str, "frame": str, "part": str, "slice": int, "volume": int | str}


def write_store(path: Path, prepared: PreparedData, description: dict[str, Any]) -> None:
    """Write prepared slices, their index and ``description`` (a JSON-serialisable mapping).

    Layout: `images` (slices, rows, columns) float32; JSON tables `slices`, `volumes`, `dropped`
    and `description` as attributes of the file; `digest`, the SHA-256 over images and index.
    Images are taken one after the other and not held.

    Raises:
        InputError: the file cannot be written, such as on a disk without room for all of it.
    """
    tables = {name: json.dumps(getattr(prepared, name)) for name in TABLES}
    count, size = len(prepared.images), next(iter(prepared.images)).shape
    digest = hashlib.sha256()
    needed = 4 * count * math.prod(size) + sum(map(len, tables.values())) + (1 << 20)
    with (
        atomic_path(path) as temporary,
        temporary.open("r+b", buffering=0) as stream,
        h5py.File(ReservedFile(stream, needed), "w") as file,
    ):
        images = file.create_dataset("images", (count, *size), np.float32)
        for number, image in enumerate(prepared.images):
            images[number] = image
            digest.update(np.ascontiguousarray(image, np.float32).data)
        digest.update(tables["slices"].encode())
        for name, text in tables.items():
            # A dataset, not an attribute: attributes end at 64 KiB.
            file.create_dataset(name, data=text)
        file.attrs["format"] = FORMAT
        file.attrs["digest"] = digest.hexdigest()
        file.attrs["description"] = json.dumps(description)


@dataclass(frozen=True)
class Store:
    """A store that was read, completely or in part.

    Attributes:
        images: `(slices, rows, columns)` float32, of the parts that were asked for; more than
            `MOST_HELD` bytes stay in the file and cannot be written to.
        slices, volumes, dropped: the tables of `PreparedData`; rows of `slices` match `images`.
        patients: number of patients in each part, including those that were not asked for.
        description: as given to `write_store`.
        digest: SHA-256 over images and index.
        mapped: the images in the file, if they stay there.
    """

    images: NDArray[np.float32]
    slices: pd.DataFrame
    volumes: pd.DataFrame
    dropped: pd.DataFrame
    patients: dict[str, int]
    description: dict[str, Any]
    digest: str
    mapped: MappedArray | None = None

    def require_unchanged(self) -> None:
        """Check that the images are still those that were read at first.

        Raises:
            InputError: they stay in the file, and it was written to since.
        """
        if self.mapped is not None:
            self.mapped.require_unchanged()

    def part(self, part: str) -> tuple[NDArray[np.float32], pd.DataFrame]:
        """Images `(n, rows, columns)` and index rows of `train`, `validation` or `test`.

        The images are not copied if the slices of the part are adjacent, as `prepare` writes them.
        """
        rows = self.slices[self.slices["part"] == part]
        places, rows = rows.index.to_numpy(), rows.reset_index(drop=True)
        if len(places) and places[-1] - places[0] + 1 == len(places):
            return self.images[places[0] : places[-1] + 1], rows
        return self.images[places], rows

    def volume_maxima(self, part: str) -> NDArray[np.float32]:
        """For each slice of a part, the maximum of its prepared volume (the data range):
        `(slices,)`.
        """
        images, rows = self.part(part)
        peaks = pd.Series(images.max(axis=(1, 2)))
        return (
            peaks.groupby(rows["volume"].to_numpy())
            .transform("max")
            .to_numpy(np.float32, copy=True)
        )


def origin_of(description: dict[str, Any], patients: dict[str, int], digest: str) -> dict[str, Any]:
    """What those must know of a store who use a network that was trained on it.

    Raises:
        AttributeError: the description is damaged.
    """
    source, preparation = (description.get(key) or {} for key in ("source", "preparation"))
    return {
        "kind": str(source.get("kind", "")),
        "synthetic": bool(description.get("synthetic", False)),
        "slice_axis": source.get("slice_axis", 2),
        "orientation": source.get("orientation"),
        "downscale": preparation.get("downscale", 1),
        "display_quarter_turns": description.get("display_quarter_turns", 0),
        "patients": patients,
        "digest": digest,
    }


def _is_plain(value: object, kind: Any) -> bool:
    """Whether a value has that type and can be stored in a table; `True` does not count as a
    number.
    """
    if isinstance(value, bool) or not isinstance(value, kind):
        return False
    if isinstance(value, int):
        return abs(value) < 1 << 31
    return not any("\ud800" <= character <= "\udfff" for character in str(value))


def _one_by_one(images: h5py.Dataset) -> Iterator[NDArray[np.float32]]:
    """The images, read in blocks of some MiB."""
    block = max(1, (1 << 22) // max(1, 4 * math.prod(images.shape[1:])))
    for start in range(0, len(images), block):
        yield from np.ascontiguousarray(images[start : start + block])


def read_store(path: Path, parts: Collection[str] | None = None) -> Store:
    """Read a store, with the slices of some parts or of all.

    The whole file is read and checked, but only what is asked for is kept in memory; of a mapped
    store, all parts are there.

    Raises:
        InputError: the file is missing, damaged, or not a store.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist; make it with the prepare command")
    with reading_hdf5(path, otherwise="is damaged or not a volume store") as file:
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
        taken = [parts is None or row["part"] in parts for row in rows]
        mapped, size = None, 4 * sum(taken) * math.prod(images.shape[1:])
        # Only what lies in the file as it lies in memory can be mapped.
        if size > MOST_HELD and images.id.get_offset() is not None:
            mapped = MappedArray(path, file, images)
            held = mapped.values
        else:
            held = np.empty((sum(taken), *images.shape[1:]), np.float32)
        digest, place, finite = hashlib.sha256(), 0, True
        for image, wanted in zip(_one_by_one(images), taken, strict=True):
            digest.update(image.data)
            finite = finite and bool(np.isfinite(image).all())
            if wanted and mapped is None:
                held[place] = image
                place += 1
        digest.update(texts["slices"])
        tables = {name: pd.DataFrame(json.loads(text)) for name, text in texts.items()}
        counts = tables["slices"].groupby("part")["patient"].nunique()
        patients = {str(part): int(count) for part, count in counts.items()}
        if mapped is None and not all(taken):
            tables["slices"] = tables["slices"][taken].reset_index(drop=True)
        store = Store(
            images=held,
            patients=patients,
            description=dict(json.loads(file.attrs["description"])),
            digest=str(file.attrs["digest"]),
            mapped=mapped,
            **tables,
        )
        if not _is_plain(store.description.get("display_quarter_turns", 0), int):
            raise ValueError("display_quarter_turns in its description is not a whole number")
        if digest.hexdigest() != store.digest:
            raise ValueError("it is not as it was written; make it again with the prepare command")
        if not finite:
            raise ValueError("its images hold NaN or infinity")
        return store


def identities(
    volumes: Iterable[Mapping[Any, Any]], description: dict[str, Any]
) -> dict[str, dict[str, str]]:
    """What each part's volumes are known by in any other store, each with its patient: the SHA-256
    of the file, or of images that are not from files the source and the patient.
    """
    known: dict[str, dict[str, str]] = {}
    source = json.dumps(description.get("source"), sort_keys=True)
    for row in volumes:
        patient = str(row["patient"])
        identity = str(row.get("sha256") or f"{source} {patient}")
        known.setdefault(str(row["part"]), {})[identity] = patient
    return known


@dataclass(frozen=True)
class StoreIndex:
    """The contents of a store without its images.

    Attributes:
        digest: SHA-256 over images and index, as recorded in the store.
        patients: ids by part, in the store's order.
        identities: as `identities`.
        volumes, slices: their numbers.
        dropped: how many items were left out, by reason.
    """

    digest: str
    patients: dict[str, list[str]]
    identities: dict[str, dict[str, str]]
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
        rows, volumes, dropped = (json.loads(own_dataset(path, file, name)[()]) for name in TABLES)
        patients: dict[str, dict[str, None]] = {}
        for row in rows:
            patients.setdefault(str(row["part"]), {})[str(row["patient"])] = None
        return StoreIndex(
            digest=str(file.attrs["digest"]),
            patients={part: list(ids) for part, ids in patients.items()},
            identities=identities(volumes, dict(json.loads(file.attrs["description"]))),
            volumes=len(volumes),
            slices=len(rows),
            dropped=dict(Counter(str(row["reason"]) for row in dropped)),
        )
