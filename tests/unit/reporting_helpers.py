"""A study of two data sets, and metrics of all its models as the evaluation writes them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline_src.config import Study, check_study
from pipeline_src.evaluation.metrics_files import METRICS
from pipeline_src.provenance.manifest import write_manifest
from pipeline_src.provenance.run_recorder import RunRecorder
from pipeline_src.reporting.display_names import ALL_METHODS
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.tabular import write_rows

METHODS = ("fitnets", "at", "cc", "fsp", "sp")
Model = tuple[str, str]
TEACHER, SFT_TEACHER, STUDENT = ("teacher", "standard"), ("teacher", "sft"), ("student", "standard")
MATCHED, SFT_START = ("student_matched", "standard"), ("student_sft_start", "sft")
STD_AT, SFT_AT = ("at", "std_kd"), ("at", "sft_kd")
STD_SP, SFT_SP = ("sp", "std_kd"), ("sp", "sft_kd")
ZERO = ("zero_filled", "none")
#: The mean over methods of SFT-KD-Recon minus Std-KD.
MEAN_STD, MEAN_SFT = (ALL_METHODS, "std_kd"), (ALL_METHODS, "sft_kd")
PRIMARY = (MEAN_SFT, MEAN_STD)


def dataset(**values: Any) -> dict[str, Any]:
    return {
        "source": {"kind": "phantom", "anatomy": "brain", "patients": 6, "slices": 2, "matrix": 64},
        "preparation": {"matrix": [64, 64]},
        "split": {"train": 2, "validation": 2, "test": 2},
    } | values


def study_with(**values: Any) -> Study:
    data: dict[str, Any] = {
        "study": "tiny",
        "seeds": [0, 1],
        "accelerations": [4, 5],
        "datasets": {
            "heart": dataset(title="Heart phantom"),
            "brain": dataset(
                title="Brain MRI",
                source={"kind": "nifti", "path": "brain"},
                split={"train": 2, "validation": 2},
                report_on="validation",
            ),
        },
    }
    return check_study(data | values)


def models() -> list[Model]:
    """Models as a run may happen to list them: not in the paper's order."""
    listed = [SFT_START, STUDENT, SFT_TEACHER, ("zero_filled", "none")]
    listed += [(m, r) for m in reversed(METHODS) for r in ("sft_kd", "std_kd")]
    return [*listed, MATCHED, TEACHER]


PATIENTS = (("p2", ""), ("p1", "ED"), ("p1", "ES"))


def value(metric: str, *where: object) -> float:
    """A number for each cell, volume and seed that looks like the metric."""
    seed = zlib.crc32("/".join(map(str, (*where, metric))).encode())
    wobble = np.random.default_rng(seed).random()
    return 30 + 5 * wobble if metric == "psnr_db" else 0.8 + 0.1 * wobble


def volume_rows(seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:
    rows = []
    for name, part in (("brain", "validation"), ("heart", "test")):
        for acceleration in ("5x", "4x"):
            for model, training in models():
                for seed in seeds if training != "none" else [None]:
                    for patient, frame in PATIENTS:
                        where = (name, acceleration, model, training, seed, patient, frame)
                        rows.append(
                            {
                                "dataset": name,
                                "acceleration": acceleration,
                                "seed": seed,
                                "model": model,
                                "training": training,
                                "variant": "",
                                "part": part,
                                "patient": patient,
                                "frame": frame,
                                "slices": 2,
                            }
                            | {metric: value(metric, *where) for metric in METRICS}
                        )
    return pd.DataFrame(rows)


VOLUMES = volume_rows()


def row_of(table: pd.DataFrame, *cell: str) -> pd.Series:
    keys = ["dataset", "acceleration", "model", "training"]
    found = table[(table[keys] == list(cell)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


#: Of `measured`, which has one setting.
ONE_SETTING = Labels({"heart": DatasetLabel("Heart")}, ("4x",))
Value = float | Callable[[int, int], float]


def measured(
    models: Mapping[Model, Value],
    seeds: Sequence[int] = (0, 1, 2),
    patients: int = 12,
    **columns: object,
) -> pd.DataFrame:
    """Volumes made by hand: a model's PSNR is its value, or that of its seed and patient's number,
    over what is the patient's own; SSIM follows at a 64th.

    Numbers of few binary digits stay exact.
    """
    rows = []
    for (model, training), given in models.items():
        for seed in seeds:
            for patient in range(patients):
                psnr = given(seed, patient) if callable(given) else given
                psnr += patient / 4
                rows.append(
                    {
                        "dataset": "heart",
                        "acceleration": "4x",
                        "seed": seed,
                        "model": model,
                        "training": training,
                        "variant": "",
                        "part": "test",
                        "patient": f"p{patient:02}",
                        "frame": "",
                    }
                    | dict.fromkeys(METRICS, 0.5)
                    | {"psnr_db": psnr, "ssim": psnr / 64}
                    | columns
                )
    return pd.DataFrame(rows)


def written_metrics(rows: pd.DataFrame, folder: Path) -> list[Path]:
    """One file per setting, model and seed, as the evaluation writes them."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = ["dataset", "acceleration", "model", "training", "variant", "seed"]
    paths = []
    for number, (_, cells) in enumerate(rows.groupby(keys, dropna=False)):
        paths.append(folder / f"{number:03}.csv")
        write_rows(paths[-1], cells)
    return paths


def write_made(
    root: Path, manifest: str, outputs: list[str], inputs: Mapping[str, str], **facts: Any
) -> None:
    """Files that hold their own names, and the manifest beside them."""
    paths = [root / name for name in outputs]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    write_manifest(
        root / manifest,
        command=facts.pop("command"),
        inputs={role: root / name for role, name in inputs.items()},
        outputs=paths,
        settings={},
        code={"provenance/lineage.py": "d1g35t"},
        runs=facts.pop("runs", [RunRecorder().so_far()]),
        facts=facts,
    )


def write_chain(root: Path) -> None:
    """A scan to a store, teacher and AT on it, their metrics, and tables of those."""
    (root / "given").mkdir(parents=True)
    for name in ("scan.nii", "paper.csv"):
        (root / "given" / name).write_text(name)
    scan, metrics = {"volumes/0": "given/scan.nii"}, {}
    write_made(root, "data/volumes.manifest.json", ["data/volumes.h5"], scan, command="prepare")
    write_made(root, "data/mask.manifest.json", ["data/mask.npz"], {}, command="mask")
    used = {"store": "data/volumes.h5", "mask": "data/mask.npz"}
    teacher = {"teacher": "teacher/weights.safetensors"}
    for number, (model, training, start) in enumerate(
        [("teacher", "standard", {}), ("at", "sft_kd", teacher)]
    ):
        weights = f"{model}/weights.safetensors"
        facts = {"command": "train", "model": model}
        write_made(root, f"{model}/manifest.json", [weights], used | start, **facts)
        write_made(
            root,
            f"{model}/volumes.manifest.json",
            [f"{model}/volumes.csv", f"{model}/slices.csv"],
            used | {"weights": weights},
            command="evaluate",
            model=model,
            training=training,
            seed=0,
        )
        metrics[f"metrics/{number}"] = f"{model}/volumes.csv"
    read, made = metrics | {"paper": "given/paper.csv"}, ["tables/main.csv", "tables/main.md"]
    write_made(root, "tables/main.manifest.json", made, read, command="tables")
