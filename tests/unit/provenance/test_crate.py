"""The archive of a study, from a finished study made by hand."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from pathlib import Path

import pytest
from crate_helpers import (
    COMMIT,
    EXPECTED,
    FOLDER,
    MODELS,
    NEWEST,
    SECRET,
    actions,
    graph,
    ids,
    manifest,
    put,
    references,
)
from rocrate.rocrate import ROCrate

from pipeline_src.modules import PACKAGE
from pipeline_src.provenance.crate import write_crate
from pipeline_src.provenance.crate_workflow import PROFILES, workflow_files

pytest_plugins = ["crate_fixtures"]


# What is in it.


def test_holds_the_studys_files_and_nothing_else(archive: Path, crate: ROCrate) -> None:
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        sources = set(workflow_files())
        assert {"workflow/Snakefile", "workflow/rules/training.smk"} < sources
        assert set(file.namelist()) == {*EXPECTED, *sources, "ro-crate-metadata.json"}
        assert file.namelist()[0] == "ro-crate-metadata.json"
    parts = {entity["name"] for entity in crate.data_entities if entity.id not in sources}
    assert parts == EXPECTED
    assert ids(crate.root_dataset["hasPart"]) == ids(crate.data_entities)
    assert f"{FOLDER}sft_teacher@terms.alone/weights.safetensors" in parts


def test_files_are_what_the_metadata_say(finished: Path, crate: ROCrate) -> None:
    for entity in crate.data_entities:
        ours = entity.id in workflow_files()
        place = PACKAGE.parent / entity.id if ours else finished / entity["name"]
        given = place.read_bytes()
        # Unpacked by the library, under the name that the identifier stands for.
        assert entity.source.read_bytes() == given
        assert entity["sha256"] == hashlib.sha256(given).hexdigest()
        assert entity["contentSize"] == str(len(given))
        assert re.fullmatch(r"(text|application|image)/[a-z0-9.+-]+", entity["encodingFormat"])
        assert len(entity["description"]) > 10


@pytest.mark.parametrize(
    ("name", "media_type", "words"),
    [
        ("report.html", "text/html", "one page"),
        ("tables/main.csv", "text/csv", "main table"),
        ("tables/ablation_terms.md", "text/markdown", "ablation"),
        ("figures/tiny/4x/mask.pdf", "application/pdf", "sampling mask"),
        ("tiny/4x/mask.npz", "application/zip", "FFT order"),
        (f"{FOLDER}teacher/weights.safetensors", "application/octet-stream", "trained network"),
        (f"{FOLDER}sft_teacher/student_weights.safetensors", "application/octet-stream", "blocks"),
        (f"{FOLDER}teacher/history_reconstruction.csv", "text/csv", "Losses"),
        (f"{FOLDER}teacher/manifest.json", "application/json", "What made"),
    ],
)
def test_files_are_described(name: str, media_type: str, words: str, crate: ROCrate) -> None:
    entity = crate.get(name)
    assert entity["encodingFormat"] == media_type
    assert words in entity["description"]


def test_images_are_named_and_not_there(finished: Path, archive: Path, crate: ROCrate) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            assert SECRET not in file.read(name)
    for name in ("tiny/volumes.h5", f"{FOLDER}teacher/panel.npz"):
        entity = crate.get(f"#not-included/{name}")
        content = (finished / name).read_bytes()
        assert SECRET in content
        assert entity["sha256"] == hashlib.sha256(content).hexdigest()
        assert entity["contentSize"] == str(len(content))
        assert "not in this crate" in entity["description"]
        assert entity in crate.root_dataset["mentions"]
    assert "patients" in crate.get("#not-included/tiny/volumes.h5")["description"]


def test_tells_nothing_of_the_machines_folders(finished: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive) as file:
        for name in file.namelist():
            content = file.read(name)
            for place in (finished.parent.parent, Path(__file__).parents[2]):
                assert str(place).encode() not in content, name
    assert "../" not in json.dumps(graph(archive))
    assert "patient 1" not in json.dumps(graph(archive))


# What made it.


def test_every_manifest_is_an_action(crate: ROCrate) -> None:
    made = actions(crate)
    trainings = {f"train {FOLDER}{model}" for model in MODELS.names()}
    evaluations = {f"evaluate {FOLDER}{model}/slices" for model in MODELS.names()}
    others = {"prepare tiny/volumes", "evaluate tiny/4x/zero_filled/slices"}
    others |= {"figure figures/tiny/4x/mask", "figure figures/tiny/legend"}
    assert set(made) == {*trainings, *evaluations, *others, "Run of the workflow"}
    assert "object" not in made["figure figures/tiny/legend"]
    assert ids(list(made.values())) <= ids(crate.root_dataset["mentions"])


def test_a_training_has_inputs_outputs_tool_and_times(crate: ROCrate) -> None:
    action = actions(crate)[f"train {FOLDER}sft_kd_at"]
    assert ids(action["object"]) == {
        "#not-included/tiny/volumes.h5",
        "tiny/4x/mask.npz",
        f"{FOLDER}sft_teacher/weights.safetensors",
    }
    assert ids(action["result"]) == {
        f"{FOLDER}sft_kd_at/{name}"
        for name in (
            "weights.safetensors",
            "history_features.csv",
            "history_reconstruction.csv",
            "manifest.json",
        )
    }
    assert action["startTime"] == "2026-01-02T03:04:05+00:00"
    assert action["endTime"] == "2026-01-02T05:00:20+00:00"
    assert "30.8 s in 2 runs on Abacus" in action["description"]
    assert action["instrument"].type == "SoftwareApplication"


def test_files_lead_to_their_action_and_back(finished: Path, crate: ROCrate) -> None:
    steps = [action for action in actions(crate).values() if action.id != "#run"]
    maker = {entity.id: action for action in steps for entity in action["result"]}
    for path in finished.rglob("*manifest.json"):
        place = path.relative_to(finished)
        own = crate.get(place.as_posix().replace("@", "%40"))
        action = own["about"]
        assert maker[own.id] == action
        for name, digest in json.loads(path.read_text())["outputs"].items():
            results = [e for e in action["result"] if e["name"] == (place.parent / name).as_posix()]
            assert [e["sha256"] for e in results] == [digest]
            assert maker[results[0].id] == action


def test_a_file_without_manifest_has_no_action(archive: Path, crate: ROCrate) -> None:
    assert crate.get("report.html")["contentSize"] == str(len("report.html"))
    for entity in graph(archive):
        if entity["@id"] not in ("./", "#run"):
            assert "report.html" not in references(entity)


def test_no_link_leads_nowhere(archive: Path) -> None:
    entities = graph(archive)
    known = {entity["@id"] for entity in entities}
    assert len(known) == len(entities)
    for entity in entities:
        missing = set(references(entity)) - known
        assert all(reference.startswith("https://w3id.org/") for reference in missing)


def test_given_files_go_by_digest_and_name(finished: Path, crate: ROCrate) -> None:
    source = actions(crate)["prepare tiny/volumes"]["object"]
    content = (finished.parent.parent / "data/patient 1/scan.nii.gz").read_bytes()
    assert source["name"] == "scan.nii.gz"
    assert source["sha256"] == hashlib.sha256(content).hexdigest()
    assert source.id.startswith("#given/")


def test_root_says_what_when_by_what_and_after_whom(crate: ROCrate) -> None:
    root = crate.root_dataset
    assert root["name"] == "A tiny study"
    assert "drawn phantoms" in root["description"]
    assert "4x" in root["description"]
    assert root.properties()["datePublished"] == NEWEST
    assert root["license"].id == "https://spdx.org/licenses/MIT"
    software = root["creator"]
    assert software["version"] == f"commit {COMMIT}"
    assert {"torch", "python"} <= {package["name"] for package in software["softwareRequirements"]}
    paper = crate.get("https://arxiv.org/abs/2304.05057")
    assert paper.type == "ScholarlyArticle"
    assert "PMLR 227" in paper["isPartOf"]
    assert paper["author"][0]["name"].startswith("Matcha")
    assert paper in root["mentions"]
    assert root["citation"] == paper
    assert ids(root["conformsTo"]) == set(PROFILES)
    assert "https://w3id.org/ro/crate/1.1" in crate.metadata["conformsTo"]


def test_two_states_of_the_code_are_two_tools(results: Path, tmp_path: Path) -> None:
    path = results / FOLDER / "student/manifest.json"
    content = json.loads(path.read_text())
    content["made_by"] |= {"commit": None, "version": "1.2.3"}
    path.write_text(json.dumps(content))
    write_crate(results, tmp_path / "c.zip")
    crate = ROCrate(tmp_path / "c.zip")
    versions = {tool["version"] for tool in crate.root_dataset["creator"]}
    assert versions == {f"commit {COMMIT}", "1.2.3, commit not known"}
    tool = actions(crate)[f"train {FOLDER}student"]["instrument"]
    assert tool["version"] == "1.2.3, commit not known"
    assert tool["softwareRequirements"]["version"] == tool["version"]
    step = crate.get("#step/train")
    assert tool in step["workExample"]
    assert len(step["workExample"]) == 2


def test_another_license(finished: Path, tmp_path: Path) -> None:
    url = "https://creativecommons.org/licenses/by-nc-sa/4.0/"
    write_crate(finished, tmp_path / "c.zip", url)
    assert ROCrate(tmp_path / "c.zip").root_dataset["license"].id == url


# Writing again.


def test_the_same_results_give_the_same_bytes(
    archive: Path, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = results / "tiny.crate.zip"
    for _ in range(2):
        write_crate(results, output)
        assert output.read_bytes() == archive.read_bytes()
        # As the command line leaves it.
        manifest(results / "tiny.crate.manifest.json", "crate", {}, [output], [])
    monkeypatch.chdir(results)
    write_crate(Path(), Path("again.zip"))
    assert (results / "again.zip").read_bytes() == archive.read_bytes()


def test_a_changed_file_changes_its_digest_alone(archive: Path, results: Path) -> None:
    put(results / "tables" / "main.csv", "other numbers")
    write_crate(results, results / "c.zip")
    before, after = graph(archive), graph(results / "c.zip")
    changed = [b["@id"] for a, b in zip(before, after, strict=True) if a != b]
    assert changed == ["tables/main.csv"]
