"""Scans a pickle before it is read, and refuses one that would hang or crash the process."""

from __future__ import annotations

import pickletools
from typing import IO

#: How many values one object may expand to, and how deeply they may nest: more than Python itself
#: pickles, and far fewer than would take long to hash.
MOST_VALUES, DEEPEST = 1 << 20, 1000
#: Operations that make an object that is never hashed, so that its content does not count.
_PLAIN = ("LIST", "DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "EMPTY_SET")

#: Values and depth of an object; None is a mark.
_Size = tuple[int, int] | None


def refuse_bombs(stream: IO[bytes], limit: int) -> None:
    """Read the operations of the next pickle in a stream of ``limit`` bytes, without running any.

    Nested tuples, each holding the previous one twice, take a few hundred bytes for sixty levels;
    as a key of a dictionary such a tuple is hashed practically for ever, and Ctrl-C does not stop
    that. And the C unpickler allocates a memo as large as the largest index that the pickle names.

    Raises:
        ValueError, IndexError, KeyError: the pickle is such a bomb, or is not a pickle.
    """
    stack: list[_Size] = []
    memory: dict[int, _Size] = {}
    for operation, argument, _ in pickletools.genops(stream):
        name = operation.name
        if name.endswith("PUT"):
            if int(argument or 0) > limit:
                raise ValueError("an object's number is beyond the file's size")
            memory[int(argument or 0)] = stack[-1]
        elif name == "MEMOIZE":
            memory[len(memory)] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memory[int(argument or 0)])
        elif name == "MARK":
            stack.append(None)
        elif name == "DUP":
            stack.append(stack[-1])
        else:
            parts = _taken(stack, operation.stack_before)
            size = (1, 1)
            if name not in _PLAIN:
                size = (1 + sum(p[0] for p in parts), 1 + max((p[1] for p in parts), default=0))
            if size[0] > MOST_VALUES or size[1] > DEEPEST:
                raise ValueError("an object unfolds to more than a checkpoint has")
            stack += [size] * len(operation.stack_after)


def _taken(stack: list[_Size], wanted: list[pickletools.StackObject]) -> list[tuple[int, int]]:
    """Pop what an operation takes off the stack; for a slice, everything down to the mark."""
    taken = []
    for kind in reversed(wanted):
        if kind is pickletools.stackslice:
            while (size := stack.pop()) is not None:
                taken.append(size)
        elif kind is not pickletools.markobject:
            size = stack.pop()
            taken += [] if size is None else [size]
    return taken
