"""Words what pydantic finds wrong in a configuration."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from pydantic import ValidationError

from pipeline_src.config.datasets import OWN
from pipeline_src.config.reference import key_paths, source_kinds
from pipeline_src.config.study_checks import NAME_PATTERN, NAME_RULE

#: Characters of a wrong value that are shown.
LONGEST_VALUE = 80
#: Keys of a data set below which there are several kinds of section.
KINDS_BELOW = (("source",), ("split",))
#: How like a key of this section a word is that means it, though it is a key of another section.
MISSPELT = 0.8
MAPPING = "must be a mapping of keys to values"
#: Pydantic's kinds of problems whose own words name Python's types, and what is said instead.
WORDS = {
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "dict_type": MAPPING,
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "int_from_float": "must be an integer",
    "int_parsing": "must be an integer",
    "int_type": "must be an integer",
    "list_type": "must be a list",
    "model_type": MAPPING,
    "string_type": "must be text",
    "too_long": "holds too many; give at most {max_length}",
    "too_short": "holds too few; give at least {min_length}",
    "tuple_type": "must be a list",
}


def describe(error: ValidationError) -> str:
    """The first problem of a study in one line, and the number of others."""
    problems = error.errors(include_url=False)
    first = problems[0]
    if first["type"] == "union_tag_not_found":
        where = ".".join(map(str, first["loc"]))
        return f"{where}.kind: this key is missing; there are {', '.join(source_kinds())}"
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], re.findall(r"'(\w+)'", first["ctx"]["expected_tags"])
        tags.remove(OWN)
        near = difflib.get_close_matches(tag, tags, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(tags)}"
        where = ".".join(map(str, first["loc"]))
        own = "one of your own needs its `module` beside it"
        return f"{where}.kind: {tag!r} is not a source; {hint} ({own})"
    # Pydantic names the kind of a network, source or split inside the path, and that it means a key
    # of a mapping; a user does not.
    place = first["loc"]
    kind_at = 2 if place[:1] == ("networks",) else 3 if place[2:3] in KINDS_BELOW else len(place)
    parts = [str(part) for i, part in enumerate(place) if i != kind_at and part != "[key]"]
    where = ".".join(parts)
    context = first.get("ctx", {})
    if first["type"] == "unknown_key":
        key = ".".join([*parts, context["key"]])
        hint = _nearest_key(parts, context["key"], context["near"]) or context["hint"]
        line = f"{key}: unknown key (value {_cut(context['value'])}); {hint}"
    elif first["type"] == "missing":
        line = f"{where}: this key is missing and has no default"
        if first["loc"][2:3] == ("source",) and first["loc"][3:]:
            line += f" for kind {first['loc'][3]}; give it too (another kind keeps no key)"
    else:
        line = f"{where}: {worded(first)}" if where else worded(first)
        if first["type"] in ("dict_type", "model_type") and first["input"] is not None:
            line += _as_mapping(parts, first["input"])
    more = len(problems) - 1
    return line + (f" (and {more} more)" if more else "")


def worded(problem: Mapping[str, Any]) -> str:
    """A value and what is wrong with it, from an entry of pydantic's `errors()`."""
    kind, given = problem["type"], problem["input"]
    context = problem.get("ctx", {})
    if given is None:
        if kind == "model_type":
            return "this section is empty; give its keys, or leave it out"
        return "this key is empty; give it a value"
    # YAML makes dates of 2020-01-02 and the like.
    if kind == "string_type" and isinstance(given, bool | int | float | date):
        message = "is not text; write it in quotes"
    elif kind == "list_type" and isinstance(given, bool | int | float | str):
        message = f"is not a list; write [{_cut(repr(given))}] for a list of it alone"
    elif kind == "string_pattern_mismatch" and context["pattern"] == NAME_PATTERN:
        message = f"cannot be a name; {NAME_RULE}"
    elif kind in WORDS:
        message = WORDS[kind].format(**context)
    else:
        said = problem["msg"].removeprefix("Value error, ")
        message = re.sub("^(?:Input|String) should ", "must ", said)
    # A check over several keys names them itself; its input is the whole section.
    return message if isinstance(given, dict) else f"{_cut(repr(given))}: {message}"


def _cut(text: str) -> str:
    """The beginning of a text that would fill the line."""
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _as_mapping(section: list[str], given: Any) -> str:
    """How what was given where a mapping belongs is written as one, as far as it shows."""
    keys = _keys_below(section)
    if isinstance(given, list) and keys == ["NAME"]:
        if given and all(isinstance(one, str) for one in given):
            return _cut(f"; write {{{', '.join(f'{one}: {{}}' for one in given)}}}")
        return "; write the names without dashes before them"
    return f" ({', '.join(keys)})" if keys and keys != ["NAME"] else ""


def _keys_below(section: list[str]) -> list[str]:
    """The keys of a section; `NAME` alone where they are names of the user's choice."""
    depth = len(section)
    paths = [path.split(".") for path in key_paths()]
    return list(dict.fromkeys(p[depth] for p in paths if p[depth:] and _is_in(p[:depth], section)))


def _is_in(path: list[str], section: list[str]) -> bool:
    """Whether a path, with `NAME` for names of the user's choice, leads to a section."""
    return len(path) == len(section) and all(
        known in ("NAME", given) for known, given in zip(path, section, strict=True)
    )


def _nearest_key(section: list[str], key: str, near: str) -> str:
    """Where a key belongs that other sections have, or a question that suggests a similar one of
    this section (``near``), or else of another.
    """
    paths = list(dict.fromkeys(key_paths()))
    same = [path for path in paths if path.rsplit(".", 1)[-1] == key]
    # What another kind of this section has is meant for this one.
    elsewhere = [] if any(_is_in(p.split(".")[:-1], section) for p in same) else same[:3]
    # A similar word here comes first: `seed` is `seeds` before it is a seed of something else.
    misspelt = bool(difflib.get_close_matches(key, [near], cutoff=MISSPELT))
    if elsewhere and not misspelt:
        return f"its place is {' or '.join(map(repr, elsewhere))}"
    meant = [".".join([*section, near]), *elsewhere] if near else []
    if not meant:
        leaves = {path.rsplit(".", 1)[-1]: path for path in paths}
        similar = difflib.get_close_matches(key, leaves, n=1, cutoff=0.7)
        meant = [leaves[leaf] for leaf in similar]
    return f"did you mean {' or '.join(map(repr, meant[:3]))}?" if meant else ""
