"""Metrics go where they belong: those of other data than a model's own into another folder."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from training_helpers import SIZE, Files, prepared_data, study_with, train
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.data.store import write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics_files import read_metrics
from pipeline_src.sampling.masks import Mask, drawn_mask, write_mask

pytest_plugins = ["shared_fixtures"]
Output = pytest.CaptureFixture[str]


@pytest.fixture
def model(runs: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(runs["teacher"], tmp_path / "models" / "teacher"))


@pytest.fixture
def other_store(tmp_path: Path) -> Path:
    prepared = prepared_data()
    prepared.images = [image * 0.5 for image in prepared.images]
    write_store(tmp_path / "other.h5", prepared, {"dataset": "tiny"})
    return tmp_path / "other.h5"


def written(folder: Path, seed: int = 0, **description: object) -> Path:
    mask = drawn_mask((SIZE, SIZE), 4, seed, 2)
    path = folder / f"mask{seed}.npz"
    write_mask(path, Mask(mask.samples, mask.description | description))
    return path


def evaluate(*folders: str, data: Path, mask: Path, **changed: str) -> int:
    labels = {"dataset": "tiny", "acceleration": "4x", "part": "validation"} | changed
    options = [word for key, value in labels.items() for word in (f"--{key}", value)]
    return main(["evaluate", *folders, "--data", str(data), "--mask", str(mask), *options])


def test_own_data_is_measured_in_the_models_folder(model: Path, files: Files) -> None:
    assert evaluate(str(model), data=files.store, mask=files.mask) == 0
    [row, *_] = read_metrics([model / "volumes.csv"]).to_dict("records")
    assert len(row["data"]) == len(row["mask"]) == 12
    assert row["sampled"] == 4 / SIZE


def test_several_at_once_are_measured_to_the_same_bytes(
    runs: dict[str, Path], files: Files, tmp_path: Path
) -> None:
    made = []
    for processes in ("1", "2"):
        folder = tmp_path / processes
        models = [str(shutil.copytree(runs[n], folder / n)) for n in ("teacher", "student")]
        assert evaluate(*models, data=files.store, mask=files.mask, processes=processes) == 0
        tables = sorted(folder.glob("*/*.csv"))
        assert len([t for t in tables if t.name in ("volumes.csv", "slices.csv")]) == 4
        made.append({str(t.relative_to(folder)): t.read_bytes() for t in tables})
    assert made[0] == made[1]


def test_no_process_at_all_is_refused(model: Path, files: Files, capsys: Output) -> None:
    assert evaluate(str(model), data=files.store, mask=files.mask, processes="0") == 2
    assert "--processes 0: give 1 or more" in one_line(capsys.readouterr().err)


def test_another_store_is_refused_without_a_folder(
    model: Path, files: Files, other_store: Path, tmp_path: Path, capsys: Output
) -> None:
    assert evaluate(str(model), data=other_store, mask=files.mask) == 2
    assert "--output" in one_line(capsys.readouterr().err)
    assert not (model / "volumes.csv").exists()
    out = str(tmp_path / "elsewhere")
    assert evaluate(str(model), "--output", out, data=other_store, mask=files.mask) == 0
    assert (tmp_path / "elsewhere/teacher/volumes.csv").exists()
    assert not (model / "volumes.csv").exists()


def test_patients_of_the_training_are_not_measured_in_another_store(
    files: Files, tmp_path: Path, capsys: Output
) -> None:
    """The same patients under another split, as with another `split.seed`."""
    model = tmp_path / "student"
    train(study_with(), "student", files.inputs(), model)
    capsys.readouterr()
    prepared = prepared_data()
    for row in (*prepared.slices, *prepared.volumes):
        row["part"] = {"train": "validation", "validation": "test"}[row["part"]]
    store = tmp_path / "split_otherwise.h5"
    write_store(store, prepared, {"dataset": "tiny"})
    out = ["--output", str(tmp_path / "elsewhere")]
    for part, verb in (("validation", "was trained on 2 of the"), ("test", "weights chosen on 1")):
        assert evaluate(str(model), *out, data=store, mask=files.mask, part=part) == 2
        assert verb in one_line(capsys.readouterr().err)
        shift = ["--shift", "data_tiny", "--output", str(tmp_path / "shift.csv"), "--part", part]
        setting = ["--dataset", "tiny", "--acceleration", "4x", "--mask", str(files.mask)]
        assert main(["robustness", str(model), *shift, *setting, "--data", str(store)]) == 2
        assert verb in one_line(capsys.readouterr().err)
    assert not list(tmp_path.glob("elsewhere/*"))


def test_a_model_without_its_store_is_measured_with_a_warning(
    model: Path, other_store: Path, files: Files, tmp_path: Path, capsys: Output
) -> None:
    out = ["--output", str(tmp_path / "elsewhere")]
    assert evaluate(str(model), *out, data=other_store, mask=files.mask) == 0
    assert capsys.readouterr().err.startswith(f"warning: {model}: the store that it was trained on")


def test_another_mask_is_refused_without_a_folder(
    model: Path, files: Files, tmp_path: Path, capsys: Output
) -> None:
    assert evaluate(str(model), data=files.store, mask=written(tmp_path, seed=3)) == 2
    assert "another mask" in one_line(capsys.readouterr().err)


def test_a_folder_in_the_results_of_other_files_is_refused(
    model: Path, files: Files, other_store: Path, tmp_path: Path, capsys: Output
) -> None:
    """As a study's results lie: the store above the mask above the models."""
    setting = tmp_path / "study/tiny/4x"
    (setting / "seed0").mkdir(parents=True)
    shutil.copy(files.store, setting.parent / "volumes.h5")
    shutil.copy(files.mask, setting / "mask.npz")
    into = ["--output", str(setting / "seed0")]
    assert evaluate(str(model), *into, data=other_store, mask=files.mask) == 2
    assert "lies in the results of" in one_line(capsys.readouterr().err.splitlines(True)[-1])
    assert evaluate("--zero-filled", str(setting / "zero_filled"), data=files.store,
                    mask=files.mask) == 2  # fmt: skip
    own = {"data": setting.parent / "volumes.h5", "mask": setting / "mask.npz"}
    assert evaluate("--zero-filled", str(setting / "zero_filled"), **own) == 0


@pytest.mark.parametrize(
    ("changed", "fragment"),
    [
        ({"dataset": "nosuch"}, "is of dataset tiny"),
        ({"acceleration": "9x"}, "is of acceleration 4x"),
        ({"part": "test"}, "no patients in part 'test'; there are train 2, validation 1"),
    ],
)
def test_labels_are_compared_with_the_files(
    changed: dict[str, str], fragment: str, model: Path, files: Files, capsys: Output
) -> None:
    assert evaluate(str(model), data=files.store, mask=files.mask, **changed) == 2
    line = one_line(capsys.readouterr().err)
    assert fragment in line


def test_a_mask_of_another_size_is_one_line(model: Path, files: Files, tmp_path: Path,
                                            capsys: Output) -> None:  # fmt: skip
    path = tmp_path / "small.npz"
    write_mask(path, drawn_mask((SIZE - 2, SIZE - 2), 4, 0, 2))
    assert evaluate(str(model), data=files.store, mask=path) == 2
    assert "for slices of 16x16" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("text", ["[1, 2]", "{}", '{"settings": {"model": "teacher"}}'])
def test_a_manifest_that_is_none_is_one_line(
    text: str, model: Path, files: Files, capsys: Output
) -> None:
    (model / "manifest.json").write_text(text)
    assert evaluate(str(model), data=files.store, mask=files.mask) == 2
    assert "not a manifest of a training" in one_line(capsys.readouterr().err)


def test_masks_of_the_same_number_of_lines_are_told_apart(
    model: Path, files: Files, tmp_path: Path
) -> None:
    own, other = tmp_path / "own", tmp_path / "other"
    for folder, mask in ((own, files.mask), (other, written(tmp_path, seed=3))):
        output = ["--output", str(folder)]
        assert evaluate(str(model), *output, data=files.store, mask=mask) == 0
    with pytest.raises(InputError, match="with another mask than"):
        read_metrics([own / "teacher/volumes.csv", other / "teacher/volumes.csv"])


def repeated_store(folder: Path, repeat: object) -> Path:
    path = folder / f"split{repeat}.h5"
    write_store(path, prepared_data(), {"dataset": "tiny", "repeat": repeat})
    return path


def test_zero_filling_of_a_repeat_has_its_seed(files: Files, tmp_path: Path) -> None:
    data = repeated_store(tmp_path, 7)
    for mask, repeated in (
        (files.mask, "split"),
        (written(tmp_path, seed=7, repeat=7), "split mask"),
    ):
        folder = tmp_path / repeated
        assert evaluate("--zero-filled", str(folder), data=data, mask=mask) == 0
        [row, *_] = read_metrics([folder / "volumes.csv"]).to_dict("records")
        assert (row["seed"], row["repeated"], row["trained_on"]) == (7, repeated, 2)
    assert evaluate("--zero-filled", str(tmp_path / "one"), data=files.store, mask=files.mask) == 0
    assert "repeated" not in (tmp_path / "one/volumes.csv").read_text()


def test_store_and_mask_of_two_repeats_are_refused(
    files: Files, tmp_path: Path, capsys: Output
) -> None:
    mask, folder = written(tmp_path, seed=1, repeat=1), tmp_path / "zero"
    for repeat, said in ((7, "are those of seeds 1 and 7"), ("x", "'x', which is not a seed")):
        data = repeated_store(tmp_path, repeat)
        assert evaluate("--zero-filled", str(folder), data=data, mask=mask) == 2
        assert said in one_line(capsys.readouterr().err)
    assert not folder.exists()


def test_digest_of_a_mask_tells_its_shape_too() -> None:
    mask = drawn_mask((SIZE, SIZE), 4, 0, 2)
    assert mask.digest == drawn_mask((SIZE, SIZE), 4, 0, 2).digest
    assert mask.digest != replace(mask, samples=mask.samples.reshape(SIZE // 2, -1)).digest
