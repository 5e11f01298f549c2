"""Reconstructing the reported patients with one model, and measuring every slice and volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pipeline_src.config.plans import split_model_name, split_variant
from pipeline_src.data.store import read_store
from pipeline_src.evaluation import metrics
from pipeline_src.evaluation.results import METRICS
from pipeline_src.files import atomic_path, read_json
from pipeline_src.models.weights import load_network
from pipeline_src.sampling.data_fidelity import DataFidelity, data_fidelity
from pipeline_src.sampling.masks import read_mask


def evaluate(
    store_path: Path,
    mask_path: Path,
    weights: Path | None,
    part: str,
    output: Path,
    labels: dict[str, str | int],
) -> list[Path]:
    """Evaluate one model, or zero filling where ``weights`` is None; returns what it wrote.

    Writes `slices.csv` and `volumes.csv`, a row a slice or volume with ``labels`` and all metrics,
    and `panel.npz` with the slice that the pictures show. ``labels`` has at least `dataset`,
    `acceleration`, `seed` and `name`, the model's name.

    Raises:
        InputError: a file is missing or damaged.
    """
    store, mask = read_store(store_path), read_mask(mask_path)
    images, rows = store.part(part)
    data_range = store.volume_maxima(part)
    if weights is not None:
        # The thread count shapes the last bits, so a model is measured as it was trained.
        torch.set_num_threads(
            read_json(weights.parent / "manifest.json")["plan"]["training"]["threads"]
        )
    fidelity = data_fidelity(mask)
    reconstructions = reconstruct(images, fidelity, weights)

    model, training = split_model_name(str(labels["name"]))
    identity = {
        **{k: v for k, v in labels.items() if k != "name"},
        "model": model,
        "training": training,
        "variant": split_variant(str(labels["name"]))[1],
        "part": part,
    }
    slices = slice_metrics(images, reconstructions, data_range)
    slices = pd.concat([rows[["patient", "frame", "slice", "volume"]], slices], axis=1)
    volumes = volume_metrics(images, reconstructions, slices, data_range)
    for name, table in (("slices", slices), ("volumes", volumes)):
        named = pd.concat([pd.DataFrame([identity] * len(table)), table], axis=1)
        with atomic_path(output / f"{name}.csv") as temporary:
            named.to_csv(temporary, index=False)

    shown = panel_slice(rows)
    with atomic_path(output / "panel.npz") as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            target=images[shown],
            image=reconstructions[shown],
            psnr_db=slices["psnr_db"][shown],
            ssim=slices["ssim"][shown],
            model=model,
            training=training,
            patient=rows["patient"][shown],
            slice=rows["slice"][shown],
            quarter_turns=store.description["display_quarter_turns"],
        )
    return [output / name for name in ("volumes.csv", "slices.csv", "panel.npz")]


@torch.no_grad()
def reconstruct(
    targets: NDArray[np.float32], fidelity: DataFidelity, weights: Path | None, batch: int = 8
) -> NDArray[np.float32]:
    """Undersample targets `(slices, rows, columns)` and reconstruct them; zero-filled without
    weights."""
    network = load_network(weights).eval() if weights else None
    out = []
    for chunk in torch.from_numpy(targets)[:, None].split(batch):
        zero_filled = fidelity.zero_filled(chunk)
        out.append(network(zero_filled, fidelity) if network else zero_filled)
    return torch.cat(out)[:, 0].numpy()


def slice_metrics(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    data_range: NDArray[np.float32],
) -> pd.DataFrame:
    """All metrics, a row a slice, at each slice's volume's data range."""
    rows = []
    for target, image, peak in zip(targets, images, data_range.tolist(), strict=True):
        rows.append(
            {
                "psnr_db": metrics.psnr(target, image, peak),
                "ssim": metrics.ssim(target, image, peak),
                "nmse": metrics.nmse(target, image),
                "hfn": metrics.hfn(target, image),
                "vif": metrics.vif(target, image, peak),
            }
        )
    return pd.DataFrame(rows, columns=list(METRICS))


def volume_metrics(
    targets: NDArray[np.float32],
    images: NDArray[np.float32],
    slices: pd.DataFrame,
    data_range: NDArray[np.float32],
) -> pd.DataFrame:
    """All metrics, a row a volume: PSNR and NMSE over its pixels, the others its slices' mean."""
    rows = []
    for _, members in slices.groupby("volume", sort=True):
        at = members.index.to_numpy()
        target, image = targets[at], images[at]
        rows.append(
            {
                "patient": members["patient"].iloc[0],
                "frame": members["frame"].iloc[0],
                "slices": len(at),
                "psnr_db": metrics.psnr(target, image, float(data_range[at[0]])),
                "ssim": members["ssim"].mean(),
                "nmse": metrics.nmse(target, image),
                "hfn": members["hfn"].mean(),
                "vif": members["vif"].mean(),
            }
        )
    return pd.DataFrame(rows)


def panel_slice(rows: pd.DataFrame) -> int:
    """Position in a part, of whose index rows are given, of the slice that the pictures show: the
    middle one of its first volume, so that no one chose it by its result."""
    first = rows.index[rows["volume"] == rows["volume"].iloc[0]]
    return int(first[len(first) // 2])
