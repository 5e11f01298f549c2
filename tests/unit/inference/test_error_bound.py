"""Bounds of errors: what is promised is kept, where they may be used, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from inference_helpers import SIZE, Model, blobs, facts, kspace_of, trained
from training_helpers import prepared_data, study_with
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.config.error_bounds import patients_needed
from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.evaluate import reconstruct
from pipeline_src.inference.calibration import rank
from pipeline_src.inference.error_bound import ErrorBound, foreground, read_error_bound
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.measurements import error_bounds_table
from pipeline_src.sampling.data_fidelity import data_fidelity

Output = pytest.CaptureFixture[str]
CALIBRATED, TESTED = 4, 3


def store_of_patients(path: Path) -> Path:
    """The tiny training volumes, four patients to calibrate on and three to try."""
    prepared = prepared_data()
    del prepared.images[-3:], prepared.slices[-3:]
    for number in range(CALIBRATED + TESTED):
        part = "validation" if number < CALIBRATED else "test"
        for index, plane in enumerate(np.moveaxis(blobs(SIZE, SIZE, 2, seed=number), 2, 0)):
            prepared.images.append(plane / np.float32(1.2))
            prepared.slices.append(
                {
                    **{"patient": f"p{number}", "frame": "", "part": part},
                    **{"slice": index, "volume": 2 + number},
                }
            )
    write_store(path, prepared, {"dataset": "tiny"})
    return path


def calibrate(model: Model, store: Path, output: Path, *words: str) -> int:
    return main(
        [
            *("calibrate", str(model.folder), "--trained-mask", str(model.mask_path)),
            *("--data", str(store), "--output", str(output), *words),
        ]
    )


@pytest.fixture
def calibrated(tmp_path: Path) -> tuple[Model, Path]:
    model, output = trained(tmp_path), tmp_path / "bound.json"
    assert calibrate(model, store_of_patients(tmp_path / "volumes.h5"), output) == 0
    return model, output


def test_the_rank_is_that_of_conformal_prediction() -> None:
    assert [patients_needed(share) for share in (0.5, 0.8, 0.9, 0.95)] == [1, 4, 9, 19]
    assert [rank(4, 0.8), rank(3, 0.8), rank(9, 0.8), rank(19, 0.9)] == [4, 4, 8, 18]


@pytest.mark.parametrize(("count", "patients"), [(4, 0.8), (9, 0.8), (30, 0.9)])
def test_a_further_patient_is_covered_as_promised(count: int, patients: float) -> None:
    """Simulated: factors of patients from one skewed distribution, 20,000 studies."""
    rng = np.random.default_rng(0)
    factors = rng.lognormal(size=(20_000, count + 1))
    taken = np.sort(factors[:, :count])[:, rank(count, patients) - 1]
    covered = (factors[:, count] <= taken).mean()
    assert patients - 0.01 < covered < patients + 1 / (count + 1) + 0.01


def test_the_wanted_share_of_every_calibrating_patients_pixels_is_covered(
    calibrated: tuple[Model, Path], tmp_path: Path
) -> None:
    """Counted here by another way: four patients at 0.8 take the largest factor."""
    model, path = calibrated
    bound, store = read_error_bound(path), read_store(tmp_path / "volumes.h5")
    assert (bound.calibration_patients, len(bound.tried_on)) == (CALIBRATED, TESTED)
    fidelity, shares = data_fidelity(model.mask), {}
    for part in ("validation", "test"):
        images, rows = store.part(part)
        made = list(reconstruct(images, fidelity, model.folder / "weights.safetensors"))
        zero_filled = list(reconstruct(images, fidelity, None))
        for patient in rows["patient"].unique():
            own = np.flatnonzero(rows["patient"] == patient)
            inside = [
                (np.abs(made[i] - images[i]) <= bound.of(made[i], zero_filled[i]))[
                    foreground(made[i])
                ]
                for i in own
            ]
            shares[patient] = np.concatenate(inside).mean()
    validation = [shares[f"p{number}"] for number in range(CALIBRATED)]
    # In single precision, the pixel that decides may be beyond by its rounding.
    assert min(validation) == pytest.approx(0.9, abs=0.01)
    for one in bound.tried_on:
        assert one.covered == pytest.approx(shares[one.patient], abs=0.01)
        assert one.bound > one.error > 0


def test_maps_lie_beside_reconstructions_in_their_units(
    calibrated: tuple[Model, Path], tmp_path: Path
) -> None:
    model, bound = calibrated
    affine = np.diag([2.0, 3.0, 5.0, 1.0])
    image = nibabel.Nifti1Image(700 * blobs(SIZE, SIZE, 2), affine)
    nibabel.save(image, tmp_path / "scan.nii.gz")  # type: ignore[no-untyped-call]
    given = (tmp_path / "scan.nii.gz", "--error-bound", bound)
    assert model.reconstruct(tmp_path / "out", *given) == 0
    told = facts(tmp_path / "out", "scan")
    assert told["error_bound"]["pixels"] == 0.9
    assert set(told["outputs"]) == {"scan.nii.gz", "scan.error-bound.nii.gz", "scan.png"}
    limit = nibabel.load(tmp_path / "out/scan.error-bound.nii.gz")
    made = nibabel.load(tmp_path / "out/scan.nii.gz")
    assert np.array_equal(limit.affine, affine)  # type: ignore[attr-defined]
    limits, found = (np.asarray(one.dataobj) for one in (limit, made))  # type: ignore[attr-defined]
    assert (limits > 0).all()
    inside = np.abs(found - np.asarray(image.dataobj)) <= limits
    there = np.stack([foreground(found[:, :, i] / told["scale"]["divided_by"]) for i in (0, 1)], 2)
    assert inside[there].mean() == pytest.approx(told["error_bound"]["within"], abs=0.01)
    # Without the bound, nothing else changes; with it, the same is not made again.
    assert model.reconstruct(tmp_path / "plain", tmp_path / "scan.nii.gz") == 0
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "plain/scan.nii.gz").dataobj), found)  # type: ignore[attr-defined]
    before = (tmp_path / "out/scan.error-bound.nii.gz").stat().st_mtime_ns
    assert model.reconstruct(tmp_path / "out", *given) == 0
    assert (tmp_path / "out/scan.error-bound.nii.gz").stat().st_mtime_ns == before


def test_measured_kspace_is_bounded_with_a_warning(
    calibrated: tuple[Model, Path], tmp_path: Path, capsys: Output
) -> None:
    model, bound = calibrated
    samples = model.mask.samples
    image = blobs(SIZE, SIZE, 2)
    np.savez(tmp_path / "scan.npz", kspace=kspace_of(image, samples), mask=samples)
    given = (tmp_path / "scan.npz", "--error-bound", bound)
    assert model.reconstruct(tmp_path / "out", *given) == 0
    assert "was calibrated at the maximum of the image" in capsys.readouterr().err
    assert set(facts(tmp_path / "out", "scan")["error_bound"]) == {"pixels", "patients"}
    assert model.reconstruct(tmp_path / "scaled", *given, "--scale", str(image.max())) == 0
    assert "maximum" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("shape", "words", "said"),
    [
        ((24, 24, 1), ["--other-size", "crop"], "of another size than the bound"),
        ((SIZE, SIZE, 1), ["--mask", "other.npy"], "of another mask than the bound"),
    ],
)
def test_a_bound_holds_for_its_size_and_mask_alone(
    shape: tuple[int, int, int],
    words: list[str],
    said: str,
    calibrated: tuple[Model, Path],
    tmp_path: Path,
    capsys: Output,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    model, bound = calibrated
    np.save("other.npy", np.roll(model.mask.samples[:, 0], SIZE // 2 + 1))
    np.save("scan.npy", blobs(*shape))
    given = ("scan.npy", "--error-bound", bound, "--anyway", *words)
    assert model.reconstruct(tmp_path / "out", *given) == 2
    assert said in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_bound_of_other_weights_is_refused(
    calibrated: tuple[Model, Path], tmp_path: Path, capsys: Output
) -> None:
    model, path = calibrated
    np.save(tmp_path / "scan.npy", blobs(SIZE, SIZE, 1))
    content = json.loads(path.read_text())
    for key, said in (("weights_sha256", "other weights"), ("mask_sha256", "another mask")):
        (tmp_path / "other.json").write_text(json.dumps(content | {key: "0" * 64}))
        given = (tmp_path / "scan.npy", "--error-bound", tmp_path / "other.json")
        assert model.reconstruct(tmp_path / "out", *given) == 2
        assert said in one_line(capsys.readouterr().err)


def test_no_image_takes_the_place_of_anothers_bound(
    calibrated: tuple[Model, Path], tmp_path: Path, capsys: Output
) -> None:
    model, bound = calibrated
    for name in ("scan", "scan.error-bound"):
        np.save(tmp_path / f"{name}.npy", blobs(SIZE, SIZE, 1))
    given = (*tmp_path.glob("scan*.npy"), "--error-bound", bound)
    assert model.reconstruct(tmp_path / "out", *given) == 2
    assert "its output scan.error-bound.npy would be that of" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_a_bundle_brings_its_bound_without_names(
    calibrated: tuple[Model, Path], tmp_path: Path
) -> None:
    model, bound = calibrated
    words = ["--trained-mask", str(model.mask_path), "--error-bound", str(bound)]
    folder = tmp_path / "bundle"
    assert main(["bundle", str(model.folder), "--output", str(folder), *words]) == 0
    own, found = read_error_bound(bound), read_error_bound(folder / "error_bound.json")
    assert [one.patient for one in own.tried_on] == ["p4", "p5", "p6"]
    assert [one.patient for one in found.tried_on] == ["1", "2", "3"]
    assert f"That held for {own.kept} of 3 test" in (folder / "README.md").read_text()
    assert main(["bundle", "--check", str(folder)]) == 0
    np.save(tmp_path / "scan.npy", blobs(SIZE, SIZE, 1))
    given = ["--model", str(folder), "--error-bound", str(folder / "error_bound.json")]
    out = str(tmp_path / "out")
    assert main(["reconstruct", *given, "--output", out, str(tmp_path / "scan.npy")]) == 0
    assert (tmp_path / "out/scan.error-bound.npy").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "sft-kd-recon bundle 1"}, "make it with the calibrate command"),
        ({"factor": -1}, "factor"),
        ({"factor": None}, "factor"),
        ({"pixels": 1.5}, "pixels"),
        ({"scale": {"constant": 1}}, "scale.change"),
        ({"more": 1}, "more"),
    ],
)
def test_a_damaged_bound_is_one_line(
    change: dict[str, Any], said: str, calibrated: tuple[Model, Path], tmp_path: Path
) -> None:
    content = json.loads(calibrated[1].read_text())
    (tmp_path / "damaged.json").write_text(json.dumps(content | change))
    with pytest.raises(InputError, match=said):
        read_error_bound(tmp_path / "damaged.json")


def test_what_cannot_be_promised_is_refused(tmp_path: Path, capsys: Output) -> None:
    model, output = trained(tmp_path), tmp_path / "bound.json"
    store = store_of_patients(tmp_path / "volumes.h5")
    for words, said in (
        (["--patients", "0.9"], "takes 9 validation patients, and there are 4; lower it to 0.8"),
        (["--pixels", "1"], "--pixels 1.0: must be between 0 and 1"),
    ):
        assert calibrate(model, store, output, *words) == 2
        assert said in one_line(capsys.readouterr().err)
    assert calibrate(model, store, tmp_path / "bound.csv") == 2
    assert "ends with .json" in one_line(capsys.readouterr().err)
    assert not output.exists()


def test_a_configuration_that_cannot_be_kept_is_refused() -> None:
    def bounds(**keys: Any) -> dict[str, Any]:
        return {"evaluation": {"error_bounds": keys}}

    study_with(**bounds(patients=0.5))
    with pytest.raises(InputError, match=r"error_bounds\.patients: 0\.8 takes 4 validation pati"):
        study_with(**bounds())
    with pytest.raises(InputError, match=r"error_bounds\.models: 'nobody' is not among the st"):
        study_with(**bounds(patients=0.5, models=["nobody"]))
    with pytest.raises(InputError, match=r"student is listed twice"):
        study_with(**bounds(patients=0.5, models=["student", "student"]))


def test_the_table_has_a_row_per_model_over_its_seeds(
    calibrated: tuple[Model, Path], tmp_path: Path
) -> None:
    found = read_error_bound(calibrated[1]).model_copy(
        update={"dataset": "tiny", "acceleration": "4x"}
    )
    paths = []
    for seed, covered in enumerate((0.95, 0.85)):
        tried = [one.model_copy(update={"covered": covered}) for one in found.tried_on]
        one: ErrorBound = found.model_copy(update={"seed": seed, "tried_on": tried})
        paths.append(tmp_path / f"{seed}.json")
        paths[-1].write_text(one.model_dump_json())
    labels = Labels({"tiny": DatasetLabel("Tiny phantom")}, ("4x",))
    tidy, layout, notes = error_bounds_table(paths, labels)
    assert list(tidy["patients_found"]) == [1, 0]
    assert list(layout.index) == ["Tiny phantom 4x, Student"]
    row: pd.Series = layout.iloc[0]
    assert row["Pixels promised"] == "90 %"
    assert list(row.filter(like="found")) == ["90 % (85 % to 95 %)", "50 % (0 % to 100 %)"]
    assert "validation patients" in " ".join(notes)
    with pytest.raises(InputError, match="of the data set 'tiny', not of other"):
        error_bounds_table(paths, Labels({"other": DatasetLabel("Other")}, ("4x",)))


def test_a_bound_is_not_announced_at_a_scale_at_which_it_does_not_hold(
    calibrated: tuple[Model, Path], tmp_path: Path, capsys: Output
) -> None:
    model, bound = calibrated
    image, samples = blobs(SIZE, SIZE, 2), model.mask.samples
    np.save(tmp_path / "scan.npy", image)
    np.savez(tmp_path / "k.npz", kspace=kspace_of(image, samples), mask=samples)
    top = float(image.max())
    for name, scale, status in (
        ("scan.npy", 0.2 * top, 2),
        ("scan.npy", 1.1 * top, 2),
        ("scan.npy", round(top, 4), 0),
        ("k.npz", 5 * top, 2),
        ("k.npz", 1.1 * top, 0),
    ):
        given = (tmp_path / name, "--error-bound", bound, "--scale", str(scale))
        assert model.reconstruct(tmp_path / f"{name}{scale}", *given) == status
        said = capsys.readouterr().err
        assert ("does not hold at --scale" in said) == (status == 2)
        assert status == 0 or not list((tmp_path / f"{name}{scale}").glob("*.json"))
