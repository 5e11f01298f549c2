"""A network in every runtime: the same images, what int8 costs, and the table of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
import torch
from inference_helpers import SIZE, Model, trained
from training_helpers import prepared_data, study_with
from unit_helpers import one_line

from pipeline_src.acceleration.choice import why_not_compiled
from pipeline_src.cli import main
from pipeline_src.config import runtimes as names
from pipeline_src.config.runtimes import RUNTIME_PACKAGES, is_installed
from pipeline_src.data.store import write_store
from pipeline_src.errors import InputError
from pipeline_src.inference.runtime_cost import refuse_missing_packages
from pipeline_src.inference.runtimes import RUNTIMES
from pipeline_src.planning.plans import training_plan
from pipeline_src.reporting.display_names import RUNTIME_TITLES
from pipeline_src.reporting.tables.measurements import RUNTIME_NUMBERS, runtimes_table

Output = pytest.CaptureFixture[str]
HERE = [name for name in RUNTIME_PACKAGES if is_installed(name)]
if why_not_compiled(training_plan(study_with(), "student", 0), torch.device("cpu")):
    HERE.remove("compiled")


def written_store(path: Path, size: int = SIZE) -> Path:
    write_store(path, prepared_data(size), {"dataset": "tiny"})
    return path


def run(model: Model, store: Path, output: Path, *runtimes: str, words: Sequence[str] = ()) -> int:
    given = ("runtimes", str(model.folder), "--trained-mask", str(model.mask_path))
    options = ("--part", "validation", "--threads", "2", "--repeats", "2", "--output", str(output))
    return main([*given, "--data", str(store), "--runtimes", *runtimes, *options, *words])


def test_every_runtime_has_a_name_in_configurations_and_tables() -> None:
    assert list(RUNTIMES) == list(RUNTIME_TITLES) == ["torch", *RUNTIME_PACKAGES]


def test_all_give_torchs_image_but_int8(tmp_path: Path) -> None:
    model, store = trained(tmp_path), written_store(tmp_path / "volumes.h5")
    assert run(model, store, tmp_path / "runtimes.csv", *HERE) == 0
    table = pd.read_csv(tmp_path / "runtimes.csv").set_index("runtime")
    assert list(table.index) == ["torch", *HERE]
    exact = [name for name in HERE if not name.endswith(("int8", "16"))]
    assert (table.loc[exact, "psnr_db_difference"].abs() < 1e-3).all()
    assert (table["memory_mib"].dropna() > 0).all()
    assert (table["milliseconds_a_slice_median"] > 0).all()
    if "onnxruntime_int8" in HERE:
        assert 0 < abs(table.loc["onnxruntime_int8", "psnr_db_difference"]) < 2
    tidy, layout, notes = runtimes_table(tmp_path / "runtimes.csv")
    assert len(tidy) == len(layout) == 1 + len(HERE)
    assert layout.index[0] == "Student (D3C2), torch"
    assert layout["Change (dB)"].iloc[0] == "\N{EN DASH}"
    assert ("int8" in " ".join(notes)) == ("onnxruntime_int8" in HERE)


def test_bad_input_is_one_line(tmp_path: Path, capsys: Output) -> None:
    model, store = trained(tmp_path), written_store(tmp_path / "volumes.h5")
    output = tmp_path / "runtimes.csv"
    assert run(model, store, output, "compiled", words=("--part", "nobody")) == 2
    assert "has no patients in part 'nobody'" in one_line(capsys.readouterr().err)
    assert run(model, store, output, "compiled", words=("--repeats", "0")) == 2
    assert "repeats is 0" in one_line(capsys.readouterr().err)
    larger = written_store(tmp_path / "larger.h5", size=24)
    assert run(model, larger, output, "compiled") == 2
    assert "24" in one_line(capsys.readouterr().err)
    assert not output.exists()


def test_networks_that_cannot_be_exported_are_refused_before_any_job() -> None:
    others = {role: {"kind": "unet_cascade", "cascades": 3} for role in ("teacher", "student")}
    study_with(networks=others)
    with pytest.raises(InputError, match=r"evaluation\.runtimes: 'compiled' runs networks of kind"):
        study_with(networks=others, evaluation={"runtimes": ["compiled"]})
    with pytest.raises(InputError, match=r"'abacus' is not a runtime; there are compiled, "):
        study_with(evaluation={"runtimes": ["abacus"]})


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "find_spec", lambda name: None if name == "openvino" else object())
    refuse_missing_packages(["compiled", "onnxruntime"])
    with pytest.raises(InputError, match="runtime openvino: openvino not installed; pip install o"):
        refuse_missing_packages(["openvino"])


def measurement() -> pd.DataFrame:
    """What the command writes for two runtimes, every number 1."""
    return pd.DataFrame(
        {column: [1.0, 1.0] for column in RUNTIME_NUMBERS}
        | {"runtime": ["torch", "compiled"], "model": "student", "architecture": "D3C2"}
        | {"measured_on_processor": "some"}
    )


def test_times_with_one_thread_stand_once(tmp_path: Path) -> None:
    path = tmp_path / "runtimes.csv"
    for threads, columns in ((1, ["1 thread (ms)"]), (4, ["1 thread (ms)", "4 threads (ms)"])):
        measurement().assign(threads=threads).to_csv(path, index=False)
        _, layout, notes = runtimes_table(path)
        assert [name for name in layout.columns if name.endswith("(ms)")] == columns
        assert "medians of 1 turn on some" in notes[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"runtime": ["torch", "abacus"]}, "abacus"),
        ({"psnr_db": ["high", "low"]}, "psnr_db"),
        ({"memory_mib": None}, "memory_mib"),
    ],
)
def test_a_damaged_measurement_is_refused(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "runtimes.csv"
    table = measurement()
    for column, values in change.items():
        if values is None:
            del table[column]
        else:
            table[column] = values
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=said):
        runtimes_table(path)


@pytest.mark.skipif("onnxruntime_int8" not in HERE, reason="ONNX Runtime is not installed")
def test_a_bundle_can_have_an_int8_variant(tmp_path: Path, capsys: Output) -> None:
    model, store = trained(tmp_path), written_store(tmp_path / "volumes.h5")
    words = ["bundle", str(model.folder), "--trained-mask", str(model.mask_path), "--int8"]
    larger = written_store(tmp_path / "larger.h5", size=24)
    assert main([*words, str(larger), "--output", str(tmp_path / "no")]) == 2
    assert not (tmp_path / "no").exists()
    assert main([*words, str(store), "--output", str(tmp_path / "bundle")]) == 0
    small, whole = (tmp_path / "bundle" / f"model{kind}.onnx" for kind in (".int8", ""))
    assert small.stat().st_size < whole.stat().st_size
    capsys.readouterr()
    assert main(["bundle", "--check", str(tmp_path / "bundle")]) == 0
    # The same store gives the same file.
    assert main([*words, str(store), "--output", str(tmp_path / "again")]) == 0
    assert small.read_bytes() == (tmp_path / "again" / small.name).read_bytes()
