"""What is evaluated or used: a trained model with what its manifest tells, or zero filling."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pipeline_src.errors import InputError
from pipeline_src.files import sha256_file
from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.planning.network_code import refuse_other_code
from pipeline_src.planning.places import MANIFEST, WEIGHTS
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.sampling.masks import Mask


@dataclass(frozen=True)
class Subject:
    """What is evaluated: a model, given by its folder, or zero filling.

    Attributes:
        name: the model's name, or `zero_filled`.
        seed: of its training; None if there is none or it is not known.
        threads: CPU threads that it was trained with; their number affects the last bits.
        made: the manifest of its training; empty if there is none.
    """

    folder: Path
    name: str
    seed: int | None = None
    threads: int = 1
    made: Manifest = field(default_factory=Manifest, repr=False)

    @classmethod
    def of_folder(cls, folder: Path) -> Subject:
        """Read the manifest beside the weights; without one, as for weights from elsewhere, the
        folder's name is the model's name.

        Raises:
            InputError: the folder has no manifest, and its name is not a model's name; or the
                weights are not those of the manifest, or the code of its network has changed.
        """
        if (place := folder / MANIFEST).exists():
            manifest = Manifest.read(place)
            try:
                plan = manifest.require("settings").settings
                # The plan of a variant contains its values but not its name.
                name = str(manifest.get("name", plan["model"]))
                split_model_name(name)
                seed, threads = int(plan["seed"]), int(plan["training"]["threads"])
            except (InputError, KeyError, TypeError, ValueError, OverflowError) as error:
                raise InputError(f"{place}: is not a manifest of a training ({error!r})") from None
            known, weights = manifest.outputs.get(WEIGHTS), folder / WEIGHTS
            if known and weights.exists() and sha256_file(weights) != known:
                raise InputError(
                    f"{weights}: is not as its training wrote it, by {place.name} beside it; train "
                    "again, or give weights from elsewhere a folder of their own"
                )
            refuse_other_code(weights, manifest)
            return cls(folder, name, seed, threads, manifest)
        try:
            split_model_name(folder.name)
        except ValueError:
            raise InputError(
                f"{folder}: has no {MANIFEST}, and {folder.name!r} is not a model's name; call the "
                "folder teacher, student, sft_teacher, std_kd_at ..."
            ) from None
        return cls(folder, folder.name)

    def was_trained_under(self, mask: Mask, path: Path) -> bool:
        """Whether a mask, read from ``path``, is that of the training, as far as its manifest
        tells.
        """
        if self.made.mask_digest is not None:
            return self.made.mask_digest == mask.digest
        if self.made.mask not in (None, mask.description):
            return False
        known = getattr(self.made.inputs.get("mask"), "sha256", None)
        return known is None or known == sha256_file(path)

    @property
    def weights(self) -> Path | None:
        """The weights file, or None for zero filling."""
        return None if self.name == "zero_filled" else self.folder / WEIGHTS

    @property
    def labels(self) -> dict[str, str | int]:
        """Columns that say which model the metrics belong to."""
        model, training = split_model_name(self.name)
        return {
            "seed": "" if self.seed is None else self.seed,
            "model": model,
            "training": training,
            "variant": split_variant(self.name)[1],
        }
