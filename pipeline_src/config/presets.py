"""Named sets of the options in which the paper's text and its authors' code differ."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline_src.config.distillation import is_papers
from pipeline_src.config.section import merge

#: Values by dotted key; `methods.NAME.form` applies to the paper's methods.
PRESETS: dict[str, dict[str, Any]] = {
    "authors": {
        "methods.NAME.form": "authors",
        "sft.imitation_normalisation": "numel",
        "distillation.protocol": "two_stage",
        "distillation.start": "sft_trained",
        "distillation.feature_stage_selection": "best",
        "networks.teacher.padding": 5,
        "networks.student.padding": 5,
    },
    "paper": {
        "methods.NAME.form": "original",
        "sft.imitation_normalisation": "mean",
        "distillation.protocol": "joint",
        "distillation.start": "recipe",
        "distillation.feature_stage_selection": "best",
        "networks.teacher.padding": 0,
        "networks.student.padding": 0,
    },
}


def preset_values(preset: str, papers: list[str], networks: Any = None) -> dict[str, Any]:
    """A preset as a nested mapping for those of a study's methods that are the paper's, and for its
    networks; empty for an unknown preset.
    """
    values: dict[str, Any] = {}
    for path, value in _paths(preset, papers, networks):
        for part in reversed(path.split(".")):
            value = {part: value}
        values = merge(values, value)
    return values


def _paths(preset: str, papers: list[str], networks: Any) -> Iterator[tuple[str, Any]]:
    for key, value in PRESETS.get(preset, {}).items():
        if key.startswith("networks.") and _is_no_dc_cnn(networks, key.split(".")[1]):
            continue
        for path in [key.replace("NAME", name) for name in papers] if "NAME" in key else [key]:
            yield path, value


def _is_no_dc_cnn(networks: Any, role: str) -> bool:
    """Whether a network is of another kind, which has other keys than the authors' code."""
    network = networks.get(role) if isinstance(networks, dict) else None
    return isinstance(network, dict) and network.get("kind", "dc_cnn") != "dc_cnn"


def apply_preset(data: dict[str, Any], method_names: list[str]) -> dict[str, Any]:
    """The configuration with the values of its `preset` filled in.

    ``method_names`` are the methods of a configuration that names none.

    Raises:
        ValueError: a key is given with another value than the preset's.
    """
    preset = data.get("preset")
    methods = data.get("methods", {name: {} for name in method_names})
    # Values of a wrong type are left for the models to refuse.
    if not isinstance(preset, str) or preset not in PRESETS or not isinstance(methods, dict):
        return data
    filled: dict[str, Any] = {**data, "methods": methods}
    papers = [name for name, method in methods.items() if is_papers(name, _module_of(method))]
    for path, value in _paths(preset, papers, data.get("networks")):
        filled = _filled(filled, path.split("."), value, f"preset {preset!r} sets {path}")
    return filled


def _module_of(method: Any) -> Any:
    return method.get("module") if isinstance(method, dict) else None


def _filled(data: Any, path: list[str], value: Any, claim: str) -> Any:
    """``data`` with ``value`` at ``path``; wrong shapes are left for the models to refuse."""
    if data is None:
        data = {}
    if not isinstance(data, dict):
        return data
    key, *rest = path
    if rest:
        return {**data, key: _filled(data.get(key, {}), rest, value, claim)}
    if data.get(key, value) != value:
        raise ValueError(f"{claim} to {value!r}, but {data[key]!r} is given; leave one of them out")
    return {**data, key: value}
