"""Says why a result is outdated: made with other settings, code or files, or edited since."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.planning.places import MANIFEST, manifest_of
from pipeline_src.planning.step_code import digests
from pipeline_src.planning.steps import Step
from pipeline_src.provenance.manifest import Manifest


def is_outdated(step: Step, manifest: str, output: str) -> bool:
    """Whether a result exists but was made with other settings, code or files."""
    return Path(output).exists() and bool(why_outdated(step, Path(manifest)))


def is_unfinished(step: Step, manifest: Path) -> bool:
    """Whether a result is outdated only because what it was made from has been made again, as by a
    run that was interrupted before it came to this result.
    """
    return not why_outdated(replace(step, made_from=None), manifest)


def why_outdated(step: Step, manifest: Path) -> str:
    """Why a result is outdated, as the end of a sentence; empty if it is not.

    A result without a manifest is outdated, since nothing is known about it.
    """
    if not manifest.exists():
        return "has no manifest that says what made it"
    try:
        made = Manifest.read(manifest, "settings", "code")
    except InputError:
        return "has a manifest that does not say which settings and code made it"
    asked = json.loads(json.dumps(dict(step.settings)))
    if made.settings != asked:
        return f"was made with {_first_difference(made.settings, asked)}"
    for files in (step.given, step.made_from):
        if files is not None and (other := _other_file(made, files)):
            return f"was made from {other}"
    now, then = digests(step.code), made.code
    changed = sorted(name for name in then.keys() | now.keys() if then.get(name) != now.get(name))
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        return f"was made by other code ({changed[0]}{more})"
    if edited := _edited(made, manifest):
        return f"was changed after it was made ({edited})"
    return ""


def _edited(made: Manifest, manifest: Path) -> str:
    """The first file beside a manifest that is not the one that it describes; empty if there is
    none.

    A manifest is written last, so only a file is read that is newer, or older than what made it, as
    one that was copied or moved here with its date.
    """
    begun, written = _begun(made), manifest.stat().st_mtime_ns
    for name, sha256 in made.outputs.items():
        path = manifest.parent / name
        try:
            if not begun <= path.stat().st_mtime_ns <= written and sha256_file(path) != sha256:
                return name
        except (OSError, InputError):
            continue  # Snakemake sees what is missing.
    return ""


def _begun(made: Manifest) -> int:
    """When the first run of a result began, in nanoseconds since 1970; 0 if that is not told."""
    try:
        starts = [run.began().timestamp() for run in made.runs]
    except (OSError, OverflowError, ValueError):
        return 0
    return int(min(starts, default=0) * 1e9)


def _other_file(made: Manifest, given: list[Path]) -> str:
    """How the input files that a manifest lists differ from those that exist now, in a few words;
    empty if they do not.

    A file of the same name, size and date is taken to be the same; otherwise its digest decides, as
    in a copy of the data. That of a result is read in its own manifest: whether it is still as that
    says is asked of the step that made it.
    """
    try:
        inputs = made.require("inputs").inputs.values()
    except InputError:
        return "files of which nothing is known"
    listed = [(Path(one.path).name, one.size, one.modified, one.sha256) for one in inputs]
    if len(listed) != len(given):
        return f"{len(listed)} files where there are {len(given)} now"
    dated = Counter(one[:3] for one in listed)
    by_date = {one[:3]: one[3] for one in listed}
    left = Counter((name, sha256) for name, _, _, sha256 in listed)
    for path in given:
        file = path.resolve()
        state = file.stat()
        one = (file.name, state.st_size, state.st_mtime_ns)
        # Files of one name, such as T1.nii of every patient, may share a date only by its copy.
        sha256 = by_date[one] if dated[one] == 1 else _digest(path)
        if not left[file.name, sha256]:
            return f"another {'/'.join(path.parts[-2:])}"
        left[file.name, sha256] -= 1
    return ""


def _digest(path: Path) -> str:
    """The digest of a file by the manifest of what made it, or else by its content."""
    for manifest in (Path(manifest_of(str(path))), path.parent / MANIFEST):
        with contextlib.suppress(OSError):
            if found := _outputs(manifest, manifest.stat().st_mtime_ns).get(path.name):
                return found
    return _of_content(path, path.stat().st_mtime_ns)


@cache
def _of_content(path: Path, modified: int) -> str:
    """The digest of a file as it was at that time; many results share a store."""
    return sha256_file(path)


@cache
def _outputs(manifest: Path, modified: int) -> Mapping[str, str]:
    """The outputs that a manifest named at that time."""
    try:
        return Manifest.read(manifest).outputs
    except InputError:
        return {}


def other_setting(made: Any, asked: Any) -> str:
    """The first setting with which something was made that differs from what is asked for; empty if
    there is none. A setting of which nothing is recorded came with a later version.
    """
    told = _as_recorded(asked, made)
    return "" if made == told else _first_difference(made, told)


def _as_recorded(asked: Any, made: Any) -> Any:
    """What is asked for, without settings of which nothing is recorded."""
    if not isinstance(made, dict) or not isinstance(asked, dict):
        return asked
    return {name: _as_recorded(asked.get(name), value) for name, value in made.items()}


def _first_difference(made: Any, asked: Any, key: str = "") -> str:
    """The first value that differs between two nested mappings."""
    if isinstance(made, dict) and isinstance(asked, dict):
        for name in sorted(made.keys() | asked.keys()):
            if made.get(name) != asked.get(name):
                below = f"{key}.{name}".lstrip(".")
                return _first_difference(made.get(name), asked.get(name), below)
    return f"{key} {_short(made)} where {_short(asked)} is asked for"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
