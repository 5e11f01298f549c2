"""The table of robustness: what models lose under conditions other than those of their training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.config.shifts import Shift
from pipeline_src.errors import InputError
from pipeline_src.evaluation.comparison import Comparison, compare_family, estimate_mean
from pipeline_src.evaluation.metrics import MAIN, METRICS
from pipeline_src.evaluation.metrics_files import NUMBERS, read_metrics
from pipeline_src.evaluation.pairing import Measured, NotMeasuredError, paired_differences
from pipeline_src.reporting.display_names import full_title, model_order
from pipeline_src.reporting.tables.differences import (
    FOUND,
    RESAMPLING_SEED,
    mean_over_members,
)
from pipeline_src.reporting.tables.families import Model
from pipeline_src.reporting.tables.labels import Labels, of_setting
from pipeline_src.reporting.tables.robustness_layout import (
    UNSHIFTED,
    robustness_layout,
    robustness_notes,
)
from pipeline_src.tabular import read_rows

#: What stands for the mean over all shifts but other images, which are of other patients.
ALL_SHIFTS = "all"
#: What a loss is against: the model without the shift (`UNSHIFTED`), or of the SFT-KD-Recon student
#: the Std-KD student's loss.
OTHER_RECIPE = "std_kd"
SFT = "sft_kd"
WORDS = {"better": "more robust", "worse": "less robust"}
COLUMNS = ["dataset", "dataset_title", "acceleration", "shift", "shift_title", "kind", "sampled"]
COLUMNS += ["model", "training", "title", "against", "metric", "value", "unshifted", "loss"]
COLUMNS += [name for name in FOUND if name != "effect"]
Losses = dict[Model, pd.DataFrame]


def read_robustness(paths: Sequence[Path]) -> pd.DataFrame:
    """Files of the robustness command, one under the other; as `read_metrics`, with the column
    `shift`.

    Raises:
        InputError: as `read_metrics`, or a file tells no shift.
    """
    by_shift: dict[str, list[Path]] = {}
    for path in paths:
        found = read_rows(path, "metrics under a shift", NUMBERS)
        names = list(found["shift"].unique()) if "shift" in found else []
        if len(names) != 1:
            raise InputError(f"{path}: is not a file of the robustness command (it tells no shift)")
        Shift.of_name(names[0])
        by_shift.setdefault(names[0], []).append(path)
    # Each shift has its own mask, and may have its own data.
    return pd.concat([read_metrics(files) for files in by_shift.values()], ignore_index=True)


def robustness_table(shifted: pd.DataFrame, volumes: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row per setting, shift, model and metric: mean, mean without the shift, and loss with its
    interval; and one per shift and method that has both recipes, for the loss of the SFT-KD-Recon
    student minus that of the Std-KD student, also as the mean over all shifts but
    other images.

    ``shifted`` is of `read_robustness`, ``volumes`` of `read_metrics`. A loss is the metric without
    the shift minus that with it, by patient. Of other images, it is against the same model that was
    trained on them.

    Raises:
        InputError: it is of another study.
    """
    known = set(labels.settings())
    for dataset, acceleration in shifted[["dataset", "acceleration"]].drop_duplicates().to_numpy():
        if (dataset, acceleration) not in known:
            raise InputError(
                f"robustness is of {dataset} {acceleration}, which the study does not have"
            )
    own = volumes[volumes["variant"] == ""]
    rows: list[dict[str, object]] = []
    for dataset, acceleration in labels.settings():
        here = of_setting(shifted, dataset, acceleration)
        if here.empty:
            continue
        setting = {
            "dataset": dataset,
            "dataset_title": labels.title(dataset),
            "acceleration": acceleration,
        }
        for metric in MAIN:
            rows += [setting | row for row in _of_setting(here, own, labels, metric)]
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.astype({"patients": "Int64", "seeds": "Int64"})


def _of_setting(
    here: pd.DataFrame, own: pd.DataFrame, labels: Labels, metric: str
) -> Iterator[dict[str, object]]:
    names = list(here["shift"].unique())
    losses: dict[str, Losses] = {}
    told: list[dict[str, object]] = []
    for name in names:
        shift = Shift.of_name(name)
        rows = here[here["shift"] == name]
        acceleration = rows["acceleration"].iloc[0]
        dataset = shift.value if shift.kind == "data" else rows["dataset"].iloc[0]
        facts = {
            "shift": name,
            "shift_title": _title(shift, labels),
            "kind": shift.kind,
            "sampled": rows["sampled"].max(),
            "metric": metric,
        }
        # The other images are those of the models that they are compared with.
        rows = rows.assign(dataset=dataset)
        unshifted = of_setting(own, dataset, acceleration)
        found, lacking = _losses(rows, unshifted, metric)
        losses[name] = found
        for model in [*found, *lacking]:
            row: dict[str, object] = {
                "model": model[0],
                "training": model[1],
                "title": full_title(*model),
            }
            row |= {
                "against": UNSHIFTED,
                "value": _mean(_of_model(rows, model), metric),
                "unshifted": _mean(_of_model(unshifted, model), metric),
                "verdict": "",
                "reason": lacking.get(model, ""),
            }
            if model in found:
                mean = estimate_mean(found[model], seed=RESAMPLING_SEED)
                row |= mean | {"loss": mean["effect"]}
            told.append(facts | row)
    yield from _recipes(losses, told, metric, labels)
    yield from told


def _title(shift: Shift, labels: Labels) -> str:
    if shift.kind == "data" and shift.value in labels.datasets:
        return Shift("data", labels.title(shift.value)).title
    return shift.title


def _of_model(rows: pd.DataFrame, model: Model) -> pd.DataFrame:
    """A model's rows. Zero filling has no seed where one mask and split serve all; it is the same
    for each then, and counts once, as if of one seed."""
    found = rows[(rows["model"] == model[0]) & (rows["training"] == model[1])]
    if len(found) and found["seed"].isna().all():
        found = found.drop_duplicates(["patient", "frame"]).assign(seed=0)
    return found


def _mean(rows: pd.DataFrame, metric: str) -> float:
    """Over volumes, then over seeds, as in the main table."""
    return float(rows.groupby("seed")[metric].mean().mean())


def _losses(
    rows: pd.DataFrame, unshifted: pd.DataFrame, metric: str
) -> tuple[Losses, dict[Model, str]]:
    """Matrices `(seeds, patients)` of each model that was measured with and without the shift, and
    why there is none of the others; in the tables' order."""
    there = [(str(m), str(t)) for m, t in rows[["model", "training"]].drop_duplicates().to_numpy()]
    order = model_order([model for model, _ in there])
    found: Losses = {}
    lacking = {}
    for model in sorted(there, key=lambda one: (order.index(one[0]), one[1] == SFT)):
        try:
            if (before := _of_model(unshifted, model)).empty:
                raise NotMeasuredError(f"{full_title(*model)}: not measured without the shift")
            with_, without = Measured(_of_model(rows, model)), Measured(before)
            found[model] = paired_differences(without, with_, metric)
        except NotMeasuredError as error:
            lacking[model] = str(error)
    return found, lacking


def _recipes(
    losses: Mapping[str, Losses],
    told: Sequence[Mapping[str, object]],
    metric: str,
    labels: Labels,
) -> Iterator[dict[str, object]]:
    """What SFT-KD-Recon loses minus what Std-KD loses: each shift, and all together."""
    facts = {row["shift"]: {key: row[key] for key in COLUMNS[3:7]} for row in told}
    methods = [m for m in _models(losses) if m[1] == SFT]
    single: dict[tuple[str, Model], pd.DataFrame] = {}
    whole: dict[tuple[str, Model], pd.DataFrame] = {}
    incomplete: dict[Model, list[str]] = {}
    for model in methods:
        own, other = [], (model[0], OTHER_RECIPE)
        for shift, found in losses.items():
            there = model in found and other in found
            if there:
                single[shift, model] = found[model] - found[other]
            if facts[shift]["kind"] == "data":
                continue
            if there:
                own.append(single[shift, model])
            else:
                incomplete.setdefault(model, []).append(str(facts[shift]["shift_title"]))
        if len(own) > 1 and model not in incomplete:
            whole[ALL_SHIFTS, model] = mean_over_members(own)
        elif not own:
            incomplete.pop(model, None)
    facts[ALL_SHIFTS] = {
        "shift": ALL_SHIFTS,
        "shift_title": "mean of all shifts but other images",
        "kind": ALL_SHIFTS,
        "sampled": float("nan"),
    }
    for family in (whole, single):
        results = compare_family(
            family,
            seed=RESAMPLING_SEED,
            higher_is_better=not METRICS[metric].higher_is_better,
            margin=labels.margins.get(metric),
        )
        for (shift, model), result in results.items():
            yield facts[shift] | _difference_row(model, result) | {"metric": metric}
    for model, shifts in incomplete.items():
        lacks = f"{_pair(model)}: not both measured under {', '.join(shifts)}"
        row = {"model": model[0], "training": model[1], "title": _pair(model)}
        row |= {"against": OTHER_RECIPE, "verdict": "cannot tell", "reason": lacks}
        yield facts[ALL_SHIFTS] | row | {"metric": metric}


def _models(losses: Mapping[str, Losses]) -> list[Model]:
    return list(dict.fromkeys(model for found in losses.values() for model in found))


def _pair(model: Model) -> str:
    return f"{full_title(*model)} minus {full_title(model[0], OTHER_RECIPE)}"


def _difference_row(model: Model, result: Comparison) -> dict[str, object]:
    row: dict[str, object] = {name: getattr(result, name) for name in FOUND if name != "effect"}
    return row | {
        "model": model[0],
        "training": model[1],
        "title": _pair(model),
        "against": OTHER_RECIPE,
        "loss": result.effect,
        "verdict": WORDS.get(result.verdict, result.verdict),
    }


def robustness_tables(
    paths: Sequence[Path], volumes: pd.DataFrame, labels: Labels
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Tidy table, layout and notes of files of the robustness command.

    Raises:
        InputError: a file is unusable, or of another study.
    """
    table = robustness_table(read_robustness(paths), volumes, labels)
    return table, robustness_layout(table, labels), robustness_notes(table)
