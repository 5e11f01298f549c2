"""What a training's folder tells of its model, and what a bundle keeps of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from inference_helpers import SIZE, Model, blobs, trained, write_metrics
from training_helpers import prepared_data
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.data.store import origin_of, read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import MAIN, METRICS
from pipeline_src.files import sha256_file
from pipeline_src.inference import card
from pipeline_src.inference.bundle_files import read_config
from pipeline_src.inference.card_metrics import measured
from pipeline_src.inference.trained import load_trained, refuse_other_store
from pipeline_src.sampling.masks import write_mask

Output = pytest.CaptureFixture[str]


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """With a manifest that names store and mask; its slices were turned to RAS, along axis 0."""
    made = trained(tmp_path)
    description = {
        "source": {"kind": "nifti", "slice_axis": 0, "orientation": "RAS"},
        "preparation": {"downscale": 2},
        "synthetic": False,
        "display_quarter_turns": 1,
    }
    write_store(tmp_path / "volumes.h5", prepared_data(), description)
    manifest = {
        "name": "student",
        "dataset": "heads",
        "acceleration": "4x",
        "seed": 3,
        "mask": made.mask.description,
        "inputs": {
            name: {"path": f"../{file}", "sha256": sha256_file(tmp_path / file)}
            for name, file in (("store", "volumes.h5"), ("mask", "mask.npz"))
        },
        "outputs": {"weights.safetensors": sha256_file(made.folder / "weights.safetensors")},
        "settings": {"model": "student", "seed": 3, "training": {"threads": 2}},
    }
    (made.folder / "manifest.json").write_text(json.dumps(manifest))
    return made


def reconstruct(folder: Path, output: Path, *words: str) -> int:
    return main(["reconstruct", "--model", str(folder), "--output", str(output), *words])


def test_the_manifest_leads_to_mask_and_store(model: Model) -> None:
    found = load_trained(model.folder)
    assert np.array_equal(found.mask.samples, model.mask.samples)
    assert (found.config.dataset, found.config.acceleration) == ("heads", "4x")
    assert found.config.threads == 2
    assert found.config.origin.patients == {"train": 2, "validation": 1}
    assert found.config.origin.downscale == 2


def test_the_axes_of_the_training_are_taken(model: Model, tmp_path: Path) -> None:
    """Slices that lie along the file's second axis, which points to the left."""
    affine = np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    volume = blobs(SIZE, 5, SIZE)
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "a.nii")
    assert reconstruct(model.folder, tmp_path / "one", str(tmp_path / "a.nii")) == 0
    assert main(["bundle", str(model.folder), "--output", str(tmp_path / "b")]) == 0
    assert reconstruct(tmp_path / "b", tmp_path / "two", str(tmp_path / "a.nii")) == 0
    one, two = (np.asarray(nibabel.load(tmp_path / n / "a.nii").dataobj) for n in ("one", "two"))
    assert np.array_equal(one, two)
    # In the other order of slices, all that a turn can change here is the rounding of a batch.
    words = ("--slice-axis", "1", str(tmp_path / "a.nii"))
    assert reconstruct(model.folder, tmp_path / "three", *words) == 0
    assert read_config(tmp_path / "b").origin.orientation == "RAS"


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"inputs": {}}, "--trained-mask"),
        ({"inputs": {"mask": {"path": "gone.npz", "sha256": "0" * 64}}}, "gone.npz"),
        ({"mask": {"kind": "drawn", "seed": 9}}, "trained under another mask"),
        ({"settings": 3}, "not a manifest of a training"),
    ],
)
def test_a_manifest_that_does_not_lead_there(
    change: dict[str, Any], fragment: str, model: Model, tmp_path: Path, capsys: Output
) -> None:
    path = model.folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    assert reconstruct(model.folder, tmp_path / "out", str(tmp_path / "a.npy")) == 2
    assert fragment in one_line(capsys.readouterr().err)


def test_a_store_that_is_gone_or_damaged_hinders_nothing(model: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    (tmp_path / "volumes.h5").write_bytes(b"damaged")
    assert reconstruct(model.folder, tmp_path / "one", str(tmp_path / "a.npy")) == 0
    (tmp_path / "volumes.h5").unlink()
    assert reconstruct(model.folder, tmp_path / "two", str(tmp_path / "a.npy")) == 0


def test_axes_that_nothing_tells_are_warned_of(
    model: Model, tmp_path: Path, capsys: Output
) -> None:
    """Where the store is gone that knew them; a manifest of today knows them itself."""
    nibabel.save(nibabel.Nifti1Image(blobs(SIZE, SIZE, SIZE), np.eye(4)), tmp_path / "a.nii")
    store = read_store(tmp_path / "volumes.h5")
    (tmp_path / "volumes.h5").unlink()
    assert reconstruct(model.folder, tmp_path / "one", str(tmp_path / "a.nii")) == 0
    assert "it is not known how its slices lay in the files" in capsys.readouterr().err
    assert main(["bundle", str(model.folder), "--output", str(tmp_path / "b")]) == 0
    assert "it is not known how its slices lay in the files" in capsys.readouterr().err
    path = model.folder / "manifest.json"
    told = json.loads(path.read_text())
    told["origin"] = origin_of(store.description, store.patients, store.digest)
    path.write_text(json.dumps(told))
    assert reconstruct(model.folder, tmp_path / "two", str(tmp_path / "a.nii")) == 0
    assert "it is not known" not in capsys.readouterr().err
    assert load_trained(model.folder).config.origin.orientation == "RAS"


@pytest.mark.parametrize("digest", [True, False])
def test_a_mask_that_was_changed_in_its_place_is_refused(digest: bool, model: Model) -> None:
    """By its content, or in an older manifest by its file; the description is the same."""
    path = model.folder / "manifest.json"
    if digest:
        told = json.loads(path.read_text()) | {"mask_digest": model.mask.digest}
        path.write_text(json.dumps(told))
        assert load_trained(model.folder).mask.digest == model.mask.digest
    moved = np.roll(model.mask.samples, 3, axis=0)
    write_mask(model.mask_path, replace(model.mask, samples=moved))
    with pytest.raises(InputError, match="was trained under another mask"):
        load_trained(model.folder)


def test_weights_that_are_not_as_they_were_written_are_refused(model: Model) -> None:
    place = model.folder / "weights.safetensors"
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    with pytest.raises(InputError, match="is not as its training wrote it"):
        load_trained(model.folder)


def test_a_store_of_other_patients_is_refused(model: Model, tmp_path: Path) -> None:
    """Its test patients may have been trained on."""
    other = prepared_data()
    other.images[0] = other.images[0] / 2
    write_store(tmp_path / "other.h5", other, {})
    path = model.folder / "manifest.json"
    own = read_store(tmp_path / "volumes.h5")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": own.digest}))
    found = load_trained(model.folder)
    refuse_other_store(found, own, tmp_path / "volumes.h5")
    with pytest.raises(InputError, match="its test patients may be training patients"):
        refuse_other_store(found, read_store(tmp_path / "other.h5"), tmp_path / "other.h5")


#: What may differ between metrics and the model that they lie beside, and what is said of it.
FOREIGN: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    "weights": ({}, {"weights": "0" * 64}, "with other weights than those of"),
    "mask": ({"mask": "0" * 12}, {}, "under another mask than that of"),
    "store": ({"data": "0" * 12}, {}, "on another store than that of"),
    "mask of an older version": ({}, {"mask": "0" * 64}, "under another mask than that of"),
    "store of an older version": ({}, {"store": "0" * 64}, "on another store than that of"),
}


def metrics(measured: Sequence[str] = tuple(METRICS), **told: str) -> str:
    """A table of metrics of one patient, with further columns."""
    columns = ["dataset,acceleration,model,training,variant,seed,part,patient,frame", *told]
    values = ["heads,4x,student,standard,,3,test,p,", *told.values()]
    numbers = ["0.5"] * len(measured)
    return "\n".join([",".join([*columns, *measured]), ",".join([*values, *numbers]), ""])


def bundle(model: Model, output: Path) -> int:
    return main(["bundle", str(model.folder), "--output", str(output)])


def test_a_card_has_the_metrics_of_its_weights_mask_and_store(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline_src.inference.bundle.why_not", lambda: "left out by a test")
    assert measured(load_trained(model.folder)) == {}
    path = model.folder / "manifest.json"
    told, digest = json.loads(path.read_text()), read_store(tmp_path / "volumes.h5").digest
    path.write_text(json.dumps(told | {"data_digest": digest}))
    for columns in ({}, {"data": digest[:12], "mask": model.mask.digest[:12]}):
        write_metrics(model, metrics(**columns))
        assert measured(load_trained(model.folder))["patients"] == 1
    assert bundle(model, tmp_path / "b") == 0
    assert "| PSNR (dB) | 0.50 |" in (tmp_path / "b/README.md").read_text()


def test_a_card_leaves_out_a_metric_that_was_not_measured(model: Model) -> None:
    write_metrics(model, metrics(MAIN))
    made = load_trained(model.folder)
    found = measured(made)
    assert found.keys() == {"patients", *MAIN}
    text = card.write_card(made, found, "", True)
    assert "| PSNR (dB) | 0.50 |" in text
    assert "NMSE" not in text
    described = card.metadata(made, found, "")["fair4ml:evaluationResults"]
    assert [one["name"] for one in described] == [*MAIN]


@pytest.mark.parametrize("kind", FOREIGN)
def test_metrics_of_something_else_are_refused(
    kind: str, model: Model, tmp_path: Path, capsys: Output
) -> None:
    columns, inputs, fragment = FOREIGN[kind]
    path = model.folder / "manifest.json"
    if kind == "store":
        path.write_text(json.dumps(json.loads(path.read_text()) | {"data_digest": "1" * 64}))
    write_metrics(model, metrics(**columns), **inputs)
    assert bundle(model, tmp_path / "b") == 2
    assert fragment in one_line(capsys.readouterr().err)
    assert not (tmp_path / "b").exists()


def test_metrics_that_were_edited_or_are_described_nowhere_are_refused(
    model: Model, tmp_path: Path, capsys: Output
) -> None:
    write_metrics(model, metrics())
    table = model.folder / "volumes.csv"
    table.write_text(table.read_text().replace("0.5", "0.9"))
    assert bundle(model, tmp_path / "b") == 2
    assert "not the file that its manifest describes" in one_line(capsys.readouterr().err)
    (model.folder / "volumes.manifest.json").unlink()
    assert bundle(model, tmp_path / "b") == 2
    assert "has no volumes.manifest.json" in one_line(capsys.readouterr().err)
