"""The main table: tidy, and as the paper prints it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import pandas as pd

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.evaluation.results import KEYS, METRICS, read_metrics
from pipeline_src.files import write_text
from pipeline_src.reporting.method_options import method_options
from pipeline_src.reporting.names import (
    COLUMN_OF_TRAINING,
    RECIPE_TITLES,
    model_order,
    model_title,
)

MISSING = "\N{EN DASH}"


def main_table(volumes: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row a cell of the paper's table, in its order; see `aggregate`."""
    table = aggregate(volumes[volumes["variant"] == ""], study).drop(columns="variant")
    orders = {
        "dataset": list(study.datasets),
        "acceleration": [f"{r}x" for r in study.accelerations],
        "model": model_order(list(table["model"].unique())),
        "training": list(COLUMN_OF_TRAINING),
    }
    return table.sort_values(
        KEYS, key=lambda column: column.map(orders[str(column.name)].index), ignore_index=True
    )


def aggregate(volumes: pd.DataFrame, study: Study) -> pd.DataFrame:
    """One row for each data set, acceleration, model, training and variant.

    Each metric is the mean over volumes, then over seeds; `*_sd` is the standard deviation over
    seeds (empty for one seed). `part` says which patients are reported, `synthetic` whether the
    images are drawn.

    Raises:
        InputError: the metrics are of another study.
    """
    accelerations = [f"{r}x" for r in study.accelerations]
    for column, known in (("dataset", list(study.datasets)), ("acceleration", accelerations)):
        for value in volumes[column].unique():
            if value not in known:
                raise InputError(
                    f"metrics are of {column} {value!r}, which the study does not have "
                    f"({', '.join(known)})"
                )
    keys = [*KEYS, "variant"]
    groups = volumes.groupby([*keys, "part", "seed"], dropna=False, sort=False)
    a_seed = groups[list(METRICS)].mean()
    counts = groups.agg(volumes=("patient", "size"), patients=("patient", "nunique"))
    cells = a_seed.join(counts).reset_index()
    rows = []
    for (*identity, part), cell in cells.groupby([*keys, "part"], sort=False):
        row: dict[str, object] = dict(zip(KEYS, identity[:-1], strict=True))
        row |= {metric: cell[metric].mean() for metric in METRICS}
        row |= {f"{metric}_sd": cell[metric].std(ddof=1) for metric in METRICS}
        row |= {
            "seeds": int(cell["seed"].nunique()),
            "volumes": int(cell["volumes"].iloc[0]),
            "patients": int(cell["patients"].iloc[0]),
            "part": part,
            "synthetic": study.datasets[str(identity[0])].synthetic,
            "variant": identity[-1],
        }
        rows.append(row)
    return pd.DataFrame(rows)


def paper_layout(table: pd.DataFrame, study: Study) -> pd.DataFrame:
    """The table as the paper prints it: a model a row, Std-KD beside SFT-KD-Recon.

    Cells are `PSNR / SSIM`, with the spread over seeds where there are several.
    """
    columns: dict[tuple[str, str], dict[str, str]] = {}
    for dataset, acceleration in study.settings():
        for recipe in RECIPE_TITLES:
            heading = (f"{dataset_title(study, dataset)} {acceleration}x", RECIPE_TITLES[recipe])
            columns[heading] = {}
            for _, row in table.iterrows():
                here = (row["dataset"], row["acceleration"]) == (dataset, f"{acceleration}x")
                if here and COLUMN_OF_TRAINING[row["training"]] == recipe:
                    columns[heading][model_title(row["model"])] = cell_text(row)
    frame = pd.DataFrame(columns)
    titles = [model_title(m) for m in model_order(list(table["model"].unique()))]
    frame = frame.reindex(titles).fillna(MISSING)
    frame.columns.names = [None, "PSNR (dB) / SSIM"]
    return frame


def cell_text(row: pd.Series) -> str:
    """`PSNR / SSIM`, with the spread over seeds where there are several."""
    if row["seeds"] > 1:
        return (
            f"{row['psnr_db']:.2f} ± {row['psnr_db_sd']:.2f} / "
            f"{row['ssim']:.4f} ± {row['ssim_sd']:.4f}"
        )
    return f"{row['psnr_db']:.2f} / {row['ssim']:.4f}"


def dataset_title(study: Study, dataset: str) -> str:
    """A data set's title, or its name."""
    return study.datasets[dataset].title or dataset


def table_notes(table: pd.DataFrame, study: Study) -> list[str]:
    """What a reader must know of the table: whose images, which patients, how many seeds."""
    notes = []
    for dataset in table["dataset"].unique():
        row = table[table["dataset"] == dataset].iloc[0]
        kind = "synthetic (drawn phantoms)" if row["synthetic"] else "measured images"
        chosen = (
            "test patients"
            if row["part"] == "test"
            else ("validation patients, on which the weights were chosen too (the paper's choice)")
        )
        notes.append(
            f"{dataset_title(study, dataset)}: {kind}; mean over {row['volumes']} volumes of "
            f"{row['patients']} {chosen}."
        )
    notes.append(f"Method: {method_options(study)}.")
    seeds = len(study.seeds)
    spread = "; ± is the standard deviation over seeds" if seeds > 1 else ""
    notes.append(f"{seeds} seed{'s' if seeds > 1 else ''} a model{spread}.")
    return notes


def write_main_table(volumes: Sequence[Path], study: Study, folder: Path) -> None:
    """Write `main.csv` (tidy), `main.md`, `main.tex` and `main.html` (the paper's layout).

    Raises:
        InputError: a metrics file is unusable.
    """
    table = main_table(read_metrics(volumes), study)
    notes = table_notes(table, study)
    write_table(folder / "main", table, paper_layout(table, study), notes)


def write_table(stem: Path, tidy: pd.DataFrame, layout: pd.DataFrame, notes: list[str]) -> None:
    """Write a table as `.csv` (tidy), and in its layout as `.md`, `.tex` and `.html`."""
    write_text(stem.with_suffix(".csv"), tidy.to_csv(index=False, float_format="%.6f"))
    write_text(stem.with_suffix(".md"), _markdown(layout, notes))
    write_text(stem.with_suffix(".tex"), _latex(layout, notes))
    write_text(stem.with_suffix(".html"), html_table(layout, notes))


def _markdown(layout: pd.DataFrame, notes: list[str]) -> str:
    flat = layout.copy()
    flat.columns = pd.Index([" ".join(pair) for pair in layout.columns])
    flat.index.name = "PSNR (dB) / SSIM"
    return flat.to_markdown() + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _latex(layout: pd.DataFrame, notes: list[str]) -> str:
    """A booktabs table; needs the packages booktabs and multirow."""
    styled = layout.style.format(escape="latex")
    for axis in (0, 1):
        styled = styled.format_index(escape="latex", axis=axis)
    body = styled.to_latex(
        hrules=True,
        column_format="l" + "c" * layout.shape[1],
        multicol_align="c",
    )
    comments = "".join(f"% {note}\n" for note in notes)
    for plain, escaped in (("±", r"$\pm$"), (MISSING, "--")):
        body = body.replace(plain, escaped)
    return comments + body


def html_table(layout: pd.DataFrame, notes: list[str]) -> str:
    """A table fragment that a page can embed, with its notes below."""
    table = layout.to_html(classes="results", border=0, justify="center")
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<meta charset="utf-8">\n{table}\n<ul class="notes">{items}</ul>\n'
