"""What tests of tables and figures share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from pipeline_src.reporting.figure_style import apply_style
from pipeline_src.reporting.tables.paper import read_paper


@pytest.fixture
def styled() -> Iterator[None]:
    """Figures look like those of a study, and are closed afterwards."""
    apply_style()
    yield
    plt.close("all")


@pytest.fixture
def paper(project_root: Path) -> pd.DataFrame:
    return read_paper(project_root / "config" / "paper_results.csv")
