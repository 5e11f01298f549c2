"""Many files: what is done is kept, what is killed leaves whole files, and memory is bounded."""

from __future__ import annotations

import argparse
import json
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from inference_helpers import SIZE, blobs, facts, trained
from system_fixtures import run_on_small_disk
from unit_helpers import one_line

from pipeline_src.commands import reconstruct as command
from pipeline_src.config.reconstruction import SHAPING
from pipeline_src.errors import InputError
from pipeline_src.inference.volumes import Scratch, Volume
from pipeline_src.planning.places import RECONSTRUCTIONS, manifest_of

pytest_plugins = ["system_fixtures"]
Output = pytest.CaptureFixture[str]


def tree(folder: Path) -> Path:
    """A BIDS tree of two subjects, with what is no image of it beside."""
    for number, subject in enumerate(("sub-1", "sub-2")):
        path = folder / f"bids/{subject}/anat/{subject}_T1w.nii.gz"
        path.parent.mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(blobs(SIZE, SIZE, 2, seed=number), np.eye(4)), path)
    (folder / "bids/dataset_description.json").write_text("{}")
    (folder / "bids/.git").mkdir()
    np.save(folder / "bids/.git/a.npy", np.ones(3))
    return folder / "bids"


def written(folder: Path) -> dict[str, int]:
    return {
        p.relative_to(folder).as_posix(): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.is_file() and not p.name.startswith("reconstructions.")
    }


def test_a_tree_comes_out_as_a_tree_and_once(tmp_path: Path, capsys: Output) -> None:
    model, out = trained(tmp_path), tmp_path / "out"
    assert model.reconstruct(out, tree(tmp_path)) == 0
    assert "2 reconstructed; 2 undersampled here (retrospective)" in capsys.readouterr().out
    first = written(out)
    assert sorted(first) == [
        f"sub-{n}/anat/sub-{n}_T1w{suffix}"
        for n in (1, 2)
        for suffix in (".json", ".nii.gz", ".png")
    ]
    assert model.reconstruct(out, tmp_path / "bids") == 0
    assert "0 reconstructed, 2 existed already" in capsys.readouterr().out
    assert written(out) == first
    glance = json.loads((out / RECONSTRUCTIONS).read_text())
    assert [one["image"] for one in glance] == sorted(name for name in first if "nii" in name)
    words = ("--pattern", "sub-1/**/*_T1w.nii.gz", "--scale", "2")
    assert model.reconstruct(out, tmp_path / "bids", *words) == 0
    changed = {name for name, time in written(out).items() if time != first[name]}
    assert changed == {name for name in first if "sub-1" in name}


def test_results_inside_the_input_folder_are_no_inputs(tmp_path: Path, capsys: Output) -> None:
    model, bids = trained(tmp_path), tree(tmp_path)
    for said in ("2 reconstructed;", "0 reconstructed, 2 existed already"):
        assert model.reconstruct(bids / "derivatives/out", bids) == 0
        assert said in capsys.readouterr().out


def test_results_of_another_model_that_stay_are_told(tmp_path: Path, capsys: Output) -> None:
    bids, out = tree(tmp_path), tmp_path / "out"
    model = trained(tmp_path)
    assert model.reconstruct(out, bids) == 0
    assert "look:" not in capsys.readouterr().err
    facts = out / "sub-1/anat/sub-1_T1w.json"
    told = json.loads(facts.read_text())
    facts.write_text(json.dumps(told | {"model": told["model"] | {"weights_sha256": "0"}}))
    assert model.reconstruct(out, bids / "sub-2") == 0
    assert (
        "1 that other weights made lie there too (sub-1/anat/sub-1_T1w)" in capsys.readouterr().err
    )


def test_files_that_cannot_be_used_can_be_left_out(tmp_path: Path, capsys: Output) -> None:
    model, out, folder = trained(tmp_path), tmp_path / "out", tmp_path / "scans"
    folder.mkdir()
    for name in ("a", "d"):
        np.save(folder / f"{name}.npy", blobs(SIZE, SIZE, 2))
    (folder / "b.npy").write_bytes(b"no array")
    np.save(folder / "c.npy", np.full((SIZE, SIZE, 2), np.nan))
    np.save(folder / "e.npy", blobs(SIZE + 1, SIZE, 2))
    (folder / "f.npy").touch()
    (folder / "g.npy").symlink_to(folder / "gone.npy")
    np.save(folder / "h\udce9.npy", blobs(SIZE, SIZE, 2))
    np.savez(folder / "a.npz", image=blobs(SIZE, SIZE, 2))
    np.save(folder / "reconstructions.npy", blobs(SIZE, SIZE, 2))
    assert model.reconstruct(out, folder) == 2
    capsys.readouterr()
    assert not out.exists() or written(out) == {}
    assert model.reconstruct(out, folder, "--keep-going") == 1
    said = capsys.readouterr()
    left_out = [line for line in said.err.splitlines() if line.startswith("left out: ")]
    names = ["a.npz", *(f"{n}.npy" for n in (*"bcefg", "h\\udce9", "reconstructions"))]
    assert all(any(f"/{name}: " in line for line in left_out) for name in names)
    assert len(left_out) == len(names)
    assert "2 reconstructed, 8 left out; 2 undersampled" in said.out
    assert "1 of 3: a" in said.err.splitlines()
    assert {one["image"] for one in json.loads((out / RECONSTRUCTIONS).read_text())} == {
        "a.npy",
        "d.npy",
    }
    manifest = out / manifest_of(RECONSTRUCTIONS)
    told = json.loads(manifest.read_text())["left_out"]
    assert told == [line.removeprefix("left out: ") for line in left_out]
    # What was left out is made once it can be.
    (folder / "g.npy").unlink()
    for name in ("a.npz", "h\udce9.npy", "reconstructions.npy"):
        (folder / name).unlink()
    for name in "bcefg":
        np.save(folder / f"{name}.npy", blobs(SIZE, SIZE, 2))
    assert model.reconstruct(out, folder, "--keep-going") == 0
    assert "5 reconstructed, 2 existed already; 7" in capsys.readouterr().out
    assert "left_out" not in json.loads(manifest.read_text())


def test_a_file_that_is_given_twice_is_reconstructed_once(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = trained(tmp_path)
    for name in ("a.npy", "b.npy"):
        np.save(name, blobs(SIZE, SIZE, 1))
    given = ("a.npy", "./a.npy", tmp_path / "a.npy", str(tmp_path / "?.npy"))
    assert model.reconstruct(tmp_path / "out", *given) == 0
    assert "2 reconstructed; 2" in capsys.readouterr().out
    # Links of two names are two inputs, as git-annex has equal images.
    Path("c.npy").symlink_to("a.npy")
    assert model.reconstruct(tmp_path / "out", "a.npy", "c.npy") == 0
    assert "1 reconstructed, 1 existed already" in capsys.readouterr().out


@pytest.mark.parametrize("error", [InputError("disk is full"), KeyboardInterrupt()])
def test_a_result_that_cannot_be_finished_leaves_nothing(
    error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the image without its facts, nor what an earlier run had there."""
    model = trained(tmp_path)
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 1))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy") == 0

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pipeline_src.inference.sheet.write_sheet", fail)
    status = 2 if isinstance(error, InputError) else 130
    words = (tmp_path / "a.npy", "--scale", "1")
    assert model.reconstruct(tmp_path / "out", *words) == status
    assert written(tmp_path / "out") == {}
    monkeypatch.undo()
    assert model.reconstruct(tmp_path / "out", *words) == 0


def test_if_nothing_is_left_it_is_an_error(tmp_path: Path, capsys: Output) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "b.npy", np.full((SIZE, SIZE, 2), np.nan))
    assert model.reconstruct(tmp_path / "of_b", tmp_path / "b.npy", "--keep-going") == 2
    assert "no input is left" in capsys.readouterr().err
    (tmp_path / "a.npy").write_bytes(b"no array")
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy", "--keep-going") == 2
    assert "no input is left" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_result_is_made_anew(tmp_path: Path) -> None:
    model, out = trained(tmp_path), tmp_path / "out"
    assert model.reconstruct(out, tree(tmp_path)) == 0
    path = out / "sub-1/anat/sub-1_T1w.nii.gz"
    good = path.read_bytes()
    path.write_bytes(good[:100])
    assert model.reconstruct(out, tmp_path / "bids") == 0
    assert path.read_bytes() == good


def test_what_is_stopped_leaves_whole_files_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    """Killed while it writes the second image."""
    model, out = trained(tmp_path), tmp_path / "out"
    real = nibabel.Nifti1Image.to_stream

    def stop(image: Any, stream: Any, **options: Any) -> None:
        if list(out.rglob("*.png")):
            stream.write(b"half")
            raise KeyboardInterrupt
        real(image, stream, **options)

    monkeypatch.setattr(nibabel.Nifti1Image, "to_stream", stop)
    assert model.reconstruct(out, tree(tmp_path)) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted; what was finished is kept"
    assert all("sub-1" in name for name in written(out))
    # What a process leaves that could not even tidy up.
    (out / "sub-2/anat/.sub-2_T1w.nii.0123abcd.gz").write_bytes(b"half")
    monkeypatch.undo()
    first = written(out)
    assert model.reconstruct(out, tmp_path / "bids") == 0
    done = written(out)
    assert len(done) == 6
    assert all(done[name] == first[name] for name in first if name in done)


def test_a_bad_file_stops_before_anything_is_made(tmp_path: Path, capsys: Output) -> None:
    np.save(tree(tmp_path) / "sub-2/b.npy", np.ones((3, SIZE, SIZE, 2)))
    assert trained(tmp_path).reconstruct(tmp_path / "out", tmp_path / "bids") == 2
    assert "sub-2/b.npy" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_memory_does_not_grow_with_the_volume(tmp_path: Path) -> None:
    """Of a hundred times as many slices, no more are in memory at once."""
    import torch

    from pipeline_src.inference.inputs import open_input
    from pipeline_src.inference.reconstruct import reconstruct
    from pipeline_src.inference.trained import load_trained
    from pipeline_src.inference.volume_plan import Options, plan

    model = trained(tmp_path)
    loaded = load_trained(model.folder, model.mask_path)
    peaks = []
    for count in (4, 800):
        path = tmp_path / f"{count}.npy"
        np.save(path, blobs(SIZE, SIZE, count))
        volume: Volume = open_input(path, Path("a"), 2, None)
        tracemalloc.start()
        options = Options(batch=4)
        one = plan(volume, loaded, options)
        reconstruct(one, loaded, options, Scratch(tmp_path), torch.device("cpu"))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # A volume in memory would be 800 kB; what is noted of each slice is less than 1 kB.
    assert peaks[1] - peaks[0] < 500_000


@pytest.mark.parametrize("room", [0, 4096, 49152])
def test_a_full_disk(room: int, disk: Path, tmp_path: Path) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 40))
    words = ["reconstruct", *model.given, "--output", str(disk / "out"), str(tmp_path / "a.npy")]
    [found] = run_on_small_disk(disk, room, [words])
    assert found.status == 2, found
    assert "No space left on device" in one_line(found.said)
    assert found.left == []


def test_a_folder_that_may_not_be_written(open_folder: Path, capsys: Output) -> None:
    model = trained(open_folder)
    np.save(open_folder / "a.npy", blobs(SIZE, SIZE, 1))
    (open_folder / "out").mkdir()
    (open_folder / "out").chmod(0o500)
    assert model.reconstruct(open_folder / "out", open_folder / "a.npy") == 2
    assert "cannot be written (Permission denied)" in one_line(capsys.readouterr().err)
    (open_folder / "a.npy").chmod(0)
    assert model.reconstruct(open_folder / "out", open_folder / "a.npy") == 2
    assert "a.npy: may not be read (no permission)" in one_line(capsys.readouterr().err)


def test_the_facts_of_a_run(tmp_path: Path) -> None:
    model = trained(tmp_path)
    np.save(tmp_path / "a.npy", blobs(SIZE, SIZE, 2))
    assert model.reconstruct(tmp_path / "out", tmp_path / "a.npy", "--threads", "1") == 0
    told = facts(tmp_path / "out", "a")
    assert told["model"]["architecture"] == "D3C2"
    assert told["mask"]["whose"] == "the model's"
    assert told["threads"] == 1
    assert told["seconds_per_slice"] > 0
    assert set(told["outputs"]) == {"a.npy", "a.png"}
    assert told["input"]["path"] == "../a.npy"


def test_every_option_is_said_to_shape_the_result_or_not() -> None:
    """One that is forgotten would change results that count as made."""
    parser = argparse.ArgumentParser()
    subcommands = parser.add_subparsers()
    command.add_parser(subcommands)
    options = vars(parser.parse_args(["reconstruct", "--model", "m", "--output", "o", "i"]))
    others = {"inputs", "model", "output", "anyway", "trained_mask", "keep_going", "modules"}
    others |= {"pictures"}
    known = [*SHAPING, *command.MORE_SHAPING, *others]
    assert len(known) == len(set(known))
    given = {name for name, value in options.items() if not callable(value)}
    assert given - {"command_name"} == set(known)
