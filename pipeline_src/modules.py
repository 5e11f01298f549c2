"""Finding the file of a module without importing anything of it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from pipeline_src.errors import InputError

PACKAGE = Path(__file__).resolve().parent


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
