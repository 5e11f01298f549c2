"""Collects what goes into a study's RO-Crate: its files, and the manifests that connect them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pipeline_src.config import Study, load_study
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.planning import places as layout
from pipeline_src.planning.reported import of_study
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.as_configured import check_settings
from pipeline_src.provenance.crate_descriptions import DESCRIPTIONS, FORMATS
from pipeline_src.provenance.manifest import UNKNOWN, Manifest

#: Files that manifests name or that every study has, but that are not put into a crate.
NOT_INCLUDED = (
    (f"*/{layout.STORE}", "Prepared slices of all volumes, which may be images of patients"),
    (f"*/{layout.PANEL}", "The reconstructed slice that the pictures show"),
)


def required_files(study: Study) -> Iterator[str]:
    """Paths in the results that every finished study has, in the order in which they are made."""
    yield layout.CONFIG
    yield from _stores(study)
    models, metrics, places = Models(study), (layout.SLICES, layout.VOLUMES), layout.Places(study)
    for setting in study.settings():
        yield from (places.mask(*setting, seed) for seed in places.seeds("mask"))
        for repeat in places.seeds("zero_filled"):
            yield from (f"{places.zero_filled(*setting, repeat)}/{name}" for name in metrics)
        for seed in study.seeds:
            for model in models.names(setting):
                stages = [layout.history(stage) for stage in models.plan(model, seed).stages]
                for name in (layout.WEIGHTS, layout.MANIFEST, *stages, *metrics):
                    yield f"{places.model(*setting, seed, model)}/{name}"
    for files in of_study(study).measurements.values():
        yield from files
    yield from (f"{layout.TABLE_FOLDER}/main.{suffix}" for suffix in ("csv", "html"))
    yield layout.REPORT


def _stores(study: Study) -> Iterator[str]:
    places = layout.Places(study)
    for dataset in study.datasets:
        yield from (places.store(dataset, seed) for seed in places.seeds("store"))


@dataclass(frozen=True)
class Action:
    """The content of one manifest in the results.

    Attributes:
        path: the manifest's path in the results.
        command: what made the outputs, such as `train`.
        inputs, outputs: SHA-256 by path in the results; the path of a file elsewhere begins with
            `../` or `/`.
        started, ended: beginning of the first and end of the last run; None if there is no run.
        effort: seconds, runs and processors in a few words.
        version: version and commit of the pipeline.
        packages: versions by name.
    """

    path: str
    command: str
    inputs: dict[str, str]
    outputs: dict[str, str]
    started: datetime | None
    ended: datetime | None
    effort: str
    version: str
    packages: dict[str, str]

    @property
    def title(self) -> str:
        """What was done: `train brain/4x/seed0/sft_kd_at`."""
        return f"{self.command} {self.path.removesuffix(layout.MANIFEST).rstrip('./')}"


def read_action(results: Path, path: str) -> Action:
    """Read the manifest at a path in the results.

    Raises:
        InputError: it cannot be read, or lacks what every manifest has.
    """
    manifest = Manifest.read(results / path, "command", "inputs", "outputs", "runs", "made_by")
    runs, by = manifest.runs, manifest.made_by
    try:
        starts = [run.began() for run in runs]
        ends = [at + timedelta(seconds=run.seconds) for at, run in zip(starts, runs, strict=True)]
        started, ended = min(starts, default=None), max(ends, default=None)
    except (OverflowError, TypeError, ValueError) as error:
        raise manifest.refusal(f"runs: {error}") from None
    processors = " and ".join(dict.fromkeys(run.processor or UNKNOWN for run in runs))
    times = f" in {len(runs)} runs" if len(runs) > 1 else ""
    return Action(
        path,
        manifest.command,
        {_place(path, given.path): given.sha256 for given in manifest.inputs.values()},
        {_place(path, name): sha256 for name, sha256 in manifest.outputs.items()},
        started,
        ended,
        f"{manifest.seconds:.1f} s{times} on {processors}" if runs else "time not known",
        ", ".join(filter(None, (by.version, f"commit {by.commit or 'not known'}"))),
        by.packages,
    )


def _place(manifest: str, path: str) -> str:
    """The path in the results of a file that a manifest names relative to itself."""
    return os.path.normpath(PurePosixPath(manifest).parent / path)


def is_inside(place: str) -> bool:
    """Whether a path lies in the results."""
    return not place.startswith(("../", "/"))


@dataclass(frozen=True)
class Content:
    """The results of a study.

    Attributes:
        results: their folder.
        study: the study, as configured.
        included: paths of the files of the crate, sorted.
        listed: paths of the files that are only named in it, sorted.
        actions: in the order of their manifests' paths.
        digests: SHA-256 of all included and listed files.
    """

    results: Path
    study: Study
    included: list[str]
    listed: list[str]
    actions: list[Action]
    digests: dict[str, str]


def read_results(results: Path) -> Content:
    """Collect the results of a finished study.

    Raises:
        InputError: see `write_crate`.
    """
    require_file(results, layout.CONFIG)
    study = load_study(results / layout.CONFIG)
    for name in required_files(study):
        require_file(results, name)
    included, actions = [], []
    for name in _described_files(results, study):
        check_inside(results, name)
        if name.endswith(layout.MANIFEST):
            action = read_action(results, name)
            if action.command == "crate":
                continue
            actions.append(action)
        included.append(name)
    named = {place for a in actions for place in (*a.inputs, *a.outputs) if is_inside(place)}
    for place in sorted(named):
        require_file(results, place)
    listed = sorted((named | set(_stores(study))) - set(included))
    digests = {name: sha256_file(results / name) for name in (*included, *listed)}
    for action in actions:
        check_digests(results, action, digests)
    check_settings(results, study)
    return Content(results, study, included, listed, actions, digests)


def require_file(results: Path, name: str) -> None:
    """Check that a file is in the results.

    Raises:
        InputError: it is missing.
    """
    if not (results / name).is_file():
        raise InputError(f"{results / name}: is missing; finish the study with the workflow first")


def check_inside(results: Path, name: str) -> None:
    """Refuse a link out of the results, since crates and archives are published.

    Raises:
        InputError: the file is such a link.
    """
    place = (results / name).resolve()
    if not place.is_relative_to(results.resolve()):
        raise InputError(
            f"{results / name}: is a link to {place}, outside the results; put the file itself in "
            "its place, or remove it"
        )


def _described_files(results: Path, study: Study) -> Iterator[str]:
    """Paths of the files that the study has as configured; an older configuration may have left
    others.
    """
    folders = {"."} | {PurePosixPath(name).parent.as_posix() for name in required_files(study)}
    for path in sorted(results.rglob("*")):
        place = PurePosixPath(path.relative_to(results).as_posix())
        top, *below = place.parts
        if top == layout.FIGURE_FOLDER:
            known = len(below) < 2 or below[0] in study.datasets
        else:
            known = top == layout.TABLE_FOLDER or place.parent.as_posix() in folders
        hidden = any(part.startswith(".") for part in place.parts)
        wanted = known and not hidden and place.suffix in FORMATS
        if wanted and path.is_file() and describe_file(DESCRIPTIONS, str(place)):
            yield str(place)


def describe_file(known: Sequence[tuple[str, str]], name: str) -> str:
    """What a file in the results is, by its path; empty for unknown files."""
    return next((text for pattern, text in known if fnmatchcase(name, pattern)), "")


def check_digests(results: Path, action: Action, digests: dict[str, str]) -> None:
    """Check a manifest against the digests of files, as far as they are known.

    Raises:
        InputError: a file differs from the one in the manifest.
    """
    for places, problem in (
        (action.outputs, "is not the file that its manifest describes"),
        (action.inputs, f"has changed since {results / action.path} tells of it"),
    ):
        for place, sha256 in places.items():
            if is_inside(place) and digests.get(place, sha256) != sha256:
                raise InputError(f"{results / place}: {problem}; run the workflow again")
