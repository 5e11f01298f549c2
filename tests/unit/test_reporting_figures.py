"""Figures from files as the evaluation writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from reporting_helpers import (
    VOLUMES,
)

from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.store import write_store
from pipeline_src.errors import InputError
from pipeline_src.reporting.figures import draw_figure
from pipeline_src.sampling.masks import Mask, drawn_mask, write_mask


@pytest.fixture(autouse=True)
def closed_figures() -> Iterator[None]:
    yield
    plt.close("all")


def blob(seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:16, :16] / 16
    return (np.exp(-((y - 0.4) ** 2 + (x - 0.6) ** 2) * 9) * rng.uniform(0.8, 1)).astype(np.float32)


def boxplot_inputs(folder: Path) -> list[Path]:
    rows = VOLUMES[(VOLUMES["dataset"] == "heart") & (VOLUMES["acceleration"] == "4x")]
    paths = []
    for number, (_, of_model) in enumerate(rows.groupby(["model", "training"])):
        paths.append(folder / f"slices{number}.csv")
        of_model.to_csv(paths[-1], index=False)
    return paths


def contact_sheet_inputs(folder: Path) -> list[Path]:
    prepared = PreparedData()
    for volume, part in enumerate(["train", "train", "validation", "test"]):
        for index in range(2):
            prepared.images.append(blob(volume))
            prepared.slices.append(
                {
                    "patient": f"p{volume}",
                    "frame": "",
                    "part": part,
                    "slice": index,
                    "volume": volume,
                }
            )
    write_store(
        folder / "volumes.h5",
        prepared,
        {"title": "Heart phantom", "synthetic": True, "display_quarter_turns": 1},
    )
    return [folder / "volumes.h5"]


def curves_inputs(folder: Path) -> list[Path]:
    paths = []
    for model in ("teacher", "sft_teacher", "student", "std_kd_fitnets", "sft_kd_fitnets"):
        for seed in (0, 1):
            run = folder / f"{model}{seed}"
            run.mkdir()
            epochs = np.arange(1, 4)
            history = pd.DataFrame(
                {
                    "epoch": epochs,
                    "validation_loss": 0.1 / (epochs + seed),
                    "validation_psnr_db": 25.0 + epochs + seed,
                }
            )
            history.to_csv(run / "history_last.csv", index=False)
            manifest = {
                "plan": {"model": model},
                "histories": ["history_first.csv", "history_last.csv"],
            }
            paths.append(run / "manifest.json")
            paths[-1].write_text(json.dumps(manifest))
    return paths


def mask_inputs(folder: Path) -> list[Path]:
    write_mask(folder / "mask.npz", drawn_mask((32, 16), 4, 0, 4))
    return [folder / "mask.npz"]


def panel_inputs(folder: Path) -> list[Path]:
    paths = []
    for number, (model, training) in enumerate(
        [("zero_filled", "none"), ("teacher", "standard"), ("fitnets", "sft_kd")]
    ):
        paths.append(folder / f"panel{number}.npz")
        np.savez(
            paths[-1],
            target=blob(0),
            image=blob(0) + np.float32(0.01) * blob(number + 1),
            psnr_db=30.0,
            ssim=0.9,
            model=model,
            training=training,
            patient="p1",
            slice=3,
            quarter_turns=1,
        )
    return paths


FIGURES = {
    "boxplot": boxplot_inputs,
    "contact_sheet": contact_sheet_inputs,
    "curves": curves_inputs,
    "mask": mask_inputs,
    "panel": panel_inputs,
}


# seaborn 0.13 still calls matplotlib in the old way.
@pytest.mark.filterwarnings("ignore:vert. bool was deprecated")
@pytest.mark.parametrize("kind", FIGURES)
def test_figure_is_drawn_as_png_and_pdf_with_the_same_bytes_every_time(
    kind: str, tmp_path: Path
) -> None:
    inputs = FIGURES[kind](tmp_path)
    for name in ("first", "second"):
        draw_figure(kind, inputs, "Heart phantom 4x", tmp_path / name / f"{kind}.png")
    folder = tmp_path / "first"
    assert {path.name for path in folder.iterdir()} == {f"{kind}.png", f"{kind}.pdf"}
    assert (folder / f"{kind}.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / f"{kind}.pdf").read_bytes().startswith(b"%PDF")
    for suffix in ("png", "pdf"):
        first, second = (
            (tmp_path / name / f"{kind}.{suffix}").read_bytes() for name in ("first", "second")
        )
        assert first == second
    pixels = plt.imread(folder / f"{kind}.png")
    assert pixels.std() > 0.01


def test_drawing_a_figure_leaves_none_open(tmp_path: Path) -> None:
    plt.close("all")
    draw_figure("mask", mask_inputs(tmp_path), "Heart phantom 4x", tmp_path / "out.png")
    assert plt.get_fignums() == []


def test_figures_follow_their_inputs(tmp_path: Path) -> None:
    write_mask(tmp_path / "other.npz", drawn_mask((32, 16), 4, 1, 4))
    for name, inputs in (
        ("a", mask_inputs(tmp_path)),
        ("b", [tmp_path / "other.npz"]),
    ):
        draw_figure("mask", inputs, "Heart phantom 4x", tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_mask_that_is_given_and_not_of_whole_lines_is_drawn(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).random((16, 16)) < 0.5
    samples[0, 0] = True
    write_mask(tmp_path / "mask.npz", Mask(samples, {"kind": "given", "file": "m.npy"}))
    draw_figure("mask", [tmp_path / "mask.npz"], "Heart", tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 0


@pytest.mark.parametrize("kind", FIGURES)
def test_figure_of_a_missing_input_is_refused_and_nothing_is_left(
    kind: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="absent"):
        draw_figure(kind, [tmp_path / "absent"], "Heart", tmp_path / "out" / f"{kind}.png")
    assert not (tmp_path / "out").exists()
