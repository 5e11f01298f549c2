"""`auto` takes the faster convolutions, by a trial that is kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from kernel_helpers import needs_kernels
from training_helpers import Files, study_with, train

from pipeline_src.acceleration import compiled, speed_trial
from pipeline_src.acceleration.cascade import Kernels
from pipeline_src.acceleration.choice import why_not_bf16, why_not_compiled
from pipeline_src.planning.plans import training_plan
from pipeline_src.planning.study_models import Models

pytest_plugins = ["shared_fixtures"]
pytestmark = needs_kernels
CPU = torch.device("cpu")


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The cache's folder, empty, and nothing known in this process."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    forget()
    yield tmp_path / "sft-kd-recon"
    forget()


def forget() -> None:
    speed_trial.times_as_fast.cache_clear()
    speed_trial.bf16_times_as_fast.cache_clear()
    compiled.load.cache_clear()


def trials(folder: Path) -> list[Path]:
    return sorted(folder.glob("speed-*.json"))


def let_the_kernels_take(times: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as the library, that many times."""

    def seconds(convolve: speed_trial._Convolve, *_: object) -> float:
        return 1.0 if convolve is speed_trial.convolve_with_gradients else times

    monkeypatch.setattr(speed_trial, "_seconds", seconds)


def reason(convolutions: str) -> str:
    study = study_with(training={"convolutions": convolutions})
    return why_not_compiled(training_plan(study, "student", 0), CPU)


@pytest.mark.usefixtures("cache_folder")
def test_slower_kernels_are_used_only_if_asked_for(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_the_kernels_take(1.25, monkeypatch)
    slower = "torch's are 1.25 times as fast as the kernels in fp32 on this processor"
    assert slower in reason("auto")
    assert reason("compiled") == ""
    train(study_with(), "student", files.inputs(), tmp_path / "out")
    used = json.loads((tmp_path / "out" / "manifest.json").read_text())["convolutions"]
    assert used.startswith(f"library: {slower}")


def test_a_trial_is_kept_for_its_processor(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_the_kernels_take(0.5, monkeypatch)
    assert reason("auto") == ""
    kept = trials(cache_folder)
    assert [json.loads(path.read_text()) for path in kept] == [2] * len(kept)
    # Another process reads it.
    forget()
    let_the_kernels_take(2, monkeypatch)
    assert reason("auto") == ""
    # Another processor has its own.
    able = torch.cpu.get_capabilities() | {"amx_tile": True, "amx_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    forget()
    assert "torch's are 2.00 times" in reason("auto")
    assert len(trials(cache_folder)) > len(kept)


@pytest.mark.parametrize("content", ["", "{", "-1.0", "NaN", '"2"', "[]"])
def test_a_damaged_trial_is_measured_anew(
    content: str, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_the_kernels_take(0.5, monkeypatch)
    speed_trial.times_as_fast(16, 3, "fp32")
    [kept] = trials(cache_folder)
    kept.write_text(content)
    forget()
    assert speed_trial.times_as_fast(16, 3, "fp32") == 2
    assert json.loads(kept.read_text()) == 2


@pytest.mark.usefixtures("cache_folder")
@pytest.mark.parametrize(
    ("bf16", "precision", "said"),
    [
        (2.0, "bf16", "bf16 takes 2.00 times as long as fp32 on this processor"),
        (0.5, "bf16", ""),
        (2.0, "fp32", ""),
    ],
)
def test_bf16_that_is_slower_is_said(
    bf16: float, precision: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of each precision the faster way counts: here the library in bf16, the kernels in fp32."""

    def seconds(convolve: speed_trial._Convolve, dtype: torch.dtype, *_: object) -> float:
        if convolve is not speed_trial.convolve_with_gradients:
            return 1.0 if convolve.__self__.dtype == torch.float32 else 9.0  # type: ignore[attr-defined]
        return 7.0 if dtype == torch.float32 else bf16

    monkeypatch.setattr(speed_trial, "_seconds", seconds)
    found = why_not_bf16(Models(study_with(training={"precision": precision})))
    assert said in found
    assert bool(said) == bool(found)


@pytest.mark.usefixtures("cache_folder")
def test_a_trial_runs_whatever_the_callers_mode_and_leaves_no_trace() -> None:
    state = torch.get_rng_state()
    with torch.inference_mode():
        assert speed_trial.times_as_fast(20, 3, "fp32") > 0
    assert torch.equal(torch.get_rng_state(), state)


def test_a_library_for_another_processor_is_not_loaded(
    cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes of different processors share one home."""
    Kernels(16)
    opened: list[str] = []
    open_own = compiled._open_own

    def watched(library: Path) -> int | None:
        opened.append(library.name)
        return open_own(library)

    monkeypatch.setattr(compiled, "_open_own", watched)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "fma3": True})
    forget()
    assert Kernels(16).kind == "avx2"
    assert opened
    assert all("-avx2-" in name for name in opened)
    assert all(path.name.count("-avx") == 1 for path in cache_folder.glob("*.so"))
