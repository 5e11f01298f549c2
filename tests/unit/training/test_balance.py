"""The weight of a feature loss in the joint protocol, balanced by gradients at the start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from training_helpers import Files, sft_inputs, std_inputs, study_with, train

from pipeline_src.config import Study
from pipeline_src.errors import InputError
from pipeline_src.planning.plans import training_plan
from pipeline_src.training.balance import balanced_weight
from pipeline_src.training.builder import Builder
from pipeline_src.training.objectives import DistillationObjective

pytest_plugins = ["shared_fixtures"]


def joint(ratio: float = 1.0, **at: float) -> Study:
    distillation = {"protocol": "joint", "gradient_ratio": ratio}
    return study_with(distillation=distillation, methods={"at": at, "fsp": {}})


def objective_of(
    study: Study, files: Files, runs: dict[str, Path]
) -> tuple[Builder, DistillationObjective]:
    slices, fidelity = files.slices("train")
    plan = training_plan(study, "std_kd_at", 0)
    builder = Builder(plan, std_inputs(files, runs), fidelity, torch.device("cpu"))
    objective = builder.objective("joint", [slices])
    assert isinstance(objective, DistillationObjective)
    return builder, objective


@pytest.mark.parametrize("ratio", [1.0, 0.25])
def test_the_weighted_gradient_has_the_ratio_that_is_asked_for(
    ratio: float, files: Files, runs: dict[str, Path]
) -> None:
    _, objective = objective_of(joint(ratio), files, runs)
    slices, _ = files.slices("train")
    parameters = list(objective.network.parameters())
    norms: list[list[float]] = []
    for batch in slices.batches(4):
        terms = [(1.0, 0.0, 0.0), (0.0, objective.weights[1], 0.0)]
        gradients = [
            torch.autograd.grad(objective.weighted(batch, w), parameters, allow_unused=True)
            for w in terms
        ]
        norms.append([float(torch.cat([g.flatten() for g in gs if g is not None]).norm())
                      for gs in gradients])  # fmt: skip
    reconstruction, feature = torch.tensor(norms).mean(dim=0).tolist()
    assert feature / reconstruction == pytest.approx(ratio, rel=1e-4)


def test_balancing_moves_no_weight_and_draws_nothing(files: Files, runs: dict[str, Path]) -> None:
    builder, objective = objective_of(joint(), files, runs)
    before = {k: v.clone() for k, v in builder.network.state_dict().items()}
    random = torch.get_rng_state()
    slices, _ = files.slices("train")
    weight = balanced_weight(objective, slices, 4, 1.0)
    assert weight == builder.feature_weight
    assert torch.equal(random, torch.get_rng_state())
    assert all(torch.equal(v, before[k]) for k, v in builder.network.state_dict().items())


def test_a_loss_without_gradient_is_refused_with_the_way_out(
    files: Files, runs: dict[str, Path]
) -> None:
    _, objective = objective_of(joint(), files, runs)
    slices, _ = files.slices("train")
    frozen = torch.zeros((), requires_grad=True)
    objective.feature_loss.compare = lambda student, teacher: (  # type: ignore[method-assign]
        0 * student[0].sum() + frozen
    )
    with pytest.raises(InputError, match=r"methods\.at\.weight: .*; give a number"):
        balanced_weight(objective, slices, 4, 1.0)


def test_the_manifest_tells_the_weight_that_was_found(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    builder, _ = objective_of(joint(), files, runs)
    train(joint(), "std_kd_at", std_inputs(files, runs), tmp_path / "auto")
    manifest = json.loads((tmp_path / "auto/manifest.json").read_text())
    assert manifest["feature_weight"] == builder.feature_weight
    given = joint(weight=0.5)
    train(given, "sft_kd_at", sft_inputs(files, runs), tmp_path / "given")
    assert json.loads((tmp_path / "given/manifest.json").read_text())["feature_weight"] == 0.5
    train(study_with(), "std_kd_at", std_inputs(files, runs), tmp_path / "two_stage")
    assert "feature_weight" not in json.loads((tmp_path / "two_stage/manifest.json").read_text())
