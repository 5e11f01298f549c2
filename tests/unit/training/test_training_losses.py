"""What the weights of terms and the memory for the teacher do to the losses of a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_helpers import (
    SIZE,
    Files,
    history,
    std_inputs,
    study_with,
    train,
)

from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.sft import SFTNetwork
from pipeline_src.training.objectives import StudentFriendlyObjective, sft_losses

pytest_plugins = ["shared_fixtures"]


def test_sft_loss_is_the_weighted_sum_of_its_terms(files: Files) -> None:
    slices, fidelity = files.slices("train")
    batch = slices.batch(torch.arange(3))
    networks = study_with().networks
    torch.manual_seed(0)
    network = SFTNetwork(DCCNN(networks.teacher), DCCNN(networks.student))

    def value(**weights: Any) -> float:
        chosen = {"teacher_weight": 0, "student_weight": 0, "imitation_weight": 0} | weights
        sft = study_with(sft=chosen).sft
        return StudentFriendlyObjective(network, fidelity, sft).loss(batch).item()

    teacher, student = value(teacher_weight=1), value(student_weight=1)
    imitation = value(imitation_weight=1, imitation_normalisation="mean")
    assert min(teacher, student, imitation) > 0
    assert value(
        teacher_weight=2, student_weight=3, imitation_weight=5, imitation_normalisation="mean"
    ) == pytest.approx(2 * teacher + 3 * student + 5 * imitation, rel=1e-5)
    assert value(imitation_weight=1, imitation_normalisation="numel") == pytest.approx(
        imitation / (3 * SIZE * SIZE), rel=1e-5
    )


def test_sft_terms_are_means_over_branches_by_hand() -> None:
    target, teacher = torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 2, 2), 1.0)
    branches = torch.stack([torch.full((1, 1, 2, 2), value) for value in (2.0, 4.0)])
    # |1 - 0.5|; |2 - 0.5| and |4 - 0.5|; |2 - 1| and |4 - 1|.
    for normalisation, pixels in (("mean", 1), ("numel", 4)):
        terms = sft_losses(teacher, branches, target, normalisation)
        assert [term.item() for term in terms] == [0.5, (1.5 + 3.5) / 2, (1 + 3) / 2 / pixels]


def test_imitation_changes_the_reconstruction_stage(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    study = study_with(distillation={"imitation_weight": 1.0})
    folder = train(study, "std_kd_at", std_inputs(files, runs), tmp_path)
    plain = runs["std_kd_at two_stage"]
    features = [history(f / "history_features.csv") for f in (folder, plain)]
    assert features[0][-1]["validation_loss"] == features[1][-1]["validation_loss"]
    losses = [
        float(history(f / "history_reconstruction.csv")[0]["validation_loss"])
        for f in (folder, plain)
    ]
    assert losses[0] > losses[1]


def test_memory_for_the_teacher_does_not_change_the_losses(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    study = study_with(distillation={"teacher_cache_mib": 0})
    folder = train(study, "std_kd_at", std_inputs(files, runs), tmp_path)
    for stage in ("features", "reconstruction"):
        pairs = zip(
            history(folder / f"history_{stage}.csv"),
            history(runs["std_kd_at two_stage"] / f"history_{stage}.csv"),
            strict=True,
        )
        for anew, kept in pairs:
            for column in ("train_loss", "validation_loss"):
                assert float(anew[column]) == pytest.approx(float(kept[column]), rel=1e-4)
