"""Reading tensors out of a pickled checkpoint without running anything in it."""

from __future__ import annotations

import collections
import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from pipeline_src.errors import InputError

#: All that a checkpoint may name: the parts that tensors and their containers are made of.
ALLOWED = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): torch._utils._rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): torch._utils._rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): torch._utils._rebuild_parameter,
}
# torch's own loader resolves the types of storages before it asks for anything else.
STORAGES = {f"{kind}Storage" for kind in ("Float", "Double", "Half", "BFloat16", "Long", "Int")}


class Inert:
    """Stands for every other object of a checkpoint: made, called and filled without effect."""

    def __new__(cls, *_args: object, **_kwargs: object) -> Inert:
        """Made of anything."""
        return super().__new__(cls)

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        return None

    def __call__(self, *_args: object, **_kwargs: object) -> Inert:
        """Called with anything."""
        return self

    def __setstate__(self, _state: object) -> None:
        return None

    def __setitem__(self, _key: object, _value: object) -> None:
        return None

    def append(self, _value: object) -> None:
        """Filled as a list would be."""

    def extend(self, _values: object) -> None:
        """Filled as a list would be."""


class _TensorsOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return super().find_class(module, name)
        return ALLOWED.get((module, name), Inert)


def _load(stream: Any, **options: Any) -> Any:
    return _TensorsOnly(stream, **options).load()


# What torch.load takes as a pickle module.
_TENSORS_ONLY = SimpleNamespace(Unpickler=_TensorsOnly, load=_load, __name__="tensors_only")


def read_checkpoint_tensors(path: Path) -> dict[str, Tensor]:
    """The network's tensors of a checkpoint written by `torch.save`.

    They are the checkpoint itself, or stand under `model` or `state_dict` in it; a `module.` that
    parallel training put before the names is taken off. Whatever else was pickled with them (an
    argparse object, an optimiser) is neither imported nor run.

    Raises:
        InputError: the file cannot be read or holds no tensors there.
    """
    try:
        content = torch.load(
            path, map_location="cpu", pickle_module=_TENSORS_ONLY, weights_only=False
        )
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError) as error:
        raise InputError(f"{path}: checkpoint cannot be read ({error})") from None
    if isinstance(content, Mapping):
        for key in ("model", "state_dict"):
            if isinstance(content.get(key), Mapping):
                content = content[key]
                break
        tensors = {
            str(name).removeprefix("module."): value
            for name, value in content.items()
            if isinstance(value, Tensor)
        }
        if tensors:
            return tensors
    raise InputError(f"{path}: holds no tensors, neither by themselves nor under 'model'")
