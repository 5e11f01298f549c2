"""Saves and loads the state of an unfinished training, so that at most a few seconds are lost.

Two files lie beside the outputs: `training.state` and the one before it, `training.state.previous`
(and `progress.json`, for `status`). Each state is a SHA-256 followed by a safetensors file whose
metadata say what it is a state of; a file that was cut short or altered is detected by its digest.
Reading runs no code.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, leftovers, open_regular
from pipeline_src.planning.places import PREVIOUS_STATE, PROGRESS, STATE
from pipeline_src.provenance.manifest import other_label
from pipeline_src.running.progress_file import TrainingProgress, write_progress
from pipeline_src.text import printable


@dataclass(frozen=True)
class Saved:
    """Tensors by name, and all other facts as JSON values."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


class StateFiles:
    """The states of one training in its output folder.

    ``digest`` identifies everything that defines the training; states with another digest are never
    resumed. ``gpu`` is what it runs on: different models do not give the same sums to the last bit,
    so a state from another one is not resumed either, while a finished result counts wherever it
    was made.
    """

    def __init__(self, folder: Path, digest: str, gpu: Mapping[str, Any] | None = None) -> None:
        self.folder, self.digest, self.gpu = folder, digest, dict(gpu or {})
        self._paths = (folder / STATE, folder / PREVIOUS_STATE)
        self._failing = False

    def save(self, saved: Saved, progress: TrainingProgress | None = None) -> None:
        """Write a state and keep the one before, then the progress; prints a message if that fails.

        The training continues in that case: a disk that is full for a while is no reason to stop.
        """
        tensors = on_cpu(saved.tensors)
        facts = json.dumps({"digest": self.digest, "gpu": self.gpu, **saved.facts})
        content = save(tensors, {"facts": facts})
        current, previous = self._paths
        try:
            with atomic_path(current) as temporary:
                with temporary.open("wb") as stream:
                    stream.write(hashlib.sha256(content).digest())
                    stream.write(content)
                    stream.flush()
                    # Must be on the disk before the previous state is moved away.
                    os.fsync(stream.fileno())
                if current.exists():
                    current.replace(previous)
            if progress is not None:
                write_progress(self.folder, progress)
        except InputError as error:
            if not self._failing:  # once, not after every epoch
                _say(f"state not saved, training goes on: {error}")
            self._failing = True
            return
        self._failing = False

    def load(self, labels: Mapping[str, Any] | None = None) -> Saved | None:
        """The newest undamaged state, or None; prints a message for each one that is not used.

        Raises:
            InputError: a state is of another model, seed or setting than ``labels`` say.
        """
        for path in self._paths:
            if not path.exists():
                continue
            try:
                saved = read_state(path)
            except InputError as error:
                _say(f"{error}; looking for an earlier state")
                continue
            if other := other_label(saved.facts.get, labels or {}):
                key, of_theirs, ours = other
                raise InputError(
                    f"{path}: is the unfinished training of {key} {of_theirs}, not {ours}; give "
                    "another --output, or remove it"
                )
            theirs, elsewhere = saved.facts["digest"], saved.facts.get("gpu", {})
            if theirs == self.digest and elsewhere == self.gpu:
                return saved
            if theirs == self.digest:
                _say(
                    f"{path}: not resumed, it is of a training on {_described(elsewhere)}, and "
                    f"this is {_described(self.gpu)}, whose last bits may differ"
                )
                continue
            _say(
                f"{path}: not resumed, it is the state of another training ({theirs[:12]} where "
                f"{self.digest[:12]} is due): configuration, data, code, packages or whose "
                "convolutions it uses have changed"
            )
        return None

    def remove(self) -> None:
        """Remove all states."""
        paths = (*self._paths, self.folder / PROGRESS)
        for path in (*paths, *(left for whole in paths for left in leftovers(whole))):
            path.unlink(missing_ok=True)


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors to the CPU. Those on a GPU are copied in one piece per number format, because
    each copy waits for the device.
    """
    here = {n: t.detach().contiguous() for n, t in tensors.items() if t.device.type == "cpu"}
    away = {n: t.detach() for n, t in tensors.items() if n not in here}
    for kind in {t.dtype for t in away.values()}:
        here |= flattened({n: t for n, t in away.items() if t.dtype == kind})
    return {name: here[name] for name in tensors}


def flattened(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy tensors of one number format to the CPU in one piece."""
    whole = torch.cat([t.reshape(-1) for t in tensors.values()]).cpu()
    parts = whole.split([t.numel() for t in tensors.values()])
    return {n: part.view(t.shape) for (n, t), part in zip(tensors.items(), parts, strict=True)}


def read_state(path: Path) -> Saved:
    """The content of a state file.

    Raises:
        InputError: it cannot be read, or is not what was written.
    """
    try:
        with open_regular(path) as stream:
            content = stream.read()
    except OSError as error:
        raise InputError(f"{path}: state cannot be read ({error.strerror})") from None
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        raise InputError(f"{path}: state is damaged (its digest does not fit)")
    try:
        facts = json.loads(_metadata(content[32:])["facts"])
        _check(facts)
        return Saved(load(content[32:]), facts)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: is not a training state ({error})") from None


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata of a safetensors file, which begins with its header's length, eight bytes, and
    the header in JSON.
    """
    length = int.from_bytes(content[:8], "little")
    metadata: dict[str, str] = json.loads(content[8 : 8 + length])["__metadata__"]
    return metadata


def _check(facts: Any) -> None:
    if not isinstance(facts["digest"], str) or not isinstance(facts.get("gpu", {}), dict):
        raise TypeError("it does not say what it is a state of")


def _described(gpu: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in gpu.items()) or "no GPU"


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
