"""Reads JSON files that say by `format` what they are, and have the content of a section."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.files import read_json

Described = TypeVar("Described", bound=Section)


def read_described(path: Path, kind: type[Described], form: str, otherwise: str) -> Described:
    """The content of such a file.

    Args:
        path: the file.
        kind: the section.
        form: the format that it has.
        otherwise: what to say of a file of another format.

    Raises:
        InputError: it is missing, damaged, or of another format.
    """
    content = read_json(path)
    told = content.get("format") if isinstance(content, dict) else None
    if told != form:
        raise InputError(f"{path}: its format is {told!r:.60}, not {form!r}; {otherwise}")
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where = ".".join(map(str, problem["loc"]))
        raise InputError(f"{path}: {where}: {problem['msg']}") from None
