"""The documented figure is drawn as those of the pipeline are."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
import pytest
from figure_helpers import boxplot_inputs, cut_off, overlapping
from jinja2 import StrictUndefined, Template

from pipeline_src.errors import InputError
from pipeline_src.reporting import figures
from pipeline_src.reporting.figure_style import apply_style
from pipeline_src.reporting.figures.kinds import KINDS, Kind


@pytest.fixture
def page(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, its kind of figure among the others."""
    page = (project_root / "docs/add-a-figure.md").read_text(encoding="utf-8")
    row, code = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    for name, kind in eval(row, {"Kind": Kind}).items():
        monkeypatch.setitem(KINDS, name, kind)
    module = ModuleType(f"{figures.__name__}.spread")
    exec(code, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return page


def test_the_documented_figure_is_drawn(page: str, tmp_path: Path) -> None:
    figures.draw_figure("spread", boxplot_inputs(tmp_path), "Heart 4x", tmp_path / "spread.png")
    assert plt.imread(tmp_path / "spread.png").std() > 0.01
    apply_style()
    draw = sys.modules[f"{figures.__name__}.spread"].from_files
    figure = draw(boxplot_inputs(tmp_path / "again"), "Heart 4x", **KINDS["spread"].options)
    assert overlapping(figure) == cut_off(figure) == []
    assert len(figure.axes[0].lines) == 5  # teachers, student and controls
    with pytest.raises(InputError, match="absent"):
        draw([tmp_path / "absent"], "Heart 4x", metric="psnr_db")
    plt.close("all")


def test_its_caption_says_what_it_shows(page: str) -> None:
    [caption] = re.findall(r"```rst\n(.*?)```", page, re.DOTALL)
    wildcards = {"dataset": "heart", "acceleration": "4x"}
    text = Template(caption, undefined=StrictUndefined).render(snakemake={"wildcards": wildcards})
    assert len(text) > 100
    assert "heart at 4x" in text
