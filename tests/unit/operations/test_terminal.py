"""What Snakemake prints on the terminal is short enough to read."""

from __future__ import annotations

import io
import logging

import pytest
from snakemake.logging import logger

from pipeline_src.operations.terminal import keep_lists_short, shorten_lists


def files(number: int) -> list[str]:
    return [f"results/heart/seed{seed}/metrics.csv" for seed in range(number)]


def test_a_long_list_of_files_names_the_first_and_counts_the_rest() -> None:
    made = files(3600)
    text = f"Reason: Missing output files: {', '.join(made)}; Code has changed"
    assert shorten_lists(text) == (
        f"Reason: Missing output files: {', '.join(made[:3])}, and 3,597 more; Code has changed"
    )


def test_a_text_of_many_long_names_is_gone_through_once() -> None:
    """Names of many parts, of which some are too few for a list, and some have no end."""
    deep = "/".join("abcdefgh")
    text = f"{', '.join([deep] * 11)}; " * 50 + deep * 2000 + ", x" * 5000
    assert shorten_lists(text) == text


@pytest.mark.parametrize(
    "text",
    [
        f"    input: {', '.join(files(11))}",
        f"    shell:\n        python -m pipeline_src tables {' '.join(files(40))}",
        "    wildcards: dataset=heart, acceleration=4x, seed=0, model=teacher, " * 9,
    ],
    ids=["short", "shell", "no-files"],
)
def test_what_is_short_or_no_list_of_files_is_whole(text: str) -> None:
    assert shorten_lists(text) == text


def test_the_log_file_names_all(monkeypatch: pytest.MonkeyPatch) -> None:
    streams = {"DefaultStreamHandler": io.StringIO(), "DefaultLogFileHandler": io.StringIO()}
    handlers = []
    for name, stream in streams.items():
        handlers.append(logging.StreamHandler(stream))
        handlers[-1].name = name
        handlers[-1].setFormatter(logging.Formatter("[now] %(message)s"))
    monkeypatch.setattr(logger, "handlers", handlers)
    keep_lists_short()
    logger.error(", ".join(files(12)))
    terminal, log = (stream.getvalue() for stream in streams.values())
    assert terminal == f"[now] {', '.join(files(3))}, and 9 more\n"
    assert log == f"[now] {', '.join(files(12))}\n"
