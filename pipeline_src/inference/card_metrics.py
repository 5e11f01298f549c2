"""The metrics of a model for its card: those beside its weights, if they are of it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.evaluation.metrics_files import DATA_DIGITS, read_metrics
from pipeline_src.evaluation.statistics import bootstrap_interval
from pipeline_src.files import sha256_file
from pipeline_src.inference.trained import Trained
from pipeline_src.planning.places import VOLUMES, manifest_of
from pipeline_src.provenance.manifest import Manifest

#: Metrics on the card.
SHOWN = [METRICS[name] for name in ("psnr_db", "ssim", "nmse")]
AGAIN = "run evaluate again, or remove the file"


def measured(trained: Trained) -> dict[str, Any]:
    """Means over test patients with intervals, from the metrics beside the weights; empty if there
    are none. A metric that a volume lacks is left out.

    Raises:
        InputError: the metrics are not those that their manifest describes, or not of this model.
    """
    path = trained.folder / VOLUMES
    if not path.exists():
        return {}
    made = _manifest_beside(path)
    rows = read_metrics([path])
    if other := _other_source(trained, made, rows):
        raise InputError(f"{path}: was measured {other} {trained.folder}; {AGAIN}")
    rows = rows[rows["part"] == "test"]
    if rows.empty:
        return {}
    found: dict[str, Any] = {"patients": int(rows["patient"].nunique())}
    for metric in (shown.name for shown in SHOWN if rows[shown.name].notna().all()):
        means = rows.groupby("patient")[metric].mean().to_numpy(np.float64)
        low, high = bootstrap_interval(means[None], seed=0)
        # With one patient the interval is NaN, which JSON does not have.
        found[metric] = {"mean": float(means.mean())} | (
            {} if math.isnan(low) else {"low": low, "high": high}
        )
    return found


def _manifest_beside(metrics: Path) -> Manifest:
    """The manifest that describes a file of metrics.

    Raises:
        InputError: there is none, or it describes another file.
    """
    place = metrics.with_name(manifest_of(VOLUMES))
    if not place.exists():
        raise InputError(f"{metrics}: has no {place.name} that says what was measured; {AGAIN}")
    made = Manifest.read(place, "inputs", "outputs")
    if made.outputs.get(metrics.name) != sha256_file(metrics):
        raise InputError(f"{metrics}: is not the file that its manifest describes; {AGAIN}")
    return made


def _other_source(trained: Trained, made: Manifest, rows: pd.DataFrame) -> str:
    """With what other than the model and its data metrics were measured, as far as they and its
    training tell; empty if with these.
    """
    weights = made.inputs.get("weights")
    if weights is None or weights.sha256 != sha256_file(trained.weights):
        return "with other weights than those of"
    store = trained.made.data_digest or trained.config.origin.digest
    for what, role, column, digest in (
        ("under another mask than that of", "mask", "mask", trained.mask.digest),
        ("on another store than that of", "store", "data", store),
    ):
        # By their content: a file that was written anew has another digest.
        told = set(rows[column]) - {""}
        if told and digest:
            if told != {digest[:DATA_DIGITS]}:
                return what
            continue
        then, now = (manifest.inputs.get(role) for manifest in (trained.made, made))
        if then and now and then.sha256 != now.sha256:
            return what
    return ""
