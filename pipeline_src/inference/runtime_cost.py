"""Measures a trained network in several runtimes: how fast, how large, and how good it still is.

Times and memory are measured on this machine, which is named beside them, and vary from run to run.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline_src.config.runtimes import RUNTIME_PACKAGES, refuse_missing_packages
from pipeline_src.data.store import Store, read_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metric_tables import measure
from pipeline_src.evaluation.statistics import bootstrap_interval
from pipeline_src.evaluation.timing import time_columns
from pipeline_src.inference.bundle import write_bundle
from pipeline_src.inference.bundled import load
from pipeline_src.inference.onnx_export import calibration_slices, zero_filled_of
from pipeline_src.inference.runtimes import RUNTIMES, Exported, Reconstruct, timed
from pipeline_src.inference.trained import load_trained, refuse_other_store
from pipeline_src.models.registry import import_modules, imported_modules
from pipeline_src.provenance.environment import machine, status_kib
from pipeline_src.tabular import write_rows

#: Metrics that are compared, over the volumes of a part.
COMPARED = ("psnr_db", "ssim")


def write_runtime_cost(
    models: Sequence[Path],
    store: Path,
    mask: Path | None,
    part: str,
    runtimes: Sequence[str],
    output: Path,
    *,
    threads: int,
    repeats: int = 30,
) -> list[Path]:
    """Write a CSV with one row per model and runtime, in the order given; returns the models'
    weights files.

    Args:
        models: folders of trainings, or bundles.
        store: volume store of the patients that quality is measured on; its training slices
            calibrate int8.
        mask: of the trainings, if their manifests do not lead to it.
        part: the patients whose quality is measured, such as `test`.
        runtimes: names of `RUNTIMES` besides torch, with which all are compared.
        output: the CSV.
        threads: processor threads of the second measurement of time.
        repeats: timed reconstructions per runtime and number of threads.

    Raises:
        InputError: a package is missing, a file is missing or damaged, or files do not fit.
    """
    refuse_missing_packages(runtimes)
    for name, value in (("threads", threads), ("repeats", repeats)):
        if value < 1:
            raise InputError(f"runtimes: {name} is {value}; it must be 1 or more")
    prepared = read_store(store, parts=["train", part])
    if not prepared.patients.get(part):
        raise InputError(f"{store}: has no patients in part {part!r}")
    names = ["torch", *runtimes]
    tables, weights = [], []
    for folder in models:
        trained = load_trained(folder, mask)
        refuse_other_store(trained, prepared, store)
        with tempfile.TemporaryDirectory() as made:
            bundle = Path(made) / "bundle"
            # A study evaluates at the same time.
            write_bundle(trained, bundle, metrics=False)
            exported = Exported(bundle, partial(_calibration, bundle, prepared))
            table = measured(exported, prepared, part, names, threads, repeats)
        table.insert(0, "model", trained.config.model)
        table.insert(1, "architecture", trained.config.network.name)
        tables.append(table)
        weights.append(trained.weights)
    prepared.require_unchanged()
    write_rows(output, pd.concat(tables, ignore_index=True))
    return weights


def measured(
    exported: Exported,
    prepared: Store,
    part: str,
    runtimes: Sequence[str],
    threads: int,
    repeats: int,
) -> pd.DataFrame:
    """One row per runtime.

    Times are for one slice, from the zero-filled image to the reconstruction, in turns. Memory is
    how far a fresh process grows while it loads the network and reconstructs a slice, with one
    thread. Quality is the mean over volumes of a part; differences are from the first runtime, by
    patient, with a 95 % interval.
    """
    images, rows = prepared.part(part)
    zero_filled, peaks = zero_filled_of(load(exported.folder), images), prepared.volume_maxima(part)
    one = zero_filled[len(zero_filled) // 2][None]
    times = {}
    for count in dict.fromkeys((1, threads)):
        started, times[count] = timed(exported, runtimes, one, count, repeats)
    volumes = {
        name: _volumes(run, zero_filled, images, rows, peaks) for name, run in started.items()
    }
    first = volumes[runtimes[0]]
    found = []
    for name in runtimes:
        row: dict[str, Any] = {
            "runtime": name,
            "file_bytes": exported.file(RUNTIMES[name].file).stat().st_size,
            "measured_on_processor": machine()["processor"],
            "repeats": repeats,
            **time_columns("_one_thread", times[1], name),
            "threads": threads,
            **time_columns("", times[threads], name),
            "memory_mib": _memory_mib(name, exported, one),
            "patients": first["patient"].nunique(),
        }
        for metric in COMPARED:
            row[metric] = volumes[name][metric].mean()
            difference = volumes[name][metric] - first[metric]
            by_patient = difference.groupby(first["patient"]).mean().to_numpy()
            row[f"{metric}_difference"] = by_patient.mean()
            low, high = (
                bootstrap_interval(by_patient[None], seed=0)
                if len(by_patient) > 1
                else (np.nan, np.nan)
            )
            row |= {f"{metric}_difference_low": low, f"{metric}_difference_high": high}
        found.append(row)
    return pd.DataFrame(found)


def _calibration(bundle: Path, prepared: Store) -> NDArray[np.float32]:
    return calibration_slices(load(bundle), prepared)


def _volumes(
    run: Reconstruct,
    zero_filled: NDArray[np.float32],
    images: NDArray[np.float32],
    rows: pd.DataFrame,
    peaks: NDArray[np.float32],
) -> pd.DataFrame:
    """The metrics of each volume, reconstructed slice by slice."""
    made = (run(slice_[None])[0, 0] for slice_ in zero_filled)
    return measure(images, made, rows, peaks)[1]


def _memory_mib(name: str, exported: Exported, one: NDArray[np.float32]) -> float | None:
    exported.file(RUNTIMES[name].file)  # made beforehand, which takes memory too
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as fresh:
        return fresh.submit(grown_mib, name, exported.folder, one, imported_modules()).result()


def grown_mib(
    name: str, folder: Path, one: NDArray[np.float32], modules: Sequence[str] = ()
) -> float | None:
    """Memory that loading a runtime's network and reconstructing a slice `(1, 1, rows, columns)`
    takes, in MiB, its libraries not counted; to be called in a fresh process, in which users' own
    ``modules`` are imported first. None where the system does not tell.
    """
    import_modules(modules)
    runtime = RUNTIMES[name]
    for package in RUNTIME_PACKAGES.get(name, ()):
        import_module(package)
    try:
        before = status_kib("VmRSS")
        runtime.start(folder / runtime.file, 1)(one)
        return max(0, status_kib("VmHWM") - before) / 1024
    except OSError:
        return None
