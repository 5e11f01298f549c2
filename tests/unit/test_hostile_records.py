"""Masks, weights, stores and metrics of strangers: a line, no hang, no silently wrong number."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.config import load_study
from pipeline_src.config.networks import Network
from pipeline_src.data.store import FORMAT, read_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import Evaluator
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.evaluation.parity import compare_all
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.weights import load_network
from pipeline_src.reporting.report import _questions
from pipeline_src.reporting.reviewers.deviations import PAPER_CONFIG
from pipeline_src.reporting.tables.answers import COLUMNS
from pipeline_src.sampling.masks import Mask, read_mask, write_mask

DEEP = "[" * 100_000


# Masks.


def archive(path: Path, kind: int = zipfile.ZIP_STORED, **arrays: Any) -> Path:
    with zipfile.ZipFile(path, "w", kind) as file:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            file.writestr(f"{name}.npy", buffer.getvalue())
    return path


@pytest.mark.parametrize(
    ("samples", "description"),
    [
        (np.full((4, 4), 2), "{}"),
        (np.full((4, 4), 0.5), "{}"),
        (np.full((4, 4), 1j), "{}"),
        (np.bool_(True), "{}"),
        (np.ones((2, 2, 2), bool), "{}"),
        (np.zeros((4, 4), bool), "{}"),
        (np.ones((0, 0), bool), "{}"),
        (np.ones((4, 4), bool), "[]"),
        (np.ones((4, 4), bool), DEEP),
        (np.ones((4, 4), bool), '{"center_lines": "<b>"}'),
        (np.ones((4, 4), bool), '{"unusual": 3}'),
    ],
)
def test_a_mask_has_zeros_and_ones_alone(samples: Any, description: str, tmp_path: Path) -> None:
    """Samples of 2 or a half would weigh k-space, and every image would be another."""
    path = archive(tmp_path / "mask.npz", samples=samples, description=np.array(description))
    with pytest.raises(InputError, match=r"mask\.npz: is damaged or not a mask"):
        read_mask(path)


def flip(data: bytearray, sign: bytes, at: int, value: int) -> None:
    place = -1
    while (place := data.find(sign, place + 1)) >= 0:
        data[place + at] = value


def damaged(data: bytearray) -> None:
    data[60:70] = b"\xff" * 10


def encrypted(data: bytearray) -> None:
    flip(data, b"PK\x03\x04", 6, 1)
    flip(data, b"PK\x01\x02", 8, 1)


def of_unknown_packing(data: bytearray) -> None:
    flip(data, b"PK\x03\x04", 8, 99)
    flip(data, b"PK\x01\x02", 10, 99)


@pytest.mark.parametrize("read", [read_mask, compare_all])
@pytest.mark.parametrize(
    ("kind", "change"),
    [
        (zipfile.ZIP_DEFLATED, damaged),
        (zipfile.ZIP_LZMA, damaged),
        (zipfile.ZIP_STORED, encrypted),
        (zipfile.ZIP_STORED, of_unknown_packing),
    ],
)
def test_a_damaged_archive_of_arrays_is_one_line(
    read: Callable[[Path], object], kind: int, change: Callable[[bytearray], None], tmp_path: Path
) -> None:
    samples = np.random.default_rng(0).random((64, 64)) > 0.5
    path = archive(tmp_path / "a.npz", kind, samples=samples, description=np.array("{}"))
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npz: "):
        read(path)


# Weights.


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.to(torch.int64),
        lambda t: t.to(torch.bool),
        lambda t: t.to(torch.complex64),
        lambda t: t * float("nan"),
        lambda t: (t + 1).double() * 1e300,
    ],
    ids=["int64", "bool", "complex64", "nan", "beyond float32"],
)
def test_numbers_that_are_no_weights_are_refused(
    change: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path
) -> None:
    network = DCCNN(Network(depth=2, cascades=1, features=2))
    tensors = {name: change(t).contiguous() for name, t in network.state_dict().items()}
    told = {"network": json.dumps(network.network.model_dump())}
    save_file(tensors, tmp_path / "w.safetensors", told)
    with pytest.raises(InputError, match="are not weights"):
        load_network(tmp_path / "w.safetensors")


# Stores.

SLICE = {"patient": "a", "frame": "", "part": "test", "slice": 0, "volume": 0}


def a_store(path: Path, rows: list[dict[str, Any]], description: str = "{}") -> Path:
    """As `write_store` writes it, its digest included."""
    images, text = np.ones((len(rows), 4, 4), np.float32), json.dumps(rows)
    with h5py.File(path, "w") as file:
        file["images"] = images
        for name, content in (("slices", text), ("volumes", "[]"), ("dropped", "[]")):
            file[name] = content
        file.attrs["format"], file.attrs["description"] = FORMAT, description
        file.attrs["digest"] = hashlib.sha256(images.tobytes() + text.encode()).hexdigest()
    return path


@pytest.mark.parametrize(
    ("rows", "description"),
    [
        ([SLICE, SLICE | {"patient": "b"}], "{}"),
        ([SLICE, SLICE | {"part": "train"}], "{}"),
        ([SLICE | {"volume": True}], "{}"),
        ([SLICE | {"slice": 10**400}], "{}"),
        ([SLICE | {"patient": "\ud800"}], "{}"),
        ([SLICE], '{"display_quarter_turns": "<b>"}'),
        ([SLICE], DEEP),
    ],
    ids=["two patients", "two parts", "truth", "huge", "half a pair", "turns", "deep"],
)
def test_a_store_that_cannot_be_is_refused(
    rows: list[dict[str, Any]], description: str, tmp_path: Path
) -> None:
    """One volume of two patients would be measured as the first one's."""
    with pytest.raises(InputError, match="is damaged or not a volume store"):
        read_store(a_store(tmp_path / "a.h5", rows, description))


def test_slices_smaller_than_the_window_of_ssim_are_one_line(tmp_path: Path) -> None:
    store, mask = a_store(tmp_path / "a.h5", [SLICE]), tmp_path / "mask.npz"
    write_mask(mask, Mask(np.ones((4, 4), bool), {}))
    with pytest.raises(InputError, match="smaller than the window of SSIM"):
        Evaluator(store, mask, "test", {})


# Figures and the report.


@pytest.mark.parametrize(
    ("kind", "content", "named"),
    [
        ("curves", '{"settings": {"model": "student"}, "histories": []}', "is not a manifest"),
        ("curves", '{"settings": {"model": "student"}, "histories": [5]}', "is not a manifest"),
        ("curves", '{"settings": {"model": "student"}, "histories": ["/dev/zero"]}', "a device"),
        ("curves", '{"settings": {"model": "student"}, "histories": ["h.csv"]}', "can be drawn"),
        ("mask", "", "does not say kind"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    kind: str, content: str, named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "given"
    if content:
        given.write_text(content)
    else:
        write_mask(given, Mask(np.ones((4, 4), bool), {}))
    (tmp_path / "h.csv").write_text("epoch,validation_loss,validation_psnr_db\n1,nan,1e400\n")
    assert main(["figure", kind, str(given), "--output", str(tmp_path / "a.png")]) == 2
    assert named in one_line(capsys.readouterr().err)
    assert not (tmp_path / "a.png").exists()


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("a,b\n1,2\n", "holds no answers"),
        (",".join(COLUMNS) + "\nd,4x,q,a,1,,,,,,,,,<b>,\n", "'<b>' is not an answer"),
        (",".join(COLUMNS) + "\n<b>,4x,q,a,1,,,,,,,,,shown,\n", "no data set '<b>'"),
    ],
)
def test_answers_of_others_are_one_line(content: str, named: str, tmp_path: Path) -> None:
    (tmp_path / "answers.csv").write_text(content)
    study = load_study(PAPER_CONFIG)
    with pytest.raises(InputError, match=rf"answers\.csv: .*{named}"):
        _questions(study, [tmp_path / "answers.html"])


# Metrics.

HEADINGS = "dataset,acceleration,model,training,seed,part,patient,psnr_db,ssim,nmse"


@pytest.mark.parametrize(
    ("headings", "row", "named"),
    [
        (HEADINGS, "d,4x,student,standard,0,test,p,3_0,1,0", "psnr_db has a value"),
        (HEADINGS, "d,4x,student,standard,0,test,p,1e308,1,0", r"psnr_db 1e\+308 is beyond"),
        (HEADINGS, "d,4x,student,standard,0,test,p,-inf,1,0", "psnr_db -inf is beyond"),
        (HEADINGS, "d,4x,student,standard,0,test,p,30,1.7,0", "ssim 1.7 is beyond"),
        (HEADINGS, "d,4x,student,standard,0,test,p,30,1,-3", "nmse -3 is beyond"),
        (HEADINGS, "d,4x,student,standard,1.5,test,p,30,1,0", "seed 1.5"),
        (HEADINGS, "d,4x,student,standard,inf,test,p,30,1,0", "seed inf"),
        (HEADINGS, "d,4x,student,standard,1e30,test,p,30,1,0", r"seed 1e\+30"),
        (f"{HEADINGS},ssim", "d,4x,student,standard,0,test,p,30,1,0,2", "two columns 'ssim'"),
    ],
)
def test_metrics_that_cannot_be_are_refused(
    headings: str, row: str, named: str, tmp_path: Path
) -> None:
    path = tmp_path / "volumes.csv"
    path.write_text(f"{headings}\n{row}\n")
    with pytest.raises(InputError, match=named):
        read_metrics([path])


def test_a_training_that_there_is_not_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "volumes.csv"
    rows = [f"d,4x,student,$x,0,test,{patient},30,1,0" for patient in "pq"]
    path.write_text("\n".join([HEADINGS, *rows, ""]))
    assert main(["tables", str(path), "--output", str(tmp_path / "out")]) == 2
    assert "metrics are of an unknown training '$x'" in one_line(capsys.readouterr().err)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
