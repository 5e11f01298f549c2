"""Volumes in the authors' layout go through every command, from preparation to metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from numpy.typing import NDArray

from pipeline_src.cli import main
from pipeline_src.data.store import read_store
from pipeline_src.models.weights import load_network
from pipeline_src.sampling.masks import read_mask

ROWS, COLUMNS, SLICES = 20, 16, 3
LINES = [0, 1, 2, 18, 19]
VOLUMES = {"train": ("1", "2", "10"), "validation": ("1", "2")}
PARTS = ("train", "validation")


def volume(partition: str, name: str) -> NDArray[np.float64]:
    """Blobs `(rows, columns, slices)` whose maximum is 1."""
    rng = np.random.default_rng([len(partition), int(name)])
    y, x, z = np.mgrid[:ROWS, :COLUMNS, :SLICES]
    cy, cx = rng.uniform(0.4, 0.6, 2) * (ROWS, COLUMNS)
    blob = np.exp(-(((y - cy) / 6) ** 2) - ((x - cx) / 5) ** 2) * (1 + 0.2 * z)
    image = blob + 0.05 * rng.random(blob.shape)
    return image / image.max()


def lines() -> NDArray[np.bool_]:
    mask = np.zeros(ROWS, dtype=np.bool_)
    mask[LINES] = True
    return mask


def write_authors_data(root: Path) -> None:
    """`{dataset}/{mask type}/{train,validation}/acc_4x/N.h5`, k-space in FFT order."""
    for partition, names in VOLUMES.items():
        folder = root / "cardiac" / "cartesian" / partition / "acc_4x"
        folder.mkdir(parents=True)
        for name in names:
            image = volume(partition, name)
            kspace = np.fft.fft2(image, axes=(0, 1), norm="ortho") * lines()[:, None, None]
            with h5py.File(folder / f"{name}.h5", "w") as file:
                file["volfs"] = image
                file["img_volus_4x"] = np.fft.ifft2(kspace, axes=(0, 1), norm="ortho").real
                file["kspace_volus_4x"] = kspace
    np.save(root / "lines.npy", lines())


def configuration(root: Path) -> dict[str, Any]:
    return {
        "study": "authors_files",
        "preset": "authors",
        "data_root": str(root),
        "accelerations": [4],
        "datasets": {
            "cardiac": {
                "source": {"kind": "authors_hdf5", "path": "cardiac/cartesian"},
                "preparation": {"matrix": [ROWS, COLUMNS]},
                "split": {"train": ["train/*"], "validation": ["validation/*"]},
                "report_on": "validation",
                "masks": {4: str(root / "lines.npy")},
            }
        },
        "sampling": {"center_lines": 3},
        "networks": {
            "teacher": {"depth": 3, "cascades": 2, "features": 4},
            "student": {"depth": 2, "cascades": 2, "features": 4},
        },
        "methods": {"at": {}},
        "training": {"epochs": 2, "threads": 1, "device": "cpu", "learning_rate": 0.01},
    }


def run(*arguments: str | Path) -> None:
    assert main([str(argument) for argument in arguments]) == 0


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data, the configuration and everything that the commands make of them."""
    root = tmp_path_factory.mktemp("authors")
    write_authors_data(root)
    config = root / "study.yaml"
    config.write_text(yaml.safe_dump(configuration(root)), encoding="utf-8")
    study = ("--config", config)
    named = ("--dataset", "cardiac", "--acceleration", "4x")
    store, mask = root / "volumes.h5", root / "mask.npz"
    run("check", *study)
    run("prepare", *study, "--dataset", "cardiac", "--output", store)
    run("mask", *study, *named, "--output", mask)
    files = (*named, "--data", store, "--mask", mask)
    for model in ("teacher", "sft_teacher"):
        options = ("--model", model, "--seed", "0", "--output", root / model)
        run("train", *study, *files, *options)
    zero_filled = ("--zero-filled", root / "zero_filled")
    run("evaluate", root / "teacher", *zero_filled, *files, "--part", "validation")
    return root


def test_the_store_holds_the_slices_of_the_volumes(root: Path) -> None:
    store = read_store(root / "volumes.h5")
    for part in PARTS:
        images, rows = store.part(part)
        names = rows.drop_duplicates("volume")["patient"].tolist()
        assert sorted(names) == sorted(f"{part}_{name}" for name in VOLUMES[part])
        assert len(images) == SLICES * len(names)
        for image, (_, row) in zip(images, rows.iterrows(), strict=True):
            whole = volume(part, row["patient"].removeprefix(f"{part}_"))
            np.testing.assert_allclose(image, whole[:, :, row["slice"]], rtol=0, atol=1e-6)
    assert not store.description["synthetic"]
    assert store.dropped.empty


def test_the_mask_is_that_of_the_files(root: Path) -> None:
    mask = read_mask(root / "mask.npz")
    assert mask.lines is not None
    assert np.flatnonzero(mask.lines).tolist() == LINES


def test_zero_filling_gives_the_files_own_undersampled_images(root: Path) -> None:
    with np.load(root / "zero_filled/panel.npz") as panel:
        shown, target, patient, index = (
            panel[key] for key in ("image", "target", "patient", "slice")
        )
    name = str(patient).removeprefix("validation_")
    with h5py.File(root / f"cardiac/cartesian/validation/acc_4x/{name}.h5") as file:
        undersampled = file["img_volus_4x"][:, :, int(index)]
        full = file["volfs"][:, :, int(index)]
    np.testing.assert_allclose(target, full, rtol=0, atol=1e-6)
    np.testing.assert_allclose(shown, undersampled, rtol=0, atol=1e-5)
    assert np.abs(undersampled - full).max() > 0.01


def test_training_ends_in_metrics_of_every_validation_volume(root: Path) -> None:
    manifest = json.loads((root / "teacher/manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["network"]["padding"] == 5
    assert manifest["mask"]["kind"] == "given"
    for model, (name, training, seeds) in {
        "teacher": ("teacher", "standard", [0, 0]),
        "zero_filled": ("zero_filled", "none", []),
    }.items():
        table = pd.read_csv(root / f"{model}/volumes.csv", dtype={"patient": str})
        assert table["patient"].tolist() == ["validation_1", "validation_2"]
        assert set(table["dataset"]) == {"cardiac"}
        assert set(table["acceleration"]) == {"4x"}
        assert set(table["model"]) == {name}
        assert set(table["training"]) == {training}
        assert set(table["part"]) == {"validation"}
        assert set(table["slices"]) == {SLICES}
        assert table["seed"].dropna().tolist() == seeds
        for metric in ("psnr_db", "ssim", "nmse", "hfn"):
            assert np.isfinite(table[metric]).all()
        assert (table["ssim"] < 1).all()


def test_the_trained_teacher_is_what_is_measured(root: Path) -> None:
    tables = [pd.read_csv(root / f"{model}/volumes.csv") for model in ("teacher", "zero_filled")]
    assert (tables[0]["psnr_db"] != tables[1]["psnr_db"]).all()
    history = pd.read_csv(root / "teacher/history_reconstruction.csv")
    slices = pd.read_csv(root / "teacher/slices.csv")
    best = history.loc[history["validation_loss"].idxmin(), "validation_psnr_db"]
    assert slices["psnr_db"].mean() == pytest.approx(best, abs=1e-3)


# Weights under the authors' names.


def networks_of(root: Path, roles: list[str]) -> dict[str, Path]:
    """Weights files by option of the command."""
    names = {"teacher": "weights", "student": "student_weights"}
    return {role: root / "sft_teacher" / f"{names[role]}.safetensors" for role in roles}


@pytest.mark.parametrize("roles", [["teacher"], ["student"], ["teacher", "student"]], ids=str)
def test_exported_weights_come_back_equal(
    roles: list[str], root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = networks_of(root, roles)
    options = [text for role, path in given.items() for text in (f"--{role}", path)]
    checkpoint = tmp_path / "authors.pt"
    run("export-weights", *options, "--output", checkpoint)
    tensors = 2 * 2 * sum({"teacher": 3, "student": 2}[role] for role in roles)
    assert capsys.readouterr().out == f"{checkpoint}: {tensors} tensors\n"
    run("import-weights", checkpoint, "--padding", "5", "--output", tmp_path / "back")
    assert {p.name for p in (tmp_path / "back").iterdir()} == set(roles)
    for role, path in given.items():
        first, back = (
            load_network(path),
            load_network(tmp_path / f"back/{role}/weights.safetensors"),
        )
        assert back.network == first.network
        for name, tensor in first.state_dict().items():
            assert torch.equal(back.state_dict()[name], tensor)


def test_an_imported_teacher_distils_and_starts_a_student(root: Path, tmp_path: Path) -> None:
    given = networks_of(root, ["teacher", "student"])
    options = [text for role, path in given.items() for text in (f"--{role}", path)]
    run("export-weights", *options, "--output", tmp_path / "authors.pt")
    run("import-weights", tmp_path / "authors.pt", "--padding", "5", "--output", tmp_path)
    files = ("--data", root / "volumes.h5", "--mask", root / "mask.npz")
    setting = ("--dataset", "cardiac", "--acceleration", "4x", "--seed", "0")
    digests = []
    for folder, teacher, student in (
        ("own", given["teacher"], given["student"]),
        ("imported", *(tmp_path / f"{role}/weights.safetensors" for role in given)),
    ):
        # As in the authors' code: a student from the blocks, and the distilled one from it.
        started, output = tmp_path / folder / "student_sft", tmp_path / folder / "sft_kd_at"
        begun = started / "weights.safetensors"
        for model, start, to in (
            ("student_sft", ("--warm-start", student), started),
            ("sft_kd_at", ("--teacher", teacher, "--warm-start", begun), output),
        ):
            named = (*setting, "--model", model, *start, "--output", to)
            run("train", "--config", root / "study.yaml", *files, *named)
        digests.append((output / "weights.safetensors").read_bytes())
    assert digests[0] == digests[1]


def test_an_imported_network_is_evaluated_as_it_is(root: Path, tmp_path: Path) -> None:
    weights = root / "teacher/weights.safetensors"
    run("export-weights", "--teacher", weights, "--output", tmp_path / "authors.pt")
    run("import-weights", tmp_path / "authors.pt", "--padding", "5", "--output", tmp_path)
    files = ("--data", root / "volumes.h5", "--mask", root / "mask.npz")
    named = ("--dataset", "cardiac", "--acceleration", "4x", "--part", "validation")
    run("evaluate", tmp_path / "teacher", *files, *named)
    table = pd.read_csv(tmp_path / "teacher/volumes.csv")
    assert set(table["model"]) == {"teacher"}
    own = pd.read_csv(root / "teacher/volumes.csv")
    assert table["psnr_db"].tolist() == own["psnr_db"].tolist()


def test_export_without_any_network_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export-weights", "--output", str(tmp_path / "out.pt")]) == 2
    assert capsys.readouterr().err == "error: export-weights: give --teacher, --student or both\n"
    assert not list(tmp_path.iterdir())


# What the layout lacks.


def without_volfs(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["volfs"]


def complex_volfs(path: Path) -> None:
    with h5py.File(path, "a") as file:
        image = file["volfs"][()]
        del file["volfs"]
        file["volfs"] = image.astype(np.complex128)


def one_plane(path: Path) -> None:
    with h5py.File(path, "a") as file:
        del file["volfs"]
        file["volfs"] = np.ones((ROWS, COLUMNS))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (without_volfs, "has no key 'volfs' (keys: img_volus_4x, kspace_volus_4x)"),
        (complex_volfs, "volfs is not an array of real numbers"),
        (one_plane, "volfs is 2-D; a 3-D volume is needed"),
    ],
)
def test_a_file_without_a_usable_volume_is_named_and_nothing_is_written(
    damage: Callable[[Path], None], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_authors_data(tmp_path)
    bad = tmp_path / "cardiac/cartesian/validation/acc_4x/2.h5"
    damage(bad)
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(configuration(tmp_path)), encoding="utf-8")
    output = tmp_path / "out" / "volumes.h5"
    arguments = ["--config", str(config), "--dataset", "cardiac", "--output", str(output)]
    assert main(["prepare", *arguments]) == 2
    errors = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert errors == [f"error: {bad}: {said}"]
    assert not output.parent.exists()
