"""Looking at HDF5 files of strangers."""

from __future__ import annotations

from typing import Any

import h5py


def lies_elsewhere(file: h5py.File, name: str) -> bool:
    """Whether what goes by this name is read from another file than this one: HDF5 follows links to
    files, and takes a data set's numbers from any file of the machine that it names."""
    found: Any = file.get(name)
    if found is None:  # there is nothing, or it leads nowhere
        return False
    if found.file.filename != file.filename:
        return True
    if not isinstance(found, h5py.Dataset):
        return False
    sources = found.virtual_sources() if found.is_virtual else []
    return bool(found.external) or any(source.file_name != "." for source in sources)
