"""Draws the steps of each recipe as configured: training the teacher, distillation, and use (figure
1 of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_src.config import load_study
from pipeline_src.config.networks import feature_cascades
from pipeline_src.config.recipes import RECIPES
from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.models.multiply_adds import counts
from pipeline_src.planning.model_names import split_model_name
from pipeline_src.planning.plans import TrainingPlan
from pipeline_src.planning.shown import shown_methods
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.display_names import RECIPE_TITLES, counted, model_title
from pipeline_src.reporting.figure_style import COLORS, PAGE_WIDTH, SMALL, fitted, head
from pipeline_src.reporting.figures.schematic import (
    INSIDE,
    LINE,
    arrow,
    canvas,
    label,
    lines_of,
    told_box,
)

#: Left edges and widths in inches of the three steps.
STEPS = {
    "1  Train the teacher": (0.05, 1.75),
    "2  Distil the student": (2.05, 3.65),
    "3  Use": (5.95, 1.2),
}
#: Inches between boxes, and height of the frozen teacher.
GAP, FROZEN = 0.16, 0.24


@dataclass(frozen=True)
class Shown:
    """What the boxes of one recipe say, the first text of each in bold.

    Attributes:
        recipe: its key.
        methods: the shown methods that are distilled by it.
        trainings: how the teacher is trained, and the student-friendly one if the student starts
            from that instead of the teacher's; by training, `standard` or `sft`.
        start: where the student starts.
        starts_from: the training that the start comes from; empty if it comes from none.
        stages: of the distillation, in order, and whether each needs the frozen teacher.
        used: the network that remains at the end.
    """

    recipe: str
    methods: list[str]
    trainings: dict[str, list[str]]
    start: list[str]
    starts_from: str
    stages: list[tuple[list[str], bool]]
    used: list[str]


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from the study's configuration, its one input.

    Raises:
        InputError: it cannot be read, or no student is distilled in it.
    """
    study = load_study(inputs[0])
    shown = shown_recipes(study)
    if not shown:
        raise InputError(f"{inputs[0]}: distils no student, so there is no recipe to draw")
    return draw(shown, title)


def shown_recipes(study: Study) -> list[Shown]:
    """The recipes of the shown methods."""
    models, found = Models(study), []
    for recipe in RECIPES:
        methods = [m for m in shown_methods(study) if recipe in study.recipes_of(m)]
        if methods:
            found.append(_shown(models, recipe, methods))
    return found


def _shown(models: Models, recipe: str, methods: list[str]) -> Shown:
    plan = models.plan(f"{recipe}_{methods[0]}", 0)
    epochs = counted([plan.training.epochs], "epoch")
    needed = [RECIPES[recipe].teacher, *(["sft_teacher"] if plan.warm_start else [])]
    trainings = {
        split_model_name(name)[1]: _training(models.plan(name, 0), epochs) for name in needed
    }
    start = _start(plan)
    return Shown(
        recipe,
        methods,
        trainings,
        [*start, epochs] if plan.warm_start == "student" else start,
        "sft" if plan.warm_start else "",
        _stages(models.study, plan, methods, epochs),
        [
            f"Student {plan.network.name}",
            f"{counts(plan.network).parameters:,} parameters",
            "reconstructs without the teacher",
        ],
    )


def _training(plan: TrainingPlan, epochs: str) -> list[str]:
    """How a teacher is trained."""
    size = f"{counts(plan.network).parameters:,} parameters"
    if plan.sft is None:
        return [f"Teacher {plan.network.name}", size, "trained on reconstruction", epochs]
    losses = plan.sft.losses
    branches = losses.branches or feature_cascades(plan.network) - 1
    imitated = "images" if losses.imitation_domain == "image" else "middle features"
    terms = (
        (losses.teacher_weight, "its reconstruction"),
        (losses.student_weight, "theirs"),
        (losses.imitation_weight, f"imitation of its {imitated}"),
    )
    return [
        f"SFT teacher {plan.network.name}",
        size,
        f"with {branches} branch{'es' * (branches > 1)} of student {plan.sft.student.name}:",
        " + ".join(term for weight, term in terms if weight) or "no loss",
        epochs,
    ]


def _start(plan: TrainingPlan) -> list[str]:
    """Where a student starts."""
    last = feature_cascades(plan.network)
    blocks = f"blocks 2 to {last}" if last > 2 else "block 2"
    if plan.warm_start is None:
        return ["Start", "random weights"]
    start = ["Start", f"{blocks} from the SFT branches, block 1 random"]
    if plan.warm_start == "student":
        start += ["then a stage on reconstruction, all blocks"]
    return start


def _stages(
    study: Study, plan: TrainingPlan, methods: list[str], epochs: str
) -> list[tuple[list[str], bool]]:
    assert plan.distillation is not None
    options = plan.distillation.options
    loss = f"feature loss of {', '.join(map(model_title, methods))}"
    weight = options.imitation_weight
    imitation = f" + {weight:g} \N{MULTIPLICATION SIGN} imitation of the teacher" if weight else ""
    stages = []
    for number, stage in enumerate(plan.stages, start=1):
        name = "One stage" if len(plan.stages) == 1 else f"Stage {number}"
        texts = {
            "features": [name, loss, "alone"],
            "reconstruction": [name, f"reconstruction{imitation}"],
            "joint": [name, f"reconstruction + {loss}{imitation}", _weights(study, methods)],
        }[stage]
        kept = "best weights kept" if plan.selections[stage] == "best" else "last weights kept"
        stages.append(([*texts, epochs, kept], stage != "reconstruction" or bool(weight)))
    return stages


def _weights(study: Study, methods: list[str]) -> str:
    """How the feature losses of the shown methods are weighted."""
    by_weight: dict[str, list[str]] = {}
    for method in methods:
        weight = study.methods[method].weight
        balanced = (
            f"feature gradient {study.distillation.gradient_ratio:g} \N{MULTIPLICATION SIGN} "
        )
        balanced += "reconstruction's at the start"
        said = balanced if weight == "auto" else f"weight {weight:g}"
        by_weight.setdefault(said, []).append(model_title(method))
    if len(by_weight) == 1:
        return "".join(by_weight)
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in by_weight.items())


def draw(shown: list[Shown], title: str) -> Figure:
    """Draw a band per recipe: its three steps from left to right."""
    bands = [_heights(one) for one in shown]
    headings = [fitted(_heading(one), PAGE_WIDTH - 0.2, SMALL, "bold") for one in shown]
    top = 0.28
    total = top + sum(0.42 + sum(band) for band in bands) + sum(0.13 * len(h) for h in headings)
    figure, axis = canvas(PAGE_WIDTH, total)
    for step, (left, _) in STEPS.items():
        label(axis, left, 0.17, step, fontsize=SMALL, color="0.3")
    for one, heading, band in zip(shown, headings, bands, strict=True):
        tall = 0.13 * len(heading) + 0.06
        axis.axhspan(top, top + tall, facecolor="0.92", edgecolor="none")
        for number, line in enumerate(heading):
            label(axis, 0.06, top + 0.095 + 0.13 * number, line, fontsize=SMALL, weight="bold")
        _draw_band(axis, one, top + tall + 0.08, band)
        top += tall + sum(band) + 0.36
    head(figure, f"{title}: how students are distilled")
    return figure


def _heading(one: Shown) -> str:
    return f"{RECIPE_TITLES[one.recipe]}: {', '.join(map(model_title, one.methods))}"


def _widths(one: Shown) -> list[float]:
    """Widths in inches of the boxes of the second step: the start and each stage."""
    count = 1 + len(one.stages)
    room = STEPS["2  Distil the student"][1] - GAP * (count - 1)
    return [room / count] * count


def _heights(one: Shown) -> tuple[float, float]:
    """Heights in inches of a band's two lanes: the frozen teacher above, the student below."""

    def height(texts: list[str], width: float) -> float:
        return LINE * len(lines_of(texts, width)) + 2 * INSIDE

    boxes = [one.start, *(texts for texts, _ in one.stages), one.used]
    widths = [*_widths(one), STEPS["3  Use"][1]]
    lower = max(height(texts, width) for texts, width in zip(boxes, widths, strict=True))
    first, *others = (height(t, STEPS["1  Train the teacher"][1]) for t in one.trainings.values())
    if others:
        return first, max(lower, others[0])
    # The single box of the first step fills both lanes.
    return FROZEN, max(lower, first - FROZEN - GAP)


def _draw_band(axis: Axes, one: Shown, top: float, heights: tuple[float, float]) -> None:
    upper, lower = heights
    trained_by, *others = one.trainings
    color, student = COLORS[trained_by], COLORS[one.recipe]
    (x1, w1), (x2, w2), (x3, w3) = STEPS.values()
    low = top + upper + GAP
    middle = low + lower / 2
    texts = one.trainings[trained_by]
    tall = upper if others else upper + GAP + lower
    told_box(axis, x1, top, w1, tall, texts, color=color, gid=f"training {trained_by}")
    for other in others:
        gid = f"training {other}"
        told_box(axis, x1, low, w1, lower, one.trainings[other], color=COLORS[other], gid=gid)
    told_box(axis, x2, top, w2, upper, [f"{texts[0]}, frozen"], color=color, dashed=True)
    arrow(axis, (x1 + w1, top + upper / 2), (x2, top + upper / 2), color=color)
    left = x2
    for number, width in enumerate(_widths(one)):
        texts, needs = (one.start, False) if number == 0 else one.stages[number - 1]
        gid = "stage" if number else "start"
        told_box(axis, left, low, width, lower, texts, color=student, gid=gid)
        if needs:
            x = left + width / 2
            arrow(axis, (x, top + upper), (x, low), color=color, gid="teaches")
        if number:
            arrow(axis, (left - GAP, middle), (left, middle), color=student)
        left += width + GAP
    if one.starts_from:
        arrow(axis, (x1 + w1, middle), (x2, middle), color=COLORS[one.starts_from], gid="starts")
    arrow(axis, (x2 + w2, middle), (x3, middle), color=student)
    told_box(axis, x3, low, w3, lower, one.used, color=student, gid="used")
