"""What tests of figures share."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import pytest

from pipeline_src.reporting.figure_style import apply_style


@pytest.fixture
def styled() -> Iterator[None]:
    """Figures look like those of a study, and are closed afterwards."""
    apply_style()
    yield
    plt.close("all")
