"""Reading a configuration: YAML files and overrides in, a checked study out."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline_src.config.reference import key_paths
from pipeline_src.config.section import merge
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError


class _UniqueKeys(yaml.SafeLoader):
    """YAML lets the second of two equal keys win without a word; here it is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"key {key!r} is given a second time in line {line}")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        InputError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is not valid YAML ({error})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: holds no mapping of keys to values")
    return data


def parse_override(text: str) -> dict[str, Any]:
    """``training.epochs=3`` as ``{"training": {"epochs": 3}}``.

    Raises:
        InputError: the text is not of that form.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InputError(f"--set {text}: expected KEY=VALUE, such as training.epochs=3")
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text}: the value is not valid YAML") from error
    for part in reversed(key.split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def load_study(path: Path, overrides: Sequence[str] = ()) -> Study:
    """Read and check one configuration file with ``KEY=VALUE`` overrides laid on it.

    Raises:
        InputError: anything in it is wrong; the line names the key, the value and what is right.
    """
    data: dict[str, Any] = read_yaml(path)
    for text in overrides:
        data = merge(data, parse_override(text))
    return check_study(data, str(path))


def check_study(data: Mapping[str, Any], origin: str = "configuration") -> Study:
    """Check a configuration given as a mapping.

    Raises:
        InputError: anything in it is wrong; ``origin`` says where it came from.
    """
    try:
        return Study.model_validate(dict(data))
    except ValidationError as error:
        raise InputError(f"{origin}: {_describe(error)}") from None


def _describe(error: ValidationError) -> str:
    """The first problem as one line, and how many there are besides."""
    problems = error.errors(include_url=False)
    first = problems[0]
    if first["type"] == "union_tag_invalid":
        tag, tags = first["ctx"]["tag"], re.findall(r"'(\w+)'", first["ctx"]["expected_tags"])
        near = difflib.get_close_matches(tag, tags, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(tags)}"
        where = ".".join(map(str, first["loc"]))
        return f"{where}.kind: {tag!r} is no source; {hint}"
    # Pydantic names a source's kind inside the path; a user does not write it there.
    parts = [
        str(p)
        for i, p in enumerate(first["loc"])
        if not (i == 3 and first["loc"][2:3] == ("source",))
    ]
    where = ".".join(parts)
    context = first.get("ctx", {})
    if first["type"] == "unknown_key":
        key = ".".join([*parts, context["key"]])
        hint = _nearest_key(parts, context["key"], context["near"]) or context["hint"]
        line = f"{key}: unknown key (value {context['value']}); {hint}"
    elif first["type"] == "missing":
        line = f"{where}: this key is missing and has no default"
    else:
        message = first["msg"].removeprefix("Value error, ")
        # A check over several keys names them itself; its input is the whole section.
        value = "" if isinstance(first["input"], dict) else f"{first['input']!r}: "
        line = f"{where}: {value}{message}" if where else f"{value}{message}"
    more = len(problems) - 1
    return line + (f" (and {more} more)" if more else "")


def _nearest_key(section: list[str], key: str, near: str) -> str:
    """A question that names the key that was meant: the same word in another section, a similar
    one in this section (``near``), or a similar one elsewhere."""
    paths = key_paths()
    meant = [path for path in paths if path.rsplit(".", 1)[-1] == key]
    if not meant and near:
        meant = [".".join([*section, near])]
    if not meant:
        leaves = {path.rsplit(".", 1)[-1]: path for path in paths}
        similar = difflib.get_close_matches(key, leaves, n=1, cutoff=0.6)
        meant = [leaves[leaf] for leaf in similar]
    return f"did you mean {' or '.join(map(repr, meant[:3]))}?" if meant else ""
