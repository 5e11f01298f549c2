"""Networks by their kind: DC-CNN, those of `models/kinds`, and those of modules of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from pipeline_src.config.networks import Network, OtherNetwork
from pipeline_src.config.options import checked_options
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.models.base import REGISTERED, CascadeNetwork, ReconstructionNetwork
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.modules import PACKAGE, import_registered


def network_class(network: Network | OtherNetwork) -> type[ReconstructionNetwork]:
    """The class of a network's kind, whose module is imported.

    Raises:
        InputError: the module cannot be imported, or registers nothing of that name.
    """
    if isinstance(network, Network):
        return DCCNN
    found = import_registered(
        REGISTERED, network.kind, network.import_path, "networks: module", "network"
    )
    if network.cascades is None and issubclass(found, CascadeNetwork):
        raise InputError(
            f"networks: {network.kind} is a chain of blocks; give their number as `cascades`, "
            "such as 5"
        )
    if network.cascades is not None and not issubclass(found, CascadeNetwork):
        raise InputError(f"networks: {network.kind} has no blocks; leave `cascades` out")
    return found


def is_imported(network: OtherNetwork) -> bool:
    """Whether a network's kind is the project's own, or of a module that this process imported."""
    if network.module is None:
        return True
    found = REGISTERED.get(network.kind)
    return found is not None and found.__module__ == network.module


def import_modules(modules: Iterable[str]) -> None:
    """Import modules of one's own, so that weights of their networks can be read.

    Raises:
        InputError: one cannot be imported, or registers no network.
    """
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise InputError(f"--import {module}: cannot be imported ({error})") from None
        if module not in imported_modules():
            raise InputError(f"--import {module}: registers no network")


def imported_modules() -> list[str]:
    """Modules outside this project that registered a network, by import path."""
    modules = {kind.__module__ for kind in REGISTERED.values()}
    return sorted(m for m in modules if m.partition(".")[0] != PACKAGE.name)


def network_options(network: OtherNetwork) -> Section:
    """A network's options as its kind takes them.

    Raises:
        InputError: one is unknown or of an impossible value, or there is no such kind.
    """
    return checked_options(
        network_class(network).options_model, network.options, f"networks: {network.kind}: options"
    )


def make_network(network: Network | OtherNetwork) -> ReconstructionNetwork:
    """A network with fresh weights.

    Raises:
        InputError: there is no such kind, or its options are not its own.
    """
    if isinstance(network, Network):
        return DCCNN(network)
    kind: Any = network_class(network)
    made: ReconstructionNetwork = kind(network, network_options(network))
    return made


def describe_network(network: Network | OtherNetwork) -> str:
    """A network in words.

    Raises:
        InputError: as of `make_network`.
    """
    options = network if isinstance(network, Network) else network_options(network)
    return network_class(network).describe(network, options)
