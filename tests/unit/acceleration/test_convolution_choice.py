"""Which convolutions a training uses, what it says of that, and that it shapes what it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from kernel_helpers import needs_kernels
from training_helpers import Files, study_with, train

from pipeline_src.acceleration import choice, compiled
from pipeline_src.acceleration.choice import why_not_compiled
from pipeline_src.acceleration.compiled import CompilationError
from pipeline_src.acceleration.convolver import Convolver
from pipeline_src.errors import InputError
from pipeline_src.operations.doctor.machine import examine
from pipeline_src.planning.plans import training_plan
from pipeline_src.running.training_run import training_fingerprint

pytest_plugins = ["shared_fixtures"]
CPU = torch.device("cpu")


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name, value in (("PATH", tmp_path), ("CC", ""), ("XDG_CACHE_HOME", tmp_path / "cache")):
        monkeypatch.setenv(name, str(value))
    # On any processor.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "fma3": True})
    compiled.load.cache_clear()
    yield
    compiled.load.cache_clear()


def manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return found


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_it_trains_with_the_library_and_says_so(
    files: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(study_with(), "student", files.inputs(), tmp_path / "out")
    reason = "the kernels cannot be used: no C compiler found (CC, cc, gcc, clang)"
    assert f"convolutions: torch's; {reason}\n" in capfd.readouterr().err
    assert manifest(tmp_path / "out")["convolutions"] == f"library: {reason}"


@pytest.mark.usefixtures("no_compiler")
def test_kernels_that_are_asked_for_and_cannot_be_had_are_refused(
    files: Files, tmp_path: Path
) -> None:
    study = study_with(training={"convolutions": "compiled"})
    with pytest.raises(InputError, match=r"training.convolutions: 'compiled' .*no C compiler"):
        train(study, "student", files.inputs(), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    [finding] = [f for f in examine(study, None) if "training.convolutions" in f.what]
    assert finding.verdict == "error"


@pytest.mark.usefixtures("no_compiler")
def test_the_doctor_sees_that_there_is_no_compiler() -> None:
    [finding] = [f for f in examine(study_with(), None) if "convolutions" in f.what]
    assert finding.verdict == "warning"
    assert "no C compiler found" in finding.what


@pytest.fixture
def at_most_16(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the kernels were for 16 features at most."""
    kernels_for = choice.kernels_for

    def limited(features: int, precision: str, device: str) -> Convolver:
        if features > 16:
            raise CompilationError(f"there are {features} features")
        return kernels_for(features, precision, device)

    monkeypatch.setattr(choice, "kernels_for", limited)


@needs_kernels
@pytest.mark.usefixtures("at_most_16")
def test_the_doctor_looks_at_every_model() -> None:
    [finding] = [f for f in examine(study_with(), None) if "convolutions" in f.what]
    assert finding.verdict == "ok"
    mixed = study_with(networks={"student": {"depth": 3, "cascades": 3, "features": 20}})
    found = [f.verdict for f in examine(mixed, None) if "convolutions" in f.what]
    assert found == ["ok", "warning"]


def test_the_library_can_be_asked_for() -> None:
    study = study_with(training={"convolutions": "library"})
    reason = why_not_compiled(training_plan(study, "student", 0), CPU)
    assert reason == "training.convolutions: library"


def test_a_gpu_has_kernels_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, str]] = []

    def why_not(features: int, precision: str) -> str:
        asked.append((features, precision))
        return "there is no Triton"

    monkeypatch.setattr("pipeline_src.acceleration.kernels.why_not_here", why_not)
    gpu = torch.device("cuda")
    plan = training_plan(study_with(training={"precision": "bf16"}), "student", 0)
    assert why_not_compiled(plan, gpu) == "the kernels cannot be used: there is no Triton"
    assert set(asked) == {(16, "bf16")}
    # What was asked for and cannot be had is an error there too.
    plan = training_plan(study_with(training={"convolutions": "compiled"}), "student", 0)
    with pytest.raises(InputError, match="there is no Triton"):
        why_not_compiled(plan, gpu)
    plan = training_plan(study_with(training={"convolutions": "library"}), "student", 0)
    assert why_not_compiled(plan, gpu) == "training.convolutions: library"


@needs_kernels
@pytest.mark.usefixtures("at_most_16")
def test_every_network_of_a_training_must_fit_the_kernels() -> None:
    study = study_with(networks={"teacher": {"depth": 5, "cascades": 3, "features": 20}})
    for model in ("teacher", "sft_teacher", "std_kd_fsp"):
        assert "there are 20 features" in why_not_compiled(training_plan(study, model, 0), CPU)
    assert why_not_compiled(training_plan(study, "student", 0), CPU) == ""


def test_it_is_part_of_what_defines_a_training(files: Files) -> None:
    plan = training_plan(study_with(), "student", 0)
    ours, theirs = (
        training_fingerprint(plan, files.inputs(), CPU, compiled=compiled)
        for compiled in (True, False)
    )
    assert ours != theirs
    acceleration = {f"acceleration/{name}" for name in ("cascade.c", "winograd.h", "cascade.py")}
    assert set(ours["code"]) >= {*acceleration, "models/dccnn.py"}


def test_kernels_whose_last_bits_differ_are_part_of_it(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = training_plan(study_with(training={"precision": "bf16"}), "student", 0)

    def found() -> str:
        return str(training_fingerprint(plan, files.inputs(), CPU, compiled=True)["convolutions"])

    for kind, expected in (("avx512-bf16", "compiled"), ("amx-bf16", "compiled tiles")):
        monkeypatch.setattr(compiled, "kinds_here", lambda _, kind=kind: [kind])
        assert found() == expected


def test_on_a_gpu_the_compiler_is_part_of_it_too(files: Files) -> None:
    pytest.importorskip("triton", reason="no Triton for this system")
    plan, gpu = training_plan(study_with(), "student", 0), torch.device("cuda")
    ours, theirs = (
        training_fingerprint(plan, files.inputs(), gpu, compiled=compiled)
        for compiled in (True, False)
    )
    assert set(ours["packages"]) - set(theirs["packages"]) == {"triton"}
    assert "acceleration/gpu_kernels.py" in ours["code"]


@needs_kernels
def test_both_ways_learn_the_same_but_for_rounding(files: Files, tmp_path: Path) -> None:
    reached = {}
    for way in ("compiled", "library"):
        folder = tmp_path / way
        train(study_with(training={"convolutions": way}), "teacher", files.inputs(), folder)
        assert manifest(folder)["convolutions"].startswith(f"{way}: ")
        reached[way] = manifest(folder)["best_epoch"]["validation_loss"]
    assert reached["compiled"] == pytest.approx(reached["library"], rel=1e-4)
    assert reached["compiled"] != reached["library"]
