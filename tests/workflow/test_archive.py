"""A study's records: kept without images and weights, and made into the same tables again."""

from __future__ import annotations

import io
import json
import lzma
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import yaml
from conftest import Checkout
from PIL import Image

from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.provenance.archive import RECORDS
from pipeline_src.provenance.restoring import changed_tables, unpack


@pytest.fixture(scope="module")
def kept(finished: Checkout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "tiny"
    done = finished.command("archive", "results/tiny", "--output", str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def names(folder: Path) -> list[str]:
    with tarfile.open(folder / RECORDS) as packed:
        return packed.getnames()


def pack(folder: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with lzma.open(folder / RECORDS, "wb") as stream, tarfile.open(fileobj=stream, mode="w") as to:
        for entry, content in entries:
            entry.size = len(content)
            to.addfile(entry, io.BytesIO(content))


def contents(folder: Path) -> list[tuple[tarfile.TarInfo, bytes]]:
    with tarfile.open(folder / RECORDS) as packed:
        return [(e, file.read()) for e in packed if (file := packed.extractfile(e))]


def test_records_hold_neither_weights_nor_stores(kept: Path) -> None:
    assert "config.yaml" in names(kept)
    assert not [n for n in names(kept) if n.endswith((".safetensors", ".h5", ".html", ".pdf"))]


def test_records_do_not_tell_of_this_machine(finished: Checkout, kept: Path) -> None:
    for entry, content in contents(kept):
        assert str(finished.root).encode() not in content, entry.name
        if entry.name.endswith("manifest.json"):
            for run in json.loads(content)["runs"]:
                assert not {"host", "job", "gpus"} & run.keys(), entry.name
        if entry.name == "config.yaml":
            assert yaml.safe_load(content)["data_root"] == "data"


def test_restored_tables_and_figures_are_the_same(
    finished: Checkout, kept: Path, tmp_path: Path
) -> None:
    results, first = tmp_path / "again", finished.root / "results" / "tiny"
    done = finished.command("restore", str(kept), "--output", str(results))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all tables equal those" in done.stdout
    made = {p.relative_to(first) for p in first.rglob("*.png")}
    again = {p.relative_to(results) for p in results.rglob("*.png")}
    assert {p.stem for p in made - again} == {"contact_sheet"}
    assert not again - made
    for place in sorted(again):
        assert (first / place).read_bytes() == (results / place).read_bytes(), place
    for table in (first / "tables").glob("*.csv"):
        assert table.read_bytes() == (results / "tables" / table.name).read_bytes()
    # What was restored can be kept again, as the same bytes.
    done = finished.command("archive", str(results), "--output", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "kept" / RECORDS).read_bytes() == (kept / RECORDS).read_bytes()


def test_figures_are_kept_and_shown_by_the_page(finished: Checkout, kept: Path) -> None:
    results, page = finished.root / "results" / "tiny", (kept / "README.md").read_text()
    drawn = {path.relative_to(results) for path in results.rglob("*.png")}
    kept_there = {path.relative_to(kept) for path in kept.rglob("*.webp")}
    assert {path.with_suffix("") for path in kept_there} == {
        path.with_suffix("") for path in drawn if path.stem != "contact_sheet"
    }
    for place in kept_there:
        assert f"]({place.as_posix()})" in page
        with (
            Image.open(kept / place) as small,
            Image.open(results / place.with_suffix(".png")) as large,
        ):
            np.testing.assert_array_equal(small.convert("RGB"), large.convert("RGB"))


def test_what_an_earlier_version_of_a_study_had_is_removed(
    finished: Checkout, kept: Path, tmp_path: Path
) -> None:
    shutil.copytree(kept, tmp_path / "tiny")
    old = [tmp_path / "tiny" / name for name in ("tables/old.md", "figures/heads/old.webp")]
    for path in old:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    done = finished.command("archive", "results/tiny", "--output", str(tmp_path / "tiny"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not any(path.exists() for path in old)
    assert changed_tables(tmp_path / "tiny", finished.root / "results" / "tiny") == []


@pytest.mark.parametrize("name", ["answers.md", "differences.csv"])
def test_a_table_that_was_edited_is_not_kept(name: str, copied: Checkout) -> None:
    path = copied.root / "results/tiny/tables" / name
    path.write_text(path.read_text().replace("0.", "9.", 1))
    done = copied.command("archive", "results/tiny", "--output", "docs/tiny")
    assert done.returncode == 2
    assert f"{name}: is not the file that its manifest describes" in done.stderr
    assert not (copied.root / "docs/tiny").exists()


def test_a_figure_of_tables_before_is_not_kept(copied: Checkout) -> None:
    """The tables were made again, the forest plot was not."""
    tables = copied.root / "results/tiny/tables"
    path = tables / "differences.csv"
    path.write_text(path.read_text().replace("0.", "9.", 1))
    made = json.loads((tables / "main.manifest.json").read_text())
    made["outputs"]["differences.csv"] = sha256_file(path)
    (tables / "main.manifest.json").write_text(json.dumps(made))
    done = copied.command("archive", "results/tiny", "--output", "docs/tiny")
    assert done.returncode == 2
    assert "differences.csv: has changed since" in done.stderr
    assert "forest.manifest.json tells of it" in done.stderr


def test_what_lay_in_a_folder_before_it_was_an_archive_stays(
    finished: Checkout, tmp_path: Path
) -> None:
    own = [tmp_path / name for name in ("tables/mine.md", "figures/mine.png", "figures/a/b.webp")]
    for path in own:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    done = finished.command("archive", "results/tiny", "--output", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(path.exists() for path in own)


def test_figures_that_are_not_drawn_are_named(copied: Checkout) -> None:
    next((copied.root / "results/tiny").rglob("forest.png")).unlink()
    done = copied.command("archive", "results/tiny", "--output", "docs/tiny")
    assert done.returncode == 0, done.stderr
    assert "warning: not drawn, and so not kept: figures/" in done.stderr
    assert "forest.png" in done.stderr


@pytest.mark.parametrize("command", ["archive", "crate"])
@pytest.mark.parametrize(
    ("section", "values", "told"),
    [
        ("training", {"epochs": 50}, "epochs 1 where 50 is asked for"),
        ("evaluation", {"margins": {"psnr_db": 3.0}}, "margins.psnr_db 0.05 where 3.0 is asked"),
    ],
)
def test_a_configuration_of_other_results_is_not_kept_with_them(
    command: str, section: str, values: dict[str, object], told: str, copied: Checkout
) -> None:
    """As a run for one target leaves it."""
    path = copied.root / "results/tiny/config.yaml"
    study = yaml.safe_load(path.read_text())
    study[section] |= values
    path.write_text(yaml.safe_dump(study))
    done = copied.command(command, "results/tiny", "--output", "elsewhere")
    assert done.returncode == 2
    assert told in done.stderr
    assert not (copied.root / "elsewhere").exists()


def test_a_figure_that_was_edited_is_not_kept(copied: Checkout) -> None:
    path = next((copied.root / "results/tiny").rglob("forest.png"))
    Image.new("RGB", (8, 8)).save(path)
    done = copied.command("archive", "results/tiny", "--output", "docs/tiny")
    assert done.returncode == 2
    assert "forest.png: is not the file that its manifest describes" in done.stderr
    assert not (copied.root / "docs/tiny").exists()


def test_a_table_that_is_no_longer_what_the_code_makes(
    finished: Checkout, kept: Path, tmp_path: Path
) -> None:
    results = finished.root / "results" / "tiny"
    assert changed_tables(kept, results) == []
    shutil.copytree(kept, tmp_path / "tiny")
    (tmp_path / "tiny" / "tables" / "main.md").write_text("| of old |\n")
    assert changed_tables(tmp_path / "tiny", results) == ["main.md"]


def test_an_unfinished_study_is_not_kept(copied: Checkout) -> None:
    [metrics] = (copied.root / "results/tiny").glob("*/4x/seed0/student/volumes.csv")
    metrics.unlink()
    done = copied.command("archive", "results/tiny", "--output", "docs/tiny")
    assert done.returncode == 2
    assert "seed0/student/volumes.csv: is missing" in done.stderr
    assert not (copied.root / "docs/tiny").exists()


def test_metrics_that_were_edited_are_not_kept(copied: Checkout) -> None:
    [metrics] = (copied.root / "results/tiny").glob("*/4x/seed0/student/volumes.csv")
    metrics.write_text(metrics.read_text().replace("0.", "0.9", 1))
    done = copied.command("archive", "results/tiny", "--output", "docs/tiny")
    assert done.returncode == 2
    assert "is not the file that its manifest describes" in done.stderr
    assert not (copied.root / "docs/tiny").exists()


def test_a_folder_in_use_is_left_alone(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(InputError, match="is in use"):
        unpack(kept, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


@pytest.mark.parametrize(
    "entry", [tarfile.TarInfo("../outside"), tarfile.TarInfo("/tmp/outside"), link("a", "/etc")]
)
def test_records_that_leave_their_folder_are_refused(
    entry: tarfile.TarInfo, kept: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    pack(folder, [*contents(kept), (entry, b"")])
    with pytest.raises(InputError, match="is no plain file"):
        unpack(folder, tmp_path / "results")
    assert [p.name for p in tmp_path.iterdir()] == ["docs"]


def test_records_that_lack_a_file(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    pack(folder, [(e, c) for e, c in contents(kept) if not e.name.endswith("student/volumes.csv")])
    with pytest.raises(InputError, match=r"lacks .*student/volumes.csv"):
        unpack(folder, tmp_path / "results")
    assert [p.name for p in tmp_path.iterdir()] == ["docs"]


def test_records_of_something_else_are_refused(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    pack(folder, [*contents(kept), (tarfile.TarInfo("figures/extra.png"), b"png")])
    with pytest.raises(InputError, match=r"'figures/extra\.png' in it is no record of the study"):
        unpack(folder, tmp_path / "results")
    assert [p.name for p in tmp_path.iterdir()] == ["docs"]


def test_a_folder_without_records(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"docs/records\.tar\.xz: cannot be read"):
        unpack(tmp_path / "docs", tmp_path / "results")
    assert list(tmp_path.iterdir()) == []


def test_damaged_records(kept: Path, tmp_path: Path) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    content = (kept / RECORDS).read_bytes()
    (folder / RECORDS).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="is damaged"):
        unpack(folder, tmp_path / "results")
    assert [p.name for p in tmp_path.iterdir()] == ["docs"]
