"""Options of a loss, and parts of it that train with the student: the documented example."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from training_helpers import Files, history, leave_at, state, std_inputs, study_with, train

from pipeline_src.config.networks import Network, Networks
from pipeline_src.config.study import Study
from pipeline_src.distillation.base import DistillationLoss, build_loss
from pipeline_src.errors import InputError, Interrupted
from pipeline_src.models.taps import Tap
from pipeline_src.planning.plans import training_plan
from pipeline_src.reporting.methods_text import methods_paragraphs
from pipeline_src.training.builder import Builder
from pipeline_src.training.engine import Stage
from pipeline_src.training.objectives import DistillationObjective

pytest_plugins = ["shared_fixtures"]

TAPS = [Tap("mid", k) for k in (1, 2, 3)]


@pytest.fixture(autouse=True)
def module(project_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The documented loss as `vid_loss`, outside the package."""
    page = (project_root / "docs/add-a-method.md").read_text()
    [code] = re.findall(r"```python\n(\"\"\"Variational.*?)```", page, re.DOTALL)
    (tmp_path / "vid_loss.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("vid_loss", None)


def vid(**distillation: Any) -> Study:
    return study_with(
        methods={"vid": {"module": "vid_loss", "options": {"initial_variance": 2}}},
        training={"epochs": 3, "batch_size": 2},
        distillation=distillation,
    )


def loss_with(options: dict[str, Any]) -> DistillationLoss:
    method = vid().methods["vid"].model_copy(update={"options": options})
    return build_loss("vid", method, vid().networks)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            {"variance": 2},
            r"methods.vid.options.variance: no such option; did you mean "
            r"'initial_variance'\?",
        ),
        ({"initial_variance": 0}, r"methods.vid.options.initial_variance: 0: .*greater than 0"),
        ({"initial_variance": 2, "x": 1}, r"options.x: no such option"),
    ],
)
def test_options_that_a_loss_does_not_take_are_refused(options: dict[str, Any], line: str) -> None:
    with pytest.raises(InputError, match=line):
        loss_with(options)
    assert loss_with({}).options.initial_variance == 5


def test_a_loss_without_options_takes_none() -> None:
    method = study_with(methods={"at": {"options": {"power": 2}}}).methods["at"]
    with pytest.raises(InputError, match=r"methods.at.options.power: no such option; there are"):
        build_loss("at", method, vid().networks)


def test_parts_are_made_for_the_channels_of_both_networks() -> None:
    loss = loss_with({"initial_variance": 3})
    parts = loss.make_parts(dict.fromkeys(TAPS, 5), dict.fromkeys(TAPS, 2))
    assert parts is not None
    loss.parts = parts
    summaries = [tuple(torch.rand(2, n, 4, 4) for _ in TAPS) for n in (2, 5)]
    expected = []
    for part, student, teacher in zip(parts.children(), *summaries, strict=True):
        residual = (
            teacher
            - torch.einsum("oi,bihw->bohw", part.mean.weight[..., 0, 0], student)
            - part.mean.bias[:, None, None]
        )
        expected.append((torch.log(torch.tensor(3.0)) + residual.square() / 3).mean() / 2)
    found = loss.compare(*summaries)
    torch.testing.assert_close(found, torch.stack(expected).mean(), rtol=1e-4, atol=1e-5)


def objective_of(
    study: Study, stage: str, files: Files, runs: dict[str, Path]
) -> DistillationObjective:
    slices, fidelity = files.slices("train")
    plan = training_plan(study, "std_kd_vid", 0)
    builder = Builder(plan, std_inputs(files, runs), fidelity, torch.device("cpu"))
    objective = builder.objective(stage, [slices])
    assert isinstance(objective, DistillationObjective)
    return objective


def test_parts_train_where_the_feature_loss_does_and_are_drawn_from_the_seed(
    files: Files, runs: dict[str, Path]
) -> None:
    two, joint = vid(imitation_weight=1.0), vid(protocol="joint")
    features = objective_of(two, "features", files, runs)
    first = features.feature_loss.parts
    assert first is not None
    numbers = sum(p.numel() for p in features.network.parameters())
    of_parts = sum(p.numel() for p in first.parameters())
    assert of_parts == 3 * (16 * 16 + 16 + 16)
    assert sum(p.numel() for p in features.trained.parameters()) == numbers + of_parts
    assert (
        sum(p.numel() for p in objective_of(joint, "joint", files, runs).trained.parameters())
        == numbers + of_parts
    )
    reconstruction = objective_of(two, "reconstruction", files, runs)
    assert reconstruction.trained is reconstruction.network
    again = objective_of(two, "features", files, runs).feature_loss.parts
    assert again is not None
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_trained_parts_go_on_where_they_were_and_are_not_kept_with_the_student(
    files: Files, runs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, inputs = vid(), std_inputs(files, runs)
    whole = train(study, "std_kd_vid", inputs, tmp_path / "whole")
    places = [("features", 2, 1), ("features", 4, 0), ("reconstruction", 2, 0)]
    seen: list[float] = []

    def look(stage: Stage) -> None:
        parts = [t for n, t in stage.tensors().items() if n.endswith("parts.0.spread")]
        seen.extend(float(t.mean()) for t in parts[:1])

    leave_at(monkeypatch, places, look)
    for _ in places[:]:
        with pytest.raises(Interrupted):
            train(study, "std_kd_vid", inputs, tmp_path / "left")
    train(study, "std_kd_vid", inputs, tmp_path / "left")
    assert len(set(seen)) > 3  # they move
    for name in ("weights.safetensors",):
        assert (tmp_path / "left" / name).read_bytes() == (whole / name).read_bytes()
    for stage in ("features", "reconstruction"):
        rows, others = (
            [{**row, "seconds": ""} for row in history(f / f"history_{stage}.csv")]
            for f in (tmp_path / "left", whole)
        )
        assert rows == others
    assert (
        state(whole / "weights.safetensors").keys()
        == state(runs["student"] / "weights.safetensors").keys()
    )


def test_parts_take_networks_of_other_widths() -> None:
    networks = Networks(
        teacher=Network(depth=5, cascades=3, features=8),
        student=Network(depth=3, cascades=3, features=4),
    )
    assert build_loss("vid", vid().methods["vid"], networks).taps() == TAPS


def test_the_report_names_options() -> None:
    text = " ".join(methods_paragraphs(vid()))
    assert "vid (initial_variance 2), " in text
