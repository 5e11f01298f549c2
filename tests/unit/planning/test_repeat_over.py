"""Repeats of a study: masks and splits of their own, folds, and where their files lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from estimate_helpers import even_speed
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.config import Study, check_study
from pipeline_src.data.inspection import choose_volumes
from pipeline_src.errors import InputError
from pipeline_src.evaluation.power import detectable_effect
from pipeline_src.operations.estimate.statistical_power import detectable_lines
from pipeline_src.operations.estimate.study import count_slices, estimate
from pipeline_src.operations.status.reading import plan
from pipeline_src.planning.places import REPEATED, Places
from pipeline_src.planning.repeats import drawn_seed, of_repeat
from pipeline_src.planning.steps import mask_step, prepare_step
from pipeline_src.provenance.crate_content import required_files
from pipeline_src.reporting.methods_text import methods_paragraphs
from pipeline_src.reporting.reviewers.appraisal import limitations
from pipeline_src.reporting.reviewers.deviations import split_text
from pipeline_src.reporting.reviewers.records import Records
from pipeline_src.sampling.given_masks import study_mask

Given = dict[str, Any]
ALL = ["seed", "mask", "split"]
FOLDS = {"folds": 3, "validation": 1}


def study_of(given: Given, patients: int = 7, split: Given | None = None, **keys: Any) -> Study:
    given["datasets"]["heads"]["source"]["patients"] = patients
    if split is not None:
        given["datasets"]["heads"]["split"] = split
    return check_study(given | keys)


def parts_of(study: Study, seed: int) -> dict[str, set[str]]:
    """Patients of each part with a seed."""
    parts = choose_volumes(of_repeat(study, seed).datasets["heads"], Path()).parts
    return {part: {p for p, own in parts.items() if own == part} for part in parts.values()}


def refused(given: Given, **keys: Any) -> str:
    with pytest.raises(InputError) as caught:
        study_of(given, **keys)
    return str(caught.value)


# What a repeat draws.


def test_without_the_key_a_study_is_as_it_was(tiny_study: Given) -> None:
    study = study_of(tiny_study, seeds=[0, 1])
    assert study.repeat_over == ["seed"]
    assert of_repeat(study, 1) is study
    places = Places(study)
    assert not any(map(places.repeated, REPEATED))
    assert {name for name in required_files(study) if "teacher" not in name} >= {
        "heads/volumes.h5",
        "heads/4x/mask.npz",
        "heads/4x/zero_filled/volumes.csv",
        "heads/4x/seed1/student/volumes.csv",
    }
    # Manifests of stores made before tell these settings.
    assert prepare_step(study, "heads").settings["split"] == {
        "train": 2,
        "validation": 1,
        "test": 1,
        "seed": 0,
    }


def test_each_seed_draws_its_own_mask_and_split_and_always_the_same(tiny_study: Given) -> None:
    study = study_of(tiny_study, seeds=list(range(5)), repeat_over=ALL)
    masks = {study_mask(of_repeat(study, s), "heads", 4).samples.tobytes() for s in study.seeds}
    splits = {tuple(sorted(parts_of(study, seed)["train"])) for seed in study.seeds}
    assert len(masks) > 2
    assert len(splits) > 2
    # Fixed for good: results of before stay what they are.
    assert (drawn_seed(0, 0, "mask"), drawn_seed(0, 1, "split")) == (2968811710, 901243215)
    assert mask_step(of_repeat(study, 0), "heads", 4).settings["seed"] == 2968811710


def test_what_is_not_repeated_stays(tiny_study: Given) -> None:
    masks = study_of(tiny_study, seeds=[0, 1], repeat_over=["seed", "mask"])
    assert of_repeat(masks, 1).datasets == masks.datasets
    splits = study_of(tiny_study, seeds=[0, 1], repeat_over=["seed", "split"])
    assert of_repeat(splits, 1).sampling == splits.sampling
    with pytest.raises(InputError, match="seed 5: the study has no such repeat; there are 0, 1"):
        of_repeat(splits, 5)


@pytest.mark.parametrize(("patients", "folds"), [(7, 3), (6, 3), (9, 2), (5, 5)])
def test_folds_test_every_patient_once(tiny_study: Given, patients: int, folds: int) -> None:
    split, seeds = {"folds": folds, "validation": 1}, list(range(10, 10 + 2 * folds))
    study = study_of(tiny_study, patients, split, seeds=seeds, repeat_over=["seed", "split"])
    repeats = [parts_of(study, seed) for seed in seeds]
    for deal in (repeats[:folds], repeats[folds:]):
        tested = [patient for parts in deal for patient in parts["test"]]
        assert len(tested) == len(set(tested)) == patients
        sizes = [len(parts["test"]) for parts in deal]
        assert max(sizes) - min(sizes) <= 1
    for parts in repeats:
        assert len(parts["validation"]) == 1
        assert sum(map(len, parts.values())) == len(set().union(*parts.values())) == patients
    # The second round deals anew.
    if patients != folds:
        assert {frozenset(p["test"]) for p in repeats[:folds]} != {
            frozenset(p["test"]) for p in repeats[folds:]
        }


def test_a_fold_can_be_run_on_its_own(tiny_study: Given) -> None:
    together = study_of(tiny_study, split=FOLDS, seeds=[0, 1], repeat_over=["seed", "split"])
    alone = study_of(tiny_study, split={**FOLDS, "fold": 1}, seeds=[4])
    assert parts_of(alone, 4) == parts_of(together, 1)


def test_folds_of_some_patients(tiny_study: Given) -> None:
    some = {**FOLDS, "fold": 0, "patients": ["phantom00[1-3]", "phantom006"]}
    found = parts_of(study_of(tiny_study, split=some), 0)
    assert set().union(*found.values()) == {f"phantom00{n}" for n in (1, 2, 3, 6)}


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ({"folds": 9, "validation": 1}, "9 folds of 7 patients; give 7 or fewer"),
        ({"folds": 7, "validation": 6}, "leaves none to train on; give 5 or fewer"),
        ({**FOLDS, "patients": ["nobody"]}, "split.patients: 'nobody' matches no patient"),
    ],
)
def test_folds_that_the_patients_do_not_allow(tiny_study: Given, split: Given, said: str) -> None:
    study = study_of(tiny_study, split={**split, "fold": 0})
    with pytest.raises(InputError) as caught:
        parts_of(study, 0)
    assert said in str(caught.value)


# What is refused, with the way out.

LISTS = {"train": ["a"], "validation": ["b"], "test": ["c"]}
OVER_SPLIT = {"repeat_over": ["seed", "split"]}
REFUSED: list[tuple[Given, list[str]]] = [
    ({"repeat_over": ["mask"]}, ["seed is missing"]),
    ({"repeat_over": ["seed", "seed"]}, ["seed is listed twice"]),
    ({"split": FOLDS}, ["datasets.heads.split.folds", "repeat_over: [seed, split]", "split.fold"]),
    ({"split": {**FOLDS, "fold": 0}, **OVER_SPLIT}, ["split.fold: 0", "leave one of them out"]),
    ({"split": {**FOLDS, "fold": 3}}, ["fold 3 is beyond the 3 folds; they count from 0"]),
    ({"split": {**FOLDS, "train": 2}, **OVER_SPLIT}, ["heads.split: train is given beside folds"]),
    ({"split": {**FOLDS, "vlidation": 2}}, ["heads.split.vlidation", "heads.split.validation"]),
    ({"split": LISTS, **OVER_SPLIT}, ["nothing is drawn in datasets.heads.split", "or folds"]),
]


@pytest.mark.parametrize(("keys", "said"), REFUSED)
def test_what_cannot_be_repeated_is_refused(
    tiny_study: Given, keys: Given, said: list[str]
) -> None:
    line = refused(tiny_study, **keys)
    assert all(words in line for words in said), line


def test_a_given_mask_is_the_same_for_all_seeds(tiny_study: Given) -> None:
    tiny_study["datasets"]["heads"]["masks"] = {4: "mask.npy"}
    line = refused(tiny_study, repeat_over=["seed", "mask"])
    assert "datasets.heads.masks gives that of 4x as a file" in line
    assert "leave mask out of repeat_over, or the file out of masks" in line
    study_of(tiny_study, **OVER_SPLIT)


def test_folds_report_on_tested_patients(tiny_study: Given) -> None:
    tiny_study["datasets"]["heads"]["report_on"] = "validation"
    assert "which test every patient; leave one" in refused(tiny_study, split=FOLDS, **OVER_SPLIT)


# Where files lie, and what tells of them.


def test_only_what_is_repeated_lies_by_seed(tiny_study: Given) -> None:
    def found(*over: str) -> tuple[str, str, str]:
        places = Places(study_of(tiny_study, seeds=[0, 3], repeat_over=["seed", *over]))
        setting = ("heads", "4x", 3)
        return places.store("heads", 3), places.mask(*setting), places.zero_filled(*setting)

    assert found() == ("heads/volumes.h5", "heads/4x/mask.npz", "heads/4x/zero_filled")
    own = ("heads/split3/volumes.h5", "heads/4x/seed3/mask.npz", "heads/4x/seed3/zero_filled")
    assert found("mask", "split") == own
    assert found("split") == (own[0], "heads/4x/mask.npz", own[2])
    assert found("mask") == ("heads/volumes.h5", own[1], own[2])


def test_a_crate_and_the_status_know_the_places(tiny_study: Given) -> None:
    study = study_of(tiny_study, split=FOLDS, seeds=[0, 3], repeat_over=ALL)
    names = list(required_files(study))
    assert len(names) == len(set(names))
    assert {"heads/split3/volumes.h5", "heads/4x/seed0/mask.npz"} < set(names)
    assert "heads/4x/seed3/zero_filled/slices.csv" in names
    folders = [planned.folder for planned in plan(study, Path("results/tiny"))]
    assert Path("results/tiny/heads/4x/seed3/teacher") in folders


@pytest.fixture
def config(tiny_study: Given, write_config: Any) -> Path:
    tiny_study["datasets"]["heads"]["split"] = {"folds": 2, "validation": 1}
    path: Path = write_config(tiny_study | {"seeds": [0, 1], "repeat_over": ALL})
    return path


@pytest.mark.parametrize("command", ["prepare", "mask"])
def test_commands_ask_for_the_repeat(
    command: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / ("volumes.h5" if command == "prepare" else "mask.npz")
    words = [command, f"--config={config}", "--dataset=heads", f"--output={output}"]
    words += ["--acceleration=4x"] * (command == "mask")
    assert main(words) == 2
    assert "--seed is missing" in one_line(capsys.readouterr().err)
    assert main([*words, "--seed=7"]) == 2
    assert "there are 0, 1" in one_line(capsys.readouterr().err)
    assert not output.exists()
    assert main([*words, "--seed=1"]) == 0
    assert main([*words, "--seed=1", "--set", "repeat_over=[seed]"]) == 2
    line = capsys.readouterr().err
    assert "--seed 1: by repeat_over one" in line or "split.folds" in line


def test_check_says_which_design_runs(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"--config={config}", "--set", "seeds=[0, 1, 2]"]) == 0
    said = capsys.readouterr().out
    assert "each seed has its own masks and splits of the patients" in said
    assert "warning: data set heads: 3 seeds test some of 2 folds more often" in said
    assert main(["check", f"--config={config}", "--set", "datasets.heads.split.folds=4"]) == 0
    assert "2 seeds test 2 of 4 folds; 4 seeds test every patient" in capsys.readouterr().out
    assert main(["check", f"--config={config}", "--set", "seeds=[0]"]) == 0
    assert "1 seed tests 1 of 2 folds; 2 seeds" in capsys.readouterr().out


def test_the_design_is_told(tiny_study: Given) -> None:
    def told(*over: str, **keys: Any) -> str:
        study = study_of(tiny_study, seeds=[0, 1, 2], repeat_over=["seed", *over], **keys)
        return list(limitations(study, Records()))[1]

    assert told() == (
        "One mask per setting and one split per data set for all 3 seeds: intervals say nothing "
        "about other masks and splits."
    )
    assert told("split") == (
        "One mask per setting for all 3 seeds; each has splits of the patients of its own: "
        "intervals say nothing about other masks."
    )
    assert told("mask", "split").startswith("Each of the 3 seeds has masks and splits")
    study = study_of(tiny_study, split=FOLDS, seeds=[0, 1, 2], repeat_over=ALL)
    text = " ".join(methods_paragraphs(study))
    assert "patients: cross-validation over 3 folds, each tested in turn; validation 1" in text
    assert "Each seed has masks and splits of the patients of its own." in text
    assert split_text(study.datasets["heads"]).endswith("dealt with seed 0")


def test_an_estimate_counts_what_is_repeated(tiny_study: Given) -> None:
    found = {}
    for over in (["seed"], ALL):
        study = study_of(tiny_study, seeds=[0, 1, 2], repeat_over=over)
        slices = count_slices(study)
        found[len(over)] = estimate(study, even_speed(study), slices, gpus=[1], gpu=False)
    one, own = found[1].jobs, found[3].jobs
    assert (one["preparations"], own["preparations"], own["masks"]) == (1, 3, 3)
    assert one["trainings"] == own["trainings"]
    assert own["evaluations"] == one["evaluations"] + 2


def test_what_a_study_of_splits_can_show(tiny_study: Given) -> None:
    study = study_of(tiny_study, split=FOLDS, seeds=[0, 1, 2], **OVER_SPLIT)
    line, _ = detectable_lines(study, {"heads": 4}, {"heads": 8})
    spread = study.evaluation.expected_spread
    of_repeat = np.hypot(spread.between_seeds_db, spread.between_patients_db / 2)
    least = detectable_effect((3, 1), (float(of_repeat), 0.0), overlap=0.5)
    assert f"effects of {least:.2f} dB or more" in line
    assert "3 seeds, 4 test patients with each, of splits of their own: " in line
