"""Inputs of every kind of figure, and what a reader would trip over in one that is drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from reporting_helpers import (
    MATCHED,
    METHODS,
    SFT_START,
    SFT_TEACHER,
    STUDENT,
    TEACHER,
    VOLUMES,
    Model,
    study_with,
    written_metrics,
)

from pipeline_src.config.recipes import RECIPES
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.reporting.display_names import FAMILIES, full_title
from pipeline_src.reporting.tables.families import AS_LONG, pairs_of
from pipeline_src.sampling.masks import drawn_mask, write_mask

Pixels = np.ndarray[tuple[int, int], np.dtype[np.float32]]


def blob(seed: int, rows: int = 16, columns: int = 16) -> Pixels:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    bright = rng.uniform(0.8, 1)
    distance = (y / rows - 0.4) ** 2 + (x / columns - 0.6) ** 2
    return (np.exp(-distance * 9) * bright).astype(np.float32)


# Inputs by kind.


def boxplot_inputs(folder: Path) -> list[Path]:
    rows = VOLUMES[(VOLUMES["dataset"] == "heart") & (VOLUMES["acceleration"] == "4x")]
    return written_metrics(rows, folder / "metrics")


def contact_sheet_inputs(
    folder: Path, parts: Sequence[str] = ("train", "train", "validation", "test")
) -> list[Path]:
    prepared = PreparedData()
    for volume, part in enumerate(parts):
        for index in range(2):
            prepared.images.append(blob(2 * volume + index))
            prepared.slices.append(
                {
                    "patient": f"p{volume}",
                    "frame": "",
                    "part": part,
                    "slice": index,
                    "volume": volume,
                }
            )
    description = {"title": "Heart phantom", "synthetic": True, "display_quarter_turns": 1}
    write_store(folder / "volumes.h5", prepared, description)
    return [folder / "volumes.h5"]


def history(epochs: int = 3, loss: float = 0.1, psnr_db: float = 25.0) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "validation_loss": loss / epoch,
            "validation_psnr_db": psnr_db + epoch / epochs,
        }
    )


def written_run(
    folder: Path,
    model: str,
    histories: dict[str, pd.DataFrame],
    distillation: dict[str, Any] | None = None,
) -> Path:
    """A training's manifest, with its histories by stage beside it."""
    folder.mkdir(parents=True)
    for stage, rows in histories.items():
        rows.to_csv(folder / f"history_{stage}.csv", index=False)
    plan = {"model": model, "distillation": distillation}
    made = {"settings": plan, "histories": [f"history_{stage}.csv" for stage in histories]}
    (folder / "manifest.json").write_text(json.dumps(made))
    return folder / "manifest.json"


def curves_inputs(folder: Path) -> list[Path]:
    paths = []
    for model in ("teacher", "sft_teacher", "student", "std_kd_fitnets", "sft_kd_fitnets"):
        for seed in (0, 1):
            histories = {"reconstruction": history(loss=0.1 + seed / 100, psnr_db=25 + seed)}
            if "kd" in model:
                histories = {"features": history(loss=7.0)} | histories
            paths.append(written_run(folder / f"{model}{seed}", model, histories))
    return paths


def mask_inputs(folder: Path) -> list[Path]:
    write_mask(folder / "mask.npz", drawn_mask((32, 16), 4, 0, 4))
    return [folder / "mask.npz"]


def written_panel(
    path: Path, model: Model, target: Pixels, image: Pixels, variant: str = ""
) -> Path:
    name, training = model
    np.savez(
        path,
        target=target,
        image=image,
        psnr_db=30.0,
        ssim=0.9,
        model=name,
        training=training,
        variant=variant,
        patient="p1",
        slice=3,
        quarter_turns=1,
    )
    return path


ZERO_FILLED = ("zero_filled", "none")
PANEL_MODELS = (
    ZERO_FILLED,
    TEACHER,
    STUDENT,
    ("fitnets", "std_kd"),
    ("fitnets", "sft_kd"),
    ("at", "std_kd"),
    ("at", "sft_kd"),
)


def panel_inputs(folder: Path, models: Sequence[Model] = PANEL_MODELS) -> list[Path]:
    """Residuals grow with the number of the model, and zero filling's are by far the largest."""
    paths = []
    for number, model in enumerate(models):
        error = 1.0 if model == ZERO_FILLED else 0.01 * number
        image = blob(0) + np.float32(error) * blob(number + 1)
        paths.append(written_panel(folder / f"panel{number}.npz", model, blob(0), image))
    return paths


def panel_teachers_inputs(folder: Path) -> list[Path]:
    return panel_inputs(folder, (ZERO_FILLED, TEACHER, SFT_TEACHER))


def panel_domain_inputs(folder: Path) -> list[Path]:
    paths = panel_inputs(folder, (ZERO_FILLED, TEACHER, SFT_TEACHER))
    other = written_panel(
        folder / "features.npz", SFT_TEACHER, blob(0), blob(0) + blob(9) / 50, "domain.features"
    )
    return [*paths, other]


def configuration(folder: Path, **values: Any) -> list[Path]:
    """A study's configuration as a run freezes it."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(study_with(**values).model_dump(mode="json")))
    return [path]


VERDICTS = ("better", "worse", "equivalent", "no difference shown", "cannot tell")


def differences(
    methods: Sequence[str] = METHODS, dataset: str = "heart", compared: Sequence[str] = ()
) -> pd.DataFrame:
    """The table of differences with made-up numbers; verdicts take turns."""
    distilled = [(method, recipe) for method in methods for recipe in RECIPES]
    models = [TEACHER, SFT_TEACHER, STUDENT, MATCHED, SFT_START, AS_LONG, *distilled]
    rows = []
    for family in FAMILIES:
        for first, second in pairs_of(family, models, compared):
            verdict = VERDICTS[len(rows) // 2 % len(VERDICTS)]
            for metric, unit in (("psnr_db", 1.0), ("ssim", 0.01)):
                effect = {"better": 0.4, "worse": -0.3}.get(verdict, 0.05) * unit
                rows.append(
                    {
                        "dataset": dataset,
                        "dataset_title": dataset.title(),
                        "acceleration": "4x",
                        "family": family,
                        "first": first[0],
                        "first_training": first[1],
                        "first_title": full_title(*first),
                        "second_title": full_title(*second),
                        "methods": "",
                        "metric": metric,
                        "effect": effect,
                        "low": effect - 0.1 * unit,
                        "high": effect + 0.2 * unit,
                        "p_holm": 0.0004 if verdict == "better" else 0.25,
                        "patients": 20,
                        "seeds": 3,
                        "scope": "patients and seeds",
                        "verdict": verdict,
                        "reason": "6 patients, 9 needed" if verdict == "cannot tell" else "p",
                    }
                )
    return pd.DataFrame(rows)


def forest_inputs(folder: Path) -> list[Path]:
    differences().to_csv(folder / "differences.csv", index=False)
    return [folder / "differences.csv"]


INPUTS = {
    "panel": panel_inputs,
    "panel_teachers": panel_teachers_inputs,
    "panel_domain": panel_domain_inputs,
    "boxplot_ssim": boxplot_inputs,
    "boxplot_psnr": boxplot_inputs,
    "forest": forest_inputs,
    "curves": curves_inputs,
    "mask": mask_inputs,
    "contact_sheet": contact_sheet_inputs,
    "networks": configuration,
    "recipes": configuration,
    "dag": configuration,
}


# What is drawn.


def drawn_texts(figure: Figure) -> list[Text]:
    """Every text that a reader sees; ticks outside the axes and switched-off axes have none."""
    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    unseen: set[int] = set()
    for axes in figure.findobj(Axes):
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            room = 1e-6 * (high - low)
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low - room <= tick.get_loc() <= high + room:
                    unseen |= {id(tick.label1), id(tick.label2)}
            if not axes.axison:
                unseen |= {id(text) for text in axis.findobj(Text)}
    texts = {id(t): t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()}
    return [text for key, text in texts.items() if key not in unseen]


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of which one covers a part of the other, more than a pixel."""
    places = [
        (text.get_text(), text.get_window_extent().padded(-1)) for text in drawn_texts(figure)
    ]
    return [(one, other) for (one, a), (other, b) in combinations(places, 2) if a.overlaps(b)]


def cut_off(figure: Figure) -> list[str]:
    """Texts that reach beyond the edge of the figure, more than a pixel."""
    edge = figure.bbox
    return [
        text.get_text()
        for text in drawn_texts(figure)
        for box in [text.get_window_extent()]
        if box.x0 < edge.x0 - 1
        or box.y0 < edge.y0 - 1
        or box.x1 > edge.x1 + 1
        or box.y1 > edge.y1 + 1
    ]


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in drawn_texts(figure)]


def heading(figure: Figure) -> str:
    return figure.get_suptitle()


def legend(figure: Figure) -> list[str]:
    """Column after column; a space where nothing stands."""
    return [text.get_text() for text in figure.legends[0].get_texts()]
