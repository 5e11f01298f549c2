"""The store of prepared slices: its round trip, its bytes, and what is refused."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from unit_helpers import GOOD, rewrite

from pipeline_src.acceleration.compiled import CompilationError, find_compiler
from pipeline_src.config.datasets import Dataset
from pipeline_src.data.preparation import (
    PreparedData,
    prepare,
)
from pipeline_src.data.splits import PARTS
from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError

pytest_plugins = ["shared_fixtures"]


ROOT = Path(__file__).resolve().parents[3]
DESCRIPTION = {"dataset": "heads", "title": "Köpfe", "synthetic": False, "split": {"train": 2}}


@pytest.fixture
def prepared(dataset: Dataset, tmp_path: Path) -> PreparedData:
    result = prepare(dataset, tmp_path)
    result.dropped.append({"patient": "x", "frame": "", "slice": -1, "reason": "too small"})
    return result


def test_store_holds_what_was_written(prepared: PreparedData, tmp_path: Path) -> None:
    path = tmp_path / "out" / "volumes.h5"
    write_store(path, prepared, DESCRIPTION)
    assert list(path.parent.iterdir()) == [path]
    store = read_store(path)
    assert store.images.dtype == np.float32
    assert np.array_equal(store.images, np.stack(prepared.images))
    assert store.slices.to_dict("records") == prepared.slices
    assert store.volumes.to_dict("records") == prepared.volumes
    assert store.dropped.to_dict("records") == prepared.dropped
    assert store.description == DESCRIPTION
    assert len(store.digest) == 64


def test_parts_of_a_store_are_disjoint_and_complete(prepared: PreparedData, tmp_path: Path) -> None:
    write_store(tmp_path / "volumes.h5", prepared, DESCRIPTION)
    store = read_store(tmp_path / "volumes.h5")
    for part, patients in (("train", {"a", "c"}), ("validation", {"b"}), ("test", {"d"})):
        images, rows = store.part(part)
        assert set(rows["patient"]) == patients
        assert rows.index.tolist() == list(range(len(images)))
        for image, (_, row) in zip(images, rows.iterrows(), strict=True):
            position = next(
                i
                for i, r in enumerate(prepared.slices)
                if (r["patient"], r["frame"], r["slice"])
                == (row["patient"], row["frame"], row["slice"])
            )
            assert np.array_equal(image, prepared.images[position])
    assert sum(len(store.part(p)[0]) for p in PARTS) == len(store.images)


def test_data_range_of_a_slice_is_the_maximum_of_its_prepared_volume(tmp_path: Path) -> None:
    peaks = [0.2, 0.9, 0.5, 0.4, 0.3]
    rows = [("train", 0), ("test", 1), ("test", 1), ("test", 2), ("test", 2)]
    prepared = PreparedData(
        images=[np.full((2, 2), p, dtype=np.float32) for p in peaks],
        slices=[
            {"patient": f"p{v}", "frame": "", "part": part, "slice": i, "volume": v}
            for i, (part, v) in enumerate(rows)
        ],
    )
    write_store(tmp_path / "volumes.h5", prepared, {})
    maxima = read_store(tmp_path / "volumes.h5").volume_maxima("test")
    assert maxima.dtype == np.float32
    assert maxima.tolist() == np.array([0.9, 0.9, 0.4, 0.4], dtype=np.float32).tolist()


def test_preparing_again_gives_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    for name in ("first.h5", "second.h5"):
        write_store(tmp_path / name, prepare(dataset, tmp_path), DESCRIPTION)
    assert (tmp_path / "first.h5").read_bytes() == (tmp_path / "second.h5").read_bytes()


def test_digest_changes_with_a_pixel_and_with_the_index_alone(
    prepared: PreparedData, tmp_path: Path
) -> None:
    path = tmp_path / "volumes.h5"

    def digest(description: dict[str, Any]) -> str:
        write_store(path, prepared, description)
        return read_store(path).digest

    first = digest(DESCRIPTION)
    assert digest({**DESCRIPTION, "title": "another"}) == first
    prepared.images[5] = prepared.images[5].copy()
    prepared.images[5][0, 0] = np.nextafter(prepared.images[5][0, 0], np.float32(2))
    second = digest(DESCRIPTION)
    assert second != first
    prepared.slices[0]["slice"] = 99
    assert digest(DESCRIPTION) not in (first, second)


def test_missing_store_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"volumes\.h5: does not exist; make it with the prepare"):
        read_store(tmp_path / "volumes.h5")


def overwrite(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)


def replace_dataset(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "a") as file:
        del file[name]
        if value is not None:
            file[name] = value


def other_format(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file.attrs["format"] = "sft-kd-recon volume store 0"


def foreign_file(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["volfs"] = np.ones((2, 2, 2))


def another_pixel(path: Path) -> None:
    with h5py.File(path, "a") as file:
        file["images"][0, 1, 1] += 0.25


def not_written(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["images"]
        file.create_dataset("images", (1024, 1024, 512), np.float32, chunks=(64, 64, 1))


@pytest.mark.parametrize(
    ("damage", "fragment"),
    [
        (lambda p: overwrite(p, b""), "is damaged or not a volume store"),
        (lambda p: overwrite(p, b"not a store"), "is damaged or not a volume store"),
        (lambda p: overwrite(p, p.read_bytes()[:-200]), "is damaged or not a volume store"),
        (lambda p: overwrite(p, p.read_bytes()[:500]), "is damaged or not a volume store"),
        (lambda p: replace_dataset(p, "images", None), "is damaged or not a volume store"),
        (lambda p: replace_dataset(p, "slices", None), "is damaged or not a volume store"),
        (lambda p: replace_dataset(p, "slices", "[{"), "is damaged or not a volume store"),
        (lambda p: replace_dataset(p, "slices", 3), "is damaged or not a volume store"),
        (lambda p: replace_dataset(p, "slices", "[" * 20000), "is damaged or not a volume store"),
        (
            lambda p: replace_dataset(p, "images", np.ones((2, 2))),
            "is damaged or not a volume store",
        ),
        (another_pixel, "is damaged or not a volume store (it is not as it was written"),
        (not_written, "images: claims a shape of 1024x1024x512, but only 0 bytes"),
        (foreign_file, "is not a volume store; make one with the prepare command"),
        (other_format, "is not a volume store; make one with the prepare command"),
    ],
    ids=[
        "empty",
        "text",
        "end missing",
        "most missing",
        "no images",
        "no index",
        "index is no JSON",
        "index is a number",
        "index nests deep",
        "images are 2-D",
        "another pixel",
        "images not written",
        "another HDF5 file",
        "another version",
    ],
)
def test_unusable_store_is_named(
    damage: Any, fragment: str, prepared: PreparedData, tmp_path: Path
) -> None:
    path = tmp_path / "volumes.h5"
    write_store(path, prepared, DESCRIPTION)
    damage(path)
    with pytest.raises(InputError) as caught:
        read_store(path)
    assert str(caught.value).startswith(f"{path}: {fragment}")


NO_FLOCK = (
    "#include <errno.h>\nint flock(int f, int o) { (void)f; (void)o; errno = ENOLCK; return -1; }"
)
READ = """
import sys
from pathlib import Path
from pipeline_src.data.sources.authors_hdf5 import read_authors_volume
from pipeline_src.data.store import read_store
from pipeline_src.operations.estimate.work import slices_of_store
store, volume = map(Path, sys.argv[1:])
print(read_store(store).digest, slices_of_store(store).rows, read_authors_volume(volume).shape)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="flock is replaced as on Linux")
def test_files_are_read_where_there_are_no_locks(prepared: PreparedData, tmp_path: Path) -> None:
    try:
        compiler = find_compiler()
    except CompilationError as error:
        pytest.skip(f"flock cannot be replaced: {error}")
    (tmp_path / "no.c").write_text(NO_FLOCK)
    library = tmp_path / "no.so"
    command = [*compiler, "-shared", "-fPIC", "-o", library, tmp_path / "no.c"]
    subprocess.run(command, check=True)
    store, volume = tmp_path / "volumes.h5", tmp_path / "volume.h5"
    write_store(store, prepared, DESCRIPTION)
    rewrite(volume, volfs=GOOD)
    done = subprocess.run(
        [sys.executable, "-c", READ, str(store), str(volume)],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{read_store(store).digest} {prepared.images[0].shape[0]} (8, 8, 2)\n"


def test_digest_is_that_of_earlier_stores(tmp_path: Path) -> None:
    """Manifests and states of trainings name it."""
    images = [np.arange(6, dtype=np.float32).reshape(2, 3) + n for n in range(2)]
    place = {"patient": "a", "frame": "", "part": "test", "volume": 0}
    slices = [place | {"slice": n} for n in range(2)]
    write_store(tmp_path / "v.h5", PreparedData(images=images, slices=slices), {})
    whole = hashlib.sha256(np.stack(images).tobytes() + json.dumps(slices).encode())
    assert read_store(tmp_path / "v.h5").digest == whole.hexdigest()
    # A slice that lies otherwise in memory is the same slice.
    turned = [np.asfortranarray(image) for image in images]
    write_store(tmp_path / "t.h5", PreparedData(images=turned, slices=slices), {})
    assert (tmp_path / "t.h5").read_bytes() == (tmp_path / "v.h5").read_bytes()
