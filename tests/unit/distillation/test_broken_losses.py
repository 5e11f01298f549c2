"""A loss of one's own that is broken is told in one line by `check --import`, before anything is
trained with it."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from training_helpers import Files, std_inputs, study_with, train

from pipeline_src.config.distillation import PAPER_METHODS
from pipeline_src.distillation.base import _LOSSES, build_loss
from pipeline_src.distillation.trial import try_loss
from pipeline_src.errors import InputError
from pipeline_src.operations.extensions import check_extensions
from pipeline_src.planning.study_models import Models

pytest_plugins = ["shared_fixtures"]

GOOD = """\
import torch

from pipeline_src.distillation.base import DistillationLoss, register_loss
from pipeline_src.models.taps import Tap


@register_loss("own")
class Own(DistillationLoss):
    @classmethod
    def default_cascades(cls, count):
        return [1]

    def taps(self):
        return [Tap("mid", k) for k in self.cascades]

    def summarise(self, features):
        return tuple(features[tap] for tap in self.taps())

    def compare(self, student, teacher):
        return (student[0] - teacher[0]).square().mean()
"""
RETURNED = "return (student[0] - teacher[0]).square().mean()"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    _LOSSES.pop("own", None)
    sys.modules.pop("own_loss", None)


def check(folder: Path, source: str | bytes) -> None:
    content = source.encode() if isinstance(source, str) else source
    (folder / "own_loss.py").write_bytes(content)
    study = study_with(methods={"own": {"module": "own_loss"}})
    assert list(check_extensions(Models(study), run_modules=True)) == []


def test_a_good_loss_passes(folder: Path) -> None:
    check(folder, GOOD)


@pytest.mark.parametrize(
    ("name", "form"), [("imitation", None), *product(PAPER_METHODS, ["authors", "original"])]
)
def test_the_losses_of_this_project_pass(name: str, form: str | None) -> None:
    study = study_with(methods={name: {"form": form}})
    loss = build_loss(name, study.methods[name], study.networks)
    try_loss(loss, study.networks, name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "import torch\n",
            "import sys; sys.exit(0)\n",
            r"own_loss cannot be imported \(SystemExit",
        ),
        (
            "import torch\n",
            "raise ZeroDivisionError('x')\n",
            r"\(ZeroDivisionError: x.*own_loss.py:1",
        ),
        ("import torch\n", "def (:\n", r"cannot be imported \(SyntaxError"),
        ('register_loss("own")', 'register_loss("o")', r"named 'own', but 'o'; write @register_l"),
        ("class Own(DistillationLoss)", "class Own", r"registers 'own', which is no Distillation"),
        ("    def taps(self)", "    def tap(self)", r"methods\.own: its code fails \(TypeError"),
        ("[Tap(", "None and [Tap(", r"methods\.own: its code fails \(TypeError: 'None"),
        ("return [1]", "return 'ab'", r"methods\.own: its code fails"),
        ("return [1]", "raise RuntimeError('boom')", r"RuntimeError: boom, .*own_loss.py:11"),
        ('Tap("mid", k)', 'Tap("middle", k)', r"middle"),
        (RETURNED, "return 1.5", r"compare returns 1\.5, where one number as a tensor"),
        (RETURNED, "return None", r"compare returns None"),
        (RETURNED, "return student[0]", r"of shape \(2, "),
        (RETURNED, "return student[0].detach().mean()", r"without gradients"),
        (RETURNED, "return student[0].mean() / 0", r"compare returns -?(inf|nan)"),
        (
            RETURNED,
            "return (student[0] / (len(student[0]) - 1)).mean()",
            r"networks \(batch of one slice\)",
        ),
        (
            RETURNED,
            "return student[0][1].mean()",
            r"methods\.own, a batch of one slice: its code fails \(Index",
        ),
        (RETURNED, "return student[0].square().mean() + 1", r"where a loss is zero"),
        (RETURNED, "return 1 / 0", r"ZeroDivisionError: division by zero, .*own_loss.py:20"),
        (
            "compare(self, student, teacher)",
            "compare(self, student)",
            r"its code fails \(TypeError",
        ),
    ],
)
def test_what_is_broken_is_one_line(old: str, new: str, said: str, folder: Path) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(InputError) as caught:
        check(folder, GOOD.replace(old, new))
    assert re.search(said, str(caught.value)), caught.value
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("protocol", "stage", "loss"),
    [
        ("two_stage", "features", "the feature loss of methods.own"),
        ("joint", "joint", "the sum of reconstruction loss and feature loss of methods.own"),
    ],
)
def test_a_loss_that_becomes_infinite_in_training_is_named_before_the_learning_rate(
    protocol: str, stage: str, loss: str, folder: Path, files: Files, runs: dict[str, Path]
) -> None:
    weight = {"weight": 1} if protocol == "joint" else {}
    infinite = RETURNED + " / int(torch.is_grad_enabled())"
    (folder / "own_loss.py").write_text(GOOD.replace(RETURNED, infinite))
    study = study_with(
        methods={"own": {"module": "own_loss", **weight}}, distillation={"protocol": protocol}
    )
    with pytest.raises(InputError) as caught:
        train(study, "std_kd_own", std_inputs(files, runs), folder / "out")
    assert re.match(
        rf"stage {stage}, epoch 1, validation batch 1 \(patients c\): {loss} is inf, not finite; "
        r"check first the code of this feature loss \(own_loss\), then lower training\.",
        str(caught.value),
    ), caught.value


def test_faults_of_this_project_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    study = study_with(methods={"at": {}})
    monkeypatch.setattr("pipeline_src.distillation.losses.at.AttentionTransfer.taps", broken)
    with pytest.raises(ZeroDivisionError):
        list(check_extensions(Models(study), run_modules=True))


def test_a_module_that_is_no_text_is_one_line(folder: Path) -> None:
    with pytest.raises(InputError, match=r"own_loss cannot be imported \(SyntaxError"):
        check(folder, b"\xe4\n" + GOOD.encode())


def test_the_trial_draws_nothing_from_the_sequence_of_others(folder: Path) -> None:
    import torch

    before = torch.get_rng_state()
    check(folder, GOOD)
    assert torch.equal(torch.get_rng_state(), before)
