"""The code of networks of other kinds than DC-CNN: whether it still is what weights were trained
with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from pipeline_src.config.networks import KINDS_FOLDER, AnyNetwork, Network, OtherNetwork
from pipeline_src.errors import InputError
from pipeline_src.modules import PACKAGE
from pipeline_src.planning.places import MANIFEST
from pipeline_src.planning.step_code import digests, sources
from pipeline_src.provenance.manifest import Manifest

#: How the names of files elsewhere than in this package begin, in manifests and bundles.
ELSEWHERE = "../"
_DESCRIPTION: TypeAdapter[Network | OtherNetwork] = TypeAdapter(AnyNetwork)


def digests_of(network: Network | OtherNetwork) -> dict[str, str]:
    """Digests of the module of a network's kind and of what it imports from beside it, by the names
    that manifests give them; empty for a DC-CNN, whose code changes for speed.
    """
    return digests(_files_of(network))


def own_digests_of(network: Network | OtherNetwork) -> dict[str, str]:
    """Those of a network of one's own, none of which are in this package."""
    return {n: sha256 for n, sha256 in digests_of(network).items() if n.startswith(ELSEWHERE)}


def _files_of(network: Network | OtherNetwork) -> list[Path]:
    if not isinstance(network, OtherNetwork):
        return []
    try:
        files = sources(network.import_path)
    except ModuleNotFoundError:
        return []  # as in an archive of modules
    # What all networks share is not the network's own.
    return [p for p in files if not p.is_relative_to(PACKAGE) or p.is_relative_to(KINDS_FOLDER)]


def changed(network: Network | OtherNetwork, then: Mapping[str, str]) -> str:
    """The first file of a network's code that is not as it was ``then``, as the start of a
    sentence; empty if all are, or nothing is known of them, as in manifests of older versions.

    A module that is not imported is left alone: a file could name any.
    """
    from pipeline_src.models.registry import is_imported

    here = KINDS_FOLDER.relative_to(PACKAGE).as_posix()
    if not isinstance(network, OtherNetwork) or not is_imported(network):
        return ""
    if not any(name.startswith((ELSEWHERE, f"{here}/")) for name in then):
        return ""
    files = _files_of(network)
    found = [str(path) for path in files if not digests([path]).items() <= then.items()]
    if not files:
        found = [f"module {network.import_path}"]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return f"{found[0]}{more}" if found else ""


def refuse_other_code(weights: Path, made: Manifest | None = None) -> None:
    """Refuse weights of a network whose code has changed since their training.

    ``made`` is the manifest of the training, which is read beside the weights if it is not given.
    Weights that cannot be read are left to those who load them.

    Raises:
        InputError: a file has changed.
    """
    from pipeline_src.models.weights import read_metadata

    try:
        network = _DESCRIPTION.validate_json(read_metadata(weights).get("network", ""))
    except (InputError, ValidationError):
        return
    if not isinstance(network, OtherNetwork):
        return
    if made is None:
        place = weights.parent / MANIFEST
        made = Manifest.read(place) if place.exists() else Manifest()
    if file := changed(network, made.code):
        raise InputError(
            f"{file}: has changed since {weights} was trained with it; train again, or put the "
            "file of then back"
        )
