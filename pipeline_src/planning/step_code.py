"""Finds the source files that affect a result, from the imports of the module that makes it.

They are inputs of its rule, and manifests and the states of trainings contain their digests; all
are found by one function.
"""

from __future__ import annotations

import ast
import hashlib
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from pipeline_src.files import sha256_file, sha256_json
from pipeline_src.modules import PACKAGE, locate

NAME = PACKAGE.name
#: Modules that no result depends on. Configuration, plans and the list of kinds of figure act by
#: their values, which each result records; the others read and write files, keep a process alive or
#: record what was done.
NEUTRAL = (
    "",
    "acceleration.fork_client",
    "acceleration.fork_server",
    "cli",
    "commands",
    "config",
    "data.spool",
    "errors",
    "files",
    "locks",
    "modules",
    "npz_files",
    "operations",
    "planning",
    "provenance",
    "reporting.figures.kinds",
    "running",
)
#: Exceptions from these: their texts and rules stand in results.
NOT_NEUTRAL = (
    "config.presets",
    "config.shifts",
    "planning.model_names",
    "provenance.crate_content",
)


@cache
def sources(*modules: str) -> list[Path]:
    """Source files of modules and of all that they import within this package or, elsewhere, from
    the folder that holds their own package; of an installed package, within it alone.

    Args:
        modules: dotted names, such as `training.stages`, relative to this package, or names of
            modules elsewhere, such as those of a user's own distillation method.

    Returns:
        Files in order, each once: Python modules, and files beside them that their code names.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    found: dict[str, Path] = {}
    waiting = [f"{NAME}.{name}" if locate(f"{NAME}.{name}") else name for name in modules]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        path = locate(name)
        if path is None:
            raise ModuleNotFoundError(name)
        found[name] = path
        waiting += [imported for imported in _imports(name, path) if not is_neutral(imported)]
    beside = {file for path in found.values() for file in _named_beside(path)}
    return sorted({*found.values(), *beside})


def digests(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of source files, by path relative to this package; elsewhere by `../` and the path
    relative to the folder that holds their own package.

    Of a Python module only the code counts: an edited comment or docstring retrains nothing.
    """
    return {_name(path): _digest(path, path.stat().st_mtime_ns) for path in files}


@cache
def _digest(path: Path, modified: int) -> str:
    """The digest of a file as it was at that time, cached because the steps of a plan share most
    files.
    """
    if path.suffix != ".py":
        return sha256_file(path)
    return hashlib.sha256(code_of(path.read_bytes()).encode()).hexdigest()


def code_of(source: bytes) -> str:
    """A Python module without comments, docstrings and blank lines.

    The text is cut and not written anew from the syntax tree, which another Python would do in
    another way.
    """
    lines = [bytearray(line) for line in source.splitlines()]
    for docstring in _docstrings(ast.parse(source)):
        assert docstring.end_lineno is not None
        first, last = docstring.lineno - 1, docstring.end_lineno - 1
        for number in range(first, last + 1):
            begin = docstring.col_offset if number == first else 0
            end = docstring.end_col_offset if number == last else len(lines[number])
            assert end is not None
            # Blanks, so that what stands behind it keeps its place.
            lines[number][begin:end] = b" " * (end - begin)
    blanked = [line.decode() for line in lines]
    text = "\n".join(blanked) + "\n"
    go_on: set[int] = set()  # rows whose end is within a string
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            blanked[row - 1] = blanked[row - 1][:column]
        elif token.type not in (tokenize.NL, tokenize.NEWLINE):
            go_on |= set(range(token.start[0], token.end[0]))
    rows = enumerate(blanked, start=1)
    kept = [(row, line) for row, line in rows if line.strip() or row - 1 in go_on]
    return "\n".join(line if row in go_on else line.rstrip() for row, line in kept)


def _docstrings(tree: ast.Module) -> Iterator[ast.stmt]:
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    for node in ast.walk(tree):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            yield node.body[0]


def package_digest() -> str:
    """One SHA-256 over the names and bytes of all source files of this package."""
    kinds = (".py", ".c", ".h", ".js", ".j2")
    return sha256_json(digests(p for p in sorted(PACKAGE.rglob("*")) if p.suffix in kinds))


def _name(path: Path) -> str:
    if path.is_relative_to(PACKAGE):
        return path.relative_to(PACKAGE).as_posix()
    return f"../{path.relative_to(_place_of(path)).as_posix()}"


def _place_of(path: Path) -> Path:
    """The folder that holds a module, or the package that it is part of."""
    folder = path.parent
    while (folder / "__init__.py").is_file():
        folder = folder.parent
    return folder


def is_neutral(module: str) -> bool:
    """Whether no result depends on a module, given by its full name."""
    package, _, rest = module.partition(".")
    if package != NAME:
        return False
    if rest in NOT_NEUTRAL:
        return False
    return any(rest == name or (name and rest.startswith(f"{name}.")) for name in NEUTRAL)


@cache
def _imports(name: str, path: Path) -> tuple[str, ...]:
    """Full names of the modules that a module imports, wherever in its code, except for types."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: dict[str, None] = {}
    for node in _nodes(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            found |= dict.fromkeys(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) + 1 - node.level]
            start = ".".join(parents) if node.level else ""
            base = ".".join(part for part in (start, node.module or "") if part)
            found[base] = None
            # What is imported may be a module itself.
            for alias in node.names:
                if _is_ours(base, path) and locate(f"{base}.{alias.name}"):
                    found[f"{base}.{alias.name}"] = None
    return tuple(module for module in found if _is_ours(module, path) and locate(module))


@cache
def _is_ours(module: str, importing: Path) -> bool:
    """Whether an imported module is of this package, or lies where the importing one does."""
    top = locate(module.partition(".")[0])
    if top is None or top.is_relative_to(PACKAGE) or importing.is_relative_to(PACKAGE):
        return top is not None and top.is_relative_to(PACKAGE)
    place = _place_of(importing)
    if place.name in ("site-packages", "dist-packages"):
        return top.is_relative_to(place / importing.relative_to(place).parts[0])
    return _place_of(top) == place


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _nodes(node)


@cache
def _named_beside(path: Path) -> tuple[Path, ...]:
    """Files beside a module, no modules themselves, that its code names, and that these include."""
    names = {
        node.value
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    here = {p.name: p for p in path.parent.iterdir() if p.is_file() and p.suffix != ".py"}
    waiting, found = [here[name] for name in names if name in here], set()
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            included = re.findall(r'#include "([^"]+)"', file.read_text(encoding="utf-8"))
            waiting += [here[name] for name in included if name in here]
    return tuple(found)
