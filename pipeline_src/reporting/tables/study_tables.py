"""Writes all tables of a study from its metrics alone, and every number behind them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.evaluation.metrics import MAIN, METRICS, MORE
from pipeline_src.evaluation.metrics_files import KEYS, SOURCE, read_metrics
from pipeline_src.reporting.display_names import TABLES
from pipeline_src.reporting.tables import (
    ablations,
    answers,
    differences,
    main_table,
    missing,
    paper,
    robustness,
)
from pipeline_src.reporting.tables.formats import write_table
from pipeline_src.reporting.tables.labels import Labels
from pipeline_src.reporting.tables.long_form import write_long
from pipeline_src.reporting.tables.measurements import (
    cost_table,
    error_bounds_table,
    runtimes_table,
)

#: Columns that, together with `metric`, identify a number.
IDENTITY = [*KEYS, "variant", "seed", "part", "patient", "frame"]
Table = tuple[pd.DataFrame, pd.DataFrame, list[str]]
#: The tables of measurements, of their files, the study's metrics and its names.
MEASURED_TABLES: dict[str, Callable[[Sequence[Path], pd.DataFrame, Labels], Table]] = {
    "cost": lambda files, _volumes, _labels: cost_table(only(files, "cost")),
    "runtimes": lambda files, _volumes, _labels: runtimes_table(only(files, "runtimes")),
    "robustness": robustness.robustness_tables,
    "error_bounds": lambda files, _volumes, labels: error_bounds_table(files, labels),
}


def write_study_tables(
    metrics: Sequence[Path],
    study: Study | None,
    published: Path,
    folder: Path,
    measurements: Mapping[str, Sequence[Path]] | None = None,
) -> list[Path]:
    """Write every table of `TABLES` and of the ablations, in all formats, and the numbers behind
    them in long form (`all_numbers.csv`); returns the files.

    ``measurements`` are files by the command that measured them (`MEASURED`), each command for its
    own table. Without ``study``, only the metrics are used: data sets are shown by their names, and
    there are no ablations.

    Raises:
        InputError: a file is unusable, or the metrics belong to another study.
    """
    volumes = read_metrics(metrics)
    labels = Labels.of_metrics(volumes) if study is None else Labels.of_study(study)
    tables = study_tables(volumes, labels, paper.read_paper(published))
    for name in study.ablations if study is not None else ():
        assert study is not None
        tables[f"ablation_{name}"] = _ablation(volumes, study, labels, name)
    for name, files in (measurements or {}).items():
        tables[name] = MEASURED_TABLES[name](files, volumes, labels)
    # First, since it refuses duplicates.
    numbers = folder / "all_numbers.csv"
    write_numbers(volumes, numbers)
    written = []
    for name, (tidy, layout, notes) in tables.items():
        written += write_table(folder / name, tidy, labels.panels(layout), notes)
    return [*written, numbers]


def study_tables(
    volumes: pd.DataFrame, labels: Labels, published: pd.DataFrame
) -> dict[str, Table]:
    """Each of the `TABLES`: tidy, in its layout, and the notes below it."""
    main = main_table.main_table(volumes, labels)
    own = volumes[volumes["variant"] == ""]
    lacking = missing.measured_notes(own, labels)
    notes = main_table.table_notes(main, labels)
    # Of metrics that no volume has, there is nothing to test.
    have = [metric for metric in differences.TESTED_MORE if own[metric].notna().any()]
    compared = differences.difference_table(
        volumes, labels, (*differences.TESTED, *(have or differences.TESTED_MORE))
    )
    tested, more = (
        compared[compared["metric"].isin(metrics)].reset_index(drop=True)
        for metrics in (differences.TESTED, differences.TESTED_MORE)
    )
    said = answers.answer_table(tested, labels)
    claims = paper.claim_table(main, tested, labels, published)
    gaps, cells = main_table.gap_table(main), paper.cell_table(main, labels, published)
    made: dict[str, Table] = {
        "main": (
            main,
            main_table.paper_layout(main, labels),
            [*notes, *lacking, *missing.value_notes(own, labels, MAIN)],
        ),
        "answers": (
            said,
            answers.answer_layout(said, labels),
            [
                *answers.answer_notes(said, labels),
                *differences.scope_notes(tested),
                *missing.claim_gap_notes(main, labels),
            ],
        ),
        "claims": (
            claims,
            paper.claim_layout(claims, labels),
            [
                *paper.claim_notes(labels),
                *differences.scope_notes(tested),
                *missing.claim_gap_notes(main, labels),
            ],
        ),
        "differences": (
            tested,
            differences.difference_layout(tested, labels),
            [
                *differences.difference_notes(tested),
                *missing.comparison_notes(tested, labels),
                *missing.claim_gap_notes(main, labels),
            ],
        ),
        "differences_more": (
            more,
            differences.difference_layout(more, labels),
            [*differences.difference_notes(more), *missing.unmeasured_notes(own, labels, MORE)],
        ),
        "gap": (
            gaps,
            main_table.gap_layout(gaps, labels),
            [*GAP_NOTES, *missing.gap_notes(main, labels)],
        ),
        "paper": (cells, paper.cell_layout(cells, labels), PAPER_NOTES),
    }
    for metric in MORE:
        layout = main_table.metric_layout(main, labels, metric)
        gone = [
            *missing.unmeasured_notes(own, labels, (metric,)),
            *lacking,
            *missing.value_notes(own, labels, (metric,)),
        ]
        made[metric] = (main, layout, [*main_table.metric_notes(metric), *notes, *gone])
    return {name: made[name] for name in TABLES}


def write_numbers(volumes: pd.DataFrame, output: Path) -> None:
    """Write every number of ``volumes``, as `read_metrics` returns them, in long form: the columns
    of `IDENTITY` and `SOURCE`, then `metric`, `value`. Every id and value can be read back exactly.

    One row per volume and metric, sorted by the columns in their order, `4x` before `10x`, metrics
    as in `METRICS`. `seed` is an integer, empty for zero filling; `variant`, `frame` and `data` are
    empty if there is none, `sampled` if it is not known. PSNR is in dB, the others have no unit.
    Values are not rounded; an empty one is a metric that a volume does not have.

    Raises:
        InputError: a number appears twice.
    """
    if (twice := volumes.duplicated(IDENTITY)).any():
        row = volumes.loc[twice, IDENTITY].astype({"seed": "Int64"}).iloc[0]
        where = ", ".join(str(value) for value in row if not pd.isna(value) and value != "")
        raise InputError(f"metrics: a volume is there twice ({where}); give each volumes.csv once")
    ordered = volumes.sort_values(IDENTITY, key=_sortable, na_position="first")
    rows = ordered[[*IDENTITY, *SOURCE, *METRICS]].astype({"seed": "Int64"})
    write_long(output, rows, list(METRICS))


def _sortable(column: pd.Series) -> pd.Series:
    return column.str.zfill(9) if column.name == "acceleration" else column


def only(files: Sequence[Path], name: str) -> Path:
    """The one file that a table is made from.

    Raises:
        InputError: there are more.
    """
    if len(files) > 1:
        raise InputError(f"--{name}: is given {len(files)} files; one is needed")
    return files[0]


def _ablation(volumes: pd.DataFrame, study: Study, labels: Labels, name: str) -> Table:
    table = ablations.ablation_table(volumes, study, name)
    own = volumes["variant"].map(lambda variant: variant.split(".")[0] in ("", name))
    notes = [
        *main_table.table_notes(table, labels),
        *ablations.ablation_notes(table, study, name),
        *missing.measured_notes(volumes[own], labels),
        *missing.value_notes(volumes[own], labels, MAIN),
    ]
    return table, ablations.ablation_layout(table, study, name), notes


GAP_NOTES = [
    "The standard teacher's mean minus the model's; negative: above the teacher. The paper gives "
    "0.53 dB for Std-KD FitNets and -0.03 dB for SFT-KD-Recon FitNets (MRBrainS, 4x)."
]
PAPER_NOTES = [
    "Ours and the main table of Matcha et al., MIDL 2023. A cell agrees if it differs by at "
    "most 0.3 dB and 0.003 SSIM; most of the paper's own effects are smaller."
]
