"""A finished study made by hand, and the archive that is made of it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import yaml
from rocrate.rocrate import ROCrate
from training_helpers import CONFIGURATION

from pipeline_src.config import check_study
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.manifest import write_manifest

STUDY = check_study(
    CONFIGURATION
    | {
        "title": "A tiny study",
        "methods": {"at": {}},
        "ablations": {
            "terms": {
                "models": ["sft_teacher"],
                "variants": {"alone": {"set": {"sft": {"imitation_weight": 0.5}}}},
            }
        },
    }
)
MODELS = Models(STUDY)
SECRET = b"\x89 pixels of a patient"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
RUNS = [
    {"started": "2026-01-02T03:04:05+00:00", "seconds": 10.5, "processor": "Abacus"},
    {"started": "2026-01-02T05:00:00+00:00", "seconds": 20.25, "processor": "Abacus"},
]
NEWEST = "2026-03-01T00:00:07+00:00"


def put(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else (content or path.name).encode())
    return path


def manifest(
    path: Path,
    command: str,
    inputs: dict[str, Path],
    outputs: list[Path],
    runs: list[dict[str, Any]] | None = None,
) -> None:
    write_manifest(
        path,
        command=command,
        inputs=inputs,
        outputs=outputs,
        settings={},
        code={"models": "d1g35t"},
        runs=RUNS[:1] if runs is None else runs,
        facts={"dataset": "tiny"},
    )


def train(setting: Path, model: str) -> None:
    """What a training and an evaluation leave behind."""
    folder = setting / "seed0" / model
    plan = MODELS.plan(model, 0)
    names = ["weights.safetensors", *(f"history_{stage}.csv" for stage in plan.stages)]
    names += ["student_weights.safetensors"] if plan.sft else []
    outputs = [put(folder / name, f"{name} of {model}") for name in names]
    inputs = {"store": setting.parent / "volumes.h5", "mask": setting / "mask.npz"}
    if teacher := MODELS.teacher(model):
        inputs["teacher"] = setting / "seed0" / teacher / "weights.safetensors"
    manifest(folder / "manifest.json", "train", inputs, outputs, RUNS)
    evaluate(folder, {**inputs, "weights": outputs[0]})


def evaluate(folder: Path, inputs: dict[str, Path]) -> None:
    outputs = [put(folder / name) for name in ("slices.csv", "volumes.csv")]
    outputs.append(put(folder / "panel.npz", b"panel: " + SECRET))
    manifest(folder / "slices.manifest.json", "evaluate", inputs, outputs)


def make_results(root: Path) -> Path:
    """A finished study below ``root``; masks, tables and the report have no manifest."""
    results = root / "results" / "tiny"
    setting = results / "tiny" / "4x"
    put(results / "config.yaml", yaml.safe_dump(STUDY.model_dump(mode="json"), sort_keys=False))
    source = put(root / "data" / "patient 1" / "scan.nii.gz", b"scan: " + SECRET)
    store = put(results / "tiny" / "volumes.h5", b"store: " + SECRET)
    manifest(store.with_suffix(".manifest.json"), "prepare", {"volumes/0": source}, [store])
    mask = put(setting / "mask.npz")
    evaluate(setting / "zero_filled", {"store": store, "mask": mask})
    for model in MODELS.names():
        train(setting, model)
    put(results / "cost.csv")
    for name in ("main.csv", "main.html", "ablation_terms.md", "all_numbers.csv"):
        put(results / "tables" / name)
    drawn = put(results / "figures/tiny/legend.png")
    manifest(drawn.with_suffix(".manifest.json"), "figure", {}, [drawn])
    figure = [put(results / "figures/tiny/4x" / f"mask.{suffix}") for suffix in ("png", "pdf")]
    newest = [{"started": "2026-03-01T00:00:00+00:00", "seconds": 7.25, "processor": "Abacus"}]
    manifest(figure[0].with_suffix(".manifest.json"), "figure", {"shown/0": mask}, figure, newest)
    put(results / "report.html")
    # What is of no interest, or of no use.
    put(results / "logs" / "train" / "a.csv")
    put(results / "benchmarks" / "a.csv")
    put(setting / "seed0" / "student" / "training.state")
    put(setting / "seed0" / "student" / ".weights.abcdefgh.safetensors")
    put(setting / "seed0" / "sft_kd_gone" / "weights.safetensors", "of an earlier configuration")
    return results


def graph(archive: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(archive) as file:
        entities: list[dict[str, Any]] = json.loads(file.read("ro-crate-metadata.json"))["@graph"]
    return entities


def references(entity: dict[str, Any]) -> list[str]:
    values = [one for value in entity.values() for one in listed(value)]
    return [value["@id"] for value in values if isinstance(value, dict)]


def actions(crate: ROCrate) -> dict[str, Any]:
    return {a["name"]: a for a in crate.get_by_type("CreateAction")}


def listed(value: Any) -> list[Any]:
    """A list of one is written as that one."""
    return value if isinstance(value, list) else [value]


def ids(entities: Any) -> set[str]:
    return {entity.id for entity in listed(entities)}


FOLDER = "tiny/4x/seed0/"
EXPECTED = {
    "config.yaml",
    "report.html",
    "cost.csv",
    "tables/main.csv",
    "tables/main.html",
    "tables/ablation_terms.md",
    "tables/all_numbers.csv",
    "figures/tiny/4x/mask.png",
    "figures/tiny/4x/mask.pdf",
    "figures/tiny/4x/mask.manifest.json",
    "figures/tiny/legend.png",
    "figures/tiny/legend.manifest.json",
    "tiny/volumes.manifest.json",
    "tiny/4x/mask.npz",
    *(f"tiny/4x/zero_filled/{name}" for name in ("slices.csv", "volumes.csv")),
    "tiny/4x/zero_filled/slices.manifest.json",
    f"{FOLDER}sft_teacher/student_weights.safetensors",
    f"{FOLDER}sft_teacher@terms.alone/student_weights.safetensors",
    *(
        f"{FOLDER}{model}/{name}"
        for model in MODELS.names()
        for name in (
            "weights.safetensors",
            "manifest.json",
            "slices.csv",
            "volumes.csv",
            "slices.manifest.json",
            *(f"history_{stage}.csv" for stage in MODELS.plan(model, 0).stages),
        )
    ),
}
