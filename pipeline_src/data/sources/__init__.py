"""Sources of volumes: one module per kind, chosen by the configuration's `source.kind`, or named by
its `source.module`.

A source's module provides ``list_volumes(source, data_root)``; ``DESCRIPTION``, its name in the
methods section; if its images lie on their side, ``DISPLAY_QUARTER_TURNS``; and, if it is outside
this package and has options, their model as ``Options``.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline_src.config.datasets import OwnSource, source_module
from pipeline_src.config.options import NoOptions, checked_options
from pipeline_src.config.section import Section
from pipeline_src.data.volume_reference import VolumeReference, refuse_duplicates
from pipeline_src.errors import InputError
from pipeline_src.modules import import_others, running_others


def check_source(source: Any) -> ModuleType:
    """The module of a source section, if it has what every source needs.

    Raises:
        InputError: there is no such module, or it lacks ``list_volumes`` or ``DESCRIPTION``.
    """
    name = source_module(source)
    own = isinstance(source, OwnSource)
    try:
        module = import_others(name, "source.module:") if own else import_module(name)
    except ImportError as error:
        if not isinstance(error, ModuleNotFoundError) or error.name != name:
            raise
        raise InputError(
            f"source.kind: {source.kind!r} has no module pipeline_src/data/sources/{source.kind}.py"
        ) from None
    if not callable(getattr(module, "list_volumes", None)):
        raise InputError(f"{module.__file__}: lacks the function list_volumes(source, data_root)")
    if not isinstance(getattr(module, "DESCRIPTION", None), str):
        raise InputError(
            f"{module.__file__}: lacks the text DESCRIPTION, the source's name in the report"
        )
    return module


def source_options(source: OwnSource) -> Section:
    """The options of a user's own source, validated by its module's model.

    Raises:
        InputError: an option is unknown or its value is not allowed; see also `check_source`.
    """
    model: type[Section] = getattr(check_source(source), "Options", NoOptions)
    return checked_options(model, source.options, "source.options")


def list_volumes(source: Any, data_root: Path) -> list[VolumeReference]:
    """All volumes of a source, sorted, without reading their pixels.

    ``source`` is one of the configuration's source sections.

    Raises:
        InputError: the data does not exist, two volumes have the same patient and frame, or a name
            is not UTF-8.
    """
    module = check_source(source)
    if isinstance(source, OwnSource):
        source = source.model_copy(update={"options": source_options(source)})
    own = source.module if isinstance(source, OwnSource) else None
    with running_others(f"source {source.kind}", own):
        listed = module.list_volumes(source, data_root)
    volumes = refuse_duplicates(listed)
    if not volumes and own:
        raise InputError(f"source.module: {own}: its list_volumes finds no volume")
    if not volumes:
        folder = Path(data_root, getattr(source, "path", "")).absolute()
        raise InputError(f"{folder}: no {source.kind} volume found")
    for volume in volumes:
        try:
            f"{volume.patient}{volume.frame}{volume.path}".encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{volume.label}: this name is no UTF-8, and neither tables nor manifests could "
                "hold it; rename the file or its folder"
            ) from None
    return volumes
