"""Images and k-space in NumPy and HDF5 files, and what the evaluation makes of the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from inference_helpers import SIZE, blobs, facts, kspace_of, trained
from numpy.typing import NDArray
from training_helpers import Files
from unit_helpers import one_line, rewrite

from pipeline_src.data.store import read_store
from pipeline_src.evaluation import evaluate
from pipeline_src.inference.quality import Overview
from pipeline_src.models.weights import save_weights
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import read_mask

pytest_plugins = ["shared_fixtures"]
Output = pytest.CaptureFixture[str]


def expected(model: Any, image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the evaluation makes of slices along the last axis."""
    scale = float(image.max())
    made = evaluate.reconstruct(
        np.ascontiguousarray(np.moveaxis(image, 2, 0)) / np.float32(scale),
        data_fidelity(model.mask),
        model.folder / "weights.safetensors",
    )
    return np.stack(list(made), axis=2) * np.float32(scale)


def test_a_store_gives_the_images_of_the_evaluation_to_the_bit(
    files: Files, tmp_path: Path
) -> None:
    """Part by part, since what is in a batch together may change the last bits."""
    model = trained(tmp_path)
    assert model.reconstruct(tmp_path / "out", files.store) == 0
    store = read_store(files.store)
    with h5py.File(tmp_path / "out/volumes.h5") as file:
        made = file["images"][:]
    for part in ("train", "validation"):
        images, _ = store.part(part)
        weights = model.folder / "weights.safetensors"
        wanted = evaluate.reconstruct(images, data_fidelity(read_mask(model.mask_path)), weights)
        assert np.array_equal(
            made[(store.slices["part"] == part).to_numpy()], np.stack(list(wanted))
        )
    assert facts(tmp_path / "out", "volumes")["scale"]["is"] == "as the store has it"


@pytest.mark.parametrize("kind", ["npy", "npz", "h5", "slice"])
def test_images_come_back_as_the_kind_they_were(kind: str, tmp_path: Path) -> None:
    model, image = trained(tmp_path), 50 * blobs(SIZE, SIZE, 3)
    name = f"a.{'npy' if kind == 'slice' else kind}"
    if kind == "slice":
        image = image[:, :, :1]
        np.save(tmp_path / name, image[:, :, 0])
    elif kind == "npy":
        np.save(tmp_path / name, image)
    elif kind == "npz":
        np.savez(tmp_path / name, image=image)
    else:
        rewrite(tmp_path / name, volfs=image, other=np.zeros(3))
    assert model.reconstruct(tmp_path / "out", tmp_path / name) == 0
    path = tmp_path / "out" / name
    if kind == "h5":
        with h5py.File(path) as file:
            made = file["volfs"][:]
    else:
        made = np.load(path) if name.endswith("npy") else np.load(path)["image"]
    if kind == "slice":
        assert made.shape == (SIZE, SIZE)
        made = made[:, :, None]
    assert np.array_equal(made, expected(model, image))
    assert facts(tmp_path / "out", "a")["mode"] == "retrospective"


def test_slices_may_lie_along_any_axis(tmp_path: Path) -> None:
    model, image = trained(tmp_path), blobs(SIZE, SIZE, 3)
    np.save(tmp_path / "a.npy", np.moveaxis(image, 2, 0))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy", "--slice-axis", "0") == 0
    made = np.load(tmp_path / "out/a.npy")
    assert np.array_equal(np.moveaxis(made, 0, 2), expected(model, image))


@pytest.mark.parametrize("order", ["fft", "shifted", "centred"])
@pytest.mark.parametrize("kind", ["npz", "h5", "npy"])
def test_measured_kspace_gives_what_its_image_gives(order: str, kind: str, tmp_path: Path) -> None:
    """At the image's scale, which k-space does not tell."""
    model, image = trained(tmp_path), blobs(SIZE, SIZE, 3)
    mask = model.mask.samples
    kspace = kspace_of(image, mask)
    if order == "centred":
        turned = np.fft.ifftshift(image, axes=(0, 1))
        kspace = kspace_of(turned, mask)
    if order != "fft":
        kspace, mask = np.fft.fftshift(kspace, axes=(0, 1)), np.fft.fftshift(mask)
    words = ["--kspace-order", order, "--scale", str(float(image.max()))]
    if kind == "npz":
        np.savez(tmp_path / "a.npz", kspace=kspace, mask=mask)
    elif kind == "h5":
        rewrite(tmp_path / "a.h5", kspace=kspace.astype(np.complex64), mask=mask[:, :1])
    else:
        np.save(tmp_path / "a.npy", kspace)
        np.save(tmp_path / "m.npy", mask[:, 0])
        words += ["--mask", str(tmp_path / "m.npy")]
    assert model.reconstruct(tmp_path / "out", tmp_path / f"a.{kind}", *words) == 0
    path = tmp_path / f"out/a.{kind}"
    if kind == "h5":
        with h5py.File(path) as file:
            made = file["image"][:]
    else:
        made = np.load(path) if kind == "npy" else np.load(path)["image"]
    if order == "centred":
        made = np.fft.ifftshift(np.fft.fftshift(made, axes=(0, 1)), axes=(0, 1))
    np.testing.assert_allclose(made, expected(model, image), atol=2e-6)
    told = facts(tmp_path / "out", "a")
    assert told["mode"] == "prospective"
    assert told["mask"]["remark"] == ""
    assert "quality" not in told
    assert told["scale"]["is"] == "given"


def test_without_a_scale_kspace_is_scaled_by_its_zero_filled_image(tmp_path: Path) -> None:
    model, image = trained(tmp_path), blobs(SIZE, SIZE, 3)
    kspace = kspace_of(image, model.mask.samples)
    np.savez(tmp_path / "a.npz", kspace=kspace, mask=model.mask.samples)
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npz") == 0
    scale = facts(tmp_path / "out", "a")["scale"]
    filled = np.fft.ifft2(kspace, axes=(0, 1), norm="ortho").real
    assert scale["divided_by"] == pytest.approx(filled.max())
    assert "zero-filled" in scale["is"]


def refused(model: Any, tmp_path: Path, capsys: Output, *words: str) -> str:
    before = sorted(p.name for p in tmp_path.rglob("*"))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npz", *words) == 2
    there = sorted(p.name for p in tmp_path.rglob("*") if p != tmp_path / "out")
    assert there == before
    return one_line(capsys.readouterr().err)


def test_an_image_with_a_phase_is_refused_by_how_much(tmp_path: Path, capsys: Output) -> None:
    """A constant phase of ten degrees: all of the image is turned by it."""
    model, image = trained(tmp_path), blobs(SIZE, SIZE, 3)
    kspace = kspace_of(image * np.exp(1j * np.radians(10)), model.mask.samples)
    np.savez(tmp_path / "a.npz", kspace=kspace, mask=model.mask.samples)
    line = refused(model, tmp_path, capsys, "--anyway")
    assert "of 10.0 degrees" in line
    assert "real images" in line


def test_kspace_in_another_order_is_refused(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    kspace = np.fft.fftshift(kspace_of(blobs(SIZE, SIZE, 3), model.mask.samples), axes=(0, 1))
    np.savez(tmp_path / "a.npz", kspace=kspace, mask=np.fft.fftshift(model.mask.samples))
    assert "--kspace-order" in refused(model, tmp_path, capsys)
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npz", "--anyway") == 2
    assert "give --kspace-order shifted" in capsys.readouterr().err


def test_kspace_that_lacks_what_its_mask_says_is_refused(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    kspace = kspace_of(blobs(SIZE, SIZE, 3), model.mask.samples)
    sampled = np.flatnonzero(model.mask.samples[:, 0])
    kspace[sampled[2]] = 0
    np.savez(tmp_path / "a.npz", kspace=kspace, mask=model.mask.samples)
    assert f"line {sampled[2]} was sampled" in refused(model, tmp_path, capsys)


def test_kspace_without_a_mask_is_refused(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    np.savez(tmp_path / "a.npz", kspace=kspace_of(blobs(SIZE, SIZE, 3), model.mask.samples))
    assert "--mask FILE" in refused(model, tmp_path, capsys)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [("half", "50.0% of k-space (2x)"), ("across", "along axis 1"), ("points", "whole lines")],
)
def test_a_mask_beyond_the_training_takes_anyway(
    name: str, fragment: str, tmp_path: Path, capsys: Output
) -> None:
    model, image = trained(tmp_path), blobs(SIZE, SIZE, 3)
    mask = np.zeros((SIZE, SIZE), np.bool_)
    if name == "half":
        mask[[0, 1, 2, 3, -1, -2, -3, 7]] = True
    elif name == "across":
        mask[:, [0, 1, -1, 5]] = True
    else:
        mask[np.ix_([0, 1, 2, 3, -1, -2, -3, 7], [0, 1, 2, 3, -1, -2, -3, 7])] = True
    np.savez(tmp_path / "a.npz", image=image)
    np.save(tmp_path / "m.npy", mask)
    words = ("--mask", str(tmp_path / "m.npy"))
    line = refused(model, tmp_path, capsys, *words)
    assert fragment in line
    assert "--anyway" in line
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npz", *words, "--anyway") == 0
    assert fragment in capsys.readouterr().err
    assert fragment in facts(tmp_path / "out", "a")["mask"]["remark"]


def test_other_lines_of_the_same_acceleration_are_told(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    np.savez(tmp_path / "a.npz", image=blobs(SIZE, SIZE, 3))
    lines = np.zeros(SIZE, np.uint8)
    lines[[0, 1, -1, 6]] = 1
    np.save(tmp_path / "m.npy", lines)
    words = ("--mask", str(tmp_path / "m.npy"))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npz", *words) == 0
    assert "has other lines" in capsys.readouterr().err


def test_what_is_padded_counts_for_nothing(tmp_path: Path) -> None:
    """A slice smaller than the model's is measured over its own pixels, as it is written."""
    model = trained(tmp_path)
    image = blobs(SIZE - 6, SIZE + 4, 2)
    np.save(tmp_path / "small.npy", image)
    assert model.reconstruct(tmp_path / "out", tmp_path / "small.npy", "--other-size", "crop") == 0
    made = np.load(tmp_path / "out/small.npy")
    seen = (slice(None), slice(2, 2 + SIZE))
    error = ((made[seen] - image[seen]) ** 2).mean()
    found = facts(tmp_path / "out", "small")["quality"]
    expected = 10 * np.log10(image[seen].max() ** 2 / error)
    assert found["reconstruction"]["psnr_db"] == pytest.approx(expected, abs=1e-3)
    assert found["over"] == "all slices, the middle 10x16 of 10x20 pixels"


def test_what_gets_worse_is_told(tmp_path: Path, capsys: Output) -> None:
    """The network has random weights."""
    model = trained(tmp_path)
    np.save(tmp_path / "scan.npy", blobs(SIZE, SIZE, 2))
    assert model.reconstruct(tmp_path / "out", tmp_path / "scan.npy") == 0
    told = capsys.readouterr()
    quality = facts(tmp_path / "out", "scan")["quality"]
    worse = quality["reconstruction"]["nmse"] > quality["zero_filled"]["nmse"]
    assert ("1 are farther from the input than the zero-filled image" in told.err) == worse
    assert f"mean over 1: {quality['reconstruction']['psnr_db']:.2f} dB" in told.out


def test_what_is_reconstructed_without_any_error_has_no_psnr_and_is_counted() -> None:
    found = {"psnr_db": 30.0, "ssim": 0.9}
    plain = {"quality": found, "zero_filled": found, "whose": ""}
    exact = plain | {"quality": {"psnr_db": None, "ssim": 1.0}}
    mean = "mean over 1: 30.00 dB, SSIM 0.9000 (zero-filled 30.00 dB, 0.9000)"
    assert Overview([plain]).quality() == mean
    assert Overview([plain, exact]).quality() == f"{mean}, 1 without any error"
    assert Overview([exact]).quality() == "1 without any error"


def test_a_network_that_makes_nan_is_refused(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    with torch.no_grad():
        next(iter(model.network.parameters())).fill_(3e38)
    save_weights(model.folder / "weights.safetensors", model.network, model="student")
    np.save(tmp_path / "scan.npy", blobs(SIZE, SIZE, 2))
    assert model.reconstruct(tmp_path / "out", tmp_path / "scan.npy") == 2
    assert "scan.npy: the network makes NaN or infinity of it" in one_line(capsys.readouterr().err)
    assert not list((tmp_path / "out").glob("scan*"))


def test_of_images_and_kspace_in_one_file_neither_is_chosen(tmp_path: Path, capsys: Output) -> None:
    image = blobs(SIZE, SIZE, 1)
    np.savez(tmp_path / "both.npz", image=image, kspace=image.astype(np.complex64))
    assert trained(tmp_path).reconstruct(tmp_path / "out", tmp_path / "both.npz") == 2
    assert "both.npz: holds both image and kspace" in one_line(capsys.readouterr().err)
