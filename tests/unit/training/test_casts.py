"""Weights are cast to bf16 together, once a step, and nothing comes out otherwise for it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.kinds import Files, Trainee, kinds, write_files
from benchmarks.gpu.scale import TOY
from pipeline_src.training.casts import Casts
from pipeline_src.training.step import Validation

KINDS = {kind.name: kind for kind in kinds(TOY)}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return write_files(tmp_path_factory.mktemp("casts") / "files", TOY, TOY.compared)


def trainee(kind: str, files: Files, precision: str = "bf16") -> Trainee:
    # The compiled kernels, which processors with bf16 take, cast nothing.
    return Trainee(
        *(KINDS[kind], files, TOY, TOY.compared, "cpu", precision), convolutions="library"
    )


@pytest.mark.parametrize("kind", ["teacher", "sft", "at_features", "at_joint"])
def test_the_bits_are_those_of_weights_cast_one_by_one(
    kind: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for together in (True, False):
        if not together:
            monkeypatch.setattr(Casts, "__enter__", lambda _self: None)
        made = trainee(kind, files)
        losses, look = made.train(4), Validation(made.objective, made.validation, 4)
        look()
        found.append((losses, made.weights(), look.losses, look.psnr))
    assert found[0][0] == found[1][0]
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        assert torch.equal(one, other)


class Copies(TorchDispatchMode):
    """Counts changes of number format: of weights one by one, of other things, and of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._foreach_copy_.default:
            self.counted["lists"] += 1
        elif func is torch.ops.aten._to_copy.default and self._changes(args[0], out):
            of_weight = tuple(out.shape[2:]) == (3, 3) or out.dim() == 1
            self.counted["weights" if of_weight else "others"] += 1
        return out

    @staticmethod
    def _changes(before: Tensor, after: Tensor) -> bool:
        return {before.dtype, after.dtype} == {torch.float32, torch.bfloat16}


@pytest.mark.parametrize("kind", ["teacher", "sft", "at_joint"])
def test_a_step_casts_all_weights_at_once(
    kind: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trainee(kind, files)
    made.train(1)
    with Copies() as copies:
        made.train(1)
    assert copies.counted["weights"] == 0
    # On the way up, and on the way down.
    assert copies.counted["lists"] == 2
    monkeypatch.setattr(Casts, "__enter__", lambda _self: None)
    with Copies() as before:
        made.train(1)
    assert before.counted["weights"] > 20
    assert before.counted["others"] == copies.counted["others"]


def test_weights_in_their_own_format_are_not_cast(files: Files) -> None:
    made = trainee("teacher", files, "fp32")
    with Copies() as copies:
        made.train(1)
    assert copies.counted == {}


def test_nothing_is_kept_after_a_step_that_failed(files: Files) -> None:
    made = trainee("teacher", files)
    casts = Casts(made.objective.trained)
    [first, *_] = made.objective.network.cascades[0].convolutions  # type: ignore[union-attr]

    def broken() -> None:
        with casts:
            assert first.cast[0].dtype == torch.bfloat16
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert first.cast is None
