"""What Snakemake prints on the terminal, short enough to read."""

from __future__ import annotations

import logging
import re

# Three files, and at least nine more.
_FILE = r"[^ ,;]+/[^ ,;]+"
_LIST = re.compile(rf"((?:{_FILE}, ){{3}})((?:{_FILE}, ){{8,}}{_FILE})")


class _ShortLists(logging.Formatter):
    """Another formatter's text with its long lists of files cut."""

    def __init__(self, whole: logging.Formatter) -> None:
        super().__init__()
        self._whole = whole

    def format(self, record: logging.LogRecord) -> str:
        """As the other formatter says it, or nothing, which Snakemake does not print."""
        said = self._whole.format(record)
        return shorten_lists(said) if said else said


def shorten_lists(text: str) -> str:
    """Name the first files of each list, and how many more there are.

    A step that needs all of a study's files would otherwise fill the terminal with their names.
    """
    return _LIST.sub(lambda found: f"{found[1]}and {found[2].count(', ') + 1:,} more", text)


def keep_lists_short() -> None:
    """From here on, on the terminal alone: Snakemake's own log file names all of them."""
    from snakemake.logging import logger

    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and handler.formatter is not None:
            handler.setFormatter(_ShortLists(handler.formatter))
