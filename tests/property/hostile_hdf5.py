"""HDF5 files that lead elsewhere, claim too much or are damaged; those of the authors."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hostile_running import Hostile
from hostile_studies import on_files, study_text
from numpy.typing import NDArray

STRINGS = h5py.string_dtype()


def noise(rng: random.Random, *shape: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(rng.getrandbits(32))
    return (drawn.random(shape, np.float32) * 0.9 + 0.05).astype(np.float32)


# --- one array of a file, in another way -------------------------------------------------------

Deed = Callable[[random.Random, Path, str], bool | None]


def other_type(rng: random.Random, path: Path, key: str) -> bool | None:
    kind = rng.choice(["c8", "i4", "f8", "u2", "S4", "bool", "f2", ">f4"])
    with h5py.File(path, "r+") as file:
        values = file[key][()]
        del file[key]
        file[key] = np.asarray(values * 100).astype(kind)
    return True if kind in ("c8", "S4") else None


def text_or_group(rng: random.Random, path: Path, key: str) -> bool | None:
    with h5py.File(path, "r+") as file:
        del file[key]
        value = rng.choice(["text", None, "group", "reference", "empty", "strings"])
        if value == "group":
            file.create_group(key)["images"] = np.ones(3)
        elif value == "reference":
            file.create_dataset(key, data=file.ref, dtype=h5py.ref_dtype)
        elif value == "empty":
            file[key] = h5py.Empty("f4")
        elif value == "strings":
            file.create_dataset(key, data=["a", "b"], dtype=STRINGS)
        elif value is not None:
            file[key] = value
    return True


def other_shape(rng: random.Random, path: Path, key: str) -> bool | None:
    shape = rng.choice([(), (0,), (8,), (8, 8), (0, 8, 8), (8, 8, 0), (1, 8, 8, 8), (2, 3, 4)])
    with h5py.File(path, "r+") as file:
        del file[key]
        file[key] = np.ones(shape, np.float32)
    return True


def wrong_values(rng: random.Random, path: Path, key: str) -> bool | None:
    with h5py.File(path, "r+") as file:
        values = file[key][()]
        values.flat[rng.randrange(values.size)] = rng.choice([np.nan, np.inf, -np.inf, -1])
        file[key][...] = values
    return True


def link(rng: random.Random, path: Path, key: str) -> bool | None:
    other = path.with_name(f"other{path.suffix}.bin")
    with h5py.File(other, "w") as file:
        file[key] = noise(rng, 8, 8, 2)
    links: list[Any] = [
        h5py.ExternalLink(str(other), key),
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink(f"/{key}"),
        h5py.SoftLink("/"),
        h5py.ExternalLink("a\x1b[31m\n", "b"),
        h5py.SoftLink("../" * 30 + "etc"),
    ]
    with h5py.File(path, "r+") as file:
        del file[key]
        file[key] = rng.choice(links)
    return True


def inner_link(rng: random.Random, path: Path, key: str) -> bool | None:
    del rng
    with h5py.File(path, "r+") as file:
        file.move(key, "kept")
        file[key] = h5py.SoftLink("/kept")
    return False


def elsewhere(rng: random.Random, path: Path, key: str) -> bool | None:
    other = path.with_name("raw.bin")
    other.write_bytes(bytes(1 << 14))
    with h5py.File(path, "r+") as file:
        shape = file[key].shape
        del file[key]
        if rng.random() < 0.5:
            file.create_dataset(key, shape, "f4", external=[(str(other), 0, 1 << 14)])
        else:
            layout = h5py.VirtualLayout(shape, "f4")
            layout[:] = h5py.VirtualSource(str(other), "x", shape=shape)
            file.create_virtual_dataset(key, layout, fillvalue=1)
    return True


def claims_much(rng: random.Random, path: Path, key: str) -> bool | None:
    """A file of some kilobytes whose array would take gigabytes."""
    shape = rng.choice([(2**20, 2**20, 4), (2**12, 2**12, 2**7), (2**10, 2**10, 2**9)])
    with h5py.File(path, "r+") as file:
        del file[key]
        compression = rng.choice([None, "gzip"])
        file.create_dataset(
            key, shape, "f4", chunks=(64, 64, 1), fillvalue=0.5, compression=compression
        )[0, 0, 0] = 1
    return True


def truncated(rng: random.Random, path: Path, key: str) -> bool | None:
    del key
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.randrange(len(whole))])
    return True


def flipped(rng: random.Random, path: Path, key: str) -> bool | None:
    del key
    whole = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 4, 40])):
        # Headers lie at the beginning.
        at = rng.randrange(rng.choice([100, 1000, len(whole), len(whole)]))
        whole[min(at, len(whole) - 1)] ^= 1 << rng.randrange(8)
    path.write_bytes(whole)
    return None


def as_it_was(rng: random.Random, path: Path, key: str) -> bool | None:
    del rng, path, key
    return False


DEEDS: list[Deed] = [
    *(as_it_was, other_type, other_type, text_or_group, other_shape, wrong_values, link),
    *(inner_link, elsewhere, claims_much, truncated, flipped, flipped, flipped, flipped),
]


def draw(rng: random.Random, folder: Path) -> Hostile:
    paths = []
    for name in ("train/acc_4x/1", "train/acc_4x/NA", "train/acc_4x/a b", "validation/acc_4x/1"):
        path = folder / "data" / f"{name}.h5"
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "volfs", data=noise(rng, 9, 8, 2), compression=rng.choice([None, 3])
            )
        paths.append(path)
    deed, path = rng.choice(DEEDS), rng.choice(paths)
    refused = deed(rng, path, "volfs")
    volumes = {}
    for one in paths:
        try:
            with h5py.File(one) as file:
                name = f"{one.parents[1].name}_{one.stem}"
                volumes[name, ""] = np.asarray(file["volfs"]) if deed is not claims_much else None
        except (OSError, KeyError, RuntimeError, ValueError, TypeError):
            continue
    text = study_text(
        folder,
        {"kind": "authors_hdf5", "path": "data"},
        {"train": 2, "validation": 1, "test": 1},
    )
    command = rng.choice(["check", "prepare", "prepare"])
    if command == "check" and refused:
        refused = None
    return on_files(command, folder, text, f"{deed.__name__} {path}", volumes, refused=refused)
