"""Docstrings state the shapes of the arrays that public functions take and return."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from pipeline_src.modules import PACKAGE

ARRAY = re.compile(r"\b(Tensor|NDArray|ndarray)\b")
#: Arrays by name, as in the weights of a network, have the shapes that their names stand for.
BY_NAME = re.compile(r"\b(Mapping|dict)\[str, (torch\.)?Tensor\]")
#: `(batch, rows)`, `(slices,)`, a scalar, "any shape", "same shape".
SHAPE = re.compile(r"`\([^()]*,[^()]*\)`|\bscalars?\b|\bshapes?\b")
Function = ast.FunctionDef | ast.AsyncFunctionDef
TREES = {path: ast.parse(path.read_bytes()) for path in sorted(PACKAGE.rglob("*.py"))}


def is_array(annotation: ast.expr | None, aliases: frozenset[str] = frozenset()) -> bool:
    """Whether an annotation mentions an array, by itself or by an alias."""
    if annotation is None:
        return False
    text = BY_NAME.sub("", ast.unparse(annotation))
    names = {node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)}
    return bool(ARRAY.search(text)) or bool(names & aliases)


def assigned(node: ast.stmt) -> str | None:
    """The name of a type alias that mentions an array, else None."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript | ast.BinOp):
        [target] = node.targets
        if isinstance(target, ast.Name) and is_array(node.value):
            return target.id
    return None


ALIASES = frozenset(
    name for tree in TREES.values() for node in tree.body if (name := assigned(node))
)


def arrays(function: Function) -> int:
    """How many parameters and return values of a function are arrays."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    annotations = [argument.annotation for argument in given] + [function.returns]
    return sum(is_array(annotation, ALIASES) for annotation in annotations)


def public_functions(tree: ast.Module) -> Iterator[tuple[Function, str, str]]:
    """Functions and methods with arrays: each with its name and the text that describes it."""
    for node in tree.body:
        if isinstance(node, Function) and not node.name.startswith("_"):
            yield node, node.name, ast.get_docstring(node) or ""
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for method in node.body:
                if isinstance(method, Function) and (
                    not method.name.startswith("_") or method.name in ("__init__", "__call__")
                ):
                    text = f"{ast.get_docstring(node)}\n{ast.get_docstring(method)}"
                    yield method, f"{node.name}.{method.name}", text


def without_shapes(path: Path, tree: ast.Module) -> list[str]:
    """Public functions whose docstrings give fewer shapes than they take and return arrays."""
    return [
        f"{path.name}: {name}: {arrays(function)} arrays, {len(SHAPE.findall(text))} shapes"
        for function, name, text in public_functions(tree)
        if arrays(function) > len(SHAPE.findall(text))
    ]


def test_public_functions_state_the_shapes_of_their_arrays() -> None:
    missing = [line for path, tree in TREES.items() for line in without_shapes(path, tree)]
    assert not missing, "docstrings without shapes:\n" + "\n".join(missing)


def test_a_function_without_a_shape_is_found() -> None:
    tree = ast.parse(
        "def stated(x: Tensor) -> Tensor:\n    '''`(batch,)` to a scalar.'''\n"
        "def half(x: Tensor) -> Tensor:\n    '''`(batch,)` to another.'''\n"
        "def weights(x: dict[str, Tensor]) -> None:\n    '''Weights by name.'''\n"
        "class Made:\n    def take(self, x: NDArray[Any]) -> None:\n        '''An array.'''\n"
    )
    assert without_shapes(Path("new.py"), tree) == [
        "new.py: half: 2 arrays, 1 shapes",
        "new.py: Made.take: 1 arrays, 0 shapes",
    ]
