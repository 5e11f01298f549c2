"""What docs/security.md promises of files that come from others, and what it warns of.

The payloads do no more than make a folder.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from snakemake.common.configfile import load_configfile
from unit_helpers import GOOD, Bomb, one_line

from pipeline_src.cli import main
from pipeline_src.data.preparation import PreparedData
from pipeline_src.data.sources.authors_hdf5 import read_authors_volume
from pipeline_src.data.store import read_store, write_store
from pipeline_src.errors import InputError
from pipeline_src.evaluation.parity import compare_all
from pipeline_src.sampling.given_masks import mask_from_file
from pipeline_src.sampling.masks import read_mask


def a_mask(path: Path, bomb: Any) -> None:
    np.savez(path.with_suffix(".npz"), samples=bomb, description="{}")
    read_mask(path.with_suffix(".npz"))


def a_given_mask(path: Path, bomb: Any) -> None:
    np.save(path.with_suffix(".npy"), bomb)
    mask_from_file(path.with_suffix(".npy"), (1, 1), 4)


def vectors(path: Path, bomb: Any) -> None:
    np.savez(path.with_suffix(".npz"), target=bomb)
    compare_all(path.with_suffix(".npz"))


@pytest.mark.parametrize("read", [a_mask, a_given_mask, vectors])
def test_arrays_of_objects_are_not_unpickled(
    read: Callable[[Path, Any], None], tmp_path: Path
) -> None:
    bomb = np.array([Bomb(tmp_path / "trace")], dtype=object)
    with pytest.raises(InputError, match=r"allow_pickle|Python objects"):
        read(tmp_path / "file", bomb)
    assert not (tmp_path / "trace").exists()


def test_a_configuration_of_this_command_line_makes_no_objects(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(f"study: !!python/object/apply:os.mkdir ['{tmp_path}/trace']\n")
    assert main(["check", "--config", str(path)]) == 2
    assert "is not valid YAML" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "trace").exists()


def test_a_configuration_is_code_to_snakemake(
    tmp_path: Path, tiny_study: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """And keys that this command line does not know."""
    trace = tmp_path / "trace"
    line = f"import os; os.mkdir({str(trace)!r})"
    path = tmp_path / "study.yaml"
    given = {"__use_yte__": True, "__definitions__": [line], **tiny_study}
    path.write_text(yaml.safe_dump(given, sort_keys=False))
    assert main(["check", "--config", str(path)]) == 2
    assert "__use_yte__" in one_line(capsys.readouterr().err)
    assert not trace.exists()
    load_configfile(str(path))
    assert trace.exists()


def test_a_methods_module_is_code(
    tmp_path: Path,
    tiny_study: dict[str, Any],
    write_config: Callable[[dict[str, Any]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "their_method.py").write_text(f"import os; os.mkdir({str(tmp_path / 'trace')!r})")
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny_study["methods"] = {"theirs": {"module": "their_method"}}
    config = str(write_config(tiny_study))
    assert main(["check", "--config", config]) == 0
    assert not (tmp_path / "trace").exists()
    main(["check", "--config", config, "--import"])
    assert (tmp_path / "trace").exists()


def test_the_parents_of_a_methods_module_are_not_imported(
    tmp_path: Path,
    tiny_study: dict[str, Any],
    write_config: Callable[[dict[str, Any]], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "__init__.py").write_text(f"import os; os.mkdir({str(tmp_path / 'trace')!r})")
    (folder / "loss.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    tiny_study["methods"] = {"theirs": {"module": "theirs.loss"}}
    assert main(["check", "--config", str(write_config(tiny_study))]) == 0
    assert not (tmp_path / "trace").exists()


# HDF5 that points at other files of the machine.


def external_numbers(path: Path, name: str, other: Path) -> None:
    with h5py.File(path, "a") as file:
        shape = (2, 2, 2)
        file.create_dataset(name, shape, np.float32, external=[(str(other), 0, 32)])


def link_to_a_file(path: Path, name: str, other: Path) -> None:
    with h5py.File(other.with_suffix(".h5"), "w") as file:
        file[name] = GOOD
    with h5py.File(path, "a") as file:
        file[name] = h5py.ExternalLink(str(other.with_suffix(".h5")), name)


def link_to_a_link(path: Path, name: str, other: Path) -> None:
    link_to_a_file(path, "far", other)
    with h5py.File(path, "a") as file:
        file[name] = h5py.SoftLink("/far")


def numbers_of_several_files(path: Path, name: str, other: Path) -> None:
    with h5py.File(other.with_suffix(".h5"), "w") as file:
        file["far"] = GOOD
    layout = h5py.VirtualLayout(GOOD.shape, np.float32)
    layout[:] = h5py.VirtualSource(str(other.with_suffix(".h5")), "far", GOOD.shape)
    with h5py.File(path, "a") as file:
        file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize(
    "point", [external_numbers, link_to_a_file, link_to_a_link, numbers_of_several_files]
)
def test_numbers_of_other_files_are_not_taken(
    point: Callable[[Path, str, Path], None], tmp_path: Path
) -> None:
    other = tmp_path / "secret"
    other.write_bytes(bytes(range(32)))
    volume, store = tmp_path / "volume.h5", tmp_path / "store.h5"
    point(volume, "volfs", other)
    with pytest.raises(InputError, match=r"volume\.h5: volfs is .*copy its values into"):
        read_authors_volume(volume)
    slices = [{"patient": "a", "frame": "", "part": "test", "slice": 0, "volume": 0}]
    write_store(store, PreparedData(images=[GOOD[..., 0]], slices=slices), {})
    with h5py.File(store, "a") as file:
        del file["images"]
    point(store, "images", other)
    with pytest.raises(InputError, match=r"store\.h5: images is .*copy its values into"):
        read_store(store)


def test_a_virtual_data_set_of_the_file_itself_is_refused_with_a_remedy(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout(GOOD.shape, np.float32)
    layout[:] = h5py.VirtualSource(".", "near", GOOD.shape)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["near"] = GOOD
        file.create_virtual_dataset("volfs", layout)
    with pytest.raises(InputError, match="copy its values into the file itself"):
        read_authors_volume(tmp_path / "v.h5")
