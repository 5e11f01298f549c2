"""For the documentation's site: pages of the project outside `docs/`, and links to them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: Pages of the site that are files elsewhere.
ELSEWHERE = {"configuration.md": "config/README.md"}
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#]*)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """The text of a page, its links leading to pages of the site or to nowhere."""
    place = page.file.src_uri
    if place in ELSEWHERE:
        source = ROOT / ELSEWHERE[place]
        markdown = source.read_text(encoding="utf-8")
    else:
        source = ROOT / "docs" / place

    def followed(link: re.Match[str]) -> str:
        text, target, anchor = link[1], link[2], link[3] or ""
        file = (source.parent / target).resolve().relative_to(ROOT).as_posix()
        pages = {path: name for name, path in ELSEWHERE.items()}
        if file not in pages and not file.startswith("docs/"):
            return text
        # Links of the site are relative to the page's folder.
        page_there = pages.get(file, file.removeprefix("docs/"))
        return f"[{text}]({os.path.relpath(page_there, Path(place).parent)}{anchor})"

    return LINK.sub(followed, markdown)
