"""Finds the file of a module by its dotted name without importing it, and imports modules that
register something.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
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


def import_others(path: str, key: str) -> ModuleType:
    """Import a module that may be a user's own.

    ``key`` names the module in the configuration; the message begins with it.

    Raises:
        InputError: it cannot be imported, or its code fails or ends the process.
    """
    try:
        return import_module(path)
    except ImportError as error:
        raise InputError(f"{key} {path} cannot be imported ({error})") from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{key} {path} cannot be imported ({failure(error)})") from error


@contextmanager
def running_others(what: str, module: str | None) -> Iterator[None]:
    """Turn whatever a user's own code raises into an error of one line, which begins with ``what``.

    ``module`` is its import path; None: the code is this project's, whose faults are not hidden.

    Raises:
        InputError: the code failed.
    """
    try:
        yield
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        if module is None:
            raise
        raise InputError(f"{what}: its code fails ({failure(error)})") from error


def failure(error: BaseException) -> str:
    """An error of a user's code: what it is, and the line that raised it."""
    where = next(
        (
            f", {frame.filename}:{frame.lineno}"
            for frame in reversed(traceback.extract_tb(error.__traceback__))
            if not Path(frame.filename).is_relative_to(PACKAGE)
        ),
        "",
    )
    return f"{type(error).__name__}: {error}{where}"


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
    import_others(path, key)
    found = registry.get(name)
    if found is None or found.__module__ != path:
        others = ", ".join(repr(n) for n, kind in registry.items() if kind.__module__ == path)
        raise InputError(
            f"{key} {path} registers no {what} named {name!r}"
            f"{f', but {others}' if others else ''}; write @register_{what}({name!r}) before its "
            "class"
        )
    return found
