"""The workflow and its run in a study's archive."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from crate_helpers import actions, ids
from pydantic import ValidationError
from rocrate.rocrate import ROCrate

from pipeline_src.config.author import Author
from pipeline_src.provenance.crate import write_crate

pytest_plugins = ["crate_fixtures"]


def test_the_run_of_the_workflow_is_made_of_its_steps(crate: ROCrate) -> None:
    """What Provenance Run Crate 0.5 requires; a validator of its profile finds nothing else."""
    main = crate.mainEntity
    assert main.id == "workflow/Snakefile"
    assert set(main.type) == {"File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"}
    assert main["programmingLanguage"]["name"] == "Snakemake"
    run, organized = crate.get("#run"), crate.get("#organization")
    assert run["instrument"] == main
    assert organized["result"] == run
    assert crate.get("report.html") in run["result"]
    assert run["object"]["name"] == "scan.nii.gz"
    controlled = {control["object"].id: control for control in organized["object"]}
    steps = {step.id: step for step in main["step"]}
    tools = ids(main["hasPart"])
    for action in actions(crate).values():
        if action != run:
            assert controlled[action.id]["instrument"].id in steps
            assert action["instrument"].id in tools
    assert [step["name"] for step in main["step"]] == ["prepare", "train", "evaluate", "figure"]
    for step in steps.values():
        assert ids(step["workExample"]) <= tools


def test_who_ran_it_is_told_with_orcid(finished: Path, tmp_path: Path) -> None:
    results = tmp_path / "results/tiny"
    shutil.copytree(finished.parents[1], tmp_path, dirs_exist_ok=True)
    config = yaml.safe_load((results / "config.yaml").read_text())
    config["author"] = {"name": "Josiah Carberry", "orcid": "0000-0002-1825-0097"}
    (results / "config.yaml").write_text(yaml.safe_dump(config))
    write_crate(results, tmp_path / "c.zip")
    crate = ROCrate(tmp_path / "c.zip")
    author = crate.get("https://orcid.org/0000-0002-1825-0097")
    assert (author.type, author["name"]) == ("Person", "Josiah Carberry")
    assert crate.get("#run")["agent"] == author
    assert author in crate.root_dataset["creator"]


@pytest.mark.parametrize("orcid", ["0000-0002-1825-0098", "0000-0002-1825-009", "12", "https://x"])
def test_a_wrong_orcid_is_refused(orcid: str) -> None:
    with pytest.raises(ValidationError, match="is no ORCID"):
        Author(name="Josiah Carberry", orcid=orcid)
