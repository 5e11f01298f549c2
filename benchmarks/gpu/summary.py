"""The lines of a run on one screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.gpu.lines import Lines

MOST_LINES = 40
#: Steps an epoch and epochs of the paper's ACDC setting: 1,841 slices in batches of four.
PAPER_STEPS, PAPER_EPOCHS = 461, 150
Line = dict[str, Any]


def summary(lines: Lines) -> str:
    """What happened, in at most `MOST_LINES` lines."""
    parts: list[Callable[[Lines], list[str]]] = [
        _here,
        _phases,
        _limits,
        _checks,
        _numerics,
        _steps,
        _together,
        _rest,
        _study,
    ]
    found = [line for part in parts for line in _safely(part, lines)]
    if len(found) > MOST_LINES:
        found = [*found[: MOST_LINES - 1], f"... {len(found) - MOST_LINES + 1} more lines"]
    return "\n".join(found)


def _safely(part: Callable[[Lines], list[str]], lines: Lines) -> list[str]:
    """A phase that was killed may have left anything out."""
    try:
        return part(lines)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return [f"{part.__name__[1:]}: cannot be told ({type(error).__name__}: {error})"]


def _one(lines: Lines, phase: str, what: str) -> Line:
    return next(iter(lines.read(phase, what)), {})


def _here(lines: Lines) -> list[str]:
    device, versions = _one(lines, "facts", "device"), _one(lines, "facts", "versions")
    driver, run = _one(lines, "facts", "driver"), _one(lines, "run", "start")
    where = device.get("gpu") or "CPU (dry run: toy size, no graphs; its times mean nothing)"
    return [
        f"{where}; torch {versions.get('torch')}, CUDA {device.get('cuda')}, cuDNN "
        f"{device.get('cudnn')}, driver {driver.get('driver_version')}, Python "
        f"{versions.get('python')}; budget {run.get('budget')} s"
    ]


def _phases(lines: Lines) -> list[str]:
    found = []
    for line in lines.read("run", "phase"):
        problem = _one(lines, line["name"], "failed")
        because = f": {problem['error']}: {problem['message'][:100]}" if problem else ""
        found.append(
            f"phase {line['name']}: {line['status']} after {line['seconds']:.0f} s "
            f"of {line['limit']:.0f}{because}"
        )
    return found


def _limits(lines: Lines) -> list[str]:
    bad = [line["name"] for line in lines.read("facts", "call") if not line["ok"]]
    rates = ", ".join(
        f"{line['format'].removeprefix('torch.')} product {line['tflops']:.3g} TFLOP/s"
        for line in lines.read("facts", "product")
    )
    copy, mps = _one(lines, "facts", "copy"), _one(lines, "facts", "mps")
    return [
        f"calls that fail: {', '.join(bad) or 'none'}; copy "
        f"{copy.get('gigabytes_per_second', 0):.0f} GB/s; {rates}; MPS "
        f"{'installed' if mps.get('installed') else 'absent'}, "
        f"{'running' if mps.get('running') else 'not running'}"
    ]


def _checks(lines: Lines) -> list[str]:
    found = []
    for what in dict.fromkeys(line["what"] for line in lines.read("checks")):
        of = lines.read("checks", what)
        bad = [line for line in of if line.get("ok") is False]
        unasked = sum(line.get("ok") is None for line in of)
        text = f"check {what}: {len(of) - len(bad) - unasked} hold, {len(bad)} do not"
        found.append(text + (f", {unasked} not possible here" if unasked else ""))
        for line in bad[:2]:
            label = line.get("kind") or line.get("model") or line.get("name") or ""
            why = line.get("message") or {k: v for k, v in line.items() if "equal" in k}
            found.append(f"  FAILS {label} {line.get('precision', '')}: {str(why)[:110]}")
    return found


def _numerics(lines: Lines) -> list[str]:
    measured = [line for line in lines.read("numerics", "distance") if "gradient" in line]
    found = []
    for precision in dict.fromkeys(line["precision"] for line in measured):
        of = [line for line in measured if line["precision"] == precision]
        worst = max(of, key=lambda line: line["gradient"] / line["allowed"])
        within = sum(line["gradient"] <= line["limit"] for line in of)
        bad = [f"{line['kind']} ({line['form']})" for line in of if line["ok"] is False]
        found.append(
            f"gradients in {precision}: {within} of {len(of)} within {worst['limit']:.0e} of "
            f"float64, {sum(line['ok'] is True for line in of) - within} within what rounding "
            f"does, {sum(line['ok'] is None for line in of)} cannot be told, wrong: "
            f"{', '.join(bad[:5]) or 'none'}; nearest to wrong {worst['kind']} "
            f"{worst['gradient']:.1e} of {worst['allowed']:.1e}"
        )
    return found


def _steps(lines: Lines) -> list[str]:
    """A row per kind, those that a study needs first as they were measured."""
    times: dict[str, dict[str, float]] = {}
    for line in lines.read("timing", "step"):
        if "milliseconds" in line:
            form = "" if line["form"] == "graph" else " eager"
            if line.get("convolutions") == "library":
                form = f" library{form}"
            times.setdefault(line["kind"], {})[line["precision"] + form] = line["milliseconds"]
    columns = list(dict.fromkeys(column for row in times.values() for column in row))
    found = [
        f"ms a step: {kind}: " + ", ".join(f"{c} {row[c]:.3g}" for c in columns if c in row)
        for kind, row in list(times.items())[:10]
    ]
    setting = paper_minutes(times)
    if setting:
        found.append(
            "paper's ACDC setting (15 models, 150 epochs), steps alone, one after the other: "
            + ", ".join(f"{c} {minutes:.1f} min" for c, minutes in setting.items())
        )
    return found


def paper_minutes(times: dict[str, dict[str, float]]) -> dict[str, float]:
    """Minutes of the training steps of one setting of the paper by form, where the kinds that it
    is made of were measured: milliseconds by kind and form."""
    methods = [kind for kind in times if kind.endswith("_features") and "original" not in kind]
    counts = {"teacher": 1, "sft": 1, "student": 1 + 2 * 2}
    counts |= dict.fromkeys(methods, 2) | {"reconstruction": 2 * 5}
    minutes = {}
    for form in dict.fromkeys(form for row in times.values() for form in row):
        known = {kind: times[kind][form] for kind in counts if form in times.get(kind, {})}
        features = [known[kind] for kind in methods if kind in known]
        needed = {"teacher", "sft", "student", "reconstruction"}
        if not needed <= set(known) or not features:
            continue
        # A method that was not measured counts as the mean of those that were.
        total = sum(known[kind] * counts[kind] for kind in needed)
        total += 2 * 5 * sum(features) / len(features)
        minutes[form] = total * PAPER_STEPS * PAPER_EPOCHS / 60_000
    return minutes


def _together(lines: Lines) -> list[str]:
    found = []
    for what, mps in (("streams", None), ("processes", True), ("processes", False)):
        read = lines.read("timing", what)
        of = [line for line in read if "trainings" in line and line.get("mps") is mps]
        if of:
            each = ", ".join(f"{line['trainings']}: {line['milliseconds_each']:.3g}" for line in of)
            how = f"{what} under MPS" if mps else what
            found.append(f"student steps at once on {how}, ms for each: {each}")
    return found


def _rest(lines: Lines) -> list[str]:
    found = []
    validation = [line for line in lines.read("timing", "validation") if "batch" in line]
    if validation:
        each = ", ".join(f"{v['batch']}: {v['milliseconds']:.3g}" for v in validation)
        found.append(f"validation, ms a batch of so many slices: {each}")
    start, save = _one(lines, "timing", "start"), _one(lines, "timing", "save")
    if "seconds" in start:
        forked = start.get("forked_seconds") or float("nan")
        found.append(
            f"start of a training {start['seconds']:.1f} s ({start['imports_seconds']:.1f} s of it "
            f"imports), as a fork {forked:.1f} s; a state takes "
            f"{save.get('milliseconds', float('nan')):.0f} ms"
        )
    kernels = [line for line in lines.read("timing", "kernels") if "nodes" in line]
    if kernels:
        nodes = ", ".join(f"{line['kind']} {line['nodes']}" for line in kernels[:6])
        found.append(f"nodes a step: {nodes}")
    return found


def _study(lines: Lines) -> list[str]:
    plan, done = _one(lines, "study", "plan"), _one(lines, "study", "study")
    if not plan:
        return []
    found = [
        f"study on {plan['data']}: {plan['epochs']} epochs, every {plan['thinning']}. slice, "
        f"predicted {plan['predicted_seconds']:.0f} s of {plan['room']:.0f}; "
        f"{done.get('finished')} of {done.get('models')} models finished, "
        f"{len(done.get('tables', []))} tables"
    ]
    models = [m for m in lines.read("study", "model") if "psnr_db" in m]
    for first in range(0, len(models), 5):
        row = models[first : first + 5]
        found.append("  PSNR, dB: " + ", ".join(f"{m['model']} {m['psnr_db']:.2f}" for m in row))
    return found
