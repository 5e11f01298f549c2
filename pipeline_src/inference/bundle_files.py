"""The files of a bundle: their names, their content, and reading them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, PositiveInt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pipeline_src.config.networks import AnyNetwork
from pipeline_src.config.section import Section
from pipeline_src.errors import InputError
from pipeline_src.files import atomic_path, open_regular, parse_json, sha256_file
from pipeline_src.inference.described import read_described
from pipeline_src.sampling.masks import Mask

CONFIG, WEIGHTS, MASK, SAMPLE = (
    "config.json",
    "model.safetensors",
    "mask.safetensors",
    "sample.safetensors",
)
CODE, ONNX, CARD, METADATA, SUMS = (
    "dccnn.py",
    "model.onnx",
    "README.md",
    "metadata.jsonld",
    "SHA256SUMS",
)
FORMAT: Literal["sft-kd-recon bundle 1"] = "sft-kd-recon bundle 1"
#: The bound of its errors, where it has one.
BOUND = "error_bound.json"
#: More would end the process where there is no room for them.
MOST_THREADS = 1024
#: Data fidelity of a slice takes memory by its rows squared.
Size = Annotated[int, Field(ge=1, le=4096)]
LONGEST_NAME = 500
#: Of `SHA256SUMS`.
_LINE = re.compile(r"([0-9a-f]{64})  ([^/\s][^/]*)")


class Origin(Section):
    """What is known about the slices of a training."""

    kind: str = Field(default="", description="of the source, such as nifti; empty: not known")
    synthetic: bool = Field(default=False, description="drawn phantoms")
    slice_axis: Literal[0, 1, 2] = Field(default=2, description="axis of the slices in its files")
    orientation: str | None = Field(default=None, description="that axes were turned to")
    downscale: PositiveInt = Field(default=1, description="by which its slices were made smaller")
    display_quarter_turns: int = Field(default=0, description="to show a slice upright")
    patients: dict[str, int] = Field(default={}, description="in each part of the split")
    digest: str = Field(default="", description="SHA-256 of their store; empty: not known")


class BundleConfig(Section):
    """The content of `config.json`."""

    any_text: ClassVar[bool] = True

    format: Literal["sft-kd-recon bundle 1"] = Field(default=FORMAT, description="of the folder")
    model: str = Field(
        max_length=LONGEST_NAME, description="its name in the study, such as sft_kd_at"
    )
    network: AnyNetwork = Field(description="cascades, convolutions, features and padding")
    matrix: tuple[Size, Size] = Field(description="rows and columns of a slice")
    dataset: str = Field(default="", max_length=LONGEST_NAME, description="it was trained on")
    acceleration: str = Field(default="", max_length=LONGEST_NAME, description="such as 4x")
    threads: int = Field(default=1, ge=1, le=MOST_THREADS, description="of its training")
    origin: Origin = Field(default=Origin(), description="what its slices were")
    code: dict[str, str] = Field(
        default={}, description="SHA-256 of the files of a network of one's own, by name"
    )

    @property
    def content(self) -> dict[str, Any]:
        """As JSON; a network without code of its own has nothing there."""
        return self.model_dump(mode="json", exclude=None if self.code else {"code"})


def read_config(folder: Path) -> BundleConfig:
    """Read `config.json` of a bundle.

    Raises:
        InputError: it is missing, damaged, or of another kind.
    """
    return read_described(folder / CONFIG, BundleConfig, FORMAT, "it is not a bundle")


def write_tensors(
    path: Path, tensors: dict[str, Any], description: dict[str, Any] | None = None
) -> None:
    """Write arrays as safetensors, with a description as metadata if one is given."""
    metadata = None if description is None else {"description": json.dumps(description)}
    content = save({k: np.ascontiguousarray(v) for k, v in tensors.items()}, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read arrays from a safetensors file by name, and the description from its metadata.

    Raises:
        InputError: it is missing, damaged, or of another format, such as a pickle.
    """
    try:
        open_regular(path).close()
        with safe_open(path, framework="np") as file:
            described = parse_json((file.metadata() or {}).get("description", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for name, tensor in tensors.items():
            # Where another package has taught NumPy of them, they come as void.
            if tensor.dtype.kind not in "biuf":
                raise TypeError(f"{name} is of type {tensor.dtype}")
        return tensors, described
    except FileNotFoundError:
        raise InputError(f"{path}: does not exist; the bundle is not whole") from None
    # TypeError: of numbers that NumPy does not have, such as bfloat16.
    # AttributeError: of 8-bit floating-point numbers.
    except (
        *(OSError, SafetensorError, TypeError, ValueError, RecursionError, AttributeError),
    ) as error:
        raise InputError(f"{path}: is damaged or not a safetensors file ({error})") from None


def write_bundle_mask(path: Path, mask: Mask) -> None:
    """Write the samples `(rows, columns)` in FFT order and their description."""
    write_tensors(path, {"samples": mask.samples}, mask.description)


def read_bundle_mask(folder: Path) -> Mask:
    """Read the mask of a bundle.

    Raises:
        InputError: it is missing or damaged.
    """
    path = folder / MASK
    tensors, description = read_tensors(path)
    samples = tensors.get("samples")
    if samples is None or samples.dtype != np.bool_ or samples.ndim != 2 or not samples.any():
        raise InputError(f"{path}: holds no mask (bool values in rows and columns, some true)")
    return Mask(samples, description if isinstance(description, dict) else {})


def read_sums(folder: Path) -> dict[str, str]:
    """The digests of a bundle's files, by their names.

    Raises:
        InputError: the folder or the list is missing, or the list is damaged.
    """
    path = folder / SUMS
    if not path.exists():
        what = (
            f"has no {SUMS}; it is not a complete bundle" if folder.exists() else "does not exist"
        )
        raise InputError(f"{folder}: {what}")
    try:
        with open_regular(path) as stream:
            lines = stream.read(1 << 16).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); it is not a complete bundle") from None
    matches = [_LINE.fullmatch(line) for line in lines]
    if not matches or None in matches:
        raise InputError(f"{path}: is not a list of SHA-256 digests")
    return {match[2]: match[1] for match in matches if match}


def refuse_changed(folder: Path, names: Iterable[str]) -> None:
    """Refuse files of a bundle that are not as they were written.

    Raises:
        InputError: one is not, or has no digest.
    """
    sums = read_sums(folder)
    for name in names:
        if name not in sums:
            raise InputError(f"{folder / SUMS}: does not list {name}")
        if sha256_file(folder / name) != sums[name]:
            raise InputError(f"{folder / name}: is not as it was written (its digest differs)")
