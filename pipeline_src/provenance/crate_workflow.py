"""Describes in a study's RO-Crate the workflow and its run (Provenance Run Crate 0.5).

The main entity is the workflow, with its sources; each of its steps is a command of the package.
The run of the workflow is one `CreateAction` from the data to the report, made of those of the
steps, which Snakemake ordered.
https://www.researchobject.org/workflow-run-crate/profiles/0.5/
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline_src.config.author import Author
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.modules import PACKAGE
from pipeline_src.provenance.crate_content import Action
from pipeline_src.provenance.environment import commit_and_problem

SPECIFICATION = "1.1"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
WORKFLOW_PROFILE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
MAIN = "workflow/Snakefile"
SNAKEMAKE = "https://snakemake.github.io"
#: What each command is a step for.
STEPS = {
    "prepare": "Prepares slices of a data set",
    "mask": "Draws or reads the sampling mask of a setting",
    "train": "Trains a model",
    "evaluate": "Measures trained models, and zero filling, on patients",
    "robustness": "Measures trained models under other conditions than those of their training",
    "calibrate": "Bounds the error of each pixel of a model's reconstructions",
    "cost": "Measures what teacher and student cost",
    "runtimes": "Measures teacher and student in other runtimes",
    "tables": "Makes all tables from the metrics",
    "figure": "Draws a figure",
    "report": "Writes the report",
    "reconstruct": "Reconstructs files with a trained model",
}


def workflow_files(project: Path = PACKAGE.parent) -> list[str]:
    """Paths of the workflow's own sources in the project, the main one first.

    Raises:
        InputError: they are not beside the package, as after an installation without a checkout.
    """
    folder = project / "workflow"
    if not (project / MAIN).is_file():
        raise InputError(
            f"{folder}: is missing, and a crate holds the workflow; use a checkout of the project"
        )
    found = [
        path.relative_to(project).as_posix()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in ("", ".smk", ".json", ".yaml", ".def")
    ]
    return [MAIN, *(name for name in found if name != MAIN)]


class Workflow:
    """The entities of the workflow and of its steps in a crate.

    Args:
        crate: the crate, of the library.
        add: adds a contextual entity: identifier, type, properties.
        licence: entity of the workflow's licence.
    """

    def __init__(self, crate: Any, add: Any, licence: Any) -> None:
        self._crate, self._add = crate, add
        self._tools: dict[tuple[str, str], Any] = {}
        self._steps: dict[str, Any] = {}
        self._engine = add(SNAKEMAKE, "SoftwareApplication", name="Snakemake", url=SNAKEMAKE)
        language = add(
            "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
            "ComputerLanguage",
            name="Snakemake",
            identifier={"@id": SNAKEMAKE},
            url={"@id": SNAKEMAKE},
        )
        project, version = PACKAGE.parent, f"commit {commit_and_problem()[0] or 'not known'}"
        files = workflow_files(project)
        self.main = crate.add_file(
            project / MAIN,
            MAIN,
            properties={
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
                "name": "SFT-KD-Recon pipeline",
                "description": "Workflow that prepares data, trains, distils, measures and "
                "reports; as it was when this crate was packed",
                "programmingLanguage": {"@id": language.id},
                "license": {"@id": licence.id},
                **_facts(project / MAIN, version),
            },
        )
        for name in files[1:]:
            properties = {
                "@type": ["File", "SoftwareSourceCode"],
                "name": name,
                "description": "Source of the workflow, as it was when this crate was packed",
                **_facts(project / name, version),
            }
            crate.add_file(project / name, name, properties=properties)
        crate.root_dataset["mainEntity"] = self.main

    def tool(self, command: str, software: Any) -> Any:
        """The command of a step, as a state of the software has it."""
        key = (command, software.id)
        if key not in self._tools:
            self._tools[key] = self._add(
                f"#tool/{quote(command)}/{software.id.rpartition('/')[2]}",
                "SoftwareApplication",
                name=f"python -m pipeline_src {command}",
                description=STEPS.get(command, "Step of the workflow"),
                version=software.get("version"),
                url=software.get("url"),
                softwareRequirements=software,
            )
        return self._tools[key]

    def run(
        self, actions: Sequence[tuple[Action, Any]], agent: Any, given: Sequence[Any], made: Any
    ) -> list[Any]:
        """Add the run of the workflow; returns its actions.

        Args:
            actions: of the steps, with their entities.
            agent: who ran it; None if that is not told.
            given: files from outside the results.
            made: the results that it was run for.
        """
        controls = [
            self._add(
                f"#control/{quote(action.path)}",
                "ControlAction",
                name=f"Starts: {action.title}",
                instrument=self._step(action.command),
                object=entity,
            )
            for action, entity in actions
        ]
        told = run_times([action for action, _ in actions])
        if agent is not None:
            told["agent"] = agent
        create = self._add(
            "#run",
            "CreateAction",
            name="Run of the workflow",
            description="From the data to the report, over all its starts",
            instrument=self.main,
            object=list(given),
            result=list(made),
            **told,
        )
        organize = self._add(
            "#organization",
            "OrganizeAction",
            name="Order of the steps",
            instrument=self._engine,
            object=controls,
            result=create,
            **told,
        )
        self.main["hasPart"] = list(self._tools.values())
        self.main["step"] = [self._steps[name] for name in sorted(self._steps, key=_position)]
        return [create, organize]

    def _step(self, command: str) -> Any:
        if command not in self._steps:
            tools = [tool for (name, _), tool in self._tools.items() if name == command]
            self._steps[command] = self._add(
                f"#step/{quote(command)}",
                "HowToStep",
                name=command,
                description=STEPS.get(command, "Step of the workflow"),
                position=str(_position(command) + 1),
                workExample=tools,
            )
        return self._steps[command]


def _position(command: str) -> int:
    names = list(STEPS)
    return names.index(command) if command in names else len(names)


def run_times(actions: Sequence[Action]) -> dict[str, Any]:
    """When the first began and the last ended, as properties of an entity; of neither if no action
    has a run.
    """
    times = {
        "startTime": min((a.started for a in actions if a.started), default=None),
        "endTime": max((a.ended for a in actions if a.ended), default=None),
    }
    return {key: at.isoformat(timespec="seconds") for key, at in times.items() if at}


def _facts(path: Path, version: str) -> dict[str, str]:
    told = {"contentSize": str(path.stat().st_size), "sha256": sha256_file(path)}
    return told | {"encodingFormat": "text/plain", "version": version}


def add_author(add: Any, author: Author | None) -> Any:
    """The entity of who ran the study; None if the configuration does not tell."""
    if author is None:
        return None
    identifier = f"https://orcid.org/{author.orcid}" if author.orcid else "#author"
    return add(identifier, "Person", name=author.name)
