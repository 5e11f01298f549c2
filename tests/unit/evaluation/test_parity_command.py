"""The command `parity`: on the authors' vectors, and on those of a plain implementation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from plain_parity import CASES, Arrays, Case, plain_vectors
from unit_helpers import VECTORS, needs_vectors, one_line, read_vectors

from pipeline_src.cli import main

Output = pytest.CaptureFixture[str]


# Helpers.


def is_computed(key: str) -> bool:
    return key not in ("target", "lines") and "/state/" not in key


def write(path: Path, arrays: Arrays) -> Path:
    np.savez(path, **arrays)
    return path


def rows_of(printed: str) -> dict[str, str]:
    """The lines of the printed table between its head and its count, by their first word."""
    head, *rows, count = printed.splitlines()
    assert head.split() == ["quantity", "expected", "got", "error"]
    assert count == f"{sum('DIFFERS' not in row for row in rows)} of {len(rows)} quantities agree"
    return {row.split()[0]: row for row in rows}


def tampered(arrays: Arrays, key: str, amount: float) -> Arrays:
    """The largest value moved by ``amount``, of itself or absolutely for images."""
    changed = arrays[key].copy()
    place = np.unravel_index(np.abs(changed).argmax(), changed.shape)
    image = key == "zero_filled" or "recon" in key or "branch" in key
    changed[place] += amount if image else amount * changed[place]
    assert changed[place] != arrays[key][place]
    return arrays | {key: changed}


def assert_only_this_differs(path: Path, key: str, capsys: Output) -> None:
    assert main(["parity", str(path)]) == 2
    captured = capsys.readouterr()
    assert one_line(captured.err).endswith(f"quantities differ: {key}\n")
    assert {name for name, row in rows_of(captured.out).items() if "DIFFERS" in row} == {key}


# The authors' vectors.


@pytest.fixture(scope="module")
def authors() -> Arrays:
    return read_vectors()


@needs_vectors
def test_every_quantity_of_the_authors_file_is_recomputed_and_agrees(
    authors: Arrays, capsys: Output
) -> None:
    assert main(["parity", str(VECTORS)]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    rows = rows_of(captured.out)
    assert set(rows) == {key for key in authors if is_computed(key)}
    assert len(rows) == 46
    assert "DIFFERS" not in captured.out


@needs_vectors
@pytest.mark.parametrize(
    ("key", "amount"),
    [
        ("sft/branch2", 2e-5),
        ("student/cascade4/mid", 2e-4),
        ("loss/cc/reference", 2e-4),
        ("metric/zf/hfn", 2e-4),
    ],
)
def test_one_tampered_value_of_the_authors_file_is_found_and_named(
    authors: Arrays, key: str, amount: float, tmp_path: Path, capsys: Output
) -> None:
    path = write(tmp_path / "tampered.npz", tampered(authors, key, amount))
    assert_only_this_differs(path, key, capsys)


# Vectors of the plain implementation.


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_vectors_of_an_independent_implementation_agree(
    case: Case, tmp_path: Path, capsys: Output
) -> None:
    arrays = plain_vectors(case)
    assert main(["parity", str(write(tmp_path / "plain.npz", arrays))]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert set(rows) == {key for key in arrays if is_computed(key)}
    # Quantities that vanish would agree with anything.
    vanishing = {key for key in rows if not np.abs(arrays[key]).max() > 1e-9}
    # One image has no neighbour, and normalised over itself or compared with itself it is 1.
    of_one = {
        "loss/cc/reference",
        "loss/sp/reference",
        "loss/fitnets/reference",
        "loss/fsp/reference_selection",
    }
    assert vanishing == (of_one if case.batch == 1 else set())


@pytest.mark.parametrize(("key", "status"), [("loss/cc/reference", 0), ("loss/at/canonical", 2)])
def test_a_mean_over_no_neighbours_may_be_nan_in_the_file_and_nothing_else(
    key: str, status: int, tmp_path: Path
) -> None:
    arrays = plain_vectors(CASES["one image"]) | {key: np.array(np.nan)}
    assert main(["parity", str(write(tmp_path / "one.npz", arrays))]) == status


@pytest.fixture(scope="module")
def plain() -> Arrays:
    return plain_vectors(CASES["D4C3 and D2C3"])


AMOUNTS = {
    "zero_filled": 2e-5,
    "teacher/recon": 2e-5,
    "sft/recon": 2e-5,
    "sft/branch1": 2e-5,
    "kspace": 2e-4,
    "teacher/cascade2/conv_out": 2e-4,
    "teacher/cascade1/mid": 2e-4,
    "student/cascade3/mid": 2e-4,
    "loss/sft/imitation_over_numel": 2e-4,
    "loss/at/canonical": 2e-4,
    "loss/fsp/mid_cascades1to4": 2e-4,
    "metric/zf/psnr_volume": 2e-4,
    "metric/zf/ssim_volume": 2e-4,
}


@pytest.mark.parametrize("key", AMOUNTS)
def test_a_value_beyond_the_tolerance_is_named_and_one_within_it_is_not(
    plain: Arrays, key: str, tmp_path: Path, capsys: Output
) -> None:
    path = write(tmp_path / "within.npz", tampered(plain, key, AMOUNTS[key] / 4))
    assert main(["parity", str(path)]) == 0
    capsys.readouterr()
    path = write(tmp_path / "beyond.npz", tampered(plain, key, AMOUNTS[key]))
    assert_only_this_differs(path, key, capsys)


def test_a_value_that_is_not_a_number_differs(
    plain: Arrays, tmp_path: Path, capsys: Output
) -> None:
    arrays = plain | {"loss/at/canonical": np.array(np.nan)}
    assert_only_this_differs(write(tmp_path / "nan.npz", arrays), "loss/at/canonical", capsys)


def test_other_weights_than_those_that_made_the_outputs_are_found(
    plain: Arrays, tmp_path: Path, capsys: Output
) -> None:
    key = "teacher/state/tcascade3.conv4.weight"
    path = write(tmp_path / "weights.npz", plain | {key: plain[key] * np.float32(1.01)})
    assert main(["parity", str(path)]) == 2
    captured = capsys.readouterr()
    differing = {name for name, row in rows_of(captured.out).items() if "DIFFERS" in row}
    # The last convolution of the last cascade: nothing before it moves.
    assert {"teacher/recon", "teacher/cascade3/conv_out"} <= differing
    assert not any(name.startswith(("student/", "sft/", "teacher/cascade1")) for name in differing)
    assert all(name in captured.err for name in differing)


def without(arrays: Arrays, *keys: str) -> Arrays:
    assert set(keys) <= set(arrays)
    return {key: value for key, value in arrays.items() if key not in keys}


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("target", "has no key 'target'"),
        ("lines", "has no key 'lines'"),
        ("kspace", "has no key 'kspace'"),
        ("sft/branch2", "has no key 'sft/branch2'"),
        ("student/cascade1/mid", "has no key 'student/cascade1/mid'"),
        ("loss/sp/reference", "has no key 'loss/sp/reference'"),
        ("metric/zf/nmse", "has no key 'metric/zf/nmse'"),
        ("teacher/state/tcascade1.conv1.weight", "'tcascade1.conv1.weight' is missing"),
        ("sft/state/scascade2.conv2.bias", "cascades.1.convolutions.1.bias is missing"),
    ],
)
def test_a_missing_key_is_one_line_that_names_it(
    plain: Arrays, key: str, said: str, tmp_path: Path, capsys: Output
) -> None:
    path = write(tmp_path / "less.npz", without(plain, key))
    assert main(["parity", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(path) in one_line(captured.err)
    assert said in captured.err


def test_a_network_without_any_weights_is_one_line(
    plain: Arrays, tmp_path: Path, capsys: Output
) -> None:
    weights = [key for key in plain if key.startswith("student/state/")]
    path = write(tmp_path / "less.npz", without(plain, *weights))
    assert main(["parity", str(path)]) == 2
    assert "holds no weights of a student network" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    "key",
    [
        "loss/crd/reference",
        "sft/branch9",
        "metric/zf/vif",
        "teacher/cascade4/mid",
        "notes",
        "teacher/state/scascade1.conv1.weight",
        "sft/state/extra",
        "assistant/state/tcascade1.conv1.weight",
    ],
)
def test_an_unknown_key_is_one_line_that_names_it(
    plain: Arrays, key: str, tmp_path: Path, capsys: Output
) -> None:
    path = write(tmp_path / "more.npz", plain | {key: np.zeros(1, dtype=np.float32)})
    assert main(["parity", str(path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"{path}: nothing here computes {key}\n" in one_line(captured.err)


def test_an_array_of_another_shape_is_one_line_with_both_shapes(
    plain: Arrays, tmp_path: Path, capsys: Output
) -> None:
    path = write(tmp_path / "shape.npz", plain | {"sft/recon": plain["sft/recon"][:2]})
    assert main(["parity", str(path)]) == 2
    line = one_line(capsys.readouterr().err)
    for said in ("sft/recon", "(2, 1, 16, 16)", "(3, 1, 16, 16)"):
        assert said in line


@pytest.mark.parametrize(
    "kind",
    [
        "absent",
        "text",
        "empty",
        "truncated",
        "npy",
    ],
)
def test_a_file_that_is_no_npz_is_one_line(
    plain: Arrays, kind: str, tmp_path: Path, capsys: Output
) -> None:
    path = tmp_path / "vectors.npz"
    if kind == "text":
        path.write_text("no vectors")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        path.write_bytes(write(tmp_path / "whole.npz", plain).read_bytes()[:2000])
    elif kind == "npy":
        with path.open("wb") as stream:
            np.save(stream, plain["target"])
    assert main(["parity", str(path)]) == 2
    assert one_line(capsys.readouterr().err).startswith(f"error: {path}: ")
