"""The exceptions that are shown to users, and messages in one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline_src.text import printable

#: Characters of a message; longer ones lose their middle.
LONGEST = 2000


class InputError(Exception):
    """An error in what the user gave.

    The message is one line: what is wrong, in which file or key, and what would be right. The
    command line prints it without a traceback and exits with status 2. Control characters in a
    quoted text are escaped.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(_shortened(" ".join(message.split()))))


@contextmanager
def errors_of(what: str, instead_of: str = "") -> Iterator[None]:
    """Begin the messages of errors in what the user gave with ``what``, such as a file, in place of
    ``instead_of`` where they begin with that.

    Raises:
        InputError: with that message.
    """
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {str(error).removeprefix(instead_of)}") from error


def in_one_line(error: Exception) -> str:
    """The message of an error in one line, also for errors of the system."""
    text = str(error)
    if isinstance(error, MemoryError):
        text = f"not enough memory ({text})" if text else "not enough memory"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return printable(_shortened(" ".join(text.split())))


def _shortened(message: str) -> str:
    """A message that quotes a text of any length, without the middle."""
    if len(message) <= LONGEST:
        return message
    return f"{message[: LONGEST // 2]} ... {message[-LONGEST // 4 :]}"


class Interrupted(Exception):  # noqa: N818 - not an error
    """A training was asked to stop and has saved its state.

    The command line prints the message and exits with status 75, the system's code for a failure
    that goes away when the command is repeated (EX_TEMPFAIL of sysexits.h).
    """
