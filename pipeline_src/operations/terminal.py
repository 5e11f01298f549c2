"""What Snakemake prints on the terminal, short enough to read."""

from __future__ import annotations

import logging
import re

#: Names that are shown of a list of at least four times as many.
_SHOWN = 3
# A name begins after a space or line break and can end in one way, so that a long text without such
# a list is gone through once.
_LIST = re.compile(rf"(?<![^ \n])[^ ,;\n]+(?:, [^ ,;\n]+){{{4 * _SHOWN - 1},}}")


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
    return _LIST.sub(_shortened, text)


def _shortened(found: re.Match[str]) -> str:
    names = found[0].split(", ")
    if not all("/" in name for name in names):
        return found[0]
    return f"{', '.join(names[:_SHOWN])}, and {len(names) - _SHOWN:,} more"


def keep_lists_short() -> None:
    """From here on, on the terminal alone: Snakemake's own log file names all of them."""
    from snakemake.logging import logger

    for handler in logger.handlers:
        if handler.name == "DefaultStreamHandler" and handler.formatter is not None:
            handler.setFormatter(_ShortLists(handler.formatter))
