"""Phase (e): a study with the time that is left, by the pipeline's own command."""

from __future__ import annotations

import csv
import os
import statistics
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from benchmarks.gpu.bounded import bounded
from benchmarks.gpu.budget import Cost, StudyPlan, mean_or, plan_study
from benchmarks.gpu.facts import BY_FILES, FORKED
from benchmarks.gpu.kinds import name_of
from benchmarks.gpu.lines import Lines
from benchmarks.gpu.pack import ARCHIVE
from benchmarks.gpu.phase import Run
from benchmarks.gpu.scale import Scale
from benchmarks.gpu.sharing import sharing
from benchmarks.gpu.study_commands import (
    DATASET,
    PROJECT,
    SEED,
    at_once,
    commands,
    evaluate,
    snakemake,
    tables,
)
from pipeline_src.acceleration.fork_client import VARIABLE
from pipeline_src.acceleration.fork_server import start as start_fork_server
from pipeline_src.config import Study, check_study
from pipeline_src.config.distillation import available_methods
from pipeline_src.data.inspection import choose_volumes, chosen_slices
from pipeline_src.errors import InputError
from pipeline_src.files import write_text
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.archive import write_archive
from pipeline_src.provenance.manifest import Manifest

PHASE = "study"
#: Of the study on a GPU, where that is the fastest.
PRECISION = "bf16"
#: Where nothing was measured: guesses for a GPU, on the slow side.
STEP_SECONDS, START_SECONDS = 0.01, 8.0
#: Models are measured on the CPU: a few patients, and seconds for each of their slices and models,
#: a guess on the slow side.
TEST_PATIENTS, EVALUATION_SECONDS = 5, 0.15
#: Seconds below which nothing of a study can be made.
LEAST_ROOM = 5.0
#: Share of the phase in which what has finished is measured and put into tables.
RESERVE = 0.12


def run(run: Run) -> None:
    """Plan, write the configuration, run, and tell what finished."""
    folder = run.settings.work / "study"
    folder.mkdir(parents=True, exist_ok=True)
    values = template(run.scale, run.settings.data, run.device.name)
    study = check_study(values)
    together = run.scale.together[-1] if run.device.graphs else 1
    cost = cost_of(study, run.lines, run.scale, together)
    room = (1 - RESERVE) * run.left()
    plan = plan_study(room, cost, run.scale.most_epochs)
    values = with_plan(values, plan)
    study = check_study(values)
    drawn = run.settings.data is None
    source = "drawn, synthetic phantoms" if drawn else study.datasets[DATASET].title
    run.lines.add(PHASE, "plan", data=source, room=room, **vars(plan), **vars(cost))
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(values, sort_keys=False))
    (run.settings.out / "study.yaml").write_text(config.read_text())
    results = folder / "results" / study.study
    if room < LEAST_ROOM:
        run.lines.add(PHASE, "ended", how="left out: no time left")
        _tell(run.lines, study, results)
        return
    until = time.time() + room
    failed = {one["name"] for one in run.lines.read("facts", "call") if one["ok"] is False}
    if FORKED in failed:
        os.environ[VARIABLE] = "off"
    obstacle = "" if find_spec("snakemake") else "it is not installed"
    if BY_FILES in failed:
        # Snakemake looks for the GPU's files before it starts; a training asks torch.
        obstacle = "it would not start a study on a GPU that has no file"
    if not obstacle:
        with sharing(run.settings.work / "mps", wanted=run.device.graphs) as shared:
            run.lines.add(PHASE, "shared", mps=shared, trainings_at_once=together)
            command = snakemake(folder, config, "tables", at_once=together if shared else 1)
            ended = bounded(command, until, folder)
    else:
        instead = "its commands, one after the other"
        run.lines.add(PHASE, "no snakemake", reason=obstacle, instead=instead)
        ended, steps = "finished", list(commands(study, config, results))
        # As the rules freeze it.
        frozen = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)
        write_text(results / "config.yaml", frozen)
        start_fork_server(len(steps), on_gpu=run.device.graphs)
        for command in steps:
            if ended == "finished":
                ended = bounded(command, until, folder)
    run.lines.add(PHASE, "ended", how=ended)
    if ended != "finished":
        _measure_what_is_there(run, study, config, results)
    _tell(run.lines, study, results)
    run.guarded(PHASE, "archived", lambda: archive(run, results))
    if ended == "finished" and not obstacle and run.left() > 45 and run.device.graphs:
        ended = bounded(snakemake(folder, config, "report"), time.time() + run.left(), folder)
        run.lines.add(PHASE, "report", how=ended)


def archive(run: Run, results: Path) -> None:
    """The records of a finished study, as they lie beside documents."""
    folder = run.settings.work / "study" / ARCHIVE
    try:
        written = write_archive(results, folder)
    except InputError as error:
        run.lines.add(PHASE, "archived", ok=None, reason=str(error)[:300])
        return
    size = sum(path.stat().st_size for path in written)
    run.lines.add(PHASE, "archived", ok=True, files=len(written), bytes=size)


def template(scale: Scale, data: Path | None, device: str) -> dict[str, Any]:
    """The study before its epochs are chosen: ACDC below the folder ``data``, or phantoms.

    Raises:
        InputError: the folder does not hold enough patients.
    """
    matrix = scale.matrix
    dataset: dict[str, Any] = {"preparation": {"matrix": [matrix, matrix], "undersized": "drop"}}
    if data is None:
        patients = 12 if scale.methods is None else 4
        dataset["title"] = "Cardiac phantom (synthetic)"
        dataset["source"] = {
            **{"kind": "phantom", "anatomy": "cardiac", "patients": patients, "seed": 1},
            **{"slices": min(6, scale.slices), "matrix": matrix},
        }
        held = patients // 4
        dataset["split"] = {"train": patients - 2 * held, "validation": held, "test": held}
    else:
        training = len(list((data / "acdc" / "training").glob("patient*")))
        held = max(1, training // 5)
        testing = sorted(path.name for path in (data / "acdc" / "testing").glob("patient*"))
        if training < 2 or not testing:
            raise InputError(
                f"{data}: has no acdc/training and acdc/testing with patients of ACDC; give the "
                "folder that holds acdc, or none for phantoms"
            )
        dataset["title"] = "ACDC"
        dataset["source"] = {"kind": "acdc", "path": "acdc"}
        dataset["split"] = {
            **{"train": training - held, "validation": held},
            "test": [f"testing/{name}" for name in testing[:TEST_PATIENTS]],
            "seed": 0,
        }
    networks = {"cascades": scale.cascades, "features": scale.features}
    return {
        "study": "gpu",
        "title": "A study within minutes",
        "data_root": str(data or PROJECT),
        "seeds": [SEED],
        "accelerations": [4],
        "datasets": {DATASET: dataset},
        "sampling": {"center_lines": max(2, matrix // 15)},
        "networks": {"teacher": networks, "student": networks},
        "methods": {name: {} for name in available_methods()[: scale.methods]},
        "training": {
            "batch_size": scale.batch,
            "device": device,
            "threads": 1,
            "precision": PRECISION if device == "cuda" else "fp32",
        },
    }


def with_plan(values: dict[str, Any], plan: StudyPlan) -> dict[str, Any]:
    """The study with its epochs, and the rate reduced when the same share of them is done as in the
    paper (40 of 150)."""
    dataset = dict(values["datasets"][DATASET])
    dataset["preparation"] = {**dataset["preparation"], "slices": {"step": plan.thinning}}
    lr_step = max(1, -(-plan.epochs * 40 // 150))
    training = {**values["training"], "epochs": plan.epochs, "lr_step": lr_step}
    return {**values, "datasets": {DATASET: dataset}, "training": training}


def cost_of(study: Study, lines: Lines, scale: Scale, together: int = 1) -> Cost:
    """What the study takes with so many trainings at once, from the lines of the phase before."""
    measured = [
        line
        for line in lines.read("timing", "step")
        if line.get("precision") == study.training.precision and "milliseconds" in line
    ]
    # The form and the convolutions that the study will have come first among the lines.
    steps = {line["kind"]: line["milliseconds"] / 1000 for line in reversed(measured)}
    faster = together_faster(lines)
    steps = {kind: seconds / faster for kind, seconds in steps.items()}
    default = mean_or(steps, STEP_SECONDS)
    models = Models(study)
    stages = [
        steps.get(name_of(models.plan(name, SEED), stage), default)
        for name in models.names()
        for stage in models.plan(name, SEED).stages
    ]
    validation = [
        line["milliseconds_a_slice"] / 1000 * study.training.batch_size
        for line in lines.read("timing", "validated")
    ]
    starts = [
        line["forked_seconds"] or line["seconds"]
        for line in lines.read("timing", "start")
        if "seconds" in line
    ]
    counted = count_slices(study)
    return Cost(
        step_seconds=stages,
        validation_seconds=(validation or [default / 3])[0],
        starts=-(-len(models.names()) // together),
        start_seconds=(starts or [START_SECONDS])[0],
        slices=counted["train"],
        validation_slices=counted["validation"],
        batch=study.training.batch_size,
        rest_seconds=(25.0 if scale.methods is None else 5.0)
        + counted["test"] * (len(models.names()) + 1) * EVALUATION_SECONDS / at_once(study),
    )


def together_faster(lines: Lines) -> float:
    """How many times as many steps per second trainings do that share the GPU as one alone."""
    each = {
        line["trainings"]: line["milliseconds_each"]
        for line in lines.read("timing", "processes")
        if line.get("mps") and "trainings" in line
    }
    return each[min(each)] / each[max(each)] if each else 1.0


def count_slices(study: Study) -> dict[str, int]:
    """Slices of each part, from the headers alone; a volume that will be left out counts too."""
    dataset = study.datasets[DATASET]
    chosen = choose_volumes(dataset, Path(study.data_root))
    counted = dict.fromkeys(("train", "validation", "test"), 0)
    for volume in chosen.used:
        found = chosen_slices(volume.header().shape[2], dataset.preparation, volume.label)
        counted[chosen.parts[volume.patient]] += len(found)
    return counted


def _measure_what_is_there(run: Run, study: Study, config: Path, results: Path) -> None:
    """Evaluate the models that finished, and make tables of them."""
    setting = results / DATASET / "4x"
    data = ["--data", str(results / DATASET / "volumes.h5"), "--mask", str(setting / "mask.npz")]
    labels = ["--dataset", DATASET, "--acceleration", "4x"]
    done = [m.parent for m in sorted(setting.glob(f"seed{SEED}/*/manifest.json"))]
    missing = [folder for folder in done if not (folder / "volumes.csv").exists()]
    ended = {}
    if missing and run.left() > 1:
        until = time.time() + run.left()
        ended["evaluation"] = bounded(
            evaluate(missing, labels, data, at_once(study)), until, results
        )
    measured = [v.parent for v in sorted(setting.glob("**/volumes.csv"))]
    if measured and run.left() > 1:
        command = tables(measured, ["--config", str(config)], results / "tables")
        ended["tables"] = bounded(command, time.time() + run.left(), results)
    run.lines.add(PHASE, "measured what finished", models=len(done), **ended)


def _tell(lines: Lines, study: Study, results: Path) -> None:
    """A line per model, and one for the study."""
    names = Models(study).names()
    finished = 0
    for name in names:
        folder = results / DATASET / "4x" / f"seed{SEED}" / name
        if not (folder / "manifest.json").exists():
            lines.add(PHASE, "model", model=name, finished=False)
            continue
        finished += 1
        manifest = Manifest.read(folder / "manifest.json")
        facts: dict[str, Any] = {
            "seconds": manifest.seconds,
            "startup_seconds": sum(run.startup_seconds or 0.0 for run in manifest.runs),
            "validation_psnr_db": manifest.best_epoch.validation_psnr_db,
        }
        if (folder / "volumes.csv").exists():
            with (folder / "volumes.csv").open(newline="") as stream:
                rows = list(csv.DictReader(stream))
            for metric in ("psnr_db", "ssim"):
                facts[metric] = statistics.mean(float(row[metric]) for row in rows)
        lines.add(PHASE, "model", model=name, finished=True, **facts)
    made = sorted(path.name for path in (results / "tables").glob("*.csv"))
    lines.add(PHASE, "study", finished=finished, models=len(names), tables=made)
