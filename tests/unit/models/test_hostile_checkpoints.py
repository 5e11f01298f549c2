"""Checkpoints of strangers: what is in them is not run, and is no larger than they are.

The payloads do no more than make a folder.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline_src.cli import main
from pipeline_src.config.networks import Network
from pipeline_src.errors import InputError
from pipeline_src.models.authors import authors_name
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.pickled_tensors import read_checkpoint_tensors


class Writes(torch.nn.Module):
    """A TorchScript program that writes a file when it is loaded."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        return (self.path, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.path = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), self.path)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def a_program(path: Path, trace: Path) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Writes(str(trace))).save(str(path))
    return "TorchScript program"


def a_tar(path: Path, trace: Path) -> str:
    """The oldest format, whose parts torch unpacks to files."""
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("storages")
        link.type, link.linkname = tarfile.SYMTYPE, str(trace)
        archive.addfile(link)
    return "checkpoint cannot be read"


def saved(content: object) -> dict[str, bytes]:
    """The parts of an archive of `torch.save`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(path: Path, parts: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def compressed(path: Path, _trace: Path) -> str:
    packed(path, saved({"model": {"w": torch.zeros(1 << 20)}}), zipfile.ZIP_DEFLATED)
    return "compressed or larger than the file"


def parts_that_share_their_bytes(path: Path, _trace: Path) -> str:
    packed(path, saved({"a": torch.zeros(1 << 10), "b": torch.ones(1 << 10)}))
    with zipfile.ZipFile(path, "a") as archive:
        first, second = archive.getinfo("archive/data/0"), archive.getinfo("archive/data/1")
        # Both begin at the first and reach to the archive's end.
        second.header_offset, second.CRC = first.header_offset, first.CRC
        for entry in (first, second):
            entry.file_size = entry.compress_size = path.stat().st_size
        archive.comment = b"changed"
    return "checkpoint cannot be read"


def no_pickle(path: Path, _trace: Path) -> str:
    packed(path, {"archive/other": b""})
    return "without a data.pkl"


class Raw:
    """Pickled as a call of whatever it is told."""

    def __init__(self, *call: Any) -> None:
        self._call = call

    def __reduce__(self) -> Any:
        return self._call


def beyond_its_storage(path: Path, _trace: Path) -> str:
    numbers = torch.zeros(2).untyped_storage()
    storage = torch.storage.TypedStorage(wrap_storage=numbers, dtype=torch.float32, _internal=True)
    call = (torch._utils._rebuild_tensor_v2, (storage, 0, (1 << 40,), (1,), False, OrderedDict()))
    torch.save({"model": {"w": Raw(*call)}}, path)
    return "reaches beyond the 2 numbers"


def of_many_times_its_storage(path: Path, _trace: Path) -> str:
    torch.save({"model": {"w": torch.zeros(1).expand(1 << 40)}}, path)
    return "reaches beyond the 1 numbers"


def larger_than_the_stream(path: Path, _trace: Path) -> str:
    torch.save({"w": torch.zeros(3)}, path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    key = pickle.dumps(3, protocol=2)[2:-1]
    at = data.index(b"cpu") + len("cpu")
    at = data.index(key, at)
    path.write_bytes(data[:at] + b"J" + struct.pack("<i", 2**31 - 1) + data[at + len(key) :])
    return "larger than the file"


def a_huge_number_for_an_object(path: Path, _trace: Path) -> str:
    """The C unpickler would fill 64 bytes for each object up to it."""
    path.write_bytes(b"\x80\x02]r" + struct.pack("<I", 2**31) + b".")
    return "number is beyond the file's size"


def a_key_that_is_hashed_for_ever(path: Path, _trace: Path) -> str:
    """A tuple of twice the tuple before it, sixty times."""
    twice = b"".join(b"q%ch%c\x86" % (n, n) for n in range(60))
    packed(path, {"archive/data.pkl": b"\x80\x02}K\x01" + twice + b"K\x01s."})
    return "unfolds to more than a checkpoint has"


def the_same_out_of_a_set(path: Path, _trace: Path) -> str:
    pickled = b"\x80\x04(K\x01" + b"2\x86" * 60 + b"\x91."
    packed(path, {"archive/data.pkl": pickled})
    return "unfolds to more than a checkpoint has"


def a_key_that_nests_without_end(path: Path, _trace: Path) -> str:
    """Hashed, it would end the process."""
    packed(path, {"archive/data.pkl": b"\x80\x02})" + b"\x85" * 200_000 + b"K\x01s."})
    return "unfolds to more than a checkpoint has"


class Stated:
    """Pickled as a call, and a state for what comes of it."""

    def __init__(self, call: Any, state: Any) -> None:
        self._reduced = (*call, state)

    def __reduce__(self) -> Any:
        return self._reduced


def a_tensor_with_a_state(path: Path, _trace: Path) -> str:
    """With which torch would make it larger than the file."""
    tensor = torch.ones(2)
    torch.save(
        {"w": Stated(tensor.__reduce_ex__(2)[:2], (tensor, 0, (1 << 31,), (1,)))},
        path,
        _use_new_zipfile_serialization=False,
    )
    return "is given a state"


def what_makes_tensors_with_another_name(path: Path, _trace: Path) -> str:
    """An attribute of this project's own function."""
    pickled = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN}X\x08\0\0\0__name__K\x01s\x86b."
    packed(path, {"archive/data.pkl": pickled})
    return "is given a state"


def deep_names(path: Path, _trace: Path) -> str:
    state = {authors_name(k, "teacher"): v for k, v in DCCNN(SMALL).state_dict().items()}
    state[f"tcascade{10**9}.conv1.weight"] = state["tcascade1.conv1.weight"]
    torch.save(state, path)
    return "cascades of its teacher"


def no_width(path: Path, _trace: Path) -> str:
    state = {authors_name(k, "teacher"): v for k, v in DCCNN(SMALL).state_dict().items()}
    torch.save(state | {"tcascade1.conv1.weight": torch.tensor(1.0)}, path)
    return "features of its teacher"


SMALL = Network(depth=2, cascades=2, features=4)


@pytest.mark.parametrize(
    "make",
    [
        a_program,
        a_tar,
        compressed,
        parts_that_share_their_bytes,
        no_pickle,
        beyond_its_storage,
        of_many_times_its_storage,
        larger_than_the_stream,
        a_huge_number_for_an_object,
        a_key_that_is_hashed_for_ever,
        the_same_out_of_a_set,
        a_key_that_nests_without_end,
        a_tensor_with_a_state,
        what_makes_tensors_with_another_name,
        deep_names,
        no_width,
    ],
)
def test_it_is_one_line_and_nothing_is_run_or_written(
    make: Callable[[Path, Path], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, trace = tmp_path / "checkpoint.pt", tmp_path / "trace"
    reason = make(path, trace)
    trace.unlink(missing_ok=True)
    assert main(["import-weights", str(path), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: {path}: ")
    assert reason in said
    assert said.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [path]


def test_the_program_is_real(tmp_path: Path) -> None:
    """The ordinary way runs it."""
    path, trace = tmp_path / "program.pt", tmp_path / "trace"
    a_program(path, trace)
    trace.unlink(missing_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)
    assert trace.exists()


@pytest.mark.parametrize(
    "callee", [os.mkdir, eval, getattr, torch.load, torch.utils.data.get_worker_info, io.open]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_no_function_is_called(callee: Any, zipped: bool, tmp_path: Path) -> None:
    content = {"a": Raw(callee, (str(tmp_path / "trace"),)), "model": {"w": torch.ones(2)}}
    path = tmp_path / "checkpoint.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert read_checkpoint_tensors(path)["w"].tolist() == [1, 1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("zipped", [True, False])
def test_tensors_of_all_kinds_come_as_they_were(zipped: bool, tmp_path: Path) -> None:
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)
    kinds += (torch.int16, torch.int8, torch.uint8, torch.bool)
    whole = torch.arange(24).reshape(4, 6)
    tensors = {str(kind): whole.to(kind) for kind in kinds}
    tensors |= {"turned": tensors["torch.float32"].T, "part": tensors["torch.float32"][1:3, 2:4]}
    tensors |= {"number": torch.tensor(2.5), "none": torch.zeros(0, 3)}
    parameter = torch.nn.Parameter(torch.ones(2))
    path = tmp_path / "checkpoint.pt"
    torch.save({**tensors, "p": parameter}, path, _use_new_zipfile_serialization=zipped)
    found = read_checkpoint_tensors(path)
    assert torch.equal(found.pop("p"), parameter.detach())
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_a_part_of_a_storage_is_counted_from_its_own_beginning(tmp_path: Path) -> None:
    """As streams of old versions of torch have it."""
    identity = ("storage", torch.FloatStorage, "0", "cpu", 6, ("1", 2, 4))
    path, buffer = tmp_path / "view.pt", io.BytesIO()

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj: object) -> object:
            return identity if obj == "here" else None

    pickler = Pickler(buffer, protocol=2)
    pickler.dump({"w": Raw(torch._utils._rebuild_tensor_v2, ("here", 1, (2,), (1,), False, {}))})
    numbers = struct.pack("<6f", *range(6))
    packed(path, {"archive/data.pkl": buffer.getvalue(), "archive/data/0": numbers})
    assert read_checkpoint_tensors(path)["w"].tolist() == [3, 4]


def test_numbers_of_a_machine_of_the_other_byte_order(tmp_path: Path) -> None:
    parts = saved({"w": torch.tensor([1.0, 2.0])})
    parts["archive/byteorder"] = b"big"
    parts["archive/data/0"] = struct.pack(">2f", 1, 2)
    packed(tmp_path / "big.pt", parts)
    assert read_checkpoint_tensors(tmp_path / "big.pt")["w"].tolist() == [1, 2]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_short_is_named(zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"w": torch.ones(100)}, path, _use_new_zipfile_serialization=zipped)
    for length in (0, 3, 20, path.stat().st_size - 30):
        cut = tmp_path / f"{length}.pt"
        cut.write_bytes(path.read_bytes()[:length])
        with pytest.raises(InputError, match=rf"{length}\.pt: checkpoint cannot be read"):
            read_checkpoint_tensors(cut)
