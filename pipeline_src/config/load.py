"""Reads a configuration from YAML files and overrides, and checks it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from pipeline_src.config.problems import describe
from pipeline_src.config.section import merge
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError

#: Far more than any configuration needs: size of a file, number of values, and depth of nesting.
LARGEST_FILE, MOST_NODES, DEEPEST = 1 << 20, 100_000, 50
#: What YAML takes the beginning of a text for something else by.
YAML_SIGNS = tuple("*&!%@`")
#: Snakemake's option for configuration files, as it may be written.
CONFIGFILE = ("--configfile", "--configfiles")


class _UniqueKeys(yaml.SafeLoader):
    """A YAML loader that refuses what YAML reads in a surprising way: it silently lets the second
    of two equal keys win, and reads 010 as 8 and 1:30 as 90.
    """

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._depth += 1
        # Checked at once, since the amount that is read ahead grows with the depth.
        if self._depth > DEEPEST:
            raise yaml.YAMLError(f"nests deeper than {DEEPEST} levels")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        number: int | float
        if node.tag.endswith(":int"):
            number = self.construct_yaml_int(node)
            str(number)  # Refuses those of more digits than Python shows.
        else:
            number = self.construct_yaml_float(node)
        if re.match(r"[-+]?0[0-9_]|.*:", node.value) and number != 0:
            raise yaml.YAMLError(
                f"{node.value} in line {node.start_mark.line + 1} is {number} to YAML; write "
                f"{number} if it is that, no leading zero or colon if it is another number, or "
                f"{node.value!r} in quotes if it is text"
            )
        return number

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.YAMLError(f"the key in line {line} is not text")
            # `<<` merges another mapping into this one.
            merges = key_node.tag == "tag:yaml.org,2002:merge"
            key = "<<" if merges else self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.YAMLError(f"key {key!r} is given a second time in line {line}")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


for _kind in ("int", "float"):
    _UniqueKeys.add_constructor(f"tag:yaml.org,2002:{_kind}", _UniqueKeys.construct_number)


def _load_yaml(text: str | bytes) -> Any:
    """Read one YAML document.

    Raises:
        UnicodeDecodeError: the bytes are not UTF-8.
        YAMLError: it is not YAML, a key is given twice, or it expands to more than a configuration
            can have.
    """
    if len(text) > LARGEST_FILE:
        raise yaml.YAMLError(f"is larger than {LARGEST_FILE >> 20} MiB")
    try:
        loader = _UniqueKeys(text if isinstance(text, str) else text.decode("utf-8"))
        node = loader.get_single_node()
        if node is None:
            return None
        if _unfolded(node, {}, 0) > MOST_NODES:
            raise yaml.YAMLError(f"its aliases unfold to more than {MOST_NODES} values")
        return loader.construct_document(node)
    # What PyYAML's own constructors raise of a value that is not of its tag, such as `!!bool x`.
    except (LookupError, AttributeError, TypeError, OverflowError) as error:
        raise yaml.YAMLError(f"a value is not of the kind that its tag says ({error})") from None


def _unfolded(node: yaml.Node, known: dict[int, int], depth: int) -> int:
    """How many values a node represents with its aliases expanded; these may lead back to it."""
    if depth > DEEPEST:
        raise yaml.YAMLError(f"nests deeper than {DEEPEST} levels")
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        parts = node.value
        if isinstance(node, yaml.MappingNode):
            parts = [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_unfolded(part, known, depth + 1) for part in parts)
    return known[id(node)]


def _told(error: Exception) -> str:
    """What is wrong with a text as YAML, and in which line; PyYAML shows the place by a sign below
    the line, which says nothing beside it.
    """
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"line {line} has a byte that is not UTF-8; save the file as UTF-8"
    if not isinstance(error, yaml.MarkedYAMLError):
        return str(error)
    begun = f" from line {error.context_mark.line + 1}" if error.context_mark else ""
    before = f"{error.context}{begun}: " if error.context else ""
    mark = error.problem_mark
    at = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    return f"{before}{error.problem}{at}"


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        InputError: the file is missing, is not YAML or is not a mapping.
    """
    try:
        with path.open("rb") as stream:
            data = _load_yaml(stream.read(LARGEST_FILE + 1))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise InputError(f"{path}: is not valid YAML ({_told(error)})") from error
    if not isinstance(data, dict):
        raise InputError(f"{path}: is not a mapping of keys to values")
    if "__use_yte__" in data:
        raise InputError(
            f"{path}: __use_yte__ has Snakemake run the code in this file as soon as it is read; "
            "write the values themselves, and do not give the file to Snakemake before"
        )
    return data


def parse_value(text: str, origin: str) -> Any:
    """Read a value from the command line in the same way as in a file.

    Raises:
        InputError: it is not YAML; ``origin`` names the option.
    """
    try:
        return _load_yaml(text)
    except (yaml.YAMLError, ValueError) as error:
        if text[:1] in YAML_SIGNS:
            raise InputError(
                f"{origin}: text that begins with {text[0]} needs quotes within those of the "
                f"shell, as in KEY='\"{text}\"'"
            ) from None
        raise InputError(f"{origin}: the value is not valid YAML ({_told(error)})") from None


def parse_override(text: str) -> dict[str, Any]:
    """Convert ``training.epochs=3`` to ``{"training": {"epochs": 3}}``.

    Raises:
        InputError: the text does not have that form.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise InputError(f"--set {text}: expected KEY=VALUE, such as training.epochs=3")
    if key.count(".") > DEEPEST:
        raise InputError(f"--set: the key has {key.count('.')} dots; keys nest a few levels deep")
    parsed = parse_value(value, f"--set {text}")
    for part in reversed(key.split(".")):
        parsed = {part: parsed}
    return dict(parsed)


def read_files(paths: Sequence[Path]) -> tuple[dict[str, Any], str]:
    """Merge several files into one mapping; also returns a name for all of them.

    As with Snakemake's `--configfile`, a later file overrides earlier ones.

    Raises:
        InputError: as in `read_yaml`.
    """
    given: dict[str, Any] = {}
    for path in paths:
        given = merge(given, read_yaml(path))
    return given, " + ".join(map(str, paths))


def load_study(paths: Path | Sequence[Path], overrides: Sequence[str] = ()) -> Study:
    """Read and check a configuration from one file or several, with ``KEY=VALUE`` overrides.

    Raises:
        InputError: anything in it is wrong; the message names the key, the value and what would be
            right.
    """
    over: dict[str, Any] = {}
    for text in overrides:
        over = merge(over, parse_override(text), default_kinds={})
    given, origin = read_files([paths] if isinstance(paths, Path) else paths)
    return check_study(given, origin, "--set", over)


def check_study(
    data: Mapping[str, Any],
    origin: str = "configuration",
    over_origin: str = "",
    over: Mapping[str, Any] | None = None,
) -> Study:
    """Check a configuration given as a mapping, with overrides from another mapping.

    Raises:
        InputError: anything in it is wrong; the message begins with ``origin``, or with
            ``over_origin`` if the value is an override.
    """
    over = over or {}
    try:
        return Study.model_validate(merge(data, over))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = [*first["loc"], *([first["ctx"]["key"]] if first["type"] == "unknown_key" else [])]
        if first["type"] == "missing" and place[2:3] == ["source"] and place[3:]:
            place[3:] = ["kind"]  # the key that requires it
        if not place and over:
            origin = f"{origin} with {over_origin}"
        elif place and _reaches(over, [str(part) for part in place]):
            origin = over_origin
        raise InputError(f"{origin}: {describe(error)}") from None


def _reaches(values: Any, path: list[str]) -> bool:
    """Whether a nested mapping has the value at a path, a part of it, or what contains it."""
    if not path or not isinstance(values, Mapping):
        return True
    # Pydantic names the kind of a source or split inside the path.
    head, rest = path[0], path[1:]
    if head in values:
        return _reaches(values[head], rest)
    return bool(rest) and rest[0] in values and _reaches(values[rest[0]], rest[1:])
