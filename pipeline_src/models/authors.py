"""Weights under the names of the authors' code: `tcascade1.conv1.weight` and so on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from pipeline_src.config.method import Network
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path
from pipeline_src.models.checkpoints import read_checkpoint_tensors
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.weights import load_network, load_tensors, save_weights

Role = Literal["teacher", "student"]
AUTHORS_NAME = re.compile(r"([ts])cascade(\d+)\.conv(\d+)\.(weight|bias)")


def authors_name(name: str, role: Role) -> str:
    """`cascades.0.convolutions.0.weight` of a teacher as `tcascade1.conv1.weight`."""
    _, cascade, _, convolution, kind = name.split(".")
    return f"{role[0]}cascade{int(cascade) + 1}.conv{int(convolution) + 1}.{kind}"


def own_name(name: str, role: Role, origin: str) -> str:
    """The reverse of `authors_name`.

    Raises:
        InputError: the name is not one of that network's.
    """
    match = AUTHORS_NAME.fullmatch(name)
    if match is None or match[1] != role[0]:
        raise InputError(f"{origin}: {name!r} is no weight of the authors' {role} network")
    return f"cascades.{int(match[2]) - 1}.convolutions.{int(match[3]) - 1}.{match[4]}"


def network_from_authors(
    tensors: Mapping[str, Tensor], role: Role, padding: int, *, origin: str
) -> DCCNN:
    """A network of the depth, cascades and features that its tensors have, with their values.

    Raises:
        InputError: a name is foreign, or the tensors make no whole network.
    """
    own = {own_name(name, role, origin): tensor for name, tensor in tensors.items()}
    if not own:
        raise InputError(f"{origin}: holds no weights of a {role} network")
    parts = [name.split(".") for name in own]
    first = own.get("cascades.0.convolutions.0.weight")
    if first is None:
        raise InputError(
            f"{origin}: {authors_name('cascades.0.convolutions.0.weight', role)!r} is missing"
        )
    network = DCCNN(
        Network(
            depth=max(int(p[3]) for p in parts) + 1,
            cascades=max(int(p[1]) for p in parts) + 1,
            features=first.shape[0],
            padding=padding,
        )
    )
    load_tensors(network, own, origin=origin)
    return network


def import_checkpoint(path: Path, padding: int, folder: Path) -> dict[Role, DCCNN]:
    """Write the networks of an authors' checkpoint as `{teacher,student}.safetensors`.

    A checkpoint of student-friendly training holds both. Every tensor of it goes into one of the
    networks.

    Raises:
        InputError: the checkpoint cannot be read, holds a foreign tensor, or no whole network.
    """
    tensors = read_checkpoint_tensors(path)
    foreign = [name for name in tensors if not AUTHORS_NAME.fullmatch(name)]
    if foreign:
        raise InputError(f"{path}: tensors of no known place: {', '.join(foreign)}")
    networks: dict[Role, DCCNN] = {}
    roles: tuple[Role, Role] = ("teacher", "student")
    for role in roles:
        own = {name: t for name, t in tensors.items() if name.startswith(role[0])}
        if own:
            networks[role] = network_from_authors(own, role, padding, origin=str(path))
    for role, network in networks.items():
        save_weights(folder / f"{role}.safetensors", network)
    return networks


def export_checkpoint(weights: Mapping[Role, Path], output: Path) -> int:
    """Write networks as a checkpoint with the authors' names under `model`; returns its tensors.

    Raises:
        InputError: a weights file cannot be read.
    """
    state = {
        authors_name(name, role): tensor.contiguous()
        for role, path in weights.items()
        for name, tensor in load_network(path).state_dict().items()
    }
    with atomic_path(output) as temporary:
        torch.save({"model": state}, temporary)
    return len(state)
