"""Reading and writing checkpoints with the authors' names, such as `tcascade1.conv1.weight`."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from pipeline_src.config.networks import Network
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.models.pickled_tensors import read_checkpoint_tensors
from pipeline_src.models.weights import (
    SFT_STUDENT,
    build_network,
    load_network,
    read_metadata,
    save_weights,
)
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.planning.places import MANIFEST, WEIGHTS
from pipeline_src.provenance.manifest import Manifest

Role = Literal["teacher", "student"]
AUTHORS_NAME = re.compile(r"([ts])cascade(\d+)\.conv(\d+)\.(weight|bias)")


def authors_name(name: str, role: Role) -> str:
    """The authors' name of a weight: a teacher's `cascades.0.convolutions.0.weight` is
    `tcascade1.conv1.weight`.
    """
    _, cascade, _, convolution, kind = name.split(".")
    return f"{role[0]}cascade{int(cascade) + 1}.conv{int(convolution) + 1}.{kind}"


def own_name(name: str, role: Role, origin: str) -> str:
    """This project's name of a weight, given the authors' name; the reverse of `authors_name`.

    Raises:
        InputError: the name is not a name of that network's weights.
    """
    match = AUTHORS_NAME.fullmatch(name)
    if match is None or match[1] != role[0]:
        raise InputError(f"{origin}: {name!r} is not a weight of the authors' {role} network")
    return f"cascades.{int(match[2]) - 1}.convolutions.{int(match[3]) - 1}.{match[4]}"


def network_from_authors(
    tensors: Mapping[str, Tensor], role: Role, padding: int, *, origin: str
) -> DCCNN:
    """Build a network from tensors with the authors' names; its size is that of the tensors.

    Raises:
        InputError: a name is unknown, or tensors are missing or do not fit together.
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
    try:
        network = Network(
            depth=max(int(p[3]) for p in parts) + 1,
            cascades=max(int(p[1]) for p in parts) + 1,
            features=first.shape[0] if first.ndim else 0,
            padding=padding,
        )
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise InputError(f"{origin}: {problem['loc'][0]} of its {role}: {problem['msg']}") from None
    built = build_network(network, own, origin=origin)
    assert isinstance(built, DCCNN)
    return built


def import_checkpoint(path: Path, padding: int, folder: Path) -> dict[Role, DCCNN]:
    """Write the networks of an authors' checkpoint as `{teacher,student}/weights.safetensors`.

    A checkpoint of student-friendly training holds both. Every tensor of it goes into one of the
    networks. Each folder is one that the evaluate command takes.

    Raises:
        InputError: the checkpoint cannot be read, holds an unknown tensor or only a part of a
            network, or one of the folders already holds the result of a training.
    """
    tensors = read_checkpoint_tensors(path)
    foreign = [name for name in tensors if not AUTHORS_NAME.fullmatch(name)]
    if foreign:
        raise InputError(f"{path}: tensors of no known place: {', '.join(foreign)}")
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.isfinite().all():
            raise InputError(f"{path}: {name} holds numbers that are not weights (NaN or integers)")
    networks: dict[Role, DCCNN] = {}
    roles: tuple[Role, Role] = ("teacher", "student")
    for role in roles:
        own = {name: t for name, t in tensors.items() if name.startswith(role[0])}
        if own:
            networks[role] = network_from_authors(own, role, padding, origin=str(path))
    for role in networks:
        if (manifest := folder / role / MANIFEST).exists():
            raise InputError(f"{manifest}: a training's result lies there; name another folder")
    for role, network in networks.items():
        save_weights(imported_path(folder, role), network, model=role)
    return networks


def imported_path(folder: Path, role: Role) -> Path:
    """The file to which `import_checkpoint` writes a network."""
    return folder / role / WEIGHTS


def export_checkpoint(weights: Mapping[Role, Path], output: Path) -> int:
    """Write networks as a checkpoint with the authors' names under `model`.

    Returns:
        The number of tensors written.

    Raises:
        InputError: a weights file cannot be read, is not of a DC-CNN, which is the only network of
            the authors' code, or is of the other role than it is given for.
    """
    for role, path in weights.items():
        _check_role(path, role)
    networks = {role: load_network(path) for role, path in weights.items()}
    for role, path in weights.items():
        if not isinstance(networks[role], DCCNN):
            raise InputError(
                f"{path}: is of {networks[role].network.name}, and the authors' code has names for "
                "the weights of a DC-CNN alone"
            )
    if output.suffix == ".safetensors":
        raise InputError(f"--output {output}: weights of this project go by that name; use .pt")
    state = {
        authors_name(name, role): tensor.contiguous()
        for role, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    # Written by torch itself, a full disk would end in an error that names neither file nor disk.
    buffer = io.BytesIO()
    torch.save({"model": state}, buffer)
    with atomic_path(output) as temporary:
        temporary.write_bytes(buffer.getvalue())
    return len(state)


def _check_role(path: Path, role: Role) -> None:
    """Compare the role with what a weights file and the manifest beside it say about the model.

    Raises:
        InputError: either names a model of the other role.
    """
    told = {path: read_metadata(path).get("model")}
    manifest = path.parent / MANIFEST
    if path.name == WEIGHTS and manifest.exists():
        made = Manifest.read(manifest)
        told[manifest] = made.get("name", made.settings.get("model"))
    for source, model in told.items():
        if isinstance(model, str) and (known := role_of(model)) and known != role:
            raise InputError(
                f"{path}: holds the weights of a {known} ({source} says {model}); give it with "
                f"--{known}"
            )


def role_of(model: str) -> Role | None:
    """The role of a model, by its name; None if the name is not known."""
    if model.startswith(SFT_STUDENT):
        return "student"
    try:
        name, _ = split_model_name(model)
    except ValueError:
        return None
    return "teacher" if name == "teacher" else "student"
