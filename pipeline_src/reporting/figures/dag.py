"""Draws the dependencies between the models of one setting and seed, from data to report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from pipeline_src.config import load_study
from pipeline_src.planning.model_names import split_model_name, split_variant
from pipeline_src.planning.study_models import Models
from pipeline_src.reporting.display_names import full_title
from pipeline_src.reporting.figure_style import COLORS, PAGE_WIDTH, TINY, head, shortened
from pipeline_src.reporting.figures.schematic import arrow, path

#: Position of each column and half the width of its boxes, in units of the page's width.
COLUMNS = {
    "data": (0.045, 0.045),
    "first": (0.235, 0.105),
    "second": (0.5, 0.105),
    "evaluation": (0.715, 0.05),
    "output": (0.85, 0.042),
    "report": (0.965, 0.037),
}
#: Smallest distance in inches between two boxes of a column, and half the height of a box of one
#: line and the distance of two lines that pass a column, both in units of that.
STEP_INCHES, HALF_HEIGHT, LANE = 0.23, 0.36, 0.4


@dataclass(frozen=True)
class Node:
    """A box of the figure.

    Attributes:
        needs: keys of the boxes that it depends on.
        training: the kind of training, which determines the colour; empty for other steps.
    """

    key: str
    text: str
    column: str
    needs: tuple[str, ...]
    training: str = ""


def from_files(inputs: Sequence[Path], title: str) -> Figure:
    """Draw the figure from the study's configuration, its one input."""
    return draw(nodes_of(Models(load_study(inputs[0]))), title)


def nodes_of(models: Models) -> list[Node]:
    """Every step of one setting and seed; models of ablations are counted in one box."""
    nodes = [
        Node("prepare", "prepare", "data", ()),
        Node("mask", "mask", "data", ()),
    ]
    own = [name for name in models.names() if not split_variant(name)[1]]
    trained: list[Node] = []
    for name in own:
        needed = dict.fromkeys((models.teacher(name), models.warm_start(name)))
        needs = tuple(source for source in needed if source)
        training = split_model_name(name)[1]
        text = full_title(*split_model_name(name))
        trained.append(Node(name, text, "second", needs or ("prepare", "mask"), training))
    # First the models that others depend on, or that depend on none; a model that itself depends on
    # one follows it.
    sources = {source for node in trained for source in node.needs}
    first = [n for n in trained if n.key in sources or n.needs == ("prepare", "mask")]
    order = [node.key for node in first]
    first.sort(
        key=lambda n: max(
            (order.index(s) + 0.5 for s in n.needs if s in order), default=order.index(n.key)
        )
    )
    nodes += [replace(node, column="first") for node in first]
    nodes += [node for node in trained if node not in first]
    variants = [name for name in models.names() if name not in own]
    if variants:
        text = f"{len(variants)} more for ablations"
        of_variants = {s for v in variants for s in (models.teacher(v), models.warm_start(v))}
        needs = tuple(name for name in own if name in of_variants)
        column = "second" if needs else "first"
        nodes.append(Node("variants", text, column, needs or ("prepare", "mask")))
    # Students with the same sources are kept together, so that few lines cross; all models are
    # evaluated, and a line shows it for those that nothing else depends on.
    place = {node.key: number for number, node in enumerate(nodes)}
    second = [node for node in nodes if node.column == "second"]
    second.sort(key=lambda n: (sum(place[key] for key in n.needs) / len(n.needs), n.training))
    nodes = [n for n in nodes if n.column != "second"] + second
    depended_on = {source for node in nodes for source in node.needs}
    last = tuple(n.key for n in nodes if n.column != "data" and n.key not in depended_on)
    nodes += [
        Node("evaluate", "evaluate\nall models", "evaluation", last),
        Node("tables", "tables", "output", ("evaluate",)),
        Node("figures", "figures", "output", ("evaluate",)),
        Node("page", "report", "report", ("tables", "figures")),
    ]
    return nodes


def draw(nodes: list[Node], title: str) -> Figure:
    """Draw boxes in columns, and a line from each to those that depend on it; lines that pass the
    column of the students run below it.
    """
    columns = {c: [node for node in nodes if node.column == c] for c in COLUMNS}
    waited = {source for node in columns["evaluation"] for source in node.needs}
    passing = [n.key for n in columns["first"] if n.key in waited and columns["second"]]
    below = LANE * len(passing)
    most = max(len(columns[column]) + below * (column == "second") for column in COLUMNS)
    figure, axis = plt.subplots(figsize=(PAGE_WIDTH, most * STEP_INCHES + 0.5))
    places = {}
    for column, members in columns.items():
        room = most - below * (column == "second")
        gap = room / (len(members) + 1) if len(members) < room else 1.0
        start = gap if len(members) < room else 0.5
        for number, node in enumerate(members):
            places[node.key] = (COLUMNS[column][0], most - start - number * gap)
    lanes = {key: below - LANE * (number + 0.5) for number, key in enumerate(passing)}
    for node in nodes:
        for source in node.needs:
            lane = lanes.get(source) if node.column == "evaluation" else None
            _draw_line(axis, nodes, places, source, node, lane)
    for node in nodes:
        _draw_box(axis, places[node.key], node)
    axis.set(xlim=(-0.02, 1.01), ylim=(-0.1, most + 0.1))
    axis.set_axis_off()
    head(figure, title)
    return figure


def _draw_line(
    axis: Axes,
    nodes: list[Node],
    places: dict[str, tuple[float, float]],
    source: str,
    target: Node,
    lane: float | None,
) -> None:
    """Draw a line from one box to another, past the column of the students at the height ``lane``
    if one is given.
    """
    of_source = next(node for node in nodes if node.key == source)
    (x0, y0), (x1, y1) = places[source], places[target.key]
    start = (x0 + COLUMNS[of_source.column][1], y0)
    end = (x1 - COLUMNS[target.column][1], y1)
    if of_source.column == target.column:
        start, end = (x0, y0 - HALF_HEIGHT), (x1, y1 + HALF_HEIGHT)
    color = COLORS.get(of_source.training, "0.6")
    look = {"color": color, "linewidth": 0.7, "gid": f"{source} {target.key}"}
    if lane is None:
        arrow(axis, start, end, **look, connectionstyle="arc3,rad=0.03", zorder=1)
    else:
        middle, half = COLUMNS["second"]
        path(axis, [start, (middle - half, lane), (middle + half, lane), end], **look)


def _draw_box(axis: Axes, place: tuple[float, float], node: Node) -> None:
    x, y = place
    half = COLUMNS[node.column][1]
    tall = HALF_HEIGHT * (1 + node.text.count("\n"))
    axis.add_patch(
        FancyBboxPatch(
            (x - half, y - tall),
            2 * half,
            2 * tall,
            boxstyle="round,pad=0,rounding_size=0.01",
            mutation_aspect=12,
            facecolor="white",
            edgecolor=COLORS.get(node.training, "0.4"),
            linewidth=1.2,
            gid=node.key,
        )
    )
    room = 2 * half * PAGE_WIDTH * 0.95
    text = "\n".join(shortened(line, room, TINY) for line in node.text.split("\n"))
    axis.text(x, y, text, ha="center", va="center", fontsize=TINY)
