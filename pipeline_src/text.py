"""Makes users' text (titles, ids, messages) safe to print."""

from __future__ import annotations

import re
import unicodedata

#: Categories of characters that a terminal obeys or cannot show: controls, halves of a pair, and
#: separators of lines and paragraphs.
_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}
#: What turns the direction of the text that follows it, so that a line reads as what it is not.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Characters that begin a tag, reference, link, emphasis, code or escape in Markdown.
_MARKDOWN = re.compile(
    r"<(?=[A-Za-z/!?])|&(?=#?\w+;)|[\[\]*`|]|\\(?=[!-/:-@\[-`{-~])|~(?=~)"
    r"|(?<![^\W_])_|_(?![^\W_])"
)
# Begins where white space does, so that a long run of it is gone through once.
_BREAKS = re.compile(r"(?<!\s)\s*[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")


def printable(text: str) -> str:
    r"""The text with every control character escaped, such as `\x1b` and `\n`.

    It is for terminals and logs, which would obey control characters. Everything else, including
    letters of any language, stays as it is.
    """
    return "".join(
        c.encode("unicode_escape").decode()
        if c in _TURNING or unicodedata.category(c) in _UNSEEN
        else c
        for c in text
    )


def one_line(text: str) -> str:
    """The text on one line: a break or tab becomes a space, other control characters are
    escaped.
    """
    return printable(_BREAKS.sub(" ", text).strip())


def markdown(text: object) -> str:
    """Text within a line or a table's cell of Markdown, with no more escaped than it would obey; a
    break in it is written as its reference, which shows as a space."""
    escaped = _MARKDOWN.sub(_markdown_escape, str(text))
    return printable(re.sub(r"[\n\r\t]", lambda found: f"&#{ord(found[0])};", escaped))


def _markdown_escape(found: re.Match[str]) -> str:
    sign = found[0]
    return {"<": "&lt;", "&": "&amp;"}.get(sign, f"\\{sign}")
