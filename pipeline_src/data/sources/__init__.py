"""Sources of volumes: one module a kind, chosen by the configuration's `source.kind`."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from pipeline_src.data.volume import VolumeReference, refuse_duplicates
from pipeline_src.errors import InputError


def list_volumes(source: Any, data_root: Path) -> list[VolumeReference]:
    """All volumes of a source, sorted, without reading their pixels.

    ``source`` is one of the configuration's source sections. The module of the same name as its
    ``kind`` provides ``list_volumes(source, data_root)``.

    Raises:
        InputError: the data is not there, or two volumes claim one patient and frame.
    """
    module = import_module(f"pipeline_src.data.sources.{source.kind}")
    volumes = refuse_duplicates(module.list_volumes(source, data_root))
    if not volumes:
        raise InputError(
            f"{data_root / getattr(source, 'path', '')}: no {source.kind} volume found"
        )
    return volumes
