"""Traces a result from manifest to manifest, back to the input files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline_src.config.load import read_yaml
from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.places import CONFIG, MANIFEST
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.text import printable


@dataclass(frozen=True)
class Step:
    """A file on the way to a result.

    Attributes:
        depth: number of steps before the result.
        role: what the next step used it as; empty for the result itself.
        expected: the SHA-256 that the next step read; None for the result itself.
        manifest: the manifest of what made it; None for an input file.
        seen: whether it appeared in the list before, with everything behind it.
    """

    depth: int
    role: str
    path: Path
    expected: str | None
    manifest: Manifest | None
    seen: bool

    @property
    def problem(self) -> str:
        """What does not match: the file is missing, or is not what was read or written; else
        empty.
        """
        if not self.path.exists():
            return "is gone"
        digest = sha256_file(self.path)
        if self.expected is not None and digest != self.expected:
            return "has changed since it was read"
        outputs = self.manifest.outputs if self.manifest else {}
        if digest != outputs.get(self.path.name, digest):
            return "is not what its manifest describes"
        return ""


#: Keys that a manifest must have for its result to be traced.
PARTS = ("command", "inputs", "outputs", "runs", "made_by")


def manifest_of(path: Path) -> tuple[Path, Manifest] | None:
    """The manifest beside a file that names it among its outputs, or None.

    A manifest itself, from which figures of trainings are drawn, represents what it describes.

    Raises:
        InputError: one beside the file cannot be read, or is not a manifest although it names the
            file.
    """
    for found in sorted(path.parent.glob(f"*{MANIFEST}")):
        manifest = Manifest.read(found)
        outputs = manifest.get("outputs")
        if isinstance(outputs, dict) and path.name in (found.name, *outputs):
            return found, manifest.require(*PARTS)
    return None


def trace(
    path: Path, where: Mapping[str, str] | None = None, folders: Sequence[Path] = ()
) -> Iterator[Step]:
    """A result and everything it was made from, depth first.

    With ``where``, only direct inputs are followed whose manifest has no other value for these
    keys, such as `{"model": "at", "training": "sft_kd"}`.

    Manifests name files relative to themselves. Input files that no step made stay behind when
    results are moved; they are searched by their digest in ``folders``, in the study's `data_root`,
    in the current folder and in the project.

    Raises:
        InputError: the file does not exist, nothing is known about it, or none of its inputs was
            made with a value of ``where``.
    """
    if not path.exists():
        raise InputError(f"{path}: does not exist")
    found = manifest_of(path)
    if found is None:
        raise InputError(f"{path}: has no manifest beside it that says what made it")
    if where:
        _check_where(path, [manifest_of(source) for _, source, _ in _inputs(*found, [])], where)
    places = [*folders, *_data_roots(path), Path(), PACKAGE.parent]
    yield from _trace(path, where or {}, places)


def _check_where(
    path: Path,
    sources: Sequence[tuple[Path, Manifest] | None],
    where: Mapping[str, str],
) -> None:
    for key, value in where.items():
        values = {str(made[1].get(key)) for made in sources if made and key in made[1]}
        if value not in values:
            known = f"there are {', '.join(sorted(values))}" if values else "no input has that key"
            raise InputError(f"{path}: none of its inputs was made with {key}={value}; {known}")


def _data_roots(path: Path) -> list[Path]:
    """The `data_root` of the study that a result belongs to, if its configuration names it."""
    for folder in path.resolve().parents:
        config = folder / CONFIG
        if config.is_file():
            try:
                return [Path(read_yaml(config)["data_root"])]
            except (InputError, KeyError, TypeError):
                break
    return []


def _inputs(
    manifest_path: Path, manifest: Manifest, places: Sequence[Path]
) -> Iterator[tuple[str, Path, str | None]]:
    """Role, file and SHA-256 of each input of a manifest."""
    for role, given in manifest.inputs.items():
        # Resolved, since the results may lie behind a link to another disk.
        source = Path(os.path.normpath(manifest_path.parent.resolve() / given.path))
        if not source.exists() and manifest_of(source) is None:
            source = _moved(given.path, given.sha256, places) or source
        yield role, source, given.sha256


#: Folders above a file by which it is looked for.
DEEPEST = 64


def _moved(name: str, sha256: str, places: Sequence[Path]) -> Path | None:
    """A file with this digest whose path in one of these folders ends like the recorded one."""
    parts = [part for part in Path(name).parts if part != os.pardir][-DEEPEST:]
    ends = [Path(*parts[number:]) for number in range(len(parts))]
    files = (place / end for place in places for end in ends)
    return next((file for file in files if file.is_file() and sha256_file(file) == sha256), None)


def _trace(path: Path, where: Mapping[str, str], places: Sequence[Path]) -> Iterator[Step]:
    known: set[Path] = set()
    # Kept in a list, since a chain of manifests may be longer than calls can nest.
    pending: list[tuple[int, str, Path, str | None]] = [(0, "", path, None)]
    while pending:
        depth, role, file, expected = pending.pop()
        found = manifest_of(file)
        place = file.resolve()
        seen = place in known
        known.add(place)
        yield Step(depth, role, file, expected, found[1] if found else None, seen)
        if found is None or seen:
            continue
        inputs = [
            (depth + 1, *given)
            for given in _inputs(*found, places)
            if depth or not where or _matches(given[1], where)
        ]
        pending += reversed(inputs)


def _matches(source: Path, where: Mapping[str, str]) -> bool:
    found = manifest_of(source)
    if found is None:
        return True
    return all(str(found[1].get(key, value)) == value for key, value in where.items())


def describe(step: Step) -> str:
    """A step as one line, indented by its depth; control characters in manifests and file names are
    escaped.
    """
    if step.manifest is None:
        made = "given"
    else:
        runs, by = step.manifest.runs, step.manifest.made_by
        times = f" in {len(runs)} runs" if len(runs) > 1 else ""
        started = runs[0].started if runs else None
        made = (
            f"{step.manifest.command}, {started[:19] if started else 'time not known'}, "
            f"{step.manifest.seconds:.0f} s{times}, "
            f"code {(by.commit or '')[:12] or by.commit_problem or 'outside git'}"
        )
    near = os.path.relpath(step.path)
    place = str(step.path) if near.startswith(os.pardir) else near
    role = f"{step.role}: " if step.role else ""
    marks = (" (see above)" if step.seen else "") + (
        f"  {step.problem.upper()}" if step.problem else ""
    )
    digest = (step.expected or sha256_file(step.path))[:12]
    return printable(f"{'  ' * step.depth}{role}{place}  [{digest}]  {made}{marks}")
