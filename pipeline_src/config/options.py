"""Options that a network, a loss or a data source of its own defines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from pipeline_src.config.section import Section
from pipeline_src.errors import InputError

Options = TypeVar("Options", bound=Section)


class NoOptions(Section):
    """Of what has no options."""


def checked_options(model: type[Options], given: Mapping[str, Any], where: str) -> Options:
    """Options as their model takes them, its defaults filled in.

    Args:
        model: a `Section`, so that a key which it does not have is refused.
        where: the key that they stand under, such as `methods.at.options`.

    Raises:
        InputError: one is unknown, missing or of a value that is not possible.
    """
    if not (isinstance(model, type) and issubclass(model, Section)):
        raise InputError(
            f"{where}: their model {model!r} is no pipeline_src.config.section.Section, which "
            "refuses unknown keys"
        )
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        problems = error.errors(include_url=False)
    first, more = problems[0], len(problems) - 1
    place = ".".join(map(str, (where, *first["loc"])))
    if first["type"] == "unknown_key":
        known = ", ".join(model.model_fields) or "none"
        hint = first["ctx"]["hint"] if model.model_fields else "there are none"
        line = f"{place}.{first['ctx']['key']}: no such option; {hint} (options: {known})"
    elif first["type"] == "missing":
        line = f"{place}: this option is missing and has no default"
    else:
        value = "" if isinstance(first["input"], dict) else f"{first['input']!r}: "
        line = f"{place}: {value}{first['msg'].removeprefix('Value error, ')}"
    raise InputError(line + (f" (and {more} more)" if more else ""))
