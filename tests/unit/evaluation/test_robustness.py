"""Each shift does to a measurement what it says, each time alike; strangers are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from training_helpers import SIZE, Files, prepared_data
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.config.shifts import Shift
from pipeline_src.data.store import read_store, write_store
from pipeline_src.evaluation import metrics
from pipeline_src.evaluation.robustness import (
    ShiftedEvaluator,
    generator,
    noise_image,
    shifted_mask,
)
from pipeline_src.evaluation.subject import Subject
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.sampling.data_fidelity import data_fidelity
from pipeline_src.sampling.masks import Mask, drawn_mask, read_mask, write_mask
from pipeline_src.tabular import read_rows

pytest_plugins = ["shared_fixtures"]
Output = pytest.CaptureFixture[str]
LABELS = {"dataset": "tiny", "acceleration": "4x"}
FULL = Mask(np.ones((64, 64), dtype=np.bool_), {})
ZERO_FILLED = Subject(Path("nowhere"), "zero_filled")


def evaluator(files: Files, shift: str, seed: int = 0) -> ShiftedEvaluator:
    chosen = Shift.of_name(shift)
    return ShiftedEvaluator(files.store, files.mask, "validation", LABELS, chosen, seed, 2)


def measured(files: Files, runs: dict[str, Path], shift: str, seed: int = 0) -> pd.DataFrame:
    subjects = [Subject.of_folder(runs["teacher"]), ZERO_FILLED]
    return evaluator(files, shift, seed).volumes(subjects)


def shift(*models: Path, data: Path, mask: Path, output: Path, **changed: str) -> int:
    options = {**LABELS, "part": "validation", "shift": "seed_1"} | changed
    words = [word for key, value in options.items() for word in (f"--{key}", value)]
    paths = ["--data", str(data), "--mask", str(mask), "--output", str(output)]
    return main(["robustness", *map(str, models), *paths, *words])


@pytest.mark.parametrize("level", [0.02, 0.1])
def test_noise_of_a_fully_sampled_image_has_the_level_that_is_asked_for(level: float) -> None:
    deviations = np.array([level, 3 * level])
    found = noise_image(FULL, deviations, np.random.default_rng(0))
    assert found.std(axis=(1, 2)) == pytest.approx(deviations, rel=0.05)
    assert found.mean() == pytest.approx(0, abs=level / 10)


def test_noise_is_measured_where_k_space_is() -> None:
    """Undersampled by R, its power is one R-th; outside the samples it has none."""
    mask = drawn_mask((64, 64), 4, 0, 4)
    found = noise_image(mask, np.array([0.1]), np.random.default_rng(0))[0]
    assert found.std() == pytest.approx(0.1 / 2, rel=0.1)
    # The part of a real image that neither a sample nor its mirror image tells.
    spectrum = np.abs(np.fft.fft2(found))
    mirrored = np.roll(mask.samples[::-1, ::-1], 1, axis=(0, 1))
    assert spectrum[~(mask.samples | mirrored)].max() < 1e-4 * spectrum.max()


def test_noise_is_a_fraction_of_the_volumes_maximum(files: Files, runs: dict[str, Path]) -> None:
    """The store's volume has a maximum below 1; PSNR takes the same maximum for its range."""
    images, _ = read_store(files.store).part("validation")
    peak = images.max()
    assert peak < 0.6
    zero_filled = data_fidelity(read_mask(files.mask)).zero_filled
    rng = generator(Shift.of_name("noise_0.1"), 0)
    added = noise_image(read_mask(files.mask), np.full(3, 0.1 * peak), rng)
    image = zero_filled(torch.from_numpy(images)).numpy() + added
    found = measured(files, runs, "noise_0.1").set_index("model")
    wanted = metrics.psnr(images, image, float(peak))
    assert found.loc["zero_filled", "psnr_db"] == pytest.approx(wanted, abs=1e-4)


def test_levels_of_noise_differ_in_size_alone() -> None:
    first, second = (
        noise_image(FULL, np.array([level]), generator(Shift("noise", str(level)), 7))
        for level in (0.01, 0.02)
    )
    assert second == pytest.approx(2 * first, rel=1e-4)


@pytest.mark.parametrize("name", ["seed_1", "uniform", "acceleration_2", "noise_0.1"])
def test_a_seed_tells_a_measurement_to_the_bit(
    files: Files, runs: dict[str, Path], name: str
) -> None:
    first, again = (measured(files, runs, name) for _ in range(2))
    pd.testing.assert_frame_equal(first, again, check_exact=True)
    other = measured(files, runs, name, seed=1)
    assert (other["psnr_db"] != first["psnr_db"]).all()


def test_draws_of_masks_and_noise_share_no_stream() -> None:
    names = ["seed_1", "seed_2", "uniform", "gaussian", "acceleration_4", "noise_0.1"]
    drawn = [generator(Shift.of_name(name), 0, 64, 64, 4).random() for name in names]
    assert len(set(drawn)) == len(names)


@pytest.mark.parametrize(
    ("name", "share"), [("acceleration_2", 1 / 2), ("seed_3", 1 / 4), ("poisson_disc", 1 / 4)]
)
def test_masks_sample_what_they_say(files: Files, name: str, share: float) -> None:
    mask = shifted_mask(Shift.of_name(name), read_mask(files.mask), 0, 2, 4)
    assert mask.description["sampled_fraction"] == share
    assert mask.description["shift"] == name


def test_scaling_multiplies_what_the_network_sees_and_divides_what_it_gives(
    files: Files, runs: dict[str, Path]
) -> None:
    plain = measured(files, runs, "scale_1.000001").set_index("model")
    scaled = measured(files, runs, "scale_0.25").set_index("model")
    # Zero filling is linear, and a network with biases is not.
    assert scaled.loc["zero_filled", "psnr_db"] == plain.loc["zero_filled", "psnr_db"]
    assert scaled.loc["teacher", "psnr_db"] != pytest.approx(
        plain.loc["teacher", "psnr_db"], abs=1e-3
    )


def test_the_command_writes_metrics_of_all_models_and_of_zero_filling(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    out = tmp_path / "seed0" / "noise_0.05.csv"
    given = (runs["teacher"], runs["student"])
    where = {"data": files.store, "mask": files.mask, "output": out}
    assert shift(*given, **where, shift="noise_0.05", seed="3") == 0
    table = read_rows(out, "metrics", ("seed", "psnr_db"))
    assert list(table["model"]) == ["teacher", "student", "zero_filled"]
    assert set(table["shift"]) == {"noise_0.05"}
    assert set(table["part"]) == {"validation"}
    manifest = Manifest.read(tmp_path / "seed0" / "noise_0.05.manifest.json")
    # Center lines decide no noise, and are not told.
    assert manifest.settings == {"part": "validation", "shift": "noise_0.05", "seed": 3}
    assert "evaluation/robustness.py" in manifest.code
    assert not [name for name in manifest.code if name.startswith(("reporting", "training/"))]
    assert set(manifest.inputs) == {"store", "mask", "weights/0", "weights/1"}


def test_other_images_are_measured_by_the_mask_of_the_training(
    files: Files, runs: dict[str, Path], tmp_path: Path
) -> None:
    prepared = prepared_data()
    prepared.images = [image[::-1] for image in prepared.images]
    write_store(tmp_path / "other.h5", prepared, {"dataset": "other"})
    out = tmp_path / "data_other.csv"
    where = {"data": tmp_path / "other.h5", "mask": files.mask, "output": out}
    assert shift(runs["teacher"], **where, shift="data_other") == 0
    table = read_rows(out, "metrics", ("sampled",))
    assert set(table["dataset"]) == {"tiny"}
    assert set(table["data"]) == {read_store(tmp_path / "other.h5").digest[:12]}
    assert set(table["mask"]) == {read_mask(files.mask).digest[:12]}


def test_what_is_not_the_trainings_is_refused_in_a_line(
    files: Files, runs: dict[str, Path], tmp_path: Path, capsys: Output
) -> None:
    teacher, out = runs["teacher"], tmp_path / "out.csv"
    prepared = prepared_data()
    prepared.images = [image * 0.5 for image in prepared.images]
    write_store(tmp_path / "other.h5", prepared, {"dataset": "tiny"})
    write_mask(tmp_path / "other.npz", drawn_mask((SIZE, SIZE), 4, 9, 2))
    own = {"data": files.store, "mask": files.mask, "output": out}
    cases = [
        ({"data": tmp_path / "other.h5"}, "was trained on another store"),
        ({"mask": tmp_path / "other.npz"}, "was trained under another mask"),
        ({"dataset": "brain"}, "--dataset brain"),
        ({"shift": "radial"}, "'radial' is not a shift"),
        ({"shift": "data_heart"}, "is of data set tiny; --shift data_heart takes that of heart"),
        ({"shift": "acceleration_16"}, "acceleration_16: 16x leaves 1 of 16 lines"),
        ({"seed": "-1"}, "--seed -1: give 0 or more"),
        ({"output": tmp_path / "out.txt"}, "give a name that ends with .csv"),
        ({"part": "test"}, "has no patients in part 'test'"),
    ]
    for changed, said in cases:
        assert shift(teacher, **(own | changed)) == 2  # type: ignore[arg-type]
        assert said in one_line(capsys.readouterr().err)
    assert shift(tmp_path, **own) == 2
    assert "has no manifest.json" in one_line(capsys.readouterr().err)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.h5", "other.npz"]


def test_metrics_of_a_study_are_not_written_over(
    files: Files, runs: dict[str, Path], tmp_path: Path, capsys: Output
) -> None:
    out = tmp_path / "volumes.csv"
    (tmp_path / "volumes.manifest.json").write_text('{"command": "evaluate"}')
    out.write_text("kept")
    assert shift(runs["teacher"], data=files.store, mask=files.mask, output=out) == 2
    assert "tells what the command evaluate made" in one_line(capsys.readouterr().err)
    assert out.read_text() == "kept"
