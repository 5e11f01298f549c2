"""Text of others as it is shown in a terminal and on a line."""

from __future__ import annotations

import unicodedata

import pytest
from hostile_text import IDS, TITLES

from pipeline_src.errors import InputError
from pipeline_src.text import one_line, printable

PLAIN = "Brain MRI, T1-w (4x) \u2013 \u00e9\u03b1\u4e2d \u00b1 1\u00a0%"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (PLAIN, PLAIN),
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\nb\r\tc\x85", r"a\nb\r\tc\x85"),
        ("a\u202eb\u2028c", r"a\u202eb\u2028c"),
        ("\udc80", r"\udc80"),
    ],
)
def test_control_characters_are_written_out(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_text_on_one_line() -> None:
    assert one_line(" a title\n") == "a title"
    assert one_line("a \r\n b\tc\x1b") == r"a b c\x1b"
    assert one_line(PLAIN) == PLAIN
    # Of such a length, a search that goes back at each space would not end.
    assert one_line(f"a{' ' * 1_000_000}b\n") == f"a{' ' * 1_000_000}b"


@pytest.mark.parametrize("text", [*IDS, *TITLES])
def test_no_error_line_has_a_control_character(text: str) -> None:
    for shown in (str(InputError(f"{text}: is wrong")), one_line(text), printable(text)):
        assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in shown)
        assert len(shown.splitlines()) <= 1
