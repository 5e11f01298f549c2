"""Loads a trained network with its mask and a description of its training data.

It comes from a training's folder or from a bundle.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline_src.data.hdf5_files import reading_hdf5
from pipeline_src.data.store import Store, origin_of, read_index
from pipeline_src.errors import InputError
from pipeline_src.evaluation.subject import Subject
from pipeline_src.files import sha256_file
from pipeline_src.inference.bundle_files import (
    CONFIG,
    MASK,
    MOST_THREADS,
    WEIGHTS,
    BundleConfig,
    Origin,
    read_bundle_mask,
    read_config,
    refuse_changed,
)
from pipeline_src.models.base import ReconstructionNetwork
from pipeline_src.models.weights import load_network
from pipeline_src.planning.network_code import changed, own_digests_of
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.sampling.masks import Mask, read_mask, require_size

#: Said of a model whose training slices are not known.
NO_ORIGIN = (
    "the store of its training is not there, so it is not known how its slices lay in the files; "
    "they are taken along the last axis of NIfTI files; put the store back, or give --slice-axis"
)


@dataclass(frozen=True)
class Trained:
    """A network and what it was trained for.

    Attributes:
        folder: the training's folder, or the bundle.
        weights: the weights file.
        mask: of the training; its size is that of the slices it was trained on.
        config: the configuration as in a bundle.
        made: the manifest of its training; empty for a bundle.
    """

    folder: Path
    weights: Path
    network: ReconstructionNetwork
    mask: Mask
    config: BundleConfig
    made: Manifest

    @property
    def lost_its_store(self) -> bool:
        """Whether there was a store that said how slices lay in the files, and nothing says it."""
        return not self.config.origin.kind and "store" in self.made.inputs

    @property
    def matrix(self) -> tuple[int, int]:
        """Rows and columns of the slices it was trained on."""
        rows, columns = self.mask.samples.shape
        return rows, columns

    @property
    def told(self) -> dict[str, Any]:
        """What the facts of a reconstruction record about the model."""
        return {
            "name": self.config.model,
            "folder": str(self.folder),
            "weights_sha256": sha256_file(self.weights),
            "network": self.network.network.model_dump(),
            "architecture": self.network.network.name,
            "dataset": self.config.dataset,
            "acceleration": self.config.acceleration,
            "matrix": list(self.matrix),
        }


def refuse_other_store(trained: Trained, store: Store, path: Path) -> None:
    """Check that a store is that of the training, whose patients say which were not trained on.

    Raises:
        InputError: it is another one, or its slices are of another size.
    """
    require_size(trained.mask, trained.folder, store.images.shape[1:], path)
    known = trained.config.origin.digest
    if known and known != store.digest:
        raise InputError(
            f"{path}: is another store ({store.digest[:12]}) than {trained.folder} was trained on "
            f"({known[:12]}), so its test patients may be training patients; give that one"
        )


def load_trained(folder: Path, mask: Path | None = None) -> Trained:
    """The model of a training's folder (`weights.safetensors`) or of a bundle (`config.json`).

    ``mask`` is the mask of its training, if the training's manifest does not lead to it.

    Raises:
        InputError: the folder is neither, or one of its files is missing or damaged.
    """
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(
            f"--model {folder}: {what}; give the folder of a training, such as "
            "results/demo/brain/4x/seed0/student, or a bundle"
        )
    if (folder / CONFIG).exists():
        if mask is not None:
            raise InputError(f"--trained-mask: {folder} is a bundle, which has its mask")
        return _from_bundle(folder)
    if (folder / "weights.safetensors").exists():
        return _from_training(folder, mask)
    raise InputError(
        f"--model {folder}: has neither weights.safetensors, as a training's folder has, nor "
        f"{CONFIG}, as a bundle has"
    )


def mask_of_bundle(folder: Path, config: BundleConfig) -> Mask:
    """The mask of a bundle.

    Raises:
        InputError: it is missing, damaged, or of another size than the configuration's.
    """
    mask = read_bundle_mask(folder)
    if mask.samples.shape != config.matrix:
        raise InputError(
            f"{folder}: its mask is of {_size(mask.samples.shape)}, but {CONFIG} says "
            f"{_size(config.matrix)}; make the bundle again"
        )
    return mask


def _from_bundle(folder: Path) -> Trained:
    refuse_changed(folder, (CONFIG, WEIGHTS, MASK))
    config = read_config(folder)
    mask = mask_of_bundle(folder, config)
    if file := changed(config.network, config.code):
        raise InputError(
            f"{file}: is not as it was when {folder} was made with it; put the file of then back, "
            "or make the bundle again"
        )
    network = load_network(folder / WEIGHTS).eval()
    if network.network != config.network:
        raise InputError(
            f"{folder}: {CONFIG} says {config.network.name} and {WEIGHTS} is of "
            f"{network.network.name}, or they differ in features or padding; make the bundle again"
        )
    return Trained(folder, folder / WEIGHTS, network, mask, config, Manifest())


def _from_training(folder: Path, given: Path | None) -> Trained:
    subject = Subject.of_folder(folder)
    weights = folder / "weights.safetensors"
    path = given or _named_input(subject, "mask")
    if path is None:
        raise InputError(
            f"{folder}: has no manifest that names the mask of its training; give it with "
            "--trained-mask mask.npz"
        )
    if not path.exists():
        raise InputError(
            f"{folder}: the mask of its training is not at {path}; give it with --trained-mask"
        )
    mask = read_mask(path)
    if not subject.was_trained_under(mask, path):
        raise InputError(f"{folder}: was trained under another mask than {path}; give that one")
    network = load_network(weights).eval()
    acceleration = mask.description.get("acceleration")
    config = BundleConfig(
        model=subject.name,
        network=network.network,
        matrix=(mask.samples.shape[0], mask.samples.shape[1]),
        dataset=str(subject.made.get("dataset", mask.description.get("dataset", ""))),
        acceleration=str(subject.made.get("acceleration", acceleration and f"{acceleration}x")),
        threads=_threads(subject),
        origin=_origin(subject),
        code=own_digests_of(network.network),
    )
    return Trained(folder, weights, network, mask, config, subject.made)


def _named_input(subject: Subject, role: str) -> Path | None:
    """A file that the training's manifest names as its input."""
    given = subject.made.inputs.get(role)
    return subject.folder / given.path if given else None


def _threads(subject: Subject) -> int:
    if not 1 <= subject.threads <= MOST_THREADS:
        raise InputError(
            f"{subject.folder}: its manifest tells of {subject.threads} threads; it is damaged"
        )
    return subject.threads


def _origin(subject: Subject) -> Origin:
    """What the manifest of a training says about its slices, or of an older one the store; empty if
    neither does, since no image is read from it.
    """
    store, told = _named_input(subject, "store"), subject.made.get("origin", {})
    try:
        if told:
            return Origin(**told)
        if store is None or not store.exists():
            return Origin()
        with reading_hdf5(store) as file:
            described = json.loads(file.attrs["description"])
        patients = {part: len(ids) for part, ids in read_index(store).patients.items()}
        return Origin(**origin_of(described, patients, subject.made.data_digest or ""))
    except (InputError, AttributeError, RecursionError, ValidationError):
        return Origin()


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
