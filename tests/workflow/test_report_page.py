"""The report in a real browser: it opens, sorts, and asks nothing of the outside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import Checkout

from pipeline_src.data.store import read_store
from pipeline_src.reporting.tables.answers import CANNOT, CONTROLS, DISTILLATION, GAP, PRIMARY

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
    "--dump-dom",
)


@pytest.fixture(scope="module")
def browser() -> str:
    for name in BROWSERS:
        if shutil.which(name):
            return name
    pytest.skip("no browser here: install chromium to test the report in one")


class Opened:
    """A page as the browser left it, and what happened meanwhile."""

    def __init__(self, browser: str, page: Path, folder: Path) -> None:
        net_log = folder / "net.json"
        done = subprocess.run(
            [
                browser,
                *FLAGS,
                f"--user-data-dir={folder / 'profile'}",
                f"--log-net-log={net_log}",
                page.resolve().as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.dom = done.stdout
        self.console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        text = net_log.read_text()
        self.requests = set(re.findall(r'"url":"([a-z]+://[^"]*)"', text))


@pytest.fixture(scope="module")
def report(finished: Checkout) -> Path:
    return finished.root / "results" / "tiny" / "report.html"


def with_script(page: Path, folder: Path, script: str, *, allowed: bool = True) -> Path:
    """The page with a script that runs once it has loaded, if the page's policy allows it."""
    text = page.read_text(encoding="utf-8")
    copy = folder / "page.html"
    added = f"window.addEventListener('load', () => {{ {script} }});"
    if allowed:
        digest = base64.b64encode(hashlib.sha256(added.encode()).digest()).decode()
        assert text.count("script-src ") == 1
        text = text.replace("script-src ", f"script-src 'sha256-{digest}' ")
    copy.write_text(text.replace("</body>", f"<script>{added}</script></body>"), encoding="utf-8")
    return copy


def test_scripts_of_others_do_not_run(browser: str, report: Path, tmp_path: Path) -> None:
    """As one that came with a table of a stranger."""
    script = "document.body.setAttribute('data-ran', 'it did')"
    for allowed in (True, False):
        (tmp_path / str(allowed)).mkdir()
        page = with_script(report, tmp_path / str(allowed), script, allowed=allowed)
        opened = Opened(browser, page, tmp_path / str(allowed))
        assert ('data-ran="it did"' in opened.dom) == allowed


def test_opens_without_errors_or_outside_requests(
    browser: str, report: Path, tmp_path: Path
) -> None:
    opened = Opened(browser, report, tmp_path)
    assert "<h1>tiny</h1>" in opened.dom
    assert not opened.console
    # The browser asks its maker for updates whatever it shows; the page names no such place.
    maker = r"https?://[a-z0-9.]*\.(google|googleapis|gvt1)\.com/"
    assert not re.search(maker, opened.dom)
    own = rf"file:|data:|chrome|devtools|{maker}"
    assert not [url for url in opened.requests if not re.match(own, url)]


def test_a_click_on_a_heading_sorts_and_another_turns_round(
    browser: str, report: Path, tmp_path: Path
) -> None:
    script = """
        const table = document.querySelector('table.sortable');
        const heading = Array.from(table.tHead.rows).pop().cells[1];
        const column = () => Array.from(table.tBodies[0].rows, (r) => r.cells[1].textContent);
        const seen = [column()];
        heading.click(); seen.push(column());
        heading.click(); seen.push(column());
        document.body.setAttribute('data-seen', JSON.stringify(seen));
    """
    opened = Opened(browser, with_script(report, tmp_path, script), tmp_path)
    assert not opened.console
    found = re.search(r'data-seen="([^"]*)"', opened.dom)
    assert found
    before, up, down = json.loads(html.unescape(found.group(1)))
    numbers = [float(cell.split()[0]) for cell in up if cell[0].isdigit()]
    assert numbers == sorted(numbers)
    assert numbers != [float(cell.split()[0]) for cell in before if cell[0].isdigit()]
    turned = [float(cell.split()[0]) for cell in down if cell[0].isdigit()]
    assert turned == numbers[::-1]
    assert sorted(up) == sorted(before)


def test_every_picture_is_drawn_and_every_link_on_the_page_leads_somewhere(
    browser: str, report: Path, tmp_path: Path
) -> None:
    script = """
        const blank = Array.from(document.images).filter((i) => !i.complete || !i.naturalWidth);
        const lost = Array.from(document.querySelectorAll('a[href^="#"]'))
            .filter((a) => !document.getElementById(a.getAttribute('href').slice(1)));
        document.body.setAttribute('data-pictures', document.images.length);
        document.body.setAttribute('data-blank', blank.length);
        document.body.setAttribute('data-lost', lost.length);
    """
    page = with_script(report, tmp_path, script)
    page.write_text(page.read_text().replace('loading="lazy"', ""))
    opened = Opened(browser, page, tmp_path)
    facts = {
        name: int(value)
        for name, value in re.findall(r'data-(pictures|blank|lost)="(\d+)"', opened.dom)
    }
    assert facts["pictures"] > 8
    assert facts["blank"] == 0
    assert facts["lost"] == 0


def test_first_screen_has_the_table_the_verdicts_and_a_figure(
    browser: str, report: Path, tmp_path: Path
) -> None:
    opened = Opened(browser, report, tmp_path)
    glance = opened.dom[opened.dom.index('class="glance') : opened.dom.index("</section>")]
    assert "<table" in glance
    for question in (GAP, PRIMARY, CONTROLS, DISTILLATION):
        assert question in glance
    assert "<img" in glance
    assert CANNOT in glance  # one seed
    assert "1 seed, 3 needed" in glance


def test_the_section_for_reviewers_is_linked_from_the_top_and_tells_what_ran(
    browser: str, report: Path, tmp_path: Path
) -> None:
    script = """
        const link = document.querySelector('nav a[href="#reviewers"]');
        const rows = (part) => {
            const heading = document.getElementById('reviewers-' + part);
            let table = heading;
            while (!table.querySelector('table')) table = table.nextElementSibling;
            return Array.from(table.querySelectorAll('tbody tr'), (r) => r.innerText);
        };
        const seen = [Boolean(link), rows('compute'), rows('data')];
        document.body.setAttribute('data-seen', JSON.stringify(seen));
    """
    opened = Opened(browser, with_script(report, tmp_path, script), tmp_path)
    found = re.search(r'data-seen="([^"]*)"', opened.dom)
    assert found
    linked, compute, [data] = json.loads(html.unescape(found.group(1)))
    assert linked
    counts = {row.split("\t")[0]: row.split("\t")[1] for row in compute}
    assert counts == {"preparation": "1", "training": "9", "evaluation": "10", "together": "20"}
    assert "not recorded" not in "".join(compute)
    assert data.startswith("heart\tsynthetic (drawn)\t")
    digest = read_store(report.parent / "heart" / "volumes.h5").digest
    assert data.endswith(digest[:12])
