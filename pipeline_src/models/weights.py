"""Weights as self-describing safetensors files, and warm starts that never guess."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipeline_src.config.method import Network
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path
from pipeline_src.models.dccnn import DCCNN


def save_weights(path: Path, network: DCCNN) -> None:
    """Write a network's tensors, and its shape (``Network``) as metadata, atomically."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    with atomic_path(path) as temporary:
        content = save(tensors, {"network": json.dumps(network.network.model_dump())})
        temporary.write_bytes(content)


def load_network(path: Path) -> DCCNN:
    """The network of a weights file, with its weights.

    Raises:
        InputError: the file is missing, damaged, or its tensors do not fit its own description.
    """
    try:
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {}).get("network")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: weights cannot be read ({error})") from None
    if described is None:
        raise InputError(f"{path}: does not say which network its weights are of")
    try:
        network = DCCNN(Network.model_validate_json(described))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{path}: its description of the network is damaged ({problem})") from None
    load_tensors(network, tensors, origin=str(path))
    return network


def load_tensors(
    network: DCCNN,
    tensors: Mapping[str, Tensor],
    *,
    origin: str,
    cascades: Sequence[int] | None = None,
) -> None:
    """Copy tensors into a network: all of them, or exactly those of the listed cascades.

    Cascades count from 1; the others keep the values they have.

    Raises:
        InputError: a tensor that is due is missing or of another shape, or, where all are due,
            one is left over. The line lists them.
    """
    state = network.state_dict()
    prefixes = None if cascades is None else tuple(f"cascades.{k - 1}." for k in cascades)
    due = [name for name in state if prefixes is None or name.startswith(prefixes)]
    problems = [f"{name} is missing" for name in due if name not in tensors]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} where {tuple(state[name].shape)} is due"
        for name in due
        if name in tensors and tensors[name].shape != state[name].shape
    ]
    if prefixes is None:
        problems += [f"{name} is not used" for name in tensors if name not in state]
    if problems or not due:
        matched = len(due) - sum(1 for p in problems if not p.endswith("not used"))
        raise InputError(
            f"{origin}: weights do not fit {network.network.name} ({matched} of {len(due)} "
            f"tensors match): {'; '.join(problems) or 'none is due'}"
        )
    with torch.no_grad():
        for name in due:
            state[name].copy_(tensors[name])
