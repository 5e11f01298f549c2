"""The methods text says what was configured."""

from __future__ import annotations

from typing import Any

import pytest
from reporting_helpers import (
    METHODS,
    dataset,
    study_with,
)

from pipeline_src.reporting.methods_text import methods_paragraphs


def text_of(**values: Any) -> str:
    return "\n".join(methods_paragraphs(study_with(**values)))


def test_methods_text_has_seven_paragraphs_that_name_what_was_configured() -> None:
    paragraphs = methods_paragraphs(
        study_with(
            seeds=[3, 8],
            accelerations=[6, 7],
            sampling={"seed": 11, "center_lines": 4},
            training={"epochs": 77, "batch_size": 3, "learning_rate": 2e-4, "lr_step": 33},
        )
    )
    starts = ["Data.", "Sampling.", "Networks.", "Training.", "Distillation.", "Evaluation."]
    starts.append("Statistics.")
    assert [p.split()[0] for p in paragraphs] == starts
    data, sampling, networks, training, distillation, evaluation, _ = paragraphs
    assert "Heart phantom: magnitude slices of drawn (synthetic) phantoms" in data
    assert "64 x 64" in data
    assert "train 2, validation 2, test 2" in data
    assert "6x and 7x" in sampling
    assert "seed 11" in sampling
    assert "the 4 lowest frequencies" in sampling
    assert "the teacher is D5C5" in networks
    assert "the student is D3C5" in networks
    assert "77 epochs" in training
    assert "0.0002" in training
    assert "every 33 epochs" in training
    assert "batches of 3 slices" in training
    assert "Seeds: 3 and 8." in training
    for title in ("FitNets", "AT", "CC", "FSP", "SP"):
        assert f"{title} (authors form)" in distillation
    assert "Heart phantom on test patients and Brain MRI on validation patients" in evaluation


@pytest.mark.parametrize(
    ("values", "there", "not_there"),
    [
        (
            {"sft": {"imitation_normalisation": "mean"}},
            "plain mean, as the paper's text has it",
            "number of elements",
        ),
        (
            {
                "distillation": {"protocol": "joint", "gradient_ratio": 0.25},
                "methods": {"at": {"weight": 3}, "cc": {}},
                "evaluation": {"panel_methods": ["at"]},
            },
            "on reconstruction plus the feature loss, AT by 3 and others weighted so that its "
            "gradient has 0.25 times",
            "feature loss alone",
        ),
        (
            {"distillation": {"imitation_weight": 0.5}},
            "plus 0.5 times imitation",
            "plus 1 times imitation",
        ),
        (
            {"methods": {"at": {"form": "original"}}, "evaluation": {"panel_methods": ["at"]}},
            "by AT (original form)",
            "FitNets",
        ),
        ({"methods": {}}, "Distillation.", "Students were distilled"),
        (
            {
                "networks": {
                    "teacher": {"depth": 7, "padding": 5},
                    "student": {"depth": 2, "padding": 5},
                }
            },
            "the teacher is D7C5 (7 convolutions of 32 features in each of 5 cascades, inputs "
            "padded by 5 pixels)",
            "D5C5",
        ),
        (
            {"sft": {"imitation_domain": "features", "branches": 2}},
            "(student branches, which left the teacher after cascades 1 to 2 alone) and 1 "
            "(imitation of the middle features of each cascade, not of the reconstruction, ",
            "(student branches) and",
        ),
        ({"training": {"precision": "bf16"}}, "slices, with convolutions in bf16;", "slices;"),
        ({"sft": {"student_weight": 0.0}}, "0 (student branches)", "1 (student branches)"),
    ],
)
def test_methods_text_follows_the_configuration(
    values: dict[str, Any], there: str, not_there: str
) -> None:
    assert there in text_of(**values)
    assert not_there not in text_of(**values)
    assert there not in text_of() or not_there in text_of()


@pytest.mark.parametrize(
    "values",
    [
        {"distillation": {"feature_stage_selection": "last"}},
        {"methods": {name: {"cascades": [2]} for name in METHODS}},
        {"recipes": ["std_kd"]},
        {"sft": {"teacher_weight": 0.5}},
        {"training": {"lr_factor": 0.5}},
        {"networks": {"teacher": {"features": 16}, "student": {"features": 16}}},
    ],
    ids=str,
)
def test_methods_text_tells_apart_what_trains_differently(values: dict[str, Any]) -> None:
    assert text_of(**values) != text_of()


def test_methods_text_says_which_masks_were_given() -> None:
    one = study_with(
        datasets={"heart": dataset(masks={4: "m.npy", 5: "n.npy"}), "brain": dataset()}
    )
    both = study_with(datasets={"heart": dataset(masks={4: "m.npy", 5: "n.npy"})})
    sampling = methods_paragraphs(one)[1]
    assert "the masks of heart were given as files" in sampling
    assert "lines were drawn" in sampling
    assert "lines were drawn" not in methods_paragraphs(both)[1]


MATCHED = "on reconstruction alone for as many stages and epochs as the distilled ones"
SFT_START = "from where SFT-KD-Recon students start, so that what these gain"
AS_LONG = "as many stages as student-friendly training and distillation have together"


@pytest.mark.parametrize(
    ("controls", "there", "not_there"),
    [
        (["student_matched", "student_sft_start"], [MATCHED, SFT_START], []),
        (["student_matched"], [MATCHED], [SFT_START]),
        (["student_sft_start"], [SFT_START], [MATCHED]),
        (["student_as_long"], [AS_LONG], [MATCHED, SFT_START]),
        ([], [], ["without distillation", MATCHED, SFT_START, AS_LONG]),
    ],
)
def test_methods_text_tells_of_the_controls_that_were_trained(
    controls: list[str], there: list[str], not_there: list[str]
) -> None:
    distillation = methods_paragraphs(study_with(controls=controls))[4]
    assert all(words in distillation for words in there)
    assert not any(words in distillation for words in not_there)


def test_other_kinds_of_network_say_what_they_are() -> None:
    other = {"kind": "unet_cascade", "cascades": 3, "options": {"features": 4, "levels": 1}}
    text = text_of(networks={"teacher": other, "student": {"depth": 3, "cascades": 3}})
    assert (
        "Networks. The teacher is unet_cascade: 3 cascades of U-Nets with 1 level below full "
        "resolution and 4 features at it; the student is a DC-CNN of 3 convolutions of 32 features "
        "in each of 3 cascades. Each cascade is followed by data fidelity."
    ) in text


def test_statistics_are_those_of_the_studys_repeats_and_margins() -> None:
    told = methods_paragraphs(study_with())[-1]
    assert "bootstrap over patients and seeds" in told
    assert "within the margin (PSNR (dB) 0.05 and SSIM 0.0005)" in told
    split = methods_paragraphs(
        study_with(
            repeat_over=["seed", "split"],
            evaluation={"margins": {"psnr_db": None, "ssim": None}},
        )
    )[-1]
    assert "corrected resampled t test" in split
    assert "equivalence is not tested" in split
