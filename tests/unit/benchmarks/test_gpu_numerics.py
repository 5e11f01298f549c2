"""The judgement of a step against double precision: right ones pass, wrong ones do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmarks.gpu.kinds import Files, Kind, Trainee, kinds, write_files
from benchmarks.gpu.numerics import Reference, compared, references, verdict
from benchmarks.gpu.scale import TOY
from pipeline_src.models.convolution import Convolution
from pipeline_src.training.step import Step

KINDS = ("teacher", "sft", "at_features", "sp_features")
KNOWN = {kind.name: kind for kind in kinds(TOY)}
#: Of this kind in this format rounding alone moves the gradient too far to tell.
UNTOLD = ("sp_features", "bf16")
Judge = Callable[..., bool | None]
Values = Callable[[Convolution, torch.dtype], tuple[Tensor, Tensor]]


def trainee(kind: Kind, files: Files, precision: str = "fp32", **options: bool) -> Trainee:
    return Trainee(kind, files, TOY, TOY.compared, "cpu", precision, **options)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_files(tmp_path_factory.mktemp("numerics") / "files", TOY, TOY.compared)


@pytest.fixture(scope="module", params=KINDS)
def given(request: pytest.FixtureRequest, files: Files) -> tuple[Kind, Reference]:
    kind = KNOWN[request.param]
    exact = trainee(kind, files, double=True)
    return kind, references(exact, trainee(kind, files), TOY.steps)


@pytest.fixture
def kind(given: tuple[Kind, Reference]) -> str:
    return given[0].name


@pytest.fixture
def judged(files: Files, given: tuple[Kind, Reference]) -> Judge:
    """The verdict on a kind's step in a precision; ``wrong`` spoils it beforehand."""
    of_kind, reference = given

    def judge(
        precision: str, wrong: Callable[[Trainee], object] | None = None, *, claimed: str = ""
    ) -> bool | None:
        made = trainee(of_kind, files, precision)
        made.train(1)
        if wrong:
            wrong(made)
        distance, _ = compared(made, reference, plain=False)
        return verdict(distance, reference, claimed or precision)

    return judge


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_pipelines_own_step_is_right(judged: Judge, kind: str, precision: str) -> None:
    found = judged(precision)
    assert found is True or (found is None and (kind, precision) == UNTOLD)


def test_what_cannot_be_judged_is_said() -> None:
    at = Reference({}, torch.ones(1), 1.0, 5, {"fp32": 1e-6, "tf32": 4e-3, "bf16": 0.2})
    assert verdict(1e-5, at, "fp32") is True
    assert verdict(1.1e-5, at, "fp32") is False
    assert [verdict(far, at, "tf32") for far in (2.3e-2, 2.5e-2)] == [True, False]
    assert [verdict(far, at, "bf16") for far in (0.02, 1.1, 1.3)] == [True, None, False]


def assert_wrong(found: bool | None, kind: str, precision: str) -> None:
    assert found is False or (found is None and (kind, precision) == UNTOLD)


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Tensor]) -> None:
    """Have every convolution use other weights than it has."""
    before: Values = Convolution.values

    def values(self: Convolution, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        weight, bias = before(self, dtype)
        return change(weight), bias

    monkeypatch.setattr(Convolution, "values", values)


def without_a_tap(weight: Tensor) -> Tensor:
    kept = torch.ones_like(weight)
    kept[..., 0, 1] = 0
    return weight * kept


def turned(weight: Tensor) -> Tensor:
    return weight.flip(2, 3)


@pytest.mark.parametrize(
    ("precision", "change"),
    [("fp32", without_a_tap), ("fp32", turned), ("bf16", without_a_tap)],
)
def test_a_wrong_convolution_is_found(
    judged: Judge,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    precision: str,
    change: Callable[[Tensor], Tensor],
) -> None:
    spoil(monkeypatch, change)
    assert_wrong(judged(precision), kind, precision)


def test_fewer_digits_than_claimed_are_found(
    judged: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert judged("bf16", claimed="fp32") is False
    # Ten bits, as TF32 has.
    spoil(monkeypatch, lambda weight: weight.half().to(weight.dtype))
    assert judged("fp32") is False


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_replay_on_another_batch_is_found(judged: Judge, kind: str, precision: str) -> None:
    def stale(made: Trainee) -> None:
        step = made.step

        class Stale(Step):
            def __call__(self, indices: Tensor) -> None:
                step(indices.roll(1) * 0)

        made.step = Stale(lambda _indices: None, made.losses)

    assert_wrong(judged(precision, stale), kind, precision)


def test_a_thousandth_too_much_is_found(judged: Judge) -> None:
    def scaled(made: Trainee) -> None:
        step = made.adam.step

        def longer(gradients: list[Tensor | None]) -> None:
            step([None if g is None else 1.001 * g for g in gradients])

        made.adam.step = longer  # type: ignore[method-assign,assignment]

    assert judged("fp32", scaled) is False
