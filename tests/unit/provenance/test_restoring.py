"""A study's records from strangers: bounded, plain, running nothing; no link leads into them."""

from __future__ import annotations

import io
import json
import lzma
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from crate_helpers import STUDY, make_results, manifest, put
from unit_helpers import one_line

from pipeline_src.cli import main
from pipeline_src.errors import InputError
from pipeline_src.operations.doctor.machine import examine
from pipeline_src.planning.reported import of_study
from pipeline_src.provenance import restoring
from pipeline_src.provenance.archive import RECORDS, _public, recorded_files
from pipeline_src.provenance.as_configured import TABLES
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.provenance.restoring import unpack

Output = pytest.CaptureFixture[str]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Finished, with all that an archive holds."""
    made = make_results(tmp_path)
    for name in recorded_files(STUDY):
        if not (made / name).exists():
            put(made / name)
        if name.endswith("manifest.json") and (made / name).read_bytes()[:1] != b"{":
            manifest(made / name, "mask", {}, [])
    for table in of_study(STUDY).tables:
        put(made / f"tables/{table}.md")
    manifest(made / TABLES, "tables", {}, sorted((made / "tables").iterdir()))
    shutil.rmtree(made / "figures")  # its pictures are none
    return made


@pytest.fixture
def kept(results: Path, tmp_path: Path, capsys: Output) -> Path:
    assert main(["archive", str(results), "--output", str(tmp_path / "kept")]) == 0
    capsys.readouterr()
    return tmp_path / "kept"


def write(folder: Path, blocks: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / RECORDS).write_bytes(lzma.compress(blocks, preset=0))
    return folder


def header(name: str = "config.yaml", size: int = 0, kind: bytes = tarfile.REGTYPE) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.type = size, kind
    return entry.tobuf(tarfile.GNU_FORMAT)


def extended(**headers: str) -> bytes:
    entry = tarfile.TarInfo("config.yaml")
    entry.pax_headers = {key.replace("_", "."): value for key, value in headers.items()}
    return entry.tobuf(tarfile.PAX_FORMAT)


LONG = header("././@LongLink", 512, tarfile.GNUTYPE_LONGNAME) + b"a" * 511 + b"\0"
DEEP = b"a/" * 1749 + b"b\0"
BOMBS = {
    "a name of a gigabyte": (header("x", 1 << 30, tarfile.GNUTYPE_LONGNAME), "a header of"),
    "properties of a gigabyte": (header("x", 1 << 30, tarfile.XHDTYPE), "a header of"),
    "names of names": (LONG * 3000 + header(), "is damaged"),
    "endless entries": (b"".join(header(f"a{i}") for i in range(140_000)), "larger than a study"),
    "one name twice": (header("a") * 2, "holds 'a' twice"),
    "a hole": (header(kind=tarfile.GNUTYPE_SPARSE), "no plain file"),
    "a hole of terabytes": (extended(GNU_sparse_size="9" * 20, GNU_sparse_map="0,1"), "no plain"),
    "a size below nothing": (extended(size="-5"), "config.yaml: is not a mapping"),
    "a name with an end": (extended(path="a\0b"), "lacks config.yaml"),
    "deep folders": (
        header("x", len(DEEP), tarfile.GNUTYPE_LONGNAME) + DEEP.ljust(3584, b"\0") + header(),
        "lacks config.yaml",
    ),
    "a terminal's words": (header("\x1b[31m/../a"), "'\\x1b[31m/../a' in it is no plain file"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_hostile_records_are_one_line(name: str, tmp_path: Path, capsys: Output) -> None:
    blocks, said = BOMBS[name]
    folder = write(tmp_path / "kept", blocks)
    assert main(["restore", str(folder), "--output", str(tmp_path / "out")]) == 2
    assert said in one_line(capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def with_config(kept: Path, **values: Any) -> None:
    with tarfile.open(kept / RECORDS) as packed:
        files = [(e.name, file.read()) for e in packed if (file := packed.extractfile(e))]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as to:
        for name, content in files:
            if name == "config.yaml":
                content = yaml.safe_dump(yaml.safe_load(content) | values).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            to.addfile(entry, io.BytesIO(content))
    write(kept, buffer.getvalue())


NETWORK = {"kind": "theirs", "module": "their_code", "cascades": 3}


@pytest.mark.parametrize(
    "values",
    [
        {"networks": {"student": NETWORK, "teacher": {"cascades": 3}}},
        {"methods": {"at": {"module": "their_code"}}},
    ],
    ids=["network", "method"],
)
def test_records_run_no_module_unless_told(
    values: dict[str, Any],
    kept: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Output,
) -> None:
    (tmp_path / "their_code.py").write_text(f"import os; os.mkdir({str(tmp_path / 'trace')!r})")
    monkeypatch.syspath_prepend(str(tmp_path))
    with_config(kept, **values)
    assert main(["restore", str(kept), "--output", str(tmp_path / "out")]) == 2
    assert "names the module their_code" in (said := one_line(capsys.readouterr().err))
    assert said.endswith("give --import\n")
    assert not (tmp_path / "trace").exists()
    assert not (tmp_path / "out").exists()
    unpack(kept, tmp_path / "out", run_modules=True)
    assert (tmp_path / "out" / "config.yaml").is_file()


def test_doctor_imports_nothing(
    tmp_path: Path, tiny_study: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline_src.config import check_study

    (tmp_path / "their_data.py").write_text(f"import os; os.mkdir({str(tmp_path / 'trace')!r})")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    [dataset] = tiny_study["datasets"].values()
    dataset["source"] = {"kind": "theirs", "module": "their_data"}
    found = [finding.what for finding in examine(check_study(tiny_study), None)]
    assert f"data set heads: {tmp_path / 'their_data.py'}" in found
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("name", ["config.yaml", "tables/main.md", "tiny/4x/mask.npz"])
def test_no_link_leads_out_of_the_results_into_an_archive(
    name: str, results: Path, tmp_path: Path, capsys: Output
) -> None:
    secret = tmp_path / "secret"
    (results / name).rename(secret)
    (results / name).symlink_to(secret)
    assert main(["archive", str(results), "--output", str(tmp_path / "kept")]) == 2
    assert f"{name}: is a link to {secret}" in one_line(capsys.readouterr().err)
    assert not (tmp_path / "kept").exists()


def test_a_pipe_in_place_of_a_configuration_is_not_waited_for(
    results: Path, tmp_path: Path, capsys: Output
) -> None:
    (results / "config.yaml").unlink()
    os.mkfifo(results / "config.yaml")
    assert main(["archive", str(results), "--output", str(tmp_path / "kept")]) == 2
    assert "config.yaml: is missing" in one_line(capsys.readouterr().err)


def test_a_title_is_text_in_the_page_of_an_archive(
    results: Path, tmp_path: Path, capsys: Output
) -> None:
    config = yaml.safe_load((results / "config.yaml").read_text())
    config["title"] = "<img src=x onerror=alert(1)> [a](javascript:b)"
    [(name, dataset)] = config["datasets"].items()
    dataset["credit"] = "Somebody, CC0 [b](javascript:c)"
    (results / "config.yaml").write_text(yaml.safe_dump(config))
    assert main(["archive", str(results), "--output", str(tmp_path / "kept")]) == 0
    page = (tmp_path / "kept" / "README.md").read_text()
    assert "<img" not in page
    assert "[a](" not in page
    assert f"Images of {name}: Somebody, CC0" in page
    assert "[b](" not in page


def test_no_more_is_unpacked_than_records_have(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "LARGEST", 1 << 16)
    with pytest.raises(InputError, match="is larger than a study's records"):
        unpack(kept, tmp_path / "out")


def test_another_size_in_an_extended_header_counts(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says is what is unpacked."""
    monkeypatch.setattr(restoring, "LARGEST", 1 << 20)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as packed:
        for number in range(3):
            entry = tarfile.TarInfo(f"file{number}")
            entry.pax_headers = {"size": str(1 << 19)}
            packed.addfile(entry)
            stream.write(bytes(1 << 19))
            packed.offset += 1 << 19
    write(kept, stream.getvalue())
    with pytest.raises(InputError, match="'file1' in it is larger than a study's records"):
        unpack(kept, tmp_path / "out")


def test_only_the_studys_tables_are_read_and_names_are_printable(
    kept: Path, results: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(kept / "tables" / "zz.md")
    (kept / "tables" / "x\x1b]0;owned\x07.md").touch()
    assert restoring.changed_tables(kept, results) == ["x\x1b]0;owned\x07.md", "zz.md"]
    monkeypatch.setattr(restoring, "unpack", lambda *_, **__: STUDY)
    monkeypatch.setattr(restoring, "remake", lambda *_: None)
    assert main(["restore", str(kept), "--output", str(results)]) == 1
    out = capsys.readouterr().out
    assert "\\x1b]0;owned\\x07.md" in out
    assert "\x1b" not in out
    # A pipe under a table's own name is not waited for.
    (kept / "tables" / "main.md").unlink()
    os.mkfifo(kept / "tables" / "main.md")
    with pytest.raises(InputError, match=r"main\.md: cannot be read \(is a pipe"):
        restoring.changed_tables(kept, results)


def test_places_of_given_files_are_kept_over_two_archives(tmp_path: Path) -> None:
    """Below the data's folder first; what was archived once has no such folder any more."""
    results, data = tmp_path / "results", tmp_path / "scans"
    given = {"path": "../scans/acdc/a/1.nii", "sha256": "0" * 64, "size": 1, "modified": 1}
    path = results / "volumes.manifest.json"
    path.parent.mkdir()
    told: dict[str, Any] = {"inputs": {"volumes/0": given}, "runs": []}
    for folder in (data, tmp_path / "gone"):
        path.write_text(json.dumps(told))
        told = _public(Manifest.read(path, "inputs", "runs"), path, results, folder)
        assert told["inputs"]["volumes/0"]["path"] == "/data/acdc/a/1.nii"
