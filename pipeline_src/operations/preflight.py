"""Checks of a study that need its files or the losses; they run before any job is started."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline_src.config.datasets import OwnSource, PhantomSource
from pipeline_src.config.runtimes import refuse_missing_packages
from pipeline_src.data.sources import check_source, list_volumes
from pipeline_src.data.splits import split_patients
from pipeline_src.errors import InputError, errors_of
from pipeline_src.planning.given_files import source_files_of, source_folder
from pipeline_src.planning.places import Places
from pipeline_src.planning.repeats import of_repeat
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.display_names import counted
from pipeline_src.running.gpus import VISIBLE, torch_knows_gpus, visible_gpus
from pipeline_src.running.interruption import PARENT_VARIABLE
from pipeline_src.sampling.given_masks import study_mask
from pipeline_src.text import printable

if TYPE_CHECKING:
    from pipeline_src.config.study import Study
    from pipeline_src.data.inspection import Inspection


#: Where the driver puts a file for each GPU.
DEVICES = Path("/dev")
#: What a visit may be called at the end of an id, or between its words.
VISIT_IN_ID = (
    r"(?<=.)[/_.-](?:ses|session|visit|timepoint|time|tp|scan|v|t|m)[_-]?[a-z0-9]{1,3}$"
    r"|(?<![a-z0-9])(?:baseline|base|bl|screening|follow-?up|fu|(?:re)?test|rescan|pre|post|before"
    r"|after|(?:day|week|month|year|wk|mo|yr|visit|ses|session|fu|tp|scan)[_-]?[0-9]{1,3}"
    r"|(?:19|20)[0-9]{2}-?[0-9]{2}-?[0-9]{2})(?![a-z0-9])"
    r"|(?<=[0-9])[a-d]$"
)


def check_files(study: Study) -> Models:
    """Refuse runtimes that are not installed, masks that do not fit their data set's matrix,
    losses and sources that are not there or lack what the report needs of them, splits of phantoms
    that cannot be made, and ablations that make no study; returns the models of a good study.

    Raises:
        InputError: one line about the first that does not.
    """
    refuse_missing_packages(study.evaluation.runtimes)
    for setting in study.settings():
        study_mask(study, setting.dataset, setting.factor)
    for name, method in study.methods.items():
        method.source(name)
    for role, network in study.networks.others.items():
        network.source(role)
    for dataset, section in study.datasets.items():
        # A module of one's own is imported by whoever lists its volumes.
        if isinstance(section.source, OwnSource):
            section.source.source(dataset)
        else:
            check_source(section.source)
        if isinstance(section.source, PhantomSource):
            # Known without a file, so that a plan too refuses a split that cannot be made.
            patients = list_volumes(section.source, Path(study.data_root))
            with errors_of(f"data set {dataset}"):
                for seed in Places(study).seeds("store"):
                    split_patients(patients, of_repeat(study, seed).datasets[dataset].split)
    return Models(study)


def refuse_missing_folders(study: Study, datasets: Iterable[str]) -> None:
    """Refuse data sets whose folder does not exist; a module of one's own may make its own.

    Raises:
        InputError: one line about the first.
    """
    for dataset in datasets:
        folder = source_folder(study, dataset)
        own = isinstance(study.datasets[dataset].source, OwnSource)
        if folder and not own and not folder.exists():
            raise InputError(
                f"data set {dataset}: {folder.absolute()} does not exist; set data_root or the "
                "source's path"
            )


def inspect_data(
    study: Study, *, run_modules: bool = True
) -> Iterator[tuple[str, Inspection | InputError]]:
    """Each data set of a study, and what it holds, or why it cannot be used; where each seed has a
    split of its own, the parts are those of the first, and all are looked at.

    Without ``run_modules``, none whose source is a module of one's own."""
    from pipeline_src.data.inspection import inspect_dataset

    for name, dataset in study.datasets.items():
        if isinstance(dataset.source, OwnSource) and not run_modules:
            continue
        try:
            repeats = [of_repeat(study, seed) for seed in Places(study).seeds("store")]
            found = [inspect_dataset(s.datasets[name], Path(study.data_root)) for s in repeats]
            refuse_unplannable(source_files_of(study, name))
            yield name, found[0]
        except InputError as error:
            yield name, error


def describe_data(name: str, found: Inspection) -> list[str]:
    """What was recognised in a data set, so that a person sees a pattern that is wrong."""
    parts = ", ".join(f"{part} {count}" for part, count in found.parts.items() if count)
    lines = [
        f"data set {name}: {counted([found.volumes], 'volume')} of "
        f"{counted([found.patients], 'patient')}; {parts}"
    ]
    for patient, volumes in found.examples.items():
        shown = "; ".join(f"{frame}: {label}" if frame else label for frame, label in volumes[:3])
        more = f"; and {len(volumes) - 3} more" if len(volumes) > 3 else ""
        lines.append(f"  such as patient {patient!r}: {shown}{more}")
    if found.without_volume:
        names = ", ".join(found.without_volume[:3])
        lines.append(
            f"  without a volume: {counted([len(found.without_volume)], 'patient')} ({names})"
        )
    lines += [f"  warning: {sentence}" for sentence in found.repeated]
    lines += [f"  warning: {sentence}" for sentence in _alike(found.ids)]
    lines += [f"  warning: {sentence}" for sentence in _of_other_pixels(found.spacings)]
    return [printable(line) for line in lines]


def _alike(patients: list[str]) -> Iterator[str]:
    """A sentence where ids differ only in what may be a visit, in case or in leading zeros."""
    groups: dict[str, list[str]] = {}
    for patient in patients:
        person = re.sub(VISIT_IN_ID, "", patient.casefold()).strip("/_.-") or patient
        person = re.sub(r"(?<!\d)0+(?=\d)", "", person)
        groups.setdefault(person, []).append(patient)
    suspect = [ids for ids in groups.values() if len(ids) > 1]
    if suspect:
        examples = "; ".join(", ".join(map(repr, ids[:3])) for ids in suspect[:3])
        groups_of_ids = f"{counted([len(suspect)], 'group')} of ids"
        yield (
            f"{groups_of_ids} may be visits of one person each ({examples}); if so, they must not "
            "be in two parts: leave the visit out of patient_pattern and name it by frame_pattern"
        )


def _of_other_pixels(spacings: dict[tuple[float, float], int]) -> Iterator[str]:
    """A sentence where pixels of some volumes are of another size than those of others."""
    if len(spacings) > 1:
        told = [
            f"{row:g} x {column:g} in {counted([count], 'volume')}"
            for (row, column), count in spacings.items()
        ]
        more = f", and {len(told) - 3} more" if len(told) > 3 else ""
        yield (
            f"pixels are of different size: {', '.join(told[:3])}{more}; nothing is resampled "
            "here, so leave out what is not meant, or resample it"
        )


def nothing_drawn(study: Study) -> Iterator[str]:
    """A sentence for each setting whose mask has no line that is drawn."""
    center = study.sampling.center_lines
    for setting in study.settings():
        dataset = study.datasets[setting.dataset]
        sampled = dataset.preparation.matrix[0] // setting.factor
        if setting.factor not in dataset.masks and sampled == center:
            yield (
                f"data set {setting.dataset} at {setting.acceleration}: sampling.center_lines "
                f"takes all {counted([center], 'line')} that are sampled, so that none is drawn "
                "and every seed gives the same mask; use fewer"
            )


def why_no_gpu() -> str:
    """Why trainings cannot use a GPU here; empty if they can, as far as files show.

    Torch is not asked, since importing it would take seconds.
    """
    if not any(DEVICES.glob("nvidia[0-9]*")):
        return "this machine has no GPU"
    if not visible_gpus():
        return f"{VISIBLE}={os.environ.get(VISIBLE)} hides the GPUs of this machine; unset it"
    if not torch_knows_gpus():
        return "the torch that is installed is built for the CPU alone; install one built for CUDA"
    return ""


def missing_gpu(study: Study) -> str:
    """Why the device that trainings require is not available here; empty if it is."""
    reason = why_no_gpu() if study.training.device == "cuda" else ""
    return f"training.device: 'cuda' asked for, but {reason}" if reason else ""


def announce_parent() -> None:
    """Tell the trainings that this process starts its process number.

    A training saves its state and stops when that process has ended; otherwise its result would be
    unknown to any Snakemake.
    """
    os.environ[PARENT_VARIABLE] = str(os.getpid())


def gpu_wanted(study: Study, elsewhere: bool = False) -> bool:
    """Whether trainings use a GPU: because the configuration says so, or because it leaves the
    choice and there is one or, with ``elsewhere``, they run on the machines of a cluster.

    Only files are checked, as in `why_no_gpu`.
    """
    device = study.training.device
    seen = elsewhere or not why_no_gpu()
    return device == "cuda" or (device == "auto" and seen)


def voxels_of_largest(study: Study, dataset: str) -> int:
    """Voxels of the largest volume of a data set that the split uses; 0 if the data does not exist
    (yet) or cannot be used, which the preparation then reports.
    """
    from pipeline_src.data.inspection import choose_volumes

    try:
        used = choose_volumes(study.datasets[dataset], Path(study.data_root)).used
    except InputError:
        return 0
    return max((math.prod(volume.header().shape) for volume in used), default=0)


def refuse_unplannable(files: list[str]) -> None:
    """Refuse paths that Snakemake would not take for themselves.

    Raises:
        InputError: one holds braces, or a word between angle brackets.
    """
    for file in files:
        if found := re.search(r"[{}]|<[A-Za-z_]\w*>", file):
            raise InputError(
                f"{file}: Snakemake takes {found[0]!r} in a path for a placeholder; rename the "
                "file, or name it by a link without"
            )
