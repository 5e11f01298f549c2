"""NIfTI files whose headers or ends are damaged, against a reader of the standard's own words."""

from __future__ import annotations

import gzip
import io
import math
import random
import struct
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from hostile_running import Hostile
from hostile_studies import on_files, study_text
from numpy.typing import NDArray

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
TYPES |= {1024: "i8", 1280: "u8"}
SHORTS = [-32768, -1, 0, 1, 2, 3, 4, 5, 7, 8, 9, 32767]
FLOATS = [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-38, 1e38, 2.0, 0.5]


def _file(rng: random.Random) -> bytes:
    noise = np.random.default_rng(rng.getrandbits(32))
    image = noise.random((rng.randint(8, 10), rng.randint(8, 10), rng.randint(1, 3))) * 200 + 1
    kind = rng.choice([np.uint8, np.int16, np.float32, np.float64, np.uint16])
    make = nibabel.Nifti2Image if rng.random() < 0.1 else nibabel.Nifti1Image
    return bytes(make(image.astype(kind), np.eye(4)).to_bytes())


def _damaged(rng: random.Random, whole: bytes) -> tuple[bytes, str, bool | None]:
    """The bytes with something wrong, what that is, and whether it must be refused."""
    data, how = bytearray(whole), rng.randrange(12)
    if how == 0:
        return whole, "nothing", False
    if how < 4:
        told = []
        for _ in range(rng.choice([1, 1, 2, 5])):
            at = rng.randrange(352)
            data[at] ^= 1 << rng.randrange(8)
            told.append(at)
        return bytes(data), f"bytes {told} flipped", None
    fields: dict[str, tuple[str, int, list[Any]]] = {
        "dim": ("<h", 40 + 2 * rng.randrange(8), SHORTS),
        "datatype": ("<h", 70, [*TYPES, 0, 1, 32, 128, 255, 1536, 2304, -1]),
        "bitpix": ("<h", 72, [0, 1, 8, 16, 32, 64, -1]),
        "pixdim": ("<f", 76 + 4 * rng.randrange(8), FLOATS),
        "vox_offset": ("<f", 108, [*FLOATS, 0, 348, 351.5, 352, 353, 356, 400, 1e9, -352]),
        "scl_slope": ("<f", 112, FLOATS),
        "scl_inter": ("<f", 116, FLOATS),
        "form": ("<h", 252 + 2 * rng.randrange(2), SHORTS),
        "affine": ("<f", 256 + 4 * rng.randrange(18), FLOATS),
        "magic": ("<i", 344, [0, -1, 0x3169_6E, 0x312B_6E, 0x322B_6E]),
        "extension": ("<i", 348, [1, -1, 256]),
    }
    if how < 9:
        name = rng.choice(list(fields))
        form, at, values = fields[name]
        value = rng.choice(values)
        struct.pack_into(form, data, at, value)
        return bytes(data), f"{name} at {at}: {value}", None
    if how == 9:
        cut = rng.randrange(len(data))
        return bytes(data[:cut]), f"cut to {cut}", True
    if how == 10:
        return bytes(data) + bytes(rng.randrange(1, 5000)), "zeros after it", False
    extension = struct.pack("<ii", rng.choice([16, 17, 0, -16, 2**31 - 1, 32]), 6) + b"x" * 24
    data = data[:348] + b"\1\0\0\0" + extension + data[352:]
    struct.pack_into("<f", data, 108, 352 + len(extension))
    return bytes(data), f"an extension {extension[:8]!r}", None


def read(whole: bytes) -> NDArray[np.float64]:
    """The image as the standard says, the plain way; AssertionError where the header is none."""
    order = "<" if 1 <= struct.unpack_from("<h", whole, 40)[0] <= 7 else ">"
    count, *dims = struct.unpack_from(f"{order}8h", whole, 40)
    code, bits = struct.unpack_from(f"{order}2h", whole, 70)
    offset, slope, inter = struct.unpack_from(f"{order}3f", whole, 108)
    kind = np.dtype(f"{order}{TYPES[code]}")
    assert bits in (0, 8 * kind.itemsize), f"bitpix {bits} for {kind}"
    shape = tuple(dims[:count])
    assert count >= 3
    assert all(size == 1 for size in shape[3:])
    assert int(offset) >= 352
    values = np.frombuffer(whole, kind, math.prod(shape), int(offset))
    image = values.reshape(shape[:3], order="F").astype(np.float64)
    return image if slope == 0 or not math.isfinite(slope) else image * slope + inter


def draw(rng: random.Random, folder: Path) -> Hostile:
    """Three good files and one that is damaged."""
    volumes, suffix, refused, told = {}, rng.choice([".nii", ".nii.gz"]), None, ""
    for name in "abcd":
        whole = _file(rng)
        two = whole[:2] == b"\x1c\x02"
        if name == "b" and not two:
            whole, told, refused = _damaged(rng, whole)
        path = folder / "data" / f"sub-{name}{suffix}"
        path.parent.mkdir(exist_ok=True)
        packed = gzip.compress(whole, 1) if suffix.endswith("gz") else whole
        if name == "b" and suffix.endswith("gz") and rng.random() < 0.2:
            cut = rng.randrange(len(packed))
            packed, refused = rng.choice(
                [(packed[:cut], True), (packed + b"garbage", None), (packed * 2, None)]
            )
            told += f"; {len(packed)} bytes of the packed file"
        path.write_bytes(packed)
        if two:
            image = nibabel.Nifti2Image.from_stream(io.BytesIO(whole)).get_fdata()
        else:
            try:
                image = read(whole)
            except (AssertionError, KeyError, ValueError, OverflowError, struct.error) as error:
                image, refused, told = None, True, f"{told}\nin the plain way: {error!r}"
        volumes[name, ""] = image
    source = {"kind": "nifti", "path": "data", "pattern": "sub-*.nii*"}
    if rng.random() < 0.6:
        source["orientation"] = "as_stored"
    text = study_text(folder, source, {"train": 2, "validation": 1, "test": 1})
    command = rng.choice(["check", "prepare", "prepare"])
    # The plain reader's reason not to read a file is one to refuse it.
    if command == "check" and refused:
        refused = None
    return on_files(command, folder, text, told, volumes, refused=refused)
