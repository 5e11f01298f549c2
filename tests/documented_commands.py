"""The command lines in the documents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
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
    # Of any language, since the end of one would else begin another.
    for found in re.finditer(r"^```(\w*)\n(.*?)^```", text, re.M | re.S):
        if found[1] in ("", "bash", "sh"):
            yield from found[2].replace("\\\n", " ").splitlines()


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
