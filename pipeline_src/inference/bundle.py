"""Writes a trained model as a bundle, a folder that works without this project, and checks
bundles.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

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
    read_sums,
    read_tensors,
    refuse_changed,
    write_bundle_mask,
    write_tensors,
)
from pipeline_src.inference.calibration import refuse_other_network
from pipeline_src.inference.card import measured, metadata, write_card
from pipeline_src.inference.dccnn import KIND, Reconstructor, load
from pipeline_src.inference.error_bound import read_error_bound
from pipeline_src.inference.onnx_export import (
    INT8,
    calibration_slices,
    export_onnx,
    run_onnx,
    why_not,
    write_int8,
)
from pipeline_src.inference.trained import NO_ORIGIN, Trained, load_trained, refuse_other_store

NEEDED = (CONFIG, WEIGHTS, MASK, SAMPLE, CODE, CARD, METADATA)
#: Largest difference of a recomputed image from the expected one; other machines round differently.
TOLERANCE = 1e-5


def write_bundle(
    trained: Trained,
    output: Path,
    licence: str = "",
    int8: Path | None = None,
    error_bound: Path | None = None,
) -> list[str]:
    """Write a bundle, completely or not at all; returns warnings for the user.

    ``int8`` is a store whose training slices calibrate a variant in 8-bit integers, and
    ``error_bound`` the calibrated bound of the network's errors, which goes in without the names of
    patients.

    Raises:
        InputError: something already exists at ``output``, it cannot be written, or the bound is of
            another network.
    """
    if trained.config.network.kind != KIND:
        raise InputError(
            f"{trained.folder}: is of kind {trained.config.network.kind}; a bundle holds {KIND}, "
            "whose code it brings along. reconstruct takes the training's folder of any kind"
        )
    if is_in_use(output):
        raise InputError(f"--output {output}: something lies there; give a new folder")
    bound = None
    if error_bound is not None:
        bound = read_error_bound(error_bound)
        refuse_other_network(bound, error_bound, trained)
    remarks = []
    with whole_folder(output) as folder:
        (folder / WEIGHTS).write_bytes(trained.weights.read_bytes())
        write_json(folder / CONFIG, trained.config.model_dump(mode="json"))
        write_bundle_mask(folder / MASK, trained.mask)
        source = Path(__file__).with_name(CODE)
        (folder / CODE).write_bytes(source.read_bytes())
        network = load(folder)
        image = sample_image(trained)
        zero_filled, expected = _through(network, image)
        write_tensors(
            folder / SAMPLE, {"image": image, "zero_filled": zero_filled, "expected": expected}
        )
        reason = why_not()
        if reason and int8:
            raise InputError(f"--int8: {reason}")
        if reason:
            remarks.append(f"{ONNX} is left out: {reason}")
        else:
            export_onnx(network, folder / ONNX)
        if int8:
            refuse_missing_packages(["onnxruntime_int8"])
            store = read_store(int8, parts=["train"])
            refuse_other_store(trained, store, int8)
            write_int8(folder / ONNX, folder / INT8, calibration_slices(network, store))
        if bound is not None:
            write_json(folder / BOUND, bound.without_names().model_dump(mode="json"))
        if trained.lost_its_store:
            remarks.append(NO_ORIGIN)
        found = measured(trained.folder)
        if not found:
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

    Nothing in the bundle is run: its `dccnn.py` is compared with this project's.

    Raises:
        InputError: a file is missing, was changed or added, or the sample gives another result.
    """
    _check_sums(folder)
    config = load_trained(folder).config
    try:
        network = load(folder)
    except ValueError as error:
        raise InputError(str(error)) from None
    sample, _ = read_tensors(folder / SAMPLE)
    shape = (1, 1, *config.matrix)
    for name in ("image", "zero_filled", "expected"):
        if name not in sample or sample[name].shape != shape or sample[name].dtype != np.float32:
            raise InputError(f"{folder / SAMPLE}: has no {name} of shape {shape} in float32")
    zero_filled, expected = _through(network, sample["image"])
    found = [f"{len(read_sums(folder))} files as they were written", config.network.name]
    found.append(f"torch {_compared(folder, sample['expected'], expected, 'torch')}")
    if (folder / ONNX).exists():
        made = run_onnx(folder / ONNX, zero_filled)
        if made is None:
            found.append("model.onnx not run: onnxruntime is not installed")
        else:
            found.append(f"ONNX Runtime {_compared(folder, sample['expected'], made, 'ONNX')}")
    if sha256_file(folder / CODE) != sha256_file(Path(__file__).with_name(CODE)):
        found.append(f"{CODE} is not this version's; read it before it is imported")
    return found


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
    for name in (*NEEDED, *sums):
        if name not in there:
            raise InputError(f"{folder}: {name} is missing; the bundle is not whole")
    refuse_changed(folder, dict.fromkeys((*NEEDED, *sums)))
    if added := sorted(there - set(sums)):
        raise InputError(f"{folder}: {added[0]} is not part of the bundle (not in {SUMS})")
