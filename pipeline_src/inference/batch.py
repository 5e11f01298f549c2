"""Reconstructs many files: skips what is already done, and writes each result with its facts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from pipeline_src.errors import InputError
from pipeline_src.files import (
    atomic_path,
    read_json,
    remove_leftovers,
    sha256_file,
    sha256_json,
    write_json,
)
from pipeline_src.inference.calibration import refuse_other_network
from pipeline_src.inference.error_bound import read_error_bound
from pipeline_src.inference.left_out import LeftOut
from pipeline_src.inference.quality import Overview
from pipeline_src.inference.reconstruct import Result, reconstruct
from pipeline_src.inference.result_files import FORMAT, ResultFiles
from pipeline_src.inference.trained import Trained
from pipeline_src.inference.volume_plan import Options, Plan, plan
from pipeline_src.inference.volumes import Scratch, Volume
from pipeline_src.locks import alone_in
from pipeline_src.planning.network_code import digests_of
from pipeline_src.planning.step_code import digests
from pipeline_src.planning.steps import reconstruct_step
from pipeline_src.provenance.environment import record
from pipeline_src.provenance.run_recorder import RunRecorder
from pipeline_src.text import printable

NONE_LEFT = "no input is left that can be reconstructed"


def _upright(volume: Volume, trained: Trained) -> Volume:
    """Set how slices are shown: arrays do not say it, so if they have the size of the model's
    slices, they are shown like those. The sample of a bundle is drawn upright.
    """
    told = volume.suffix in (".nii", ".nii.gz") or volume.path.suffix == ".safetensors"
    if told or volume.turns or volume.size[:2] != trained.matrix:
        return volume
    return replace(volume, turns=trained.config.origin.display_quarter_turns)


class Run:
    """Reconstructs all inputs of one command.

    Args:
        output: folder for results: `NAME` with the input's suffix, `NAME.json`, `NAME.png`.
        settings: other settings that affect the numbers, such as the device.
        left_out: takes the errors of single inputs.
        pictures: draw a contact sheet of each result.

    Raises:
        InputError: an input does not fit, or would be overwritten.
    """

    def __init__(
        self,
        trained: Trained,
        volumes: Sequence[Volume],
        output: Path,
        options: Options,
        device: torch.device,
        settings: dict[str, Any],
        left_out: LeftOut,
        pictures: bool = True,
    ) -> None:
        self._trained, self._output, self._options = trained, output, options
        self._device, self._settings, self._left_out = device, settings, left_out
        self._bound = None
        if (path := options.error_bound) is not None:
            self._bound = read_error_bound(path)
            refuse_other_network(self._bound, path, trained)
        self._files = ResultFiles(output, self._bound is not None, pictures)
        claimed: dict[Path, Path] = {}
        self._plans: list[Plan] = []
        for volume in volumes:
            with left_out():
                self._files.refuse_foreign(volume)
                planned = plan(_upright(volume, trained), trained, options)
                own = self._files.of(volume).all
                for path in own:
                    if path in claimed:
                        raise InputError(
                            f"{volume.path}: its output {path.name} would be that of "
                            f"{claimed[path]}; rename it"
                        )
                claimed |= dict.fromkeys(own, volume.path)
                self._plans.append(planned)
        if not self._plans:
            raise InputError(NONE_LEFT)
        self._trained.network.to(device)
        self._model = trained.told
        self._code = sha256_json(digests(reconstruct_step({}, []).code))
        self._network_code = digests_of(trained.network.network)
        self.overview = Overview([])

    def remarks(self) -> list[str]:
        """Warnings before the run, each once, with the number of inputs that it applies to."""
        counted: dict[str, list[Plan]] = {}
        for one in self._plans:
            if one.chosen.remark:
                counted.setdefault(one.chosen.remark, []).append(one)
        return [
            f"{plans[0].volume.path}{f' and {len(plans) - 1} more' if plans[1:] else ''}: {remark}"
            for remark, plans in counted.items()
        ]

    def __call__(self) -> tuple[int, int]:
        """Reconstruct what is not done yet; returns how many results were made and how many
        existed.

        Raises:
            InputError: the numbers of an input cannot be used and it is not left out, or the
                output cannot be written; earlier results are kept.
        """
        try:
            self._output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self._output}: cannot be written ({error.strerror})") from None
        with alone_in(self._output, "reconstruct"):
            return self._make_missing()

    def _make_missing(self) -> tuple[int, int]:
        """Make what is not done yet, and the overview."""
        asked = [self._asked(one) for one in self._plans]
        todo = [
            (one, key)
            for one, key in zip(self._plans, asked, strict=True)
            if not self._is_done(one, key)
        ]
        slices, failed = sum(one.volume.size[2] for one, _ in todo), []
        with tqdm(total=slices, desc="reconstructing", unit="slice", disable=None) as bar:
            for number, (one, key) in enumerate(todo, start=1):
                name = printable(one.volume.name.name)
                bar.set_postfix_str(name)
                failed.append(one)
                with self._left_out():
                    self._make(one, key, bar.update)
                    failed.pop()
                    if bar.disable:  # in a log, a line per file
                        print(f"{number} of {len(todo)}: {name}", file=sys.stderr, flush=True)
        existed = len(self._plans) - len(todo)
        self._plans = [one for one in self._plans if not any(one is other for other in failed)]
        if not self._plans:
            raise InputError(NONE_LEFT)
        self.overview = Overview.of((one, self._files.of(one.volume)) for one in self._plans)
        self.overview.write(self._output)
        return len(todo) - len(failed), existed

    def of_other_models(self) -> list[str]:
        """Results in the output folder that another model made, and that stay beside these."""
        own = {self._files.of(one.volume).facts for one in self._plans}
        return self._files.of_other_models(own, self._model["weights_sha256"])

    def domains(self) -> list[str]:
        """Of each input that was not left out, `image` or `kspace`."""
        return [one.volume.domain for one in self._plans]

    def inputs(self) -> dict[str, Path]:
        """What was reconstructed, and the weights, by role."""
        files = {f"images/{n}": one.volume.path for n, one in enumerate(self._plans)}
        bound = self._options.error_bound
        more = {} if bound is None else {"error_bound": bound}
        return {**files, "weights": self._trained.weights, **more}

    def _asked(self, one: Plan) -> dict[str, Any]:
        """All settings that affect the numbers of a result."""
        return {
            "input_sha256": sha256_file(one.volume.path),
            "weights_sha256": self._model["weights_sha256"],
            "mask": one.chosen.mask.digest,
            "slices": list(one.volume.size),
            "slicing": list(one.volume.slicing),
            "options": {k: str(v) if isinstance(v, Path) else v for k, v in self._shaping.items()},
            **({"error_bound": self._bound.model_dump(mode="json")} if self._bound else {}),
            "code": self._code,
            **({"network_code": self._network_code} if self._network_code else {}),
            **self._settings,
        }

    @property
    def _shaping(self) -> dict[str, Any]:
        left_out = ("anyway", "error_bound")
        return {k: v for k, v in asdict(self._options).items() if k not in left_out}

    def _is_done(self, one: Plan, asked: dict[str, Any]) -> bool:
        """Whether a result exists that was made with the same settings and is unchanged."""
        paths = self._files.of(one.volume)
        if not paths.facts.exists():
            return False
        told = read_json(paths.facts)
        outputs = told.get("outputs") if told.get("asked_sha256") == sha256_json(asked) else None
        return isinstance(outputs, dict) and all(
            path.is_file() and outputs.get(path.name) == sha256_file(path) for path in paths.outputs
        )

    def _make(self, one: Plan, asked: dict[str, Any], advance: Any) -> None:
        paths = self._files.of(one.volume)
        facts, outputs = paths.facts, paths.outputs
        remove_leftovers(self._files.possible(one.volume).all)
        self._files.remove_others(paths)
        recorder = RunRecorder()
        result = reconstruct(
            *(one, self._trained, self._options, Scratch(facts.parent), self._device),
            advance=advance,
            error_bound=self._bound,
        )
        # Until all facts are there, nothing counts as done; what lies there is known as made here.
        write_json(facts, {"format": FORMAT, "outputs": {path.name: "" for path in outputs}})
        made: list[Path] = []
        try:
            for path, numbers in ((paths.image, result.image), (paths.bound, result.bound)):
                if path is not None and numbers is not None:
                    with atomic_path(path) as temporary, temporary.open("r+b") as stream:
                        one.volume.save(numbers, stream)
                    made.append(path)
            if paths.sheet is not None:
                self._write_sheet(paths.sheet, one, result)
            write_json(facts, self._facts(one, asked, result, recorder, outputs))
        except BaseException:
            # An earlier result of which nothing is replaced yet stays, with facts that claim it.
            if made or not any(path.exists() for path in outputs):
                for path in (*outputs, facts):
                    path.unlink(missing_ok=True)
            raise

    def _write_sheet(self, path: Path, one: Plan, result: Result) -> None:
        from pipeline_src.inference.sheet import write_sheet

        config = self._trained.config
        model = " ".join(filter(None, (config.model, config.dataset, config.acceleration)))
        sampled = one.chosen.mask.samples.mean()
        how = {"crop": ", cropped or padded", "redraw": ", another size than trained for"}
        title = f"{one.volume.name.name}: {model}, {one.mode}, {sampled:.0%} of k-space"
        title += how.get(one.fit.kind, "")
        write_sheet(path, one, result, title)

    def _facts(
        self,
        one: Plan,
        asked: dict[str, Any],
        result: Result,
        recorder: RunRecorder,
        made: list[Path],
    ) -> dict[str, Any]:
        told = recorder.so_far()
        return {
            "format": FORMAT,
            **one.facts(made[0].parent, asked["input_sha256"]),
            "model": self._model,
            **result.facts,
            **self._settings,
            "seconds": told["seconds"],
            "peak_memory_mib": told["peak_memory_mib"],
            "asked_sha256": sha256_json(asked),
            "outputs": {path.name: sha256_file(path) for path in made},
            "made_by": record(),
        }
