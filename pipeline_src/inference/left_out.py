"""Inputs that are left out where the others are to be reconstructed all the same."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_src.errors import InputError


class LeftOut:
    """Prints errors of single inputs and keeps them, where the run is to go on without these.

    Attributes:
        keep_going: otherwise errors are raised.
        errors: what was said so far, which names the inputs.
    """

    def __init__(self, keep_going: bool) -> None:
        self.keep_going = keep_going
        self.errors: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Enclose what is done with one input."""
        try:
            yield
        except InputError as error:
            if not self.keep_going:
                raise
            self.errors.append(str(error))
            print(f"left out: {error}", file=sys.stderr)
