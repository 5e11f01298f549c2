"""Stores of volumes that are damaged, or are signed and yet not as the pipeline writes them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml
from hostile_hdf5 import (
    DEEDS,
    elsewhere,
    flipped,
    link,
    noise,
    other_type,
    text_or_group,
    truncated,
    wrong_values,
)
from hostile_running import Hostile
from hostile_studies import tiny_study

from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.sampling.masks import drawn_mask, write_mask
from pipeline_src.tabular import read_rows

SIDE = 16


def _store(rng: random.Random, path: Path) -> None:
    prepared = PreparedData()
    parts = ("train", "train", "validation", "test", "test")
    for number, (part, patient) in enumerate(
        zip(parts, ("NA", "007", "é", "1e5", "a,b"), strict=True)
    ):
        image = noise(rng, SIDE, SIDE)
        prepared.images.append(image / image.max())
        prepared.slices.append(
            {"patient": patient, "frame": "", "part": part, "slice": 0, "volume": number}
        )
        prepared.volumes.append({"patient": patient, "frame": "", "part": part, "path": ""})
    write_store(path, prepared, {"dataset": "heads", "display_quarter_turns": 0})


def sign_again(path: Path) -> None:
    """Give a store the digest of what it holds now, as someone who made it so would."""
    with h5py.File(path, "r+") as file, contextlib.suppress(OSError):  # of no numbers
        digest = hashlib.sha256(np.ascontiguousarray(file["images"], np.float32).data)
        digest.update(file["slices"][()])
        file.attrs["digest"] = digest.hexdigest()


def other_table(rng: random.Random, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        rows = json.loads(file["slices"][()])
        how = rng.randrange(9)
        if how == 0:
            rows = rows[1:]
        elif how == 1:
            rows.append(rows[0])
        elif how == 2:
            rows = [{k: v for k, v in row.items() if k != "volume"} for row in rows]
        elif how == 3:
            rows[0]["part"] = None
        elif how == 4:
            rows[-1]["patient"] = rng.choice([7, None, ["a"], {"a": 1}, True])
        elif how == 5:
            rows = rng.choice([[], {}, 3, "a", None, [1, 2], [[1]] * 5])
        elif how == 6:
            rows[-1]["volume"] = rng.choice(["a", None, 1.5, -1, [1]])
        elif how == 7:
            rows[-1]["slice"] = rng.choice(["a", None, [1]])
        del file["slices"]
        text = json.dumps(rows) if how < 8 else rng.choice(["", "{", "[" * 20000, b"\xff", "NaN"])
        file["slices"] = text


def other_attribute(rng: random.Random, path: Path) -> None:
    with h5py.File(path, "r+") as file:
        name = rng.choice(["format", "digest", "description"])
        value = rng.choice([None, 3, "", "{}", "[]", "[" * 20000, np.ones(3), b"\xff", "null"])
        del file.attrs[name]
        if value is not None:
            file.attrs[name] = value


def draw(rng: random.Random, folder: Path) -> Hostile:
    store, mask, refused = folder / "volumes.h5", folder / "mask.npz", None
    _store(rng, store)
    write_mask(mask, drawn_mask((SIDE, SIDE), 4, 0, 2))
    how = rng.randrange(10)
    told: Any = ""
    if how < 5:
        deed = rng.choice(DEEDS)
        refused, told = deed(rng, store, "images"), deed.__name__
        if deed in (other_type, wrong_values) and rng.random() < 0.5:
            told += ", signed again"
            sign_again(store)
    elif how == 5:
        other_table(rng, store)
        if rng.random() < 0.8:
            sign_again(store)
        told = "other table"
    elif how == 6:
        other_attribute(rng, store)
        told = "other attribute"
    elif how == 7:
        deed = rng.choice([link, elsewhere, truncated, text_or_group])
        deed(rng, store, rng.choice(["slices", "volumes"])) if deed is not elsewhere else None
        told = f"{deed.__name__} of a table"
    else:
        deed = rng.choice([truncated, flipped, flipped])
        deed(rng, mask, "")
        told = f"{deed.__name__}, the mask"
    given = folder / "before.bin"
    names = [
        "--data",
        str(store),
        "--mask",
        str(mask),
        "--dataset",
        "heads",
        "--acceleration",
        "4x",
    ]
    output = folder / "out"
    given.write_bytes(store.read_bytes())
    if rng.random() < 0.3:
        study: dict[str, Any] = tiny_study()
        network = {"depth": 2, "cascades": 2, "features": 2}
        study["networks"] = {"teacher": network, "student": network}
        config = folder / "study.yaml"
        config.write_text(yaml.safe_dump(study))
        arguments = ["train", "--config", str(config), *names, "--model", "student", "--seed", "0"]
        return Hostile([*arguments, "--output", str(output)], told, output, _sound(store), refused)
    output /= "zero_filled"
    arguments = ["evaluate", "--zero-filled", str(output), *names, "--part", "test"]

    def verify() -> None:
        _sound(store)()
        rows = read_rows(output / "volumes.csv", "metrics", ("psnr_db", "ssim", "nmse"))
        assert sorted(rows["patient"]) == ["1e5", "a,b"]
        assert np.isfinite(rows["psnr_db"]).all()

    return Hostile(arguments, told, output, verify, refused)


def _sound(store: Path) -> Callable[[], None]:
    def verify() -> None:
        with h5py.File(store) as file:
            images = np.asarray(file["images"])
            rows = json.loads(file["slices"][()])
            digest = hashlib.sha256(np.ascontiguousarray(images, np.float32).data)
            digest.update(file["slices"][()])
            assert file.attrs["digest"] == digest.hexdigest(), "not what was written"
        assert images.ndim == 3
        assert images.dtype.kind == "f"
        assert len(images) == len(rows)
        assert np.isfinite(images).all()
        assert all(isinstance(row["patient"], str) for row in rows)

    return verify
