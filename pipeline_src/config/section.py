"""The base class of every configuration section, and merging of mappings."""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

from pipeline_src.text import printable

#: The kind of a mapping that names none, by the key of the mapping that holds it.
DEFAULT_KINDS = {"networks": "dc_cnn"}
#: Characters of a title.
LONGEST_TITLE = 1000
#: Characters that turn the direction of what follows, so that text reads otherwise than it is.
TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Section(BaseModel):
    """A mapping in the configuration file whose keys are all known."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False
    )

    #: Whether its text may hold any character, as ids of patients do.
    any_text: ClassVar[bool] = False

    @model_validator(mode="after")
    def _is_plain_text(self) -> Self:
        if self.any_text:
            return self
        for name in type(self).model_fields:
            value = getattr(self, name)
            try:
                for text in _texts(value):
                    refuse_control_characters(text)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return self

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    raise unknown_key(str(key), data[key], list(cls.model_fields))
                _refuse_truth_for_a_number(key, data[key], cls.model_fields[key].annotation)
                _refuse_endless_number(key, data[key])
        return data


def refuse_repeats(values: list[Any]) -> None:
    """Refuse a list with duplicates.

    Raises:
        ValueError: it has some.
    """
    repeated = sorted(value for value, count in Counter(values).items() if count > 1)
    if repeated:
        raise ValueError(f"{repeated[0]} is listed twice")


def refuse_control_characters(text: str) -> None:
    """Refuse text that a terminal, a table or a file name would show as something else.

    Raises:
        ValueError: it contains a control character, half of a surrogate pair, or a character that
            changes the direction of text.
    """
    for character in text:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") or character in TURNING:
            raise ValueError(f"holds the character {character!a}; use plain text on one line")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for pair in value.items():
            yield from (text for part in pair for text in _texts(part))
    elif isinstance(value, list | tuple):
        yield from (text for part in value for text in _texts(part))


def _refuse_truth_for_a_number(key: str, value: Any, annotation: Any) -> None:
    """Refuse `true` where a number is expected, also within a list: YAML also reads `yes` and `on`
    as `true`, and pydantic accepts it as 1.
    """
    values = value if isinstance(value, list) else [value]
    if any(isinstance(one, bool) for one in values) and "bool" not in str(annotation):
        raise ValueError(
            f"{key}: {value!r} is given, which is neither a number nor text (yes, no, on, off, "
            "true and false are neither to YAML; write text in quotes)"
        )


def _refuse_endless_number(key: str, value: Any) -> None:
    """Python's whole numbers have no end; tables, and what computes with them, have."""
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, int) and abs(one) >= 1 << 63:
            digits = str(one) if abs(one) < 10**30 else f"a number of {len(f'{one:x}')} hex digits"
            raise ValueError(f"{key}: {digits} is too large; numbers are less than 2 to the 63")


def _expanded(path: str) -> str:
    """A path with `~` and environment variables expanded, as in a shell."""
    # Not by Path, which would change the rest of the text.
    expanded = os.path.expanduser(os.path.expandvars(path))  # noqa: PTH111
    unknown = re.search(r"\$(\w+|\{[^}]*\})", expanded)
    if unknown and unknown[0] in path:
        raise ValueError(f"the environment variable {unknown[0]} is not set")
    if expanded.startswith("~"):
        raise ValueError(f"there is no home folder for {path.partition('/')[0]}")
    return expanded


def _bounded(title: str) -> str:
    if len(title) > LONGEST_TITLE:
        raise ValueError(f"has {len(title)} characters; {LONGEST_TITLE} at most are shown")
    return title


#: A title; not by pydantic's own limit, which refuses halves of pairs with another message.
Title = Annotated[str, AfterValidator(_bounded)]
#: A folder or file; `~` and environment variables in it are expanded.
PathText = Annotated[str, AfterValidator(_expanded)]


def unknown_key(key: str, value: Any, known: list[str]) -> PydanticCustomError:
    """An error that names an unknown key, its value and the nearest existing key."""
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return PydanticCustomError(
        "unknown_key",
        "unknown key '{key}' (value {value}); {hint}",
        {
            "key": printable(key),
            "value": repr(value),
            "near": near[0] if near else "",
            "hint": f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}",
        },
    )


def shown(value: Any) -> str:
    """A value of the configuration as text."""
    return value if isinstance(value, str) else json.dumps(value)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values of nested mappings by dotted key."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def merge(
    base: Mapping[str, Any],
    over: Mapping[str, Any],
    default_kinds: Mapping[str, str] = DEFAULT_KINDS,
) -> dict[str, Any]:
    """Merge ``over`` into ``base``: mappings are merged key by key, everything else is replaced,
    including a mapping of another `kind`, which has other keys.

    ``default_kinds`` are the kinds of mappings that name none; give none where ``base`` is not
    whole, as overrides are that follow each other.
    """
    return _merged(base, over, default_kinds, None)


def _merged(
    base: Mapping[str, Any],
    over: Mapping[str, Any],
    default_kinds: Mapping[str, str],
    default: str | None,
) -> dict[str, Any]:
    """As `merge`; ``default`` is the kind of a mapping in ``base`` that names none."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        if (
            isinstance(old, dict)
            and isinstance(value, dict)
            and not _other_kind(old, value, default)
        ):
            merged[key] = _merged(old, value, default_kinds, default_kinds.get(key))
        else:
            merged[key] = value
    return merged


def _other_kind(old: Mapping[str, Any], new: Mapping[str, Any], default: str | None) -> bool:
    # Where `kind` is not text, it is the name of something, such as of a data set.
    kinds = (old.get("kind", default), new.get("kind"))
    return all(isinstance(kind, str) for kind in kinds) and kinds[0] != kinds[1]
