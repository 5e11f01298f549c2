"""What is known of the kinds of figure before any is drawn, and the look they share."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
from jinja2 import StrictUndefined, Template
from matplotlib.colors import to_rgb

from pipeline_src.errors import InputError
from pipeline_src.reporting.display_names import counted
from pipeline_src.reporting.figure_style import COLORS, LINE_LENGTH, wrap_lines
from pipeline_src.reporting.figures import draw_figure
from pipeline_src.reporting.figures.kinds import KINDS, figure_kind

HEAVY = ("matplotlib", "numpy", "pandas", "seaborn", "torch")


def loaded_by(statement: str, root: Path) -> set[str]:
    """Which of the heavy packages a fresh Python has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*[n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_kinds_are_listed_without_loading_what_draws_them(project_root: Path) -> None:
    statement = "from pipeline_src.reporting.figures.kinds import KINDS"
    assert loaded_by(statement, project_root) == set()


def test_the_look_loads_matplotlib_alone(project_root: Path) -> None:
    statement = "from pipeline_src.reporting.figure_style import apply_style; apply_style()"
    assert loaded_by(statement, project_root) == {"matplotlib", "numpy"}


def test_every_kind_has_a_module_that_draws_it() -> None:
    for kind in KINDS.values():
        assert find_spec(f"pipeline_src.reporting.figures.{kind.module}") is not None


def test_headings_stand_together_in_the_order_of_the_report() -> None:
    headings = [kind.heading for kind in KINDS.values()]
    assert list(dict.fromkeys(headings))[:7] == [
        "Reconstructions",
        "Image quality",
        "Differences",
        "Robustness",
        "Training",
        "Sampling",
        "Data",
    ]
    changes = sum(a != b for a, b in pairwise(headings))
    assert changes == len(set(headings)) - 1


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_caption_in_plain_words(kind: str, project_root: Path) -> None:
    text = (project_root / "pipeline_src" / "reporting" / "captions" / f"{kind}.rst").read_text(
        encoding="utf-8"
    )
    wildcards = {"dataset": "heart", "acceleration": "4x"}
    # As Snakemake and the report render it: those that lead to the figure.
    wildcards = {k: value for k, value in wildcards.items() if f"{{{k}}}" in KINDS[kind].folder}
    rendered = Template(text, undefined=StrictUndefined).render(snakemake={"wildcards": wildcards})
    assert len(rendered) > 100
    assert all(value in rendered for value in wildcards.values())


def test_unknown_kind_is_refused_with_those_there_are(tmp_path: Path) -> None:
    assert figure_kind("boxplot_psnr").options == {"metric": "psnr_db"}
    with pytest.raises(
        InputError, match=r"'pie'; there are panel, panel_teachers, panel_domain, box"
    ):
        draw_figure("pie", [tmp_path], "", tmp_path / "out.png")


def lightness(color: str) -> float:
    """CIE L* of a colour, 0 to 100: what is left of it in grey."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return float(116 * luminance ** (1 / 3) - 16)


@pytest.mark.parametrize(("one", "other"), [("std_kd", "sft_kd"), ("standard", "sft")])
def test_trainings_that_are_compared_differ_in_grey(one: str, other: str) -> None:
    assert abs(lightness(COLORS[one]) - lightness(COLORS[other])) > 15


def test_counts_in_words() -> None:
    assert counted([1], "patient") == "1 patient"
    assert counted([3, 3], "seed") == "3 seeds"
    assert counted([20, 18], "patient") == "18 to 20 patients"
    assert counted([0], "slice") == "0 slices"


def test_parts_of_a_sentence_stay_whole_on_their_lines() -> None:
    assert wrap_lines(["one seed"]) == ["one seed"]
    assert wrap_lines(["a", "b"], "Why: ") == ["Why: a; b"]
    parts = [f"{k} " + "x" * 50 for k in range(4)]
    assert wrap_lines(parts) == [f"{parts[0]}; {parts[1]};", f"{parts[2]}; {parts[3]}"]


def test_parts_longer_than_a_line_are_broken_between_words() -> None:
    words = ["word"] * 60
    lines = wrap_lines(["short", " ".join(words), "end"])
    assert max(map(len, lines)) <= LINE_LENGTH
    assert " ".join(lines).replace(";", "").split() == ["short", *words, "end"]
