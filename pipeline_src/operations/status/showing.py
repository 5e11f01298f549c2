"""Shows what trainings are doing: live in a terminal, otherwise once as a plain table."""

from __future__ import annotations

import math
import os
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline_src.config import Study, load_study
from pipeline_src.errors import InputError
from pipeline_src.operations.status.reading import (
    NOTABLE,
    STATES,
    TrainingStatus,
    plan,
    training_status,
)
from pipeline_src.planning.places import CONFIG
from pipeline_src.text import printable

#: Seconds between two readings of the files.
REFRESH = 2.0


def show(results_or_config: Path | Sequence[Path], once: bool, stream: TextIO) -> None:
    """Show the trainings of a results folder, or of a configuration's folder under `results/`.

    In a terminal the view is refreshed until all are done or Ctrl-C ends it; otherwise, or with
    ``once``, a plain table of all is written, one training per line.

    Args:
        results_or_config: the folder, or the configuration's file or files.
        once: write a plain table even in a terminal.
        stream: where to write.

    Raises:
        InputError: there is no such folder or configuration.
    """
    study, results = _study_of(results_or_config)
    planned = plan(study, results)
    console = Console(file=stream) if stream.isatty() else None
    if once or console is None or not console.is_terminal or console.is_dumb_terminal:
        try:
            stream.write(plain_table([training_status(p) for p in planned]))
            stream.flush()
        except BrokenPipeError:  # the reader has seen enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return
    with suppress(KeyboardInterrupt), Live(console=console, auto_refresh=False) as live:
        while True:
            found = [training_status(p) for p in planned]
            size = console.size
            live.update(view(study.study, found, size.width, size.height), refresh=True)
            if all(t.state == "done" for t in found):
                return
            time.sleep(REFRESH)


def _study_of(given: Path | Sequence[Path]) -> tuple[Study, Path]:
    path, *more = [given] if isinstance(given, Path) else given
    if path.is_dir() and not more:
        config = path / CONFIG
        if not config.is_file():
            raise InputError(
                f"{path}: holds no {CONFIG}, which a run writes there; give the study's "
                "configuration with --config"
            )
        return load_study(config), path
    if missing := [one for one in (path, *more) if not one.exists()]:
        raise InputError(
            f"{missing[0]}: no such folder or configuration; a run's results lie in results/STUDY"
        )
    study = load_study([path, *more])
    return study, Path("results") / study.study


#: Columns, the most important first, since a narrow terminal cuts off the last; `>` is for numbers.
_COLUMNS = {
    "setting": "<",
    "model": "<",
    "seed": ">",
    "state": "<",
    "epoch": ">",
    "val_psnr_db": ">",
    "left": ">",
    "stage": "<",
    "batch": ">",
    "val_loss": ">",
    "time": ">",
}
#: How many of them identify the training and its state.
_NAMES = 4
_STYLES = {"running": "cyan", "failed": "red", "stopped": "yellow", "done": "green"}


def _cells(training: TrainingStatus) -> list[str]:
    """A text for each column, without blanks, so that other programs can split a line, and without
    control characters for terminals.
    """
    at = training.position
    psnr, loss = training.validation_psnr_db, training.validation_loss
    cells = [
        training.setting,
        training.model,
        str(training.seed),
        training.state,
        f"{at.epoch}/{at.epochs}" if at else "-",
        "-" if psnr is None else f"{psnr:.2f}",
        _duration(training.seconds_left),
        (f"{at.stage}:{at.number}/{at.stages}" if at.stages > 1 else at.stage) if at else "-",
        f"{at.batch}/{at.batches}" if at else "-",
        "-" if loss is None else f"{loss:.3e}",
        _duration(training.seconds),
    ]
    return ["_".join(printable(cell).split()) for cell in cells]


def _duration(seconds: float | None) -> str:
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _widths(rows: Iterable[Sequence[str]]) -> list[int]:
    """Widths of the columns, wide enough for usual numbers, so that they do not change."""
    names, others = [0] * _NAMES, [7] * (len(_COLUMNS) - _NAMES)
    columns = zip(_COLUMNS, *rows, strict=True)
    return [
        max(least, *map(len, column))
        for least, column in zip([*names, *others], columns, strict=True)
    ]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    sides = list(_COLUMNS.values())[: len(cells)]
    return "  ".join(
        f"{cell:{side}{width}}" for cell, side, width in zip(cells, sides, widths, strict=False)
    )


def plain_table(found: Sequence[TrainingStatus]) -> str:
    """One line per training with its note at the end; counts in the last line."""
    rows = [_cells(t) for t in found]
    widths = _widths(rows)
    lines = [f"{_aligned(list(_COLUMNS), widths)}  note"]
    lines += [
        f"{_aligned(row, widths)}  {printable(t.note)}" for row, t in zip(rows, found, strict=True)
    ]
    lines += ["", f"{len(found)} trainings: {_counts(found)}; {_epochs(found)}"]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _counts(found: Iterable[TrainingStatus]) -> str:
    counts = Counter(t.state for t in found)
    return ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])


def _epochs(found: Sequence[TrainingStatus]) -> str:
    done, epochs = _overall(found)
    text = f"{done:.0f} of {epochs} epochs ({done / epochs:.0%})"
    left = max((t.seconds_left or 0.0 for t in found), default=0.0)
    return f"{text}; the running ones end in about {_duration(left)}" if left else text


def _overall(found: Sequence[TrainingStatus]) -> tuple[float, int]:
    """Number of epochs that are done, and of all; a state of another configuration may have more
    than all.
    """
    return sum(min(t.epochs_done, t.epochs) for t in found), sum(t.epochs for t in found)


@dataclass(frozen=True)
class Counted:
    """Trainings of a setting (`""`: of all) that are counted instead of listed."""

    setting: str
    text: str


def arranged(found: Sequence[TrainingStatus], room: int) -> list[TrainingStatus | Counted]:
    """The lines of a list of at most ``room``: by setting, and within it by state.

    If there is no room for all, those done and waiting are counted per setting; if there is no room
    for the others either, the first of them are shown by state, and the rest is counted.
    """

    def by_state(some: Iterable[TrainingStatus]) -> list[TrainingStatus]:
        return sorted(some, key=lambda t: STATES.index(t.state))

    settings: dict[str, list[TrainingStatus]] = {}
    for training in found:
        settings.setdefault(training.setting, []).append(training)
    if len(found) <= room:
        return [t for group in settings.values() for t in by_state(group)]
    lines: list[TrainingStatus | Counted] = []
    for setting, group in settings.items():
        lines += by_state(t for t in group if t.state in NOTABLE)
        quiet = [t for t in group if t.state not in NOTABLE]
        if quiet:
            lines.append(Counted(setting, _counts(quiet)))
    if len(lines) <= room:
        return lines
    shown = by_state(t for t in found if t.state in NOTABLE)[: max(room - 1, 0)]
    ids = set(map(id, shown))
    rest = [t for t in found if id(t) not in ids]
    return [*shown, Counted("", f"and {_counts(rest)}; --once lists all")]


def view(study: str, found: Sequence[TrainingStatus], width: int, height: int) -> Group:
    """What a terminal of that size shows: counts, overall progress, and a list that fits."""
    done, epochs = _overall(found)
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(epochs, done, width=max(10, min(40, width // 3))),
        Text(_epochs(found), no_wrap=True, overflow="ellipsis"),
    )
    widths = _widths(map(_cells, found))
    lines = [Text(_aligned(list(_COLUMNS), widths), style="bold")]
    above = ""
    # Two lines above the list's heading, and the one that the cursor stays in.
    for item in arranged(found, height - 4):
        setting = "" if item.setting == above else item.setting
        above = item.setting
        lines.append(_line(item, setting, widths))
    summary = Text(f"{study}: {len(found)} trainings: {_counts(found)}")
    for line in (summary, *lines):
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(summary, bar, *lines)


def _line(item: TrainingStatus | Counted, setting: str, widths: Sequence[int]) -> Text:
    """A training's names and state, then its numbers, or why it does not run; or a count."""
    if isinstance(item, Counted):
        return Text(f"{_aligned([setting], widths)}  {item.text}", style="dim")
    cells = [setting, *_cells(item)[1:]]
    style = _STYLES.get(item.state, "dim")
    names = _aligned(cells[: _NAMES - 1], widths)
    line = Text.assemble(names, "  ", (f"{item.state:{widths[_NAMES - 1]}}", style), "  ")
    if item.state in ("failed", "stopped"):
        return line.append(printable(item.note), style=style)
    numbers = _aligned(cells, widths)[len(line.plain) :]
    return line.append(f"{numbers}  {printable(item.note)}" if item.note else numbers)
