"""Writes a trained model as a bundle, a folder that works without this project, and checks
bundles.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline_src.config.networks import DC_CNN, OtherNetwork
from pipeline_src.config.runtimes import refuse_missing_packages
from pipeline_src.data.phantoms import draw_volume
from pipeline_src.data.preparation import center_crop_or_pad
from pipeline_src.data.store import read_store
from pipeline_src.errors import InputError
from pipeline_src.files import (
    is_in_use,
    sha256_file,
    whole_folder,
    write_json,
    write_text,
)
from pipeline_src.inference.bundle_files import (
    BOUND,
    CARD,
    CODE,
    CONFIG,
    MASK,
    METADATA,
    ONNX,
    SAMPLE,
    SUMS,
    WEIGHTS,
    BundleConfig,
    read_config,
    read_sums,
    read_tensors,
    refuse_changed,
    write_bundle_mask,
    write_tensors,
)
from pipeline_src.inference.bundled import OtherReconstructor, Reconstructor, load
from pipeline_src.inference.calibration import refuse_other_network
from pipeline_src.inference.card import metadata, write_card
from pipeline_src.inference.card_metrics import measured
from pipeline_src.inference.error_bound import read_error_bound
from pipeline_src.inference.onnx_export import (
    INT8,
    calibration_slices,
    export_onnx,
    run_onnx,
    why_not,
    write_int8,
)
from pipeline_src.inference.trained import (
    NO_ORIGIN,
    Trained,
    load_trained,
    mask_of_bundle,
    refuse_other_store,
)
from pipeline_src.models.registry import is_imported
from pipeline_src.planning.network_code import changed
from pipeline_src.sampling.data_fidelity import data_fidelity

NEEDED = (CONFIG, WEIGHTS, MASK, SAMPLE, CARD, METADATA)
#: Largest difference of a recomputed image from the expected one; other machines round differently.
TOLERANCE = 1e-5


def write_bundle(
    trained: Trained,
    output: Path,
    licence: str = "",
    int8: Path | None = None,
    error_bound: Path | None = None,
    metrics: bool = True,
) -> list[str]:
    """Write a bundle, completely or not at all; returns warnings for the user.

    ``int8`` is a store whose training slices calibrate a variant in 8-bit integers, and
    ``error_bound`` the calibrated bound of the network's errors, which goes in without the names of
    patients. Without ``metrics``, those beside the weights are not looked at.

    A DC-CNN brings its code along; what stands alone of another kind is its ONNX.

    Raises:
        InputError: something already exists at ``output``, it cannot be written, the bound or the
            metrics beside the weights are not of the network, or a network of another kind than
            DC-CNN cannot be exported.
    """
    kind = trained.config.network.kind
    brings_code = kind == DC_CNN
    reason = why_not()
    if reason and not brings_code:
        raise InputError(f"{trained.folder}: of kind {kind}; its bundle needs {ONNX}, and {reason}")
    if is_in_use(output):
        raise InputError(f"--output {output}: something lies there; give a new folder")
    bound = None
    if error_bound is not None:
        bound = read_error_bound(error_bound)
        refuse_other_network(bound, error_bound, trained)
    found = measured(trained) if metrics else {}
    remarks = []
    with whole_folder(output) as folder:
        (folder / WEIGHTS).write_bytes(trained.weights.read_bytes())
        write_json(folder / CONFIG, trained.config.content)
        write_bundle_mask(folder / MASK, trained.mask)
        network: Reconstructor
        if brings_code:
            source = Path(__file__).with_name(CODE)
            (folder / CODE).write_bytes(source.read_bytes())
            network = load(folder)
        else:
            network = OtherReconstructor(trained)
        image = sample_image(trained)
        zero_filled, expected = _through(network, image)
        write_tensors(
            folder / SAMPLE, {"image": image, "zero_filled": zero_filled, "expected": expected}
        )
        if reason and int8:
            raise InputError(f"--int8: {reason}")
        if reason:
            remarks.append(f"{ONNX} is left out: {reason}")
        else:
            export_onnx(network, folder / ONNX)
            _compared_onnx(folder, zero_filled, expected)
        if int8:
            refuse_missing_packages(["onnxruntime_int8"])
            store = read_store(int8, parts=["train"])
            refuse_other_store(trained, store, int8)
            write_int8(folder / ONNX, folder / INT8, calibration_slices(network, store))
        if bound is not None:
            write_json(folder / BOUND, bound.without_names().model_dump(mode="json"))
        if trained.lost_its_store:
            remarks.append(NO_ORIGIN)
        if not found and metrics:
            remarks.append(
                "the card has no metrics of these weights; run evaluate on test patients first"
            )
        if not licence:
            remarks.append("the card has no licence; give one with --licence")
        write_text(folder / CARD, write_card(trained, found, licence, not reason, bound))
        write_json(folder / METADATA, metadata(trained, found, licence))
        names = sorted(path.name for path in folder.iterdir())
        sums = "".join(f"{sha256_file(folder / name)}  {name}\n" for name in names)
        write_text(folder / SUMS, sums)
    return remarks


def sample_image(trained: Trained) -> NDArray[np.float32]:
    """A drawn phantom `(1, 1, rows, columns)` of maximum 1, so that a bundle contains nobody's
    image.
    """
    rows, columns = trained.matrix
    volume = draw_volume("brain", 1, max(rows, columns, 64), 3)
    plane = center_crop_or_pad(np.ascontiguousarray(volume[:, :, 1]), (rows, columns))
    scaled: NDArray[np.float32] = plane / plane.max()
    return scaled[None, None]


def _through(
    network: Reconstructor, image: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with torch.no_grad():
        zero_filled = network.undersample(torch.from_numpy(image))
        return zero_filled.numpy(), network(zero_filled).numpy()


def check_bundle(folder: Path) -> list[str]:
    """Compare every file with its digest, and recompute the sample; returns the findings.

    No code in the bundle is run: its `dccnn.py` is compared with this project's. A network whose
    module is not imported, or is not as it was then, is recomputed by ONNX Runtime alone.

    Raises:
        InputError: a file is missing, was changed or added, or the sample gives another result.
    """
    _check_sums(folder)
    config = read_config(folder)
    _refuse_missing(folder, [CODE if config.network.kind == DC_CNN else ONNX])
    mask = mask_of_bundle(folder, config)
    sample, _ = read_tensors(folder / SAMPLE)
    shape = (1, 1, *config.matrix)
    for name in ("image", "zero_filled", "expected"):
        if name not in sample or sample[name].shape != shape or sample[name].dtype != np.float32:
            raise InputError(f"{folder / SAMPLE}: has no {name} of shape {shape} in float32")
    image, expected = sample["image"], sample["expected"]
    found = [f"{len(read_sums(folder))} files as they were written", config.network.name]
    if why := _why_not_run(config):
        found.append(f"torch not run: {why}")
        zero_filled = data_fidelity(mask).zero_filled(torch.from_numpy(image)).numpy()
    else:
        load_trained(folder)
        zero_filled, made = _through(load(folder), image)
        found.append(f"torch {_compared(folder, expected, made, 'torch')}")
    if (folder / ONNX).exists():
        found.append(_compared_onnx(folder, zero_filled, expected))
    if config.network.kind != DC_CNN:
        return found
    if sha256_file(folder / CODE) != sha256_file(Path(__file__).with_name(CODE)):
        found.append(f"{CODE} is not this version's; read it before it is imported")
    return found


def _why_not_run(config: BundleConfig) -> str:
    """Why the network of a bundle is not recomputed by torch; empty if it is."""
    network = config.network
    if isinstance(network, OtherNetwork) and not is_imported(network):
        return f"give --import {network.module} if you trust it"
    file = changed(network, config.code)
    return f"{file} is not as it was when the bundle was made with it" if file else ""


def _compared_onnx(
    folder: Path, zero_filled: NDArray[np.float32], expected: NDArray[np.float32]
) -> str:
    made = run_onnx(folder / ONNX, zero_filled)
    if made is None:
        return f"{ONNX} not run: onnxruntime is not installed"
    return f"ONNX Runtime {_compared(folder, expected, made, 'ONNX')}"


def _compared(
    folder: Path, expected: NDArray[np.float32], made: NDArray[np.float32], by: str
) -> str:
    if made.shape != expected.shape:
        raise InputError(f"{folder}: {by} gives the shape {made.shape}, not {expected.shape}")
    difference = float(np.abs(made - expected).max())
    if not difference <= TOLERANCE:
        raise InputError(
            f"{folder}: the sample's reconstruction by {by} differs from the expected one by "
            f"{difference:.2g}, where {TOLERANCE:.0e} is allowed"
        )
    return f"gives the expected image to {difference:.1e}"


def _check_sums(folder: Path) -> None:
    sums = read_sums(folder)
    there = {path.name for path in folder.iterdir() if not path.name.startswith(".")} - {SUMS}
    _refuse_missing(folder, (*NEEDED, *sums))
    refuse_changed(folder, dict.fromkeys((*NEEDED, *sums)))
    if added := sorted(there - set(sums)):
        raise InputError(f"{folder}: {added[0]} is not part of the bundle (not in {SUMS})")


def _refuse_missing(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if not (folder / name).exists():
            raise InputError(f"{folder}: {name} is missing; the bundle is not whole")
