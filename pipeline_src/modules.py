"""Finds the file of a module by its dotted name without importing it, and imports modules that
register something.
"""

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
    """The file of a module, of this package or elsewhere, by its dotted name; None if there is
    none.

    Parent packages are searched as folders: importing them, as `find_spec` does, would run their
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

    An outside module must register its own, even under the name of a built-in.

    Args:
        registry: registered classes by name.
        name: the name.
        path: the module's import path.
        key: the key that names the module; the message begins with it.
        what: what is registered, in one word.

    Raises:
        InputError: the module cannot be imported, or does not register that name.
    """
    try:
        import_module(path)
    except ImportError as error:
        raise InputError(f"{key} {path} cannot be imported ({error})") from None
    found = registry.get(name)
    if found is None or found.__module__ != path:
        raise InputError(f"{key} {path} registers no {what} named {name!r}")
    return found
