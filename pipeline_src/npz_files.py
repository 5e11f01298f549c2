"""Reads NumPy files (`.npy`) and archives (`.npz`) safely."""

from __future__ import annotations

import lzma
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline_src.errors import InputError
from pipeline_src.files import open_regular

#: What a damaged header of an `.npy`, which is Python's text, raises besides OSError, EOFError and
#: ValueError.
NPY_HEADER_ERRORS = (
    *(TypeError, RecursionError, MemoryError, SyntaxError, tokenize.TokenError),
    OverflowError,
)
#: How NumPy packs. Other ways pack zeros a million to one.
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def map_npy(path: Path) -> NDArray[Any]:
    """Memory-map the array of an `.npy` file, of any shape, so that an array larger than its file
    or than the memory is refused.

    Raises:
        OSError, EOFError, ValueError, or one of `NPY_HEADER_ERRORS`: it cannot be read.
    """
    open_regular(path).close()
    # Headers that Python 2 wrote are read with a warning.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        return np.lib.format.open_memmap(path, mode="r")


@contextmanager
def reading_npz(path: Path, otherwise: str) -> Iterator[Mapping[str, NDArray[Any]]]:
    """The arrays of an archive, of any shape, each read when it is accessed; arrays of objects are
    refused.

    ``otherwise`` is the message for a file that cannot be read.

    Raises:
        InputError: it is missing, damaged, or not such an archive; this includes errors while
            reading in the block.
    """
    try:
        with open_regular(path) as stream, np.load(stream) as file:
            if any(part.compress_type not in PACKED for part in file.zip.infolist()):
                raise ValueError("packed as NumPy does not; save it anew with numpy.savez")
            yield file
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist") from None
    # Of a damaged part, each way of packing it raises its own; RuntimeError where it is encrypted
    # or packed in a way that is not known.
    except (
        *NPY_HEADER_ERRORS,
        OSError,
        EOFError,
        KeyError,
        ValueError,
        AttributeError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise InputError(f"{path}: {otherwise} ({error})") from None
