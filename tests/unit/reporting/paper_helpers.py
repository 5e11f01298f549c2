"""What tests of the comparison with the paper share."""

from __future__ import annotations

import pandas as pd
from reporting_helpers import (
    Model,
)

from pipeline_src.reporting.tables.labels import DatasetLabel, Labels

KEYS = ["dataset", "acceleration", "model", "training"]
#: The paper's data sets, and one that it does not have.
LABELS = Labels(
    {
        "mrbrains": DatasetLabel("MRBrainS", False, "mrbrains"),
        "heart": DatasetLabel("Cardiac", False, "cardiac"),
        "own": DatasetLabel("Own"),
    },
    ("4x", "5x"),
)


def cells(
    values: dict[Model, float], dataset: str = "own", acceleration: str = "4x"
) -> pd.DataFrame:
    """Rows of a main table: PSNR as given, SSIM a hundredth."""
    rows = [(dataset, acceleration, *model, psnr, psnr / 100) for model, psnr in values.items()]
    return pd.DataFrame(rows, columns=[*KEYS, "psnr_db", "ssim"])
