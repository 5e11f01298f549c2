"""Checks that the parts of a study fit together when its configuration is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline_src.config.ablation import Ablation
from pipeline_src.config.networks import Network, feature_cascades
from pipeline_src.config.recipes import RECIPES, needs_sft
from pipeline_src.config.section import refuse_repeats
from pipeline_src.config.split import Folds

if TYPE_CHECKING:
    from pipeline_src.config.study import Study

# A name becomes a folder, a wildcard and a cell of a table.
NAME_PATTERN = r"^[a-z][a-z0-9_]{0,63}$"
NAME_RULE = "use up to 64 lower-case letters, digits and underscores, a letter first"


def refuse_bad_name(name: str, what: str) -> None:
    """Refuse a name that cannot name a folder.

    Raises:
        ValueError: the line says what kind of name it is.
    """
    if not re.fullmatch(NAME_PATTERN, name):
        raise ValueError(f"{what} name {name!r} cannot name a folder; {NAME_RULE}")


def refuse_bad_ablations(ablations: dict[str, Ablation]) -> None:
    """Refuse ablations with indistinguishable rows, or with a missing reference row.

    Raises:
        ValueError: the message names the ablation.
    """
    for name, ablation in ablations.items():
        for key in (name, *ablation.variants):
            refuse_bad_name(key, "ablation")
        titles = [ablation.base, *(v.title or key for key, v in ablation.variants.items())]
        for title in titles:
            if titles.count(title) > 1:
                raise ValueError(f"two rows of {name} are titled {title!r}")
        if ablation.compare_with not in (None, *ablation.variants):
            raise ValueError(
                f"{name}.compare_with: no variant {ablation.compare_with!r}; there are "
                f"{', '.join(ablation.variants)}"
            )


def refuse_unknown_ablated(study: Study) -> None:
    """Refuse an ablation of models, data sets or accelerations that the study does not have.

    Raises:
        ValueError: the line names the key.
    """
    for name, ablation in study.ablations.items():
        for key, known in (
            ("datasets", list(study.datasets)),
            ("accelerations", study.accelerations),
        ):
            for value in getattr(ablation, key) or []:
                refuse_unknown(f"ablations.{name}.{key}", value, known)
        for model in ablation.models:
            if model not in study.model_names():
                raise ValueError(
                    f"ablations.{name}.models: no model {model!r}; there are "
                    f"{', '.join(study.model_names())}"
                )


def refuse_unknown_reconstructing(study: Study) -> None:
    """Refuse to reconstruct with a model that the study does not train.

    Raises:
        ValueError: the line names the key.
    """
    for name, one in study.reconstruct.items():
        for key, known in (
            ("model", study.model_names()),
            ("dataset", list(study.datasets)),
            ("acceleration", study.accelerations),
            ("seed", study.seeds),
        ):
            value = getattr(one, key)
            if value is not None:
                refuse_unknown(f"reconstruct.{name}.{key}", value, known)


def refuse_unknown(key: str, value: object, known: Sequence[object]) -> None:
    """Refuse a value that is not one of the study's.

    Raises:
        ValueError: the line names the key.
    """
    if value not in known:
        raise ValueError(f"{key}: {value!r} is not among the study's {', '.join(map(str, known))}")


def refuse_impossible_pair(study: Study) -> None:
    """Refuse a teacher and a student that cannot be compared, or lack what their training needs.

    Raises:
        ValueError: the line names the key.
    """
    teacher, student = study.networks.teacher, study.networks.student
    if teacher.cascades != student.cascades:
        raise ValueError(
            f"networks.student.cascades: {_text(student.cascades)} differs from the teacher's "
            f"{_text(teacher.cascades)}; SFT branches and the losses pair cascade k with "
            "cascade k"
        )
    for role, network in study.networks.others.items():
        if "compiled" in study.evaluation.runtimes:
            raise ValueError(
                "evaluation.runtimes: 'compiled' runs networks of kind dc_cnn, and "
                f"networks.{role} is of kind {network.kind}; leave it out"
            )
    if isinstance(teacher, Network) and isinstance(student, Network):
        _refuse_unlike_dc_cnns(study, teacher, student)
    if teacher.cascades is None:
        _refuse_student_friendly_training(study)
        return
    if teacher.cascades < 2:
        raise ValueError(
            f"networks.teacher.cascades: {teacher.cascades} leaves no cascade for a student "
            "branch; use 2 or more"
        )
    if study.sft.branches is not None and study.sft.branches >= teacher.cascades:
        raise ValueError(
            f"sft.branches: {study.sft.branches} is more than the {teacher.cascades - 1} that "
            f"{teacher.cascades} cascades allow"
        )


def _text(cascades: int | None) -> str:
    return "null" if cascades is None else str(cascades)


def _refuse_unlike_dc_cnns(study: Study, teacher: Network, student: Network) -> None:
    if teacher.padding != student.padding:
        raise ValueError(
            f"networks.student.padding: {student.padding} differs from the teacher's "
            f"{teacher.padding}; features are compared pixel by pixel"
        )
    if study.sft.imitation_domain == "features" and teacher.features != student.features:
        raise ValueError(
            f"sft.imitation_domain: 'features' compares channel with channel, but the teacher "
            f"has {teacher.features} features and the student {student.features}"
        )


def _refuse_student_friendly_training(study: Study) -> None:
    """For networks without blocks that could be exchanged."""
    asked = [f"recipe {r}" for r in RECIPES if r in study.recipes_used() and needs_sft(r)]
    asked += [f"control {c}" for c in study.controls if c == "student_sft_start"]
    if study.distillation.start in ("sft", "sft_trained"):
        asked.append(f"distillation.start {study.distillation.start}")
    if asked:
        raise ValueError(
            f"networks: without `cascades`, {study.networks.teacher.name} has no blocks to "
            f"exchange, which the student-friendly training of {asked[0]} needs; use recipes: "
            "[std_kd], controls: [student_matched] and start: recipe, or networks with cascades"
        )


def refuse_impossible_methods(study: Study) -> None:
    """Refuse methods whose options contradict the study's, and panels of others.

    Raises:
        ValueError: the line names the key.
    """
    student = study.networks.student
    for name, method in study.methods.items():
        try:
            refuse_repeats(method.recipes or [])
        except ValueError as error:
            raise ValueError(f"methods.{name}.recipes: {error}") from None
        if method.weight != "auto" and study.distillation.protocol != "joint":
            raise ValueError(
                f"methods.{name}.weight: {method.weight:g} weighs nothing under "
                f"distillation.protocol {study.distillation.protocol!r}, where the feature loss "
                "stands alone; leave it out, or use the joint protocol"
            )
        for cascade in method.cascades or []:
            if cascade > feature_cascades(student):
                raise ValueError(
                    f"methods.{name}.cascades: {cascade} is beyond the networks' "
                    f"{feature_cascades(student)} cascades"
                )
    shown, compared = study.evaluation.panel_methods or [], study.evaluation.compared_methods
    for key, names in (("panel_methods", shown), ("compared_methods", compared)):
        for name in names:
            # Without methods, panels show teacher and student.
            if name not in study.methods and (study.methods or key == "compared_methods"):
                raise ValueError(
                    f"evaluation.{key}: {name!r} is not among methods ({', '.join(study.methods)})"
                )
    try:
        refuse_repeats(compared)
    except ValueError as error:
        raise ValueError(f"evaluation.compared_methods: {error}") from None


def refuse_impossible_masks(study: Study) -> None:
    """Refuse accelerations and central lines that a data set's slices are too small for.

    Raises:
        ValueError: the line names the key.
    """
    for name, dataset in study.datasets.items():
        lines = dataset.preparation.matrix[0]
        for acceleration in dataset.masks:
            if acceleration not in study.accelerations:
                raise ValueError(
                    f"datasets.{name}.masks: {acceleration} is not among accelerations "
                    f"({', '.join(map(str, study.accelerations))})"
                )
        for acceleration in study.accelerations:
            sampled = lines // acceleration
            if acceleration in dataset.masks:
                continue
            if sampled < 1:
                raise ValueError(
                    f"accelerations: {acceleration} leaves none of the {lines} lines of {name}"
                )
            if sampled < study.sampling.center_lines:
                raise ValueError(
                    f"sampling.center_lines: {study.sampling.center_lines} is more than the "
                    f"{sampled} lines of {name} at {acceleration}x ({lines} lines / "
                    f"{acceleration}); use {sampled} or fewer"
                )


def refuse_impossible_repeats(study: Study) -> None:
    """Refuse to draw anew for each seed what is given, and folds that no seed tests.

    Raises:
        ValueError: the line names the key.
    """
    for name, dataset in study.datasets.items():
        split, of_split = dataset.split, f"datasets.{name}.split"
        if "mask" in study.repeat_over and dataset.masks:
            raise ValueError(
                f"repeat_over: mask, but datasets.{name}.masks gives that of "
                f"{min(dataset.masks)}x as a file, the same for all seeds; leave mask out of "
                "repeat_over, or the file out of masks"
            )
        if isinstance(split, Folds):
            if "split" in study.repeat_over and split.fold is not None:
                raise ValueError(
                    f"{of_split}.fold: {split.fold} is given, but repeat_over: split tests "
                    "another fold for each of seeds; leave one of them out"
                )
            if "split" not in study.repeat_over and split.fold is None:
                raise ValueError(
                    f"{of_split}.folds: {split.folds} folds are tested in turn with "
                    "repeat_over: [seed, split]; give that, or one fold with "
                    f"{of_split}.fold"
                )
        elif "split" in study.repeat_over and not split.is_drawn:
            raise ValueError(
                f"repeat_over: split, but nothing is drawn in {of_split}, whose parts are all "
                "lists; leave split out of repeat_over, or give a part as a number, or folds"
            )
