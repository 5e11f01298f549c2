"""The archive of a study and its numbers in long form, from a finished study made by hand."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from reporting_helpers import VOLUMES, value
from rocrate.rocrate import ROCrate
from training_helpers import CONFIGURATION

from pipeline_src import provenance
from pipeline_src.config import Models, check_study
from pipeline_src.errors import InputError
from pipeline_src.evaluation.results import METRICS, read_metrics
from pipeline_src.provenance import write_manifest
from pipeline_src.reporting.crate import write_crate
from pipeline_src.reporting.numbers import tidy_numbers, write_tidy

STUDY = check_study(
    CONFIGURATION
    | {
        "title": "A tiny study",
        "methods": {"at": {}},
        "ablations": {
            "terms": {
                "models": ["sft_teacher"],
                "variants": {"alone": {"set": {"sft": {"imitation_weight": 0.5}}}},
            }
        },
    }
)
MODELS = Models(STUDY)
SECRET = b"\x89 pixels of a patient"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
SITTINGS = [
    {"started": "2026-01-02T03:04:05+00:00", "seconds": 10.5, "processor": "Abacus"},
    {"started": "2026-01-02T05:00:00+00:00", "seconds": 20.25, "processor": "Abacus"},
]
NEWEST = "2026-03-01T00:00:07+00:00"


def put(path: Path, content: str | bytes = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else (content or path.name).encode())
    return path


def manifest(
    path: Path,
    command: str,
    inputs: dict[str, Path],
    outputs: list[Path],
    sittings: list[dict[str, Any]] | None = None,
) -> None:
    write_manifest(
        path,
        command=command,
        inputs=inputs,
        outputs=outputs,
        code={"models": "d1g35t"},
        sittings=SITTINGS[:1] if sittings is None else sittings,
        facts={"dataset": "tiny"},
    )


def train(setting: Path, model: str) -> None:
    """What a training and an evaluation leave behind."""
    folder = setting / "seed0" / model
    plan = MODELS.plan(model, 0)
    names = ["weights.safetensors", *(f"history_{stage}.csv" for stage in plan.stages)]
    names += ["student_weights.safetensors"] if plan.sft else []
    outputs = [put(folder / name, f"{name} of {model}") for name in names]
    inputs = {"store": setting.parent / "volumes.h5", "mask": setting / "mask.npz"}
    if teacher := MODELS.teacher(model):
        inputs["teacher"] = setting / "seed0" / teacher / "weights.safetensors"
    manifest(folder / "manifest.json", "train", inputs, outputs, SITTINGS)
    evaluate(folder, {**inputs, "weights": outputs[0]})


def evaluate(folder: Path, inputs: dict[str, Path]) -> None:
    outputs = [put(folder / name) for name in ("slices.csv", "volumes.csv")]
    outputs.append(put(folder / "panel.npz", b"panel: " + SECRET))
    manifest(folder / "slices.manifest.json", "evaluate", inputs, outputs)


def make_results(root: Path) -> Path:
    """A finished study below ``root``; masks, tables and the report have no manifest."""
    results = root / "results" / "tiny"
    setting = results / "tiny" / "4x"
    put(results / "config.yaml", yaml.safe_dump(STUDY.model_dump(mode="json"), sort_keys=False))
    source = put(root / "data" / "patient 1" / "scan.nii.gz", b"scan: " + SECRET)
    store = put(results / "tiny" / "volumes.h5", b"store: " + SECRET)
    manifest(store.with_suffix(".manifest.json"), "prepare", {"volumes/0": source}, [store])
    mask = put(setting / "mask.npz")
    evaluate(setting / "zero_filled", {"store": store, "mask": mask})
    for model in MODELS.names():
        train(setting, model)
    for name in ("main.csv", "main.html", "ablation_terms.md", "all_numbers.csv"):
        put(results / "tables" / name)
    drawn = put(results / "figures/tiny/legend.png")
    manifest(drawn.with_suffix(".manifest.json"), "figure", {}, [drawn])
    figure = [put(results / "figures/tiny/4x" / f"mask.{suffix}") for suffix in ("png", "pdf")]
    newest = [{"started": "2026-03-01T00:00:00+00:00", "seconds": 7.25, "processor": "Abacus"}]
    manifest(figure[0].with_suffix(".manifest.json"), "figure", {"shown/0": mask}, figure, newest)
    put(results / "report.html")
    # What is of no interest, or of no use.
    put(results / "logs" / "train" / "a.csv")
    put(results / "benchmarks" / "a.csv")
    put(setting / "seed0" / "student" / "training.state")
    put(setting / "seed0" / "student" / ".weights.abcdefgh.safetensors")
    put(setting / "seed0" / "sft_kd_gone" / "weights.safetensors", "of an earlier configuration")
    return results


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "git_commit", lambda: COMMIT)
        yield make_results(tmp_path_factory.mktemp("finished"))


@pytest.fixture(scope="module")
def archive(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crate") / "tiny.crate.zip"
    write_crate(finished, path)
    return path


@pytest.fixture(scope="module")
def crate(archive: Path) -> ROCrate:
    return ROCrate(archive)


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    shutil.copytree(finished.parent.parent, tmp_path, dirs_exist_ok=True)
    return tmp_path / "results" / "tiny"


def graph(archive: Path) -> list[dict[str, Any]]:
    with zipfile.ZipFile(archive) as file:
        entities: list[dict[str, Any]] = json.loads(file.read("ro-crate-metadata.json"))["@graph"]
    return entities


def references(entity: dict[str, Any]) -> list[str]:
    values = [one for value in entity.values() for one in listed(value)]
    return [value["@id"] for value in values if isinstance(value, dict)]


def actions(crate: ROCrate) -> dict[str, Any]:
    return {a["name"]: a for a in crate.get_by_type("CreateAction")}


def listed(value: Any) -> list[Any]:
    """A list of one is written as that one."""
    return value if isinstance(value, list) else [value]


def ids(entities: Any) -> set[str]:
    return {entity.id for entity in listed(entities)}


FOLDER = "tiny/4x/seed0/"
EXPECTED = {
    "config.yaml",
    "report.html",
    "tables/main.csv",
    "tables/main.html",
    "tables/ablation_terms.md",
    "tables/all_numbers.csv",
    "figures/tiny/4x/mask.png",
    "figures/tiny/4x/mask.pdf",
    "figures/tiny/4x/mask.manifest.json",
    "figures/tiny/legend.png",
    "figures/tiny/legend.manifest.json",
    "tiny/volumes.manifest.json",
    "tiny/4x/mask.npz",
    *(f"tiny/4x/zero_filled/{name}" for name in ("slices.csv", "volumes.csv")),
    "tiny/4x/zero_filled/slices.manifest.json",
    f"{FOLDER}sft_teacher/student_weights.safetensors",
    f"{FOLDER}sft_teacher@terms.alone/student_weights.safetensors",
    *(
        f"{FOLDER}{model}/{name}"
        for model in MODELS.names()
        for name in (
            "weights.safetensors",
            "manifest.json",
            "slices.csv",
            "volumes.csv",
            "slices.manifest.json",
            *(f"history_{stage}.csv" for stage in MODELS.plan(model, 0).stages),
        )
    ),
}


# What is in it.


def test_holds_the_studys_files_and_nothing_else(archive: Path, crate: ROCrate) -> None:
    with zipfile.ZipFile(archive) as file:
        assert file.testzip() is None
        assert set(file.namelist()) == {*EXPECTED, "ro-crate-metadata.json"}
        assert file.namelist()[0] == "ro-crate-metadata.json"
    parts = {entity["name"] for entity in crate.data_entities}
    assert parts == EXPECTED
    assert ids(crate.root_dataset["hasPart"]) == ids(crate.data_entities)
    assert f"{FOLDER}sft_teacher@terms.alone/weights.safetensors" in parts


def test_files_are_what_the_metadata_say(finished: Path, crate: ROCrate) -> None:
    for entity in crate.data_entities:
        given = (finished / entity["name"]).read_bytes()
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
            for place in (finished.parent.parent, Path(__file__).parent.parent):
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
    assert set(made) == {*trainings, *evaluations, *others}
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
    assert "30.8 s in 2 sittings on Abacus" in action["description"]
    assert action["instrument"].type == "SoftwareApplication"


def test_files_lead_to_their_action_and_back(finished: Path, crate: ROCrate) -> None:
    maker = {entity.id: action for action in actions(crate).values() for entity in action["result"]}
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
        if entity["@id"] != "./":
            assert "report.html" not in references(entity)


def test_no_link_leads_nowhere(archive: Path) -> None:
    entities = graph(archive)
    known = {entity["@id"] for entity in entities}
    assert len(known) == len(entities)
    for entity in entities:
        missing = set(references(entity)) - known
        assert all(reference.startswith("https://w3id.org/ro/crate/") for reference in missing)


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
    assert crate.metadata["conformsTo"] == "https://w3id.org/ro/crate/1.2"


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


# What is refused.


def refused(results: Path) -> str:
    output = results.parent / "out" / "crate.zip"
    with pytest.raises(InputError) as caught:
        write_crate(results, output)
    assert not output.parent.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "config.yaml",
        "tiny/volumes.h5",
        "tiny/4x/mask.npz",
        "tiny/4x/zero_filled/volumes.csv",
        f"{FOLDER}sft_teacher@terms.alone/weights.safetensors",
        f"{FOLDER}sft_kd_at/history_features.csv",
        f"{FOLDER}student/slices.csv",
        f"{FOLDER}student/manifest.json",
        "tables/main.csv",
        "report.html",
        # Named by manifests alone.
        f"{FOLDER}sft_teacher/student_weights.safetensors",
        f"{FOLDER}teacher/panel.npz",
        "figures/tiny/4x/mask.pdf",
    ],
)
def test_an_unfinished_study(name: str, results: Path) -> None:
    (results / name).unlink()
    assert f"{results / name}: is missing" in refused(results)


def test_the_first_missing_file_is_named(results: Path) -> None:
    for name in ("report.html", "tables/main.csv", "tiny/4x/mask.npz"):
        (results / name).unlink()
    assert refused(results).startswith(f"{results / 'tiny/4x/mask.npz'}: is missing")


def test_no_results_at_all(tmp_path: Path) -> None:
    results = tmp_path / "nothing"
    assert refused(results).startswith(f"{results / 'config.yaml'}: is missing")


def test_a_file_that_is_not_what_was_made(results: Path) -> None:
    path = put(results / FOLDER / "student/history_reconstruction.csv", "edited")
    assert f"{path}: is not the file that its manifest describes" in refused(results)


def test_a_file_that_changed_after_it_was_read(results: Path) -> None:
    path = put(results / "tiny/4x/mask.npz", "drawn anew")
    line = refused(results)
    assert f"{path}: has changed" in line
    assert "manifest.json" in line


@pytest.mark.parametrize("key", ["command", "inputs", "outputs", "sittings", "made_by"])
def test_a_manifest_that_lacks_something(key: str, results: Path) -> None:
    path = results / FOLDER / "student/manifest.json"
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    line = refused(results)
    assert f"{path}: is no manifest of this pipeline" in line
    assert key in line


def test_a_manifest_that_is_no_mapping(results: Path) -> None:
    path = put(results / FOLDER / "student/manifest.json", "[1, 2]")
    assert f"{path}: is no manifest" in refused(results)
    put(path, "{")
    assert f"{path}: is not valid JSON" in refused(results)


def test_no_time_anywhere(results: Path) -> None:
    for path in results.rglob("*manifest.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"sittings": []}))
    assert "no manifest in it tells when" in refused(results)


def test_a_write_that_fails_leaves_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    output = tmp_path / "out" / "c.zip"
    with pytest.raises(InputError, match="No space left"):
        write_crate(results, output)
    assert list(output.parent.iterdir()) == []


# The numbers in long form.


LABELS = ["dataset", "acceleration", "model", "training", "variant", "seed"]
KEYS = [*LABELS, "part", "patient", "frame", "metric"]
COLUMNS = [*KEYS, "value"]


def written(tmp_path: Path, *tables: pd.DataFrame) -> pd.DataFrame:
    """The tables written as the evaluation does, one file a model, and read back in long form."""
    paths = []
    for table in tables:
        for number, (_, rows) in enumerate(table.groupby(["model", "training"], sort=False)):
            paths.append(tmp_path / f"{len(paths)}_{number}.csv")
            rows.to_csv(paths[-1], index=False)
    output = tmp_path / "tables" / "all_numbers.csv"
    write_tidy(read_metrics(paths), output)
    assert list(output.parent.iterdir()) == [output]
    text = {"patient": str, "frame": str, "variant": str, "seed": "Int64"}
    return pd.read_csv(output, dtype=text, keep_default_na=False, na_values={"seed": [""]})


def test_every_number_is_there_once_and_exact(tmp_path: Path) -> None:
    table = written(tmp_path, VOLUMES)
    assert list(table.columns) == COLUMNS
    assert len(table) == len(VOLUMES) * len(METRICS)
    assert not table.duplicated(KEYS).any()
    for row in table.itertuples(index=False):
        seed = None if pd.isna(row.seed) else int(row.seed)
        where = (row.dataset, row.acceleration, row.model, row.training, seed, row.patient)
        assert row.value == value(str(row.metric), *where, row.frame)


def test_seeds_are_whole_and_zero_filling_has_none(tmp_path: Path) -> None:
    written(tmp_path, VOLUMES)
    lines = (tmp_path / "tables" / "all_numbers.csv").read_text().splitlines()
    assert lines[0] == ",".join(COLUMNS)
    seeds = {(line.split(",")[2], line.split(",")[5]) for line in lines[1:]}
    assert {seed for model, seed in seeds if model == "zero_filled"} == {""}
    assert {seed for model, seed in seeds if model != "zero_filled"} == {"0", "1"}


def test_order_does_not_depend_on_the_files() -> None:
    shuffled = VOLUMES.sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(tidy_numbers(shuffled), tidy_numbers(VOLUMES))


def test_accelerations_go_by_size_and_metrics_by_name() -> None:
    rows = VOLUMES[VOLUMES["acceleration"] == "4x"]
    both = pd.concat([rows.assign(acceleration="10x"), rows])
    table = tidy_numbers(both)
    brain = table[table["dataset"] == "brain"]
    assert list(dict.fromkeys(brain["acceleration"])) == ["4x", "10x"]
    assert list(table["metric"][: len(METRICS)]) == list(METRICS)


def test_awkward_values_and_names_read_back(tmp_path: Path) -> None:
    rows = VOLUMES.iloc[:3].copy()
    values = [0.1 + 0.2, 1 / 3, np.nextafter(1.0, 2.0)]
    rows["psnr_db"] = values
    rows.loc[rows.index[0], "nmse"] = np.inf
    rows["patient"] = ["007", "1e5", "a,b"]
    rows["frame"] = ["", "01", "ED"]
    table = written(tmp_path, rows)
    psnr = table[table["metric"] == "psnr_db"].set_index("patient")
    assert psnr["value"].to_dict() == dict(zip(["007", "1e5", "a,b"], values, strict=True))
    assert psnr["frame"].to_dict() == {"007": "", "1e5": "01", "a,b": "ED"}
    assert np.isinf(table[table["metric"] == "nmse"]["value"]).sum() == 1


def test_variants_stand_beside_the_study(tmp_path: Path) -> None:
    variant = VOLUMES[VOLUMES["model"] == "at"].assign(variant="terms.alone")
    table = written(tmp_path, VOLUMES, variant)
    assert (table["variant"] == "terms.alone").sum() == len(variant) * len(METRICS)
    assert len(table) == (len(VOLUMES) + len(variant)) * len(METRICS)


def test_files_without_variant_and_frame(tmp_path: Path) -> None:
    rows = VOLUMES.drop(columns=["variant", "frame"]).drop_duplicates(
        ["dataset", "acceleration", "model", "training", "seed", "patient"]
    )
    table = written(tmp_path, rows)
    assert set(table["variant"]) == set(table["frame"]) == {""}


def test_the_same_volume_twice(tmp_path: Path) -> None:
    again = VOLUMES[VOLUMES["model"] == "at"]
    with pytest.raises(InputError, match=r"there twice \(brain, .*\); give each"):
        written(tmp_path, VOLUMES, again)
    assert not (tmp_path / "tables").exists()


def test_slices_are_no_volumes(tmp_path: Path) -> None:
    slices = pd.concat([VOLUMES.assign(slice=number) for number in range(2)])
    with pytest.raises(InputError, match="there twice"):
        written(tmp_path, slices)


@pytest.mark.parametrize(("column", "bad"), [("seed", "first"), ("seed", 0.5), ("ssim", "good")])
def test_what_is_no_number(column: str, bad: object, tmp_path: Path) -> None:
    rows = VOLUMES.astype({column: object})
    rows.iloc[-1, rows.columns.get_loc(column)] = bad
    with pytest.raises(InputError, match="is no number"):
        written(tmp_path, rows)
    assert not (tmp_path / "tables").exists()


def test_no_file_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no metrics file given"):
        write_tidy(read_metrics([]), tmp_path / "out.csv")
    with pytest.raises(InputError, match=r"gone\.csv"):
        write_tidy(read_metrics([tmp_path / "gone.csv"]), tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []
