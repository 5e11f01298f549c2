"""Modules by their dotted names: finding the file of one without importing anything of it, and
importing what registers something under a name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from pipeline_src.errors import InputError

PACKAGE = Path(__file__).resolve().parent
Registered = TypeVar("Registered", bound=type)


@cache
def locate(name: str) -> Path | None:
    """The file of a module, of this package or elsewhere, by its dotted name; None where there is
    none.

    Its parents are looked for as folders: to import them, as `find_spec` does, would run their
    code.
    """
    top, *parts = name.split(".")
    folder = PACKAGE if top == PACKAGE.name else None
    if folder is None:
        try:
            spec = find_spec(top)
        except (ImportError, ValueError):
            return None
        if spec is None or spec.origin is None:
            return None
        origin = Path(spec.origin)
        if not parts:
            return origin if origin.is_file() else None
        folder = origin.parent
    base = folder.joinpath(*parts)
    candidates = (base.with_suffix(".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def source_of_module(name: str, key: str) -> Path:
    """The file of a module that the configuration names under ``key``.

    Raises:
        InputError: there is none.
    """
    found = locate(name)
    if found is None:
        raise InputError(f"{key}: no module {name!r} found from here")
    return found


def import_registered(
    registry: Mapping[str, Registered], name: str, path: str, key: str, what: str
) -> Registered:
    """The class that a module registers under a name when it is imported.

    An outside module must register its own, also under the name of a built-in.

    Args:
        registry: classes by name, as they are once the module is imported.
        path: the module's import path.
        key: what names the module, as the beginning of a line.
        what: what is registered, in a word.

    Raises:
        InputError: the module cannot be imported, or registers nothing of that name.
    """
    try:
        import_module(path)
    except ImportError as error:
        raise InputError(f"{key} {path} cannot be imported ({error})") from None
    found = registry.get(name)
    if found is None or found.__module__ != path:
        raise InputError(f"{key} {path} registers no {what} named {name!r}")
    return found
