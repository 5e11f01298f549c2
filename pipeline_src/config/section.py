"""The base of every configuration section, and how one mapping is laid over another."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A mapping in the configuration file whose keys are all known."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise unknown_key(str(key), data[key], list(cls.model_fields))
                _refuse_truth_for_a_number(key, data[key], cls.model_fields[key].annotation)
        return data


def _refuse_truth_for_a_number(key: str, value: Any, annotation: Any) -> None:
    """Pydantic takes `true`, which YAML also makes of `yes` and `on`, for 1 where a number is
    asked for, also within a list."""
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) for one in values) and "bool" not in str(annotation):
        raise ValueError(f"{key}: {value!r} is given, which is no number and no text")


def _expanded(path: str) -> str:
    """A path with `~` and environment variables put in, as a shell would."""
    # Not by Path, which would change the rest of the text.
    expanded = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111
    unknown = re.search(r"\$(\w+|\{[^}]*\})", expanded)
    if unknown and unknown[0] in path:
        raise ValueError(f"the environment variable {unknown[0]} is not set")
    if expanded.startswith("~"):
        raise ValueError(f"there is no home folder for {path.partition('/')[0]}")
    return expanded


#: A folder or file; `~` and environment variables in it are expanded.
PathText = Annotated[str, AfterValidator(_expanded)]


def unknown_key(key: str, value: Any, known: list[str]) -> PydanticCustomError:
    """An error that names a key nobody reads, its value and the nearest key that exists."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return PydanticCustomError(
        "unknown_key",
        "unknown key '{key}' (value {value}); {hint}",
        {
            "key": key,
            "value": repr(value),
            "near": near[0] if near else "",
            "hint": f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}",
        },
    )


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay ``over`` on ``base``; mappings merge key by key, everything else is replaced."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            merged[key] = merge(old, value)
        else:
            merged[key] = value
    return merged
