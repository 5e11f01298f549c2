"""Manifests: what went into a result, what came out, and what made it.

They are written and read only here. A manifest may come from an older version of the pipeline, or
from a stranger: every part that is missing or damaged is treated as absent, until a caller requires
it.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from pipeline_src.errors import InputError
from pipeline_src.files import read_json, sha256_file, write_json
from pipeline_src.provenance.environment import record

#: Shown for anything that is not recorded.
UNKNOWN = "not recorded"
#: Facts about a run that describe the machine and not the result.
PRIVATE = ("host", "job", "gpus")
#: Names that older versions used for parts.
FORMER_NAMES = {"runs": "sittings", "settings": "plan"}

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Part(BaseModel):
    """A part of a record, whose values are what they are declared to be."""

    model_config = ConfigDict(strict=True, frozen=True)


class Given(Part):
    """An input file: its path from the manifest's folder, and its state when it was read.

    `size` is in bytes, `modified` in nanoseconds since 1970.
    """

    path: Annotated[str, Field(pattern=r"\A[^\x00]+\z")]
    size: int | None = None
    modified: int | None = None
    sha256: str


class Run(Part):
    """One process's share of a result; see `RunRecorder.so_far`. Unknown values are None."""

    started: str | None = None
    seconds: Amount
    startup_seconds: Amount | None = None
    forked: bool | None = None
    processor_seconds: Amount | None = None
    peak_memory_mib: Amount | None = None
    energy_joules: Amount | None = None
    gpu_peak_memory_mib: Amount | None = None
    gpu_energy_joules: Amount | None = None
    host: str | None = None
    processor: str | None = None
    cores: int | None = None
    system: str | None = None

    def began(self) -> datetime:
        """When it started.

        Raises:
            ValueError: that is not told, or is no time.
        """
        return datetime.fromisoformat(self.started or "")


class MadeBy(Part):
    """The code and the packages that made a result; see `environment.record`."""

    version: str = ""
    commit: str | None = None
    commit_problem: str = ""
    packages: dict[str, str] = {}


class BestEpoch(Part):
    """The epoch whose weights a training kept."""

    validation_loss: float | None = None
    validation_psnr_db: float | None = None


class Manifest(BaseModel):
    """A manifest that was read.

    Attributes:
        command: what made the result, such as `train`.
        inputs: files by role, such as `mask`; a list has roles `metrics/0`, `metrics/1` ...
        outputs: SHA-256 by name, of files beside the manifest.
        settings: the part of the configuration that defines the result.
        code: digests of the source files that shaped the numbers, by name.
        runs: the processes that worked on the result, in order.
        made_by: the state of the software at the end.

    Of some commands:
        repeated: sentences about images that occur twice in a store.
        training_sha256: the fingerprint of a training.
        data_digest, mask, mask_digest: the store and the mask of a training.
        histories: names of a training's histories, one per stage.
        choices: keys of the configuration by which results are judged, as they were at the end of a
            training.
        device, gpu, convolutions: what a training ran on, and by which kernels.
    """

    model_config = ConfigDict(strict=True)

    command: str = ""
    inputs: dict[str, Given] = {}
    outputs: dict[str, str] = {}
    settings: dict[str, Any] = {}
    code: dict[str, str] = {}
    runs: list[Run] = []
    made_by: MadeBy = MadeBy()
    repeated: list[str] = []
    training_sha256: str | None = None
    data_digest: str | None = None
    mask: dict[str, Any] | None = None
    mask_digest: str | None = None
    histories: list[str] = []
    choices: dict[str, Any] = {}
    best_epoch: BestEpoch = BestEpoch()
    device: str | None = None
    gpu: str | None = None
    convolutions: str | None = None

    _path: Path = PrivateAttr(default=Path())
    _content: dict[str, Any] = PrivateAttr(default_factory=dict)
    _problems: dict[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, path: Path, *required: str) -> Self:
        """Read a manifest.

        Raises:
            InputError: it cannot be read or is not JSON, or a required part is missing or damaged.
        """
        return cls.from_content(read_json(path), path).require(*required)

    @classmethod
    def from_content(cls, content: object, path: Path) -> Self:
        """A manifest from the content of a file; ``path`` is only for messages."""
        told = dict(content) if isinstance(content, dict) else {}
        for name, former in FORMER_NAMES.items():
            if former in told:
                told.setdefault(name, told.pop(former))
        problems: dict[str, str] = {}
        try:
            manifest = cls.model_validate(told)
        except ValidationError as error:
            for problem in error.errors(include_url=False, include_input=False):
                where = ".".join(map(str, problem["loc"]))
                problems.setdefault(str(problem["loc"][0]), f"{where}: {problem['msg']}")
            manifest = cls.model_validate({k: v for k, v in told.items() if k not in problems})
        manifest._path, manifest._content, manifest._problems = path, told, problems
        return manifest

    def require(self, *parts: str) -> Self:
        """Check that no part is missing or damaged.

        Raises:
            InputError: the first such part.
        """
        for part in parts:
            if problem := self._problems.get(part):
                raise self.refusal(problem)
            if part not in self._content:
                raise self.refusal(f"{part}: is missing")
        return self

    def refusal(self, problem: str) -> InputError:
        """The error for a problem of this manifest."""
        return InputError(
            f"{self._path}: is not a manifest of this pipeline ({problem}); run the workflow again"
        )

    @property
    def is_empty(self) -> bool:
        """Whether it contains nothing, as a file that is not a manifest."""
        return not self._content

    def __contains__(self, key: str) -> bool:
        return key in self._content

    def get(self, key: str, otherwise: Any = None) -> Any:
        """The value of any key, such as a label, as stored."""
        return self._content.get(key, otherwise)

    @property
    def seconds(self) -> float:
        """Total time of all runs."""
        return sum(run.seconds for run in self.runs)

    def without_places(self, place_of: Callable[[str], str]) -> dict[str, Any]:
        """Its content as JSON without the names of machines and jobs; ``place_of`` returns the path
        to use for each input's.
        """
        content = copy.deepcopy(self._content)
        for given in content["inputs"].values():
            given["path"] = place_of(given["path"])
        for run in content["runs"]:
            for key in PRIVATE:
                run.pop(key, None)
        return content


def other_label(
    get: Callable[[str, Any], Any], wanted: Mapping[str, Any]
) -> tuple[str, Any, Any] | None:
    """The first label, such as the model or the seed, of which a record tells another value than is
    wanted: its key, the record's value and the wanted one. What is not recorded differs in nothing.

    ``get`` returns a record's value for a key, or else the value given, as `Manifest.get` does.
    """
    found = ((key, get(key, value), value) for key, value in wanted.items())
    return next((one for one in found if one[1] != one[2]), None)


def refuse_manifest_of_other(path: Path, command: str) -> None:
    """Check that no manifest of another command's result would be overwritten.

    Raises:
        InputError: one would.
    """
    other = Manifest.read(path).get("command", command) if path.exists() else command
    if other != command:
        raise InputError(
            f"{path}: tells what the command {other} made; give {command} another --output"
        )


def write_manifest(
    path: Path,
    *,
    command: str,
    inputs: Mapping[str, Path],
    outputs: Sequence[Path],
    settings: Mapping[str, Any],
    code: Mapping[str, str],
    runs: list[dict[str, Any]],
    facts: Mapping[str, Any],
) -> None:
    """Write the manifest of a result; see `Manifest` for its parts.

    Paths in it are relative to its folder, so that results can be moved as a whole.

    Args:
        path: the manifest.
        command: the command that made the result.
        inputs: files by role.
        outputs: files that were made.
        settings: the part of the configuration that defines the result.
        code: digests of source files by name.
        runs: `RunRecorder.so_far` of each run.
        facts: anything else to record, such as labels.
    """
    # Resolved, since the results may lie behind a link to another disk.
    folder = path.parent.resolve()
    content = {
        "command": command,
        **facts,
        "inputs": {
            role: {
                "path": os.path.relpath(file.resolve(), folder),
                "size": file.stat().st_size,
                "modified": file.stat().st_mtime_ns,
                "sha256": sha256_file(file),
            }
            for role, file in inputs.items()
        },
        "outputs": {os.path.relpath(file.resolve(), folder): sha256_file(file) for file in outputs},
        "settings": dict(settings),
        "code": dict(code),
        "runs": runs,
        "made_by": record(),
    }
    # Checks that what is written can be read.
    Manifest.model_validate(content)
    write_json(path, content)
