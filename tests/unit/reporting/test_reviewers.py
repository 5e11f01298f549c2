"""The section for reviewers tells what is recorded, and of what is not that it is not."""

from __future__ import annotations

from html import unescape
from pathlib import Path
from typing import Any

import pytest
from reporting_helpers import dataset, study_with
from reviewers_helpers import COMMIT, run, write_made, write_records, write_small_store

from pipeline_src.config import Study, load_study
from pipeline_src.data.store import read_index, read_store
from pipeline_src.errors import InputError
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance import manifest as manifest_module
from pipeline_src.reporting.report import page_environment
from pipeline_src.reporting.reviewers.deviations import (
    PAPER_CONFIG,
    deviations,
    options,
)
from pipeline_src.reporting.reviewers.page import TEMPLATE, Part, reviewers_parts
from pipeline_src.reporting.reviewers.records import read_records

STUDY = study_with(methods={"at": {}}, evaluation={"panel_methods": ["at"]})
SETTINGS, SEEDS, MODELS = 4, 2, 7
PATIENTS = {"train": ["p1", "p2"], "validation": ["p3", "p4", "p5"], "test": ["p6"]}
MADE = {"commit": f"{COMMIT}-dirty"}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results") / "tiny"
    write_records(STUDY, folder, PATIENTS)
    return folder


def parts_of(study: Study, results: Path | None) -> dict[str, Part]:
    parts = reviewers_parts(study, read_records(study, results), MADE, "c0de")
    return {part.anchor: part for part in parts}


def rows_of(part: Part, table: int = 0) -> dict[str, tuple[str, ...]]:
    """Rows by their first cell."""
    return {row[0]: row[1:] for row in part.tables[table].rows}


def test_compute_is_summed_over_runs_and_models(results: Path) -> None:
    assert len(Models(STUDY).names()) == MODELS
    rows = rows_of(parts_of(STUDY, results)["compute"])
    trainings = SETTINGS * SEEDS * MODELS
    hours = trainings * 90 / 3600
    assert rows["training"] == (
        *(f"{trainings}", f"{2 * trainings}", f"{trainings * 90 / 60:.0f} min"),
        *(f"{hours * 30:.0f} min", "3.0 GiB", "not measured"),
    )
    assert rows["preparation"][:3] == ("2", "2", "20 s")


def test_a_process_that_measured_many_models_counts_once(results: Path) -> None:
    rows = rows_of(parts_of(STUDY, results)["compute"])
    seconds = SETTINGS * (1 + SEEDS * MODELS)
    measured = SETTINGS * (1 + SEEDS * MODELS)
    assert rows["evaluation"][:3] == (f"{measured}", f"{SETTINGS * (1 + SEEDS)}", f"{seconds} s")


def test_what_is_missing_is_not_recorded_and_energy_is_told_as_far_as_it_is_known(
    tmp_path: Path,
) -> None:
    study = study_with(
        seeds=[0], accelerations=[4], methods={}, datasets={"heart": dataset()}, controls=[]
    )
    folder = tmp_path / "heart" / "4x" / "seed0" / "teacher"
    runs = [run("0", 5, energy_joules=7200.0), {"started": "1", "seconds": 2}]
    write_made(folder / "manifest.json", runs, command="train", device="cuda")
    parts = parts_of(study, tmp_path)
    rows = rows_of(parts["compute"])
    assert rows["training"] == (
        *("1 of 3, 2 not recorded", "2", "7 s"),
        *("2 s in 1 of 2", "100 MiB", "2 Wh in 1 of 2"),
    )
    assert set(rows["preparation"][1:]) == {"not recorded"}
    machines = parts["compute"].tables[1].rows
    assert ("Abacus", "4", "OS", "cuda (model not recorded)", "1", "5 s") in machines
    assert ("not recorded",) * 3 + ("cuda (model not recorded)", "1", "2 s") in machines
    write_made(folder / "manifest.json", runs, command="train", device="cuda", gpu="Abaca")
    assert parts_of(study, tmp_path)["compute"].tables[1].rows[0][3] == "Abaca"


def test_what_trainings_took_of_gpus_is_told_by_gpu(tmp_path: Path) -> None:
    study = study_with(
        seeds=[0], accelerations=[4], methods={}, datasets={"heart": dataset()}, controls=[]
    )
    facts = {"command": "train", "device": "cuda"}
    own = {"gpu_peak_memory_mib": 2048, "gpu_energy_joules": 7200.0}
    shared = {"gpu_peak_memory_mib": 512, "gpu_energy_joules": None}
    for name, gpu, runs in (
        ("teacher", "Abaca", [run("0", 5, **own), run("1", 5, **shared)]),
        ("student", "Abaca", [run("2", 5, **own)]),
        ("sft_teacher", "Sisal", [run("3", 5, **shared)]),
    ):
        folder = tmp_path / "heart" / "4x" / "seed0" / name
        write_made(folder / "manifest.json", runs, gpu=gpu, **facts)
    [first, _, of_gpus] = parts_of(study, tmp_path)["compute"].tables
    assert of_gpus.rows == [
        ("Abaca", "3", "2.0 GiB", "4 Wh in 2 of 3"),
        ("Sisal", "1", "512 MiB", "not measured"),
    ]
    assert first.lead.endswith("and listed separately below.")


def test_without_a_gpu_nothing_is_told_of_one(results: Path) -> None:
    first, *others = parts_of(STUDY, results)["compute"].tables
    assert len(others) == 1
    assert first.lead.endswith("GPUs are not included.")


def test_without_records_nothing_is_told_of_them() -> None:
    parts = parts_of(STUDY, None)
    assert rows_of(parts["compute"])["together"][1:] == ("not recorded",) * 5
    assert rows_of(parts["data"])["Heart phantom"][2:] == ("not recorded",) * 5
    assert rows_of(parts["sampling"], 1)["Heart phantom 4x"] == ("not recorded",) * 4
    assert parts["versions"].tables[0].rows == [("not recorded", "")]
    assert "Heart phantom: reported patients: not recorded; seeds per model: 2." in (
        parts["limitations"].points
    )


def test_data_tells_source_digest_and_patients(results: Path) -> None:
    part = parts_of(STUDY, results)["data"]
    rows = rows_of(part)
    digest = read_store(results / "brain" / "volumes.h5").digest
    assert rows["Brain MRI"][:1] == ("from files",)
    assert rows["Brain MRI"][2:] == ("3", "6", "6", "2", digest[:12])
    assert rows["Heart phantom"][0] == "synthetic (drawn)"
    assert rows["Heart phantom"][2] == "none"
    folded = dict(part.folded)
    assert folded["Brain MRI: patients"] == [
        "train (2): p1, p2",
        "validation (3): p3, p4, p5",
        "test (1): p6",
    ]
    assert f"SHA-256 of images and index: {digest}" in folded["Brain MRI: store"]
    assert "found twice: a is b" in folded["Brain MRI: store"]
    assert "left out 2 times: too small" in folded["Brain MRI: store"]
    assert part.points == ["Licence and consent: Brain MRI: not recorded."]
    brain = STUDY.datasets["brain"].model_copy(update={"credit": "Somebody, CC0"})
    credited = STUDY.model_copy(update={"datasets": STUDY.datasets | {"brain": brain}})
    points = parts_of(credited, results)["data"].points
    assert points == ["Licence and consent: Brain MRI: Somebody, CC0."]


def test_masks_tell_their_effective_acceleration(project_root: Path, tmp_path: Path) -> None:
    masks = str(project_root / "config" / "authors_masks.csv")
    heart = dataset(preparation={"matrix": [150, 150]}, masks={4: masks, 5: masks})
    study = study_with(datasets={"heart": heart}, seeds=[0], methods={}, controls=[])
    write_records(study, tmp_path / "results", PATIENTS)
    parts = parts_of(study, tmp_path / "results")
    rows = rows_of(parts["sampling"], 1)
    assert rows["heart 4x"][1:] == (
        "24.7%, 37 of 150 lines",
        "40.7%",
        "4.05 by samples, 2.46 effective",
    )
    assert rows["heart 4x"][0].startswith("file authors_masks.csv, SHA-256 ")
    assert rows["heart 5x"][3] == "5.00 by samples, 3.33 effective"
    limits = parts["limitations"].points
    assert any("4x is 2.46x, 5x is 3.33x" in point for point in limits)
    assert "One seed, one mask per setting, one split per data set." in limits


def test_limitations_follow_the_study(results: Path) -> None:
    points = parts_of(STUDY, results)["limitations"].points
    assert "Brain MRI: reported patients: 3; seeds per model: 2." in points
    assert "Heart phantom: reported patients: 1; seeds per model: 2." in points
    chose = "the reported patients are those on which the weights were chosen."
    assert [p for p in points if p.endswith(chose)] == [f"Brain MRI: {chose}"]
    assert any("for all 2 seeds" in point for point in points)
    assert any("real part" in point for point in points)


def test_versions_tell_commits_and_packages(results: Path) -> None:
    [first, packages] = parts_of(STUDY, results)["versions"].tables
    assert f"commit {COMMIT} with local changes" in first.lead
    assert "c0de" in first.lead
    manifests = 2 + SETTINGS * (1 + 2 * SEEDS * MODELS)
    assert first.rows == [(f"commit {COMMIT}", f"{manifests}")]
    assert packages.rows == [("torch", "2.0"), ("numpy", "1.0")]


@pytest.mark.parametrize(("preset", "follows"), [("paper", "the text"), ("authors", "the code")])
def test_a_preset_follows_what_it_is_named_after(preset: str, follows: str) -> None:
    found = options(study_with(preset=preset))
    assert {option.key for option in found} >= {"methods.NAME.form", "distillation.protocol"}
    assert {option.follows for option in found} == {follows}


def test_options_that_follow_neither_are_told() -> None:
    study = study_with(
        methods={"at": {"form": "original"}, "cc": {}},
        distillation={"feature_stage_selection": "last"},
        evaluation={"panel_methods": ["at"]},
    )
    found = {option.key: option for option in options(study)}
    form = found["methods.NAME.form"]
    assert (form.here, form.follows) == ("original or authors", "neither alone")
    kept = found["distillation.feature_stage_selection"]
    assert (kept.here, kept.text, kept.code, kept.follows) == (
        *("last", "best", "best"),
        "neither alone",
    )


def test_the_papers_study_deviates_in_nothing() -> None:
    assert deviations(load_study(PAPER_CONFIG), load_study(PAPER_CONFIG)) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (["training.epochs=60"], {"training.epochs": ("60", "150")}),
        (["seeds=[0, 1, 2]"], {"seeds": ("0, 1, 2", "0, 1, 2, 3, 4")}),
        (["sft.imitation_weight=0.5"], {"sft.imitation_weight": ("0.5", "1.0")}),
        (["methods.at.cascades=[2]"], {"methods.at.cascades": ("2", "null")}),
        (
            ["datasets.cardiac.preparation={matrix: [96, 96], slices: {step: 2}}"],
            {
                "ACDC: matrix": ("96 x 96", "150 x 150"),
                "ACDC: slices": ("0 to the last in steps of 2", "all"),
            },
        ),
        (
            ["accelerations=[4, 6, 5]"],
            {
                "accelerations": ("4, 6, 5", "4, 5"),
                **dict.fromkeys(
                    ("MRBrainS: masks", "ACDC: masks"),
                    ("given as files at 4x, 5x, else drawn", "given as files"),
                ),
            },
        ),
        (
            ["datasets.mrbrains.split.test=1", "datasets.mrbrains.report_on=test"],
            {
                "MRBrainS: split": (
                    "train 5, validation 2, test 1; drawn with seed 0",
                    "train 5, validation 2; drawn with seed 0",
                ),
                "MRBrainS: reported patients": ("test", "validation"),
            },
        ),
        # How fast and where it runs, and what is shown, is the same study.
        (["training.threads=1", "title=Other", "controls=[]", "training.device=cpu"], {}),
        # Told among the options.
        (["distillation.protocol=joint", "methods.at.form=original"], {}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_differs_from_the_papers_study_is_told(
    changes: list[str], expected: dict[str, tuple[str, str]]
) -> None:
    found = deviations(load_study(PAPER_CONFIG, changes), load_study(PAPER_CONFIG))
    assert {d.what: (d.here, d.paper) for d in found} == expected


def test_other_data_is_told_beside_all_of_the_papers() -> None:
    found = {d.what: d for d in deviations(STUDY, load_study(PAPER_CONFIG))}
    assert found["data sets"].here == "Heart phantom, Brain MRI (none is given as MRBrainS or ACDC)"
    assert found["Brain MRI: matrix"].paper == "240 x 240 or 150 x 150"
    assert found["methods"].here == "at"


def test_each_record_is_read_once(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counted(path: Path) -> Any:
        read.append(path)
        return original(path)

    original = manifest_module.read_json
    monkeypatch.setattr(manifest_module, "read_json", counted)
    found = read_records(STUDY, results)
    assert len(read) == len(set(read)) == 2 + SETTINGS * (1 + 2 * SEEDS * MODELS)
    assert set(read) < set(found.files)
    assert {results / "heart" / "volumes.h5", results / "brain/5x/mask.npz"} < set(found.files)
    assert len(found.files) == len(set(found.files))


@pytest.mark.parametrize("text", ['{"runs": 3', "[]", '{"inputs": {}, "outputs": {}}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "heart" / "volumes.manifest.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(InputError, match=r"volumes\.manifest\.json: is "):
        read_records(STUDY, tmp_path)


def test_an_index_is_read_without_the_images_and_a_file_of_others_is_refused(
    tmp_path: Path,
) -> None:
    path = tmp_path / "volumes.h5"
    write_small_store(path, PATIENTS, dropped=2)
    index, store = read_index(path), read_store(path)
    assert index.digest == store.digest
    assert (index.volumes, index.slices, index.dropped) == (6, 6, {"too small": 2})
    assert index.patients == PATIENTS
    path.write_bytes(b"no store")
    with pytest.raises(InputError, match=r"volumes\.h5: is damaged or not a volume store"):
        read_index(path)


def test_text_of_others_is_text(tmp_path: Path) -> None:
    bad = '<script>alert("1")</script>'
    study = study_with(
        seeds=[0], accelerations=[4], methods={}, datasets={"heart": dataset()}, controls=[]
    )
    (tmp_path / "heart").mkdir()
    write_small_store(tmp_path / "heart" / "volumes.h5", {"train": [bad, "a\nb", "\x1b[31m"]})
    runs = [run("0", 1, processor=bad, system=bad)]
    made_by = {"commit": None, "commit_problem": bad, "packages": {bad: bad}}
    write_made(
        tmp_path / "heart" / "volumes.manifest.json",
        runs,
        command="prepare",
        made_by=made_by,
        repeated=[bad],
        outputs={"volumes.h5": bad},
    )
    parts = list(parts_of(study, tmp_path).values())
    page = page_environment().get_template(f"reviewers/{TEMPLATE}").render(parts=parts)
    assert "<script" not in page
    assert unescape(page).count(bad) >= 8
    assert "a b" in page
    assert "\x1b" not in page


def test_code_that_is_not_this_projects_is_recorded(tmp_path: Path) -> None:
    study = study_with(
        seeds=[0], accelerations=[4], methods={}, datasets={"heart": dataset()}, controls=[]
    )
    code = {"training/step.py": "a" * 64, "../my_losses/rkd.py": "b" * 64}
    folder = tmp_path / "heart" / "4x" / "seed0" / "teacher"
    write_made(folder / "manifest.json", [run("0", 5)], command="train", code=code)
    assert read_records(study, tmp_path).code_elsewhere == {("../my_losses/rkd.py", "b" * 64)}
