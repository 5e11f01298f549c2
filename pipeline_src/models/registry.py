"""Finds networks by their kind: DC-CNN, those of `models/kinds`, and those of users' modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline_src.config.networks import Network, OtherNetwork
from pipeline_src.config.options import checked_options
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.models.base import REGISTERED, CascadeNetwork, ReconstructionNetwork
from pipeline_src.models.dccnn import DCCNN
from pipeline_src.modules import PACKAGE, import_others, import_registered


def network_class(network: Network | OtherNetwork) -> type[ReconstructionNetwork]:
    """The class of a network's kind; its module is imported.

    Raises:
        InputError: the module cannot be imported, or does not register a network of that kind.
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
    """Whether the module of a network's kind is part of this package or was imported already."""
    if network.module is None:
        return True
    found = REGISTERED.get(network.kind)
    return found is not None and found.__module__ == network.module


def import_modules(modules: Iterable[str]) -> None:
    """Import users' own modules, so that weights of their networks can be read.

    Raises:
        InputError: one cannot be imported, or registers no network.
    """
    for module in modules:
        import_others(module, "--import")
        if module not in imported_modules():
            raise InputError(f"--import {module}: registers no network")


def imported_modules() -> list[str]:
    """Import paths of modules outside this package that registered a network."""
    modules = {kind.__module__ for kind in REGISTERED.values()}
    return sorted(m for m in modules if m.partition(".")[0] != PACKAGE.name)


def network_options(network: OtherNetwork) -> Section:
    """A network's options, validated by the options model of its kind.

    Raises:
        InputError: an option is unknown or its value is not allowed, or there is no such kind.
    """
    return checked_options(
        network_class(network).options_model, network.options, f"networks: {network.kind}: options"
    )


def make_network(network: Network | OtherNetwork) -> ReconstructionNetwork:
    """A network with newly initialised weights.

    Raises:
        InputError: there is no such kind, or its options are not valid for it.
    """
    if isinstance(network, Network):
        return DCCNN(network)
    kind: Any = network_class(network)
    made: ReconstructionNetwork = kind(network, network_options(network))
    return made


def describe_network(network: Network | OtherNetwork) -> str:
    """A network in words, for texts.

    Raises:
        InputError: as in `make_network`.
    """
    options = network if isinstance(network, Network) else network_options(network)
    return network_class(network).describe(network, options)
