"""Every command line in the documents is one that its program takes, and every target is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from snakemake.cli import parse_args

from pipeline_src.cli import _parser

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / name for name in ("zoo/README.md", "pipeline_src/inference/card.md.j2")),
    *sorted((ROOT / "docs").glob("*.md")),
]
OURS, SNAKEMAKE, MAKE = "python -m pipeline_src", "snakemake", "make"
#: What names a command, or a part of it, and is not meant to be typed.
NAMES = re.compile(r"^(python -m pipeline_src( \S+)?|snakemake|make)$")


def blocks(text: str) -> Iterator[str]:
    """The lines of all shell blocks, continued ones joined."""
    for found in re.finditer(r"^```(?:bash|sh)?\n(.*?)^```", text, re.M | re.S):
        yield from found[1].replace("\\\n", " ").splitlines()


def lines() -> list[tuple[str, str]]:
    """Each document with each command line in its blocks and between backticks."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        inline = re.findall(
            r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        )
        typed = [line for line in inline if not NAMES.match(line)]
        for line in [*blocks(text), *typed]:
            command = line.strip().partition("  #")[0].strip()
            if command.startswith((f"{OURS} ", f"{SNAKEMAKE} ", f"{MAKE} ")):
                found.append((path.relative_to(ROOT).as_posix(), command))
    return sorted(set(found))


def of(program: str) -> list[tuple[str, str]]:
    return [(name, line) for name, line in lines() if line.startswith(f"{program} ")]


def words(line: str, program: str) -> list[str]:
    return shlex.split(line.removeprefix(program).partition(" > ")[0], comments=True)


def is_refused(parse: Callable[[list[str]], object], given: list[str]) -> bool:
    try:
        parse(given)
    except SystemExit as ended:
        return ended.code != 0
    return False


def test_the_documents_hold_command_lines() -> None:
    assert len(of(OURS)) > 30
    assert len(of(SNAKEMAKE)) > 20
    assert len(of(MAKE)) > 8


@pytest.mark.parametrize(("document", "line"), of(OURS))
def test_a_command_of_ours_is_taken(
    document: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = is_refused(_parser().parse_args, words(line, OURS))
    assert not refused, f"{document}: {line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize(("document", "line"), of(SNAKEMAKE))
def test_a_line_of_snakemake_is_taken(
    document: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refused = is_refused(parse_args, words(line, SNAKEMAKE))
    assert not refused, f"{document}: {line}\n{capsys.readouterr().err}"


@pytest.mark.parametrize(("document", "line"), of(MAKE))
def test_a_target_of_make_is_there(document: str, line: str) -> None:
    rules = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    targets = [word for word in words(line, MAKE) if "=" not in word]
    assert set(targets) <= set(rules), f"{document}: {line}"
