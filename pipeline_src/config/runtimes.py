"""The runtimes that a trained network can be measured in besides torch, and what they need."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from pipeline_src.errors import InputError

_EXPORT = ("onnx", "onnxscript")
_ORT = (*_EXPORT, "onnxruntime")
#: Packages that each needs besides this project's own.
RUNTIME_PACKAGES = {
    "compiled": (),
    "onnxruntime": _ORT,
    "onnxruntime_int8": _ORT,
    "onnxruntime_fp16": _ORT,
    "openvino": (*_EXPORT, "openvino"),
    "openvino_bf16": (*_EXPORT, "openvino"),
}


def is_installed(runtime: str) -> bool:
    """Whether the packages of a runtime are installed."""
    return not _missing(runtime)


def refuse_missing_packages(runtimes: Iterable[str]) -> None:
    """Check that the packages of runtimes are installed.

    Raises:
        InputError: one is not.
    """
    for name in runtimes:
        if missing := _missing(name):
            raise InputError(
                f"runtime {name}: {' and '.join(missing)} not installed; pip install "
                + ("openvino" if missing == ["openvino"] else "--editable '.[export]'")
            )


def _missing(runtime: str) -> list[str]:
    return [name for name in RUNTIME_PACKAGES[runtime] if find_spec(name) is None]
