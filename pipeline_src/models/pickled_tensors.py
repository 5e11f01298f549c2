"""Reading tensors out of a pickled checkpoint without running anything in it.

Both formats of `torch.save` are read here, byte for byte, and not by `torch.load`: that would hand
archives of other kinds to loaders that run what is in them, or unpack them to files.
"""

from __future__ import annotations

import collections
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from pipeline_src.errors import InputError
from pipeline_src.files import open_regular
from pipeline_src.models.pickle_scan import refuse_bombs

STORAGES = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
#: How a checkpoint that is not an archive begins, and the one version of that format that is read.
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Inert:
    """Replaces every other object of a checkpoint: it can be made, called and filled without
    effect.
    """

    def __new__(cls, *_args: object, **_kwargs: object) -> Inert:
        """Accept any arguments."""
        return super().__new__(cls)

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        return None

    def __call__(self, *_args: object, **_kwargs: object) -> Inert:
        """Accept any arguments."""
        return self

    def __setstate__(self, _state: object) -> None:
        return None

    def __setitem__(self, _key: object, _value: object) -> None:
        return None

    def append(self, _value: object) -> None:
        """Ignore an item of a list."""

    def extend(self, _values: object) -> None:
        """Ignore the items of a list."""


class _Fixed:
    """What a pickle may pass on but not change: it takes neither a state nor attributes."""

    __slots__ = ()

    def __setstate__(self, _state: object) -> None:
        raise ValueError("a tensor, or what makes one, is given a state; torch.save gives none")


class _Numbers(_Fixed):
    """A tensor that takes no state; torch's own take one that makes them larger than their
    storage.
    """

    __slots__ = ("tensor",)

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


class _Maker(_Fixed):
    """A function that makes tensors, inside an object that takes no state."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)


def _tensor(
    numbers: object, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: object
) -> _Numbers | Inert:
    """A view of a storage, which must hold at least as many numbers as the view needs."""
    if not isinstance(numbers, _Numbers):
        return Inert()
    storage = numbers.tensor
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (
        all(size) and max(last + 1, math.prod(size)) > storage.numel()
    ):
        raise ValueError(f"a tensor of {size} reaches beyond the {storage.numel()} numbers it has")
    # A storage may itself be part of a larger one; torch counts from the beginning of that.
    return _Numbers(torch.as_strided(storage, size, stride, storage.storage_offset() + offset))


def _parameter(tensor: object, *_: object) -> object:
    return tensor


#: The only names that a checkpoint may refer to: what tensors and their containers are made of.
ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _Maker(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): _Maker(_tensor),
    ("torch._utils", "_rebuild_parameter"): _Maker(_parameter),
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
}


class _TensorsOnly(pickle.Unpickler):
    """Unpickles tensors from the storages of a reader, and nothing else."""

    def __init__(self, stream: IO[bytes], reader: _Archive | _Stream) -> None:
        super().__init__(stream, encoding="utf-8")
        self._reader = reader

    def find_class(self, module: str, name: str) -> Any:
        return ALLOWED.get((module, name), Inert)

    def persistent_load(self, identity: Any) -> _Numbers | Inert:
        match identity:
            case ("storage", torch.dtype() as dtype, str() as key, _, int() as count, *view):
                storage = self._reader.storage(dtype, key, count)
                if view and view[0] is not None:
                    _, start, length = view[0]
                    storage = storage[start : start + length]
                return _Numbers(storage)
        return Inert()


def _unpickle(stream: IO[bytes], reader: _Archive | _Stream, limit: int) -> Any:
    """The next object of a stream of ``limit`` bytes."""
    start = stream.tell()
    refuse_bombs(stream, limit)
    stream.seek(start)
    return _TensorsOnly(stream, reader).load()


class _Archive:
    """A checkpoint in the format of torch 1.6 and later: an uncompressed zip."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._left = size
        self._zip = zipfile.ZipFile(stream)
        names = self._zip.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise ValueError("it is a TorchScript program; save a state_dict with torch.save")
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError("an archive without a data.pkl; save a state_dict with torch.save")
        self._folder = pickles[0].removesuffix("data.pkl")
        self._swapped = (
            f"{self._folder}byteorder" in names and self._bytes("byteorder").strip() == b"big"
        )
        self._storages: dict[str, Tensor] = {}

    def content(self) -> Any:
        """The object that was saved."""
        entry = self._entry("data.pkl")
        with self._zip.open(entry) as stream:
            return _unpickle(stream, self, entry.file_size)

    def storage(self, dtype: torch.dtype, key: str, count: int) -> Tensor:
        """The numbers of a storage, `(count,)`."""
        if key not in self._storages:
            self._storages[key] = _numbers(
                self._bytes(f"data/{key}"), dtype, count, swapped=self._swapped
            )
        return self._storages[key]

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._zip.getinfo(self._folder + name)
        # Parts that share bytes or are compressed can be far larger than the file.
        self._left -= entry.file_size
        if entry.compress_type != zipfile.ZIP_STORED or self._left < 0:
            raise ValueError(
                f"its part {name} is compressed or larger than the file; torch.save writes neither"
            )
        return entry

    def _bytes(self, name: str) -> bytes:
        return self._zip.read(self._entry(name))


class _Stream:
    """A checkpoint in the format before torch 1.6: pickles one after another, then the numbers."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size, self._left = stream, size, size
        self._storages: dict[str, Tensor] = {}

    def content(self) -> Any:
        """The object that was saved."""
        if self._next() != MAGIC or self._next() != PROTOCOL:
            raise ValueError("neither an archive nor a stream of torch.save")
        system = self._next()
        swapped = isinstance(system, dict) and system.get("little_endian") is False
        content, keys = self._next(), self._next()
        for key in keys:
            storage = self._storages[key]
            count = int.from_bytes(self._stream.read(8), "little")
            if count != storage.numel():
                raise ValueError(f"storage {key} has {count} numbers, not {storage.numel()}")
            data = self._stream.read(count * storage.itemsize)
            storage.copy_(_numbers(data, storage.dtype, count, swapped=swapped))
        return content

    def storage(self, dtype: torch.dtype, key: str, count: int) -> Tensor:
        """Zeros `(count,)` in place of the numbers of a storage, which are read at the end."""
        if key not in self._storages:
            self._left -= count * dtype.itemsize
            if count < 0 or self._left < 0:
                raise ValueError("its tensors are larger than the file")
            self._storages[key] = torch.zeros(count, dtype=dtype)
        return self._storages[key]

    def _next(self) -> Any:
        return _unpickle(self._stream, self, self._size)


def _numbers(data: bytes, dtype: torch.dtype, count: int, *, swapped: bool) -> Tensor:
    if len(data) != count * dtype.itemsize:
        raise ValueError(f"{len(data)} bytes where {count} numbers of {dtype} are due")
    words = np.frombuffer(data, f"u{dtype.itemsize}").copy()
    return torch.from_numpy(words.byteswap() if swapped else words).view(dtype)


def read_checkpoint_tensors(path: Path) -> dict[str, Tensor]:
    """The network's tensors of a checkpoint written by `torch.save`.

    They are the checkpoint itself, or its entry `model` or `state_dict`; the prefix `module.` of
    parallel training is removed from names. Whatever else was pickled with them (an argparse
    object, an optimiser) is neither imported nor run, and no more is read than the file is long.

    Raises:
        InputError: the file cannot be read or holds no tensors there.
    """
    try:
        with open_regular(path) as stream:
            size, zipped = path.stat().st_size, stream.read(4) == b"PK\x03\x04"
            stream.seek(0)
            content = (_Archive(stream, size) if zipped else _Stream(stream, size)).content()
    # A pickle that is not a checkpoint can raise any of Python's own errors.
    except Exception as error:
        raise InputError(f"{path}: checkpoint cannot be read ({error})") from None
    if isinstance(content, Mapping):
        for key in ("model", "state_dict"):
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
        tensors = {
            str(name).removeprefix("module."): value.tensor
            for name, value in content.items()
            if isinstance(value, _Numbers)
        }
        if tensors:
            return tensors
    raise InputError(f"{path}: holds no tensors, neither by themselves nor under 'model'")
