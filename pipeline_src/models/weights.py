"""Weights as safetensors files that describe their network, and loading with complete checks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from pipeline_src.config.networks import AnyNetwork, Network, OtherNetwork
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, open_regular
from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.registry import is_imported, make_network

#: Beginning of the model name under which student blocks of student-friendly training are saved.
SFT_STUDENT = "student blocks of "
_DESCRIPTION: TypeAdapter[Network | OtherNetwork] = TypeAdapter(AnyNetwork)


def save_weights(path: Path, network: ReconstructionNetwork, *, model: str = "") -> None:
    """Write a network's tensors atomically; its configuration (``Network``) and, if given, the
    model's name are stored as metadata.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
    metadata = {"network": json.dumps(network.network.model_dump())}
    if model:
        metadata["model"] = model
    with atomic_path(path) as temporary:
        temporary.write_bytes(_in_order(save(tensors, metadata)))


def _in_order(content: bytes) -> bytes:
    """The same safetensors file with sorted metadata, since the library writes it in random order.

    The file begins with the length of its header, eight bytes, and the header in JSON, which the
    format allows to be padded with spaces at its end.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:8] + text.ljust(end - 8) + content[end:]


def read_metadata(path: Path) -> dict[str, str]:
    """A weights file's metadata: `network`, and `model` if the file names one.

    Raises:
        InputError: it cannot be read.
    """
    try:
        open_regular(path).close()
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: weights cannot be read ({error})") from None


def load_network(path: Path) -> ReconstructionNetwork:
    """The network of a weights file, with its weights; a file that names no kind holds a DC-CNN.

    A module is never imported because a file names it: that would let a file run code.

    Raises:
        InputError: the file is missing or damaged, its tensors do not fit its own description or
            hold values that cannot be weights, or its kind of network is not imported yet.
    """
    try:
        open_regular(path).close()
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {}).get("network")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: weights cannot be read ({error})") from None
    if described is None:
        raise InputError(f"{path}: does not say which network its weights are of")
    try:
        network = _DESCRIPTION.validate_json(described)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]["msg"]
        raise InputError(f"{path}: its description of the network is damaged ({problem})") from None
    if isinstance(network, OtherNetwork) and not is_imported(network):
        raise InputError(
            f"{path}: is of a network of kind {network.kind!r}, whose module is not imported "
            f"because a file names it; if you trust it, give --import {network.module}"
        )
    # Copied into a network, integers would look like weights, and NaN like a result of training.
    for name, tensor in tensors.items():
        if not tensor.is_floating_point() or not tensor.float().isfinite().all():
            raise InputError(
                f"{path}: {name} holds numbers that are not weights (NaN, infinity, or of type "
                f"{str(tensor.dtype).removeprefix('torch.')})"
            )
    return build_network(network, tensors, origin=str(path))


def build_network(
    network: Network | OtherNetwork, tensors: Mapping[str, Tensor], *, origin: str
) -> ReconstructionNetwork:
    """Build a network from its tensors, all of which must be used.

    The network is made only after the tensors were found to fit, since a description may be of any
    size.

    Raises:
        InputError: they do not fit it.
    """
    if isinstance(network, Network) and network.depth * network.cascades > len(tensors):
        raise InputError(
            f"{origin}: weights do not fit {network.name}: it has {network.cascades} cascades of "
            f"{network.depth} convolutions, and there are {len(tensors)} tensors"
        )
    if (network.cascades or 0) > len(tensors):
        raise InputError(
            f"{origin}: weights do not fit {network.name}: it has {network.cascades} cascades, and "
            f"there are {len(tensors)} tensors"
        )
    with torch.device("meta"):
        load_tensors(make_network(network), tensors, origin=origin)
    built = make_network(network)
    load_tensors(built, tensors, origin=origin)
    return built


def load_tensors(
    network: ReconstructionNetwork,
    tensors: Mapping[str, Tensor],
    *,
    origin: str,
    cascades: Sequence[int] | None = None,
) -> None:
    """Copy tensors into a network: all of them, or exactly those of the listed cascades.

    Args:
        network: the network that is changed.
        tensors: by the names of the network's own state.
        origin: where the tensors come from; the message begins with it.
        cascades: numbers of cascades, counted from 1; the others keep their values. None: all.

    Raises:
        InputError: a required tensor is missing or of another shape, or, if all are required, there
            is one too many. The message lists them.
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
