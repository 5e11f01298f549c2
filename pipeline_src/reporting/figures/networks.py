"""Draws teacher, student and the branches of student-friendly training, as configured (figure 2 of
the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline_src.config import load_study
from pipeline_src.config.distillation import StudentFriendly
from pipeline_src.config.networks import Network, OtherNetwork, feature_cascades
from pipeline_src.config.study import Study
from pipeline_src.reporting.figure_style import NORMAL, SMALL, fitted, head
from pipeline_src.reporting.figures.network_rows import (
    BLOCK,
    FIDELITY,
    FIRST,
    LAST,
    LEFT,
    MOST_CASCADES,
    NARROWEST,
    RIGHT,
    STUDENT,
    TEACHER,
    Places,
    Row,
    places_of,
    rows_of,
)
from pipeline_src.reporting.figures.schematic import arrow, box, canvas, label, path

#: Most convolutions that are drawn as bars; for more, their number is printed.
MOST_BARS = 12
#: Inches: height of a block, and distance from one row to the next.
TALL, ROW = 0.25, 0.4
#: Inches between a row's middle and the network's name above it, and height of a line of the name.
NAME, LINE = 0.26, 0.13
#: White background of a label that is drawn over a line.
HALO = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
IMITATION: dict[str, Any] = {"color": "0.45", "linewidth": 0.8, "linestyle": (0, (2.5, 1.5))}


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from the study's configuration, its one input.

    Raises:
        InputError: it cannot be read.
    """
    return draw(load_study(inputs[0]), title)


def draw(study: Study, title: str) -> Figure:
    """Draw the teacher at the top, a staircase of branches below it, and the student at the
    bottom.
    """
    places = places_of(feature_cascades(study.networks.teacher))
    every = rows_of(study)
    rows = [row for row in every if row.role != "branch" or row.branch in places.lefts]
    width = max(places.right + RIGHT, NARROWEST)
    names = [_name_of(study, role, width) for role in ("teacher", "student")]
    heights = [0.06 + NAME + LINE * len(names[0]) + ROW * k for k in range(len(rows) - 1)]
    heights.append(heights[-1] + TALL / 2 + 0.12 + NAME + LINE * len(names[1]))
    figure, axis = canvas(width, heights[-1] + 0.65)
    _draw_imitation(axis, study.sft, rows, heights, places)
    for row, y in zip(rows, heights, strict=True):
        _draw_entry(axis, row, y, heights[0], places)
        network = study.networks.teacher if row.role == "teacher" else study.networks.student
        _draw_cascades(axis, row, y, places, network, study.sft)
        _draw_output(axis, row, y, places.right, study.sft)
    for name, y in zip(names, (heights[0], heights[-1]), strict=True):
        for number, line in enumerate(reversed(name)):
            label(axis, 0.06, y - NAME - LINE * (number + 0.5), line, fontsize=SMALL)
    _draw_key(axis, heights[-1] + 0.42, study)
    if study.networks.teacher.cascades is None:
        head(figure, f"{title}: networks", "without blocks that student-friendly training needs")
        return figure
    heading = f"{title}: networks and student-friendly training (SFT)"
    head(figure, heading, "; ".join([loss_in_words(study.sft), *_left_out(every, rows)]))
    return figure


def loss_in_words(sft: StudentFriendly) -> str:
    """What student-friendly training minimises: its terms with their weights, without those of
    weight 0.
    """
    what = "reconstruction" if sft.imitation_domain == "image" else "middle features"
    divided = sft.imitation_normalisation == "numel"
    scale = "divided once more by the number of elements" if divided else "plain mean"
    terms = (
        (sft.teacher_weight, "error of the teacher"),
        (sft.student_weight, "error of the branches"),
        (sft.imitation_weight, f"distance of the branches from the teacher's {what} ({scale})"),
    )
    times = "\N{MULTIPLICATION SIGN}"
    said = [term if w == 1 else f"{w:g} {times} {term}" for w, term in terms if w]
    return f"SFT minimises: {' + '.join(said) or 'nothing'}"


def _left_out(every: list[Row], rows: list[Row]) -> list[str]:
    """Which cascades and branches are not drawn, in words."""
    cascades = len(every[0].cascades)
    if cascades <= MOST_CASCADES:
        return []
    said = [f"cascades {FIRST + 1} to {cascades - LAST} are not drawn"]
    if hidden := len(every) - len(rows):
        said.append(f"nor {hidden} of {len(every) - 2} branches")
    return [", ".join(said)]


def _name_of(study: Study, role: str, width: float) -> list[str]:
    """A network in words, on lines that fit the figure."""
    network: Network | OtherNetwork = getattr(study.networks, role)
    text = f"{role.title()} {_in_words(network)}"
    if role == "student" and network.cascades is not None:
        last = network.cascades
        trained = f"blocks 2 to {last}, each the same in all," if last > 2 else "block 2"
        text += f"; the branches train its {trained} and not block 1"
    return fitted(text, width - 0.15, SMALL)


def _in_words(network: Network | OtherNetwork) -> str:
    if isinstance(network, OtherNetwork):
        return network.name
    padded = f", inputs padded by {network.padding} pixels" if network.padding else ""
    return (
        f"{network.name}: {network.cascades} cascades of {network.depth} convolutions, "
        f"{network.features} features{padded}"
    )


def _draw_entry(axis: Axes, row: Row, y: float, teacher: float, places: Places) -> None:
    """Draw what leads into a row: the zero-filled image, or the teacher's preceding cascade."""
    start = places.lefts.get(row.cascades[0], places.gap)
    assert start is not None
    if row.role == "branch":
        x = places.after(row.branch)
        axis.plot([x], [teacher], ".", color=TEACHER, markersize=4, zorder=3)
        path(axis, [(x, teacher), (x, y), (start, y)], color=TEACHER)
        label(axis, x - 0.05, y, f"branch {row.branch}", ha="right", bbox=HALO)
    else:
        _formula(axis, LEFT - 0.24, y, "x_u", ha="right")
        arrow(axis, (LEFT - 0.2, y), (start, y))


def _draw_cascades(
    axis: Axes,
    row: Row,
    y: float,
    places: Places,
    network: Network | OtherNetwork,
    sft: StudentFriendly,
) -> None:
    """Draw block, data fidelity and the connection to the next cascade.

    Only blocks of a DC-CNN are drawn in detail; a network without blocks is one box.
    """
    block, fidelity = BLOCK * places.width, FIDELITY * places.width
    gid = f"{row.role}{row.branch or ''}"
    for cascade, left in places.lefts.items():
        if cascade not in row.cascades:
            continue
        unused = row.role == "student" and cascade == 1 and network.cascades is not None
        top = y - TALL / 2
        box(axis, left, top, block, TALL, color=row.color, dashed=unused, gid=f"{gid} block")
        marked = sft.imitation_domain == "features" and sft.imitation_weight and cascade > 1
        if isinstance(network, Network):
            middle = (network.depth + 1) // 2 if marked and row.role != "student" else 0
            _draw_convolutions(axis, left, y, block, network.depth, middle, row.color)
        if network.cascades is not None:
            box(axis, left + block, top, fidelity, TALL, face="0.9", gid=f"{gid} fidelity")
            label(axis, left + block + fidelity / 2, y, "DF", ha="center", rotation=90)
        name = f"{'T' if row.role == 'teacher' else 'S'}{cascade}"
        label(axis, left + block / 2, top - 0.06, name, ha="center", color=row.color, bbox=HALO)
        end = left + block + (fidelity if network.cascades is not None else 0)
        if cascade < row.cascades[-1]:
            arrow(axis, (end, y), (left + places.width, y))
    if places.gap is not None and row.cascades[0] <= FIRST + 1:
        end, dots = places.gap + places.width, "\N{MIDLINE HORIZONTAL ELLIPSIS}"
        label(axis, places.gap + places.width / 2 - 0.04, y, dots, ha="center")
        arrow(axis, (end - 0.12, y), (end, y))


def _draw_convolutions(
    axis: Axes, left: float, y: float, block: float, depth: int, middle: int, color: str
) -> None:
    """Draw a bar per convolution, the ``middle`` one filled; print a number if there are too
    many.
    """
    if depth > MOST_BARS:
        label(axis, left + block / 2, y, str(depth), ha="center")
        return
    step = block / (depth + 1)
    for number in range(1, depth + 1):
        wide = 2.4 if number == middle else 0.9
        ends = [y - 0.3 * TALL, y + 0.3 * TALL]
        axis.plot([left + number * step] * 2, ends, color=color, linewidth=wide, zorder=3)


def _draw_output(axis: Axes, row: Row, y: float, right: float, sft: StudentFriendly) -> None:
    """Draw a row's reconstruction, and the terms of the loss that use it."""
    arrow(axis, (right, y), (right + 0.14, y))
    names = {"teacher": "x_T", "branch": f"x_{{S,{row.branch}}}", "student": "x_S"}
    _formula(axis, right + 0.17, y, names[row.role])
    terms = []
    if row.role == "teacher" and sft.teacher_weight:
        terms.append("L_{rec}^T")
    if row.role == "branch" and sft.student_weight:
        terms.append("L_{rec}^S")
    if row.role == "branch" and sft.imitation_weight:
        terms.append("L_{imit}")
    if terms:
        _formula(axis, right + 0.68, y, r",\ ".join(terms))


def _draw_imitation(
    axis: Axes, sft: StudentFriendly, rows: list[Row], heights: list[float], places: Places
) -> None:
    """Draw dashed lines from what is imitated to what imitates it."""
    branches = [(row, y) for row, y in zip(rows, heights, strict=True) if row.role == "branch"]
    if not (sft.imitation_weight and branches):
        return
    teacher, lowest = heights[0], branches[-1][1]
    if sft.imitation_domain == "image":
        x = places.right + 0.6
        axis.plot([x - 0.1, x, x], [teacher, teacher, lowest], zorder=1, **IMITATION)
        for _, y in branches:
            arrow(axis, (x, y), (x - 0.1, y), **IMITATION)
        return
    for cascade in places.lefts:
        reached = [y for row, y in branches if cascade in row.cascades]
        if reached:
            x = places.lefts[cascade] + BLOCK / 2 * places.width
            axis.plot([x, x], [teacher, max(reached)], zorder=1, **IMITATION)


def _draw_key(axis: Axes, y: float, study: Study) -> None:
    """Draw a line that explains the symbols."""
    x, sft = 0.08, study.sft
    if len(study.networks.others) < 2:
        for step in range(3):
            axis.plot([x + 0.05 * step] * 2, [y - 0.07, y + 0.07], color="0.25", linewidth=0.9)
        label(axis, x + 0.17, y, "3 x 3 convolutions")
        x += 1.2
    if study.networks.teacher.cascades is None:
        return
    box(axis, x, y - 0.09, 0.14, 0.18, face="0.9")
    label(axis, x + 0.07, y, "DF", ha="center", rotation=90)
    label(axis, x + 0.2, y, "data fidelity (sampled lines put back)")
    x += 2.15
    box(axis, x, y - 0.08, 0.22, 0.16, color=STUDENT, dashed=True)
    label(axis, x + 0.28, y, "not trained by SFT")
    x += 1.3
    if sft.imitation_weight:
        axis.plot([x, x + 0.25], [y, y], **IMITATION)
        images = sft.imitation_domain == "image"
        label(axis, x + 0.31, y, "imitation" if images else "imitation (features in bold)")


def _formula(axis: Axes, x: float, y: float, formula: str, **options: Any) -> None:
    label(axis, x, y, f"${formula}$", parse_math=True, fontsize=NORMAL, **options)
