"""Validates the options that a network, a loss or a data source defines for itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from pipeline_src.config.problems import worded
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.modules import PACKAGE, failure

Options = TypeVar("Options", bound=Section)


class NoOptions(Section):
    """The options model of anything without options."""


def checked_options(model: type[Options], given: Mapping[str, Any], where: str) -> Options:
    """Validate options by their model, with its defaults filled in.

    Args:
        model: a `Section`, so that unknown keys are refused.
        given: the options from the configuration.
        where: the key that contains them, such as `methods.at.options`.

    Raises:
        InputError: an option is unknown or missing, its value is not allowed, or a user's own model
            fails.
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
    except Exception as error:
        if model.__module__.partition(".")[0] == PACKAGE.name:
            raise
        raise InputError(f"{where}: the code of their model fails ({failure(error)})") from error
    first, more = problems[0], len(problems) - 1
    place = ".".join(map(str, (where, *first["loc"])))
    if first["type"] == "unknown_key":
        known = ", ".join(model.model_fields) or "none"
        hint = first["ctx"]["hint"] if model.model_fields else "there are none"
        line = f"{place}.{first['ctx']['key']}: no such option; {hint} (options: {known})"
    elif first["type"] == "missing":
        line = f"{place}: this option is missing and has no default"
    else:
        line = f"{place}: {worded(first)}"
    raise InputError(line + (f" (and {more} more)" if more else ""))
