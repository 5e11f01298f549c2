"""Names and titles that some reader takes for more than text."""

from __future__ import annotations

import random

IDS = [
    *("NA", "null", "None", "nan", "NaN", "<NA>", "N/A", "#N/A", "inf", "true", "False"),
    *("1e5", "007", "7", "0x1F", "1_000", "2020-01-02", "1.0", "-1", "+1"),
    *("a,b", 'say "hi"', "'quoted", "''=1", "a\nb", "a\r\nb", "a\rb", "\rb", "a\tb", "\ta"),
    *(" a", "a ", "  ", "=1+1", "=HYPERLINK(1)", "@x", "+x", "-x", "#x", ";", "|", "\\n", "\\"),
    *("é", "\N{GREEK SMALL LETTER ALPHA}", "\ufeffa", "a\u2028b", "a\x0bb", "a\x0cb", "a\x1eb"),
]
TITLES = [
    "Heart \\input{/etc/passwd}",
    "Heart\n\\immediate\\write18{rm x}",
    "Heart\r\n\\end{tabular}\n\n% more",
    r"$\frac{$",
    "$x$ and $y",
    '<img src=x onerror="alert(1)">',
    "</td></table><script>alert(1)</script>",
    "<!-- a -->",
    "[a](javascript:alert(1))",
    "![a](http://example.org/a.png)",
    "&lt;b&gt; &#60;i&#62;",
    "\x1b[31mred\x1b[0m \x07",
    "\x9b31mred",
    "turned \u202e txet",
    "=cmd|' /C calc'!A0",
    '@SUM(1,2)","more',
    "-x | y",
    "{{ 7 * 7 }} {% raw %}",
    "[2] first",
    "* first",
    "`code` *b* _i_ __b__ ~~s~~ \\| | \\",
    "%s %d {0} {x}",
    "W" * 300,
    "a long title " * 23,
]


def drawn_ids(rng: random.Random, count: int) -> list[str]:
    """So many different ids: some of `IDS`, the others of their pieces."""
    found = dict.fromkeys(rng.sample(IDS, min(count // 2, len(IDS))))
    while len(found) < count:
        found["".join(rng.choices(IDS, k=rng.randint(1, 3)))] = None
    return list(found)
