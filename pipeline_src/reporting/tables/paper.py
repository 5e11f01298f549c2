"""Compares the study with the paper's values and claims."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from pipeline_src.evaluation.comparison import THESE_PATIENTS
from pipeline_src.evaluation.metrics_files import KEYS
from pipeline_src.reporting.display_names import (
    MAIN_HEADING,
    MISSING,
    full_title,
    model_order,
    pair_text,
    value_text,
)
from pipeline_src.reporting.tables.labels import Labels, of_setting
from pipeline_src.tabular import read_rows

NO_GAP = "no gap to close: the teacher is not shown to be better than the student"
UNTOLD_GAP = "cannot tell whether there is a gap to close"
#: A cell agrees with the paper if it differs by no more; most of the paper's effects are smaller
#: than this.
TOLERANCES = {"psnr_db": 0.3, "ssim": 0.003}
NOT_COMPARABLE = "not comparable"
CLAIM_COLUMNS = ["dataset", "acceleration", "claim", "text", "paper", "here", "effects_db"]
CLAIM_COLUMNS += ["shown", "opposed", "untold", "tests", "scope", "verdict"]
CLAIMS = {
    "teacher": "The SFT teacher is better than the teacher",
    "methods": "Each method is better by SFT-KD-Recon than by Std-KD",
    "gap": "SFT-KD-Recon leaves a smaller gap to the teacher than Std-KD",
}


def read_paper(path: Path) -> pd.DataFrame:
    """Read the paper's main table, `config/paper_results.csv`.

    Raises:
        InputError: the file cannot be read, lacks a column or has a value that is not a number.
    """
    needed = {*KEYS, *TOLERANCES}
    return read_rows(path, "results of the paper", tuple(TOLERANCES), needed=needed, comment="#")


def cell_table(table: pd.DataFrame, labels: Labels, paper: pd.DataFrame) -> pd.DataFrame:
    """One row per cell of the main table: our value, the paper's, difference and verdict.

    Values are compared only if the data set is the paper's; otherwise the verdict is `not
    comparable` and the paper's columns are empty.
    """
    rows = []
    known = {tuple(row[key] for key in KEYS): row for _, row in paper.iterrows()}
    for _, row in table.iterrows():
        of_paper = labels.datasets[row["dataset"]].paper
        key = (of_paper, row["acceleration"], row["model"], row["training"])
        cell: dict[str, object] = {column: row[column] for column in KEYS}
        agree = []
        for metric, tolerance in TOLERANCES.items():
            cell[metric] = row[metric]
            theirs = known[key][metric] if key in known else float("nan")
            cell[f"{metric}_paper"] = theirs
            cell[f"{metric}_difference"] = row[metric] - theirs
            # Rounded, since 40.35 - 40.05 is more than 0.3 in floating point.
            agree.append(round(abs(row[metric] - theirs), 9) <= tolerance)
        if key not in known:
            cell["verdict"] = NOT_COMPARABLE if of_paper is None else "not in the paper"
        else:
            cell["verdict"] = "agrees" if all(agree) else "differs"
        rows.append(cell)
    return pd.DataFrame(rows)


def cell_layout(cells: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Comparable cells, one per row; a single line for each setting that has none."""
    rows: dict[str, dict[str, str]] = {}
    for dataset, acceleration in labels.settings():
        here = of_setting(cells, dataset, acceleration)
        title = labels.title(dataset, acceleration)
        comparable = here[here["psnr_db_paper"].notna()]
        if comparable.empty:
            rows[title] = dict.fromkeys(("ours", "paper", "difference"), "")
            rows[title]["verdict"] = (
                f"{NOT_COMPARABLE}: not the paper's data set or preparation"
                if labels.datasets[dataset].paper is None
                else "nothing here that is in the paper"
            )
        for _, row in comparable.iterrows():
            rows[f"{title}: {full_title(row['model'], row['training'])}"] = {
                "ours": pair_text(row["psnr_db"], row["ssim"]),
                "paper": pair_text(row["psnr_db_paper"], row["ssim_paper"]),
                "difference": pair_text(row["psnr_db_difference"], row["ssim_difference"], "+"),
                "verdict": row["verdict"],
            }
    layout = pd.DataFrame.from_dict(rows, orient="index")
    layout.columns.name = MAIN_HEADING
    return layout


def claim_table(
    table: pd.DataFrame, differences: pd.DataFrame, labels: Labels, paper: pd.DataFrame
) -> pd.DataFrame:
    """One row per setting and claim: how often it held in the paper and here, by PSNR.

    Directions are compared for every data set; `shown` counts the comparisons here that the tests
    show to be better, `opposed` those shown to be worse, `untold` those without a verdict. Which
    gap is smaller is asked only if there is one: if the tests show the teacher to be better than
    the student.
    """
    rows = []
    tested = differences[differences["metric"] == "psnr_db"]
    for dataset, acceleration in labels.settings():
        here = of_setting(table, dataset, acceleration)
        of_paper = labels.datasets[dataset].paper
        theirs = paper if of_paper is None else of_setting(paper, of_paper, acceleration)
        tests = of_setting(tested, dataset, acceleration)
        for claim, text in CLAIMS.items():
            effects = claim_effects(claim, here)
            if not effects:
                continue
            asked = _tests_of(claim, tests)
            verdict = _verdict(effects)
            if claim == "gap" and (no_gap := _why_no_gap(tests)):
                effects, verdict, asked = [], no_gap, asked.iloc[:0]
            rows.append(
                {
                    "dataset": dataset,
                    "acceleration": acceleration,
                    "claim": claim,
                    "text": text,
                    "paper": _counted(_all_effects(claim, theirs)),
                    "here": _counted(effects),
                    "effects_db": " ".join(value_text(e, "psnr_db", "+") for e in effects),
                    "shown": int((asked["verdict"] == "better").sum()),
                    "opposed": int((asked["verdict"] == "worse").sum()),
                    "untold": int((asked["verdict"] == "cannot tell").sum()),
                    "tests": len(asked),
                    "scope": next((s for s in asked["scope"] if s == THESE_PATIENTS), ""),
                    "verdict": verdict,
                }
            )
    return pd.DataFrame(rows, columns=CLAIM_COLUMNS)


def claim_effects(claim: str, cells: pd.DataFrame) -> list[float]:
    """Differences in dB in one setting; a claim holds where they are more than 0.

    For the gap it is the mean over methods of SFT-KD-Recon minus Std-KD: the teacher, from which
    both gaps are measured, cancels out. A student above the teacher counts as it is.
    """
    psnr = cells.set_index(["model", "training"])["psnr_db"]
    teacher = psnr.get(("teacher", "standard"))
    if claim == "teacher":
        sft = psnr.get(("teacher", "sft"))
        return [] if sft is None or teacher is None else [sft - teacher]
    methods = model_order([m for m, training in psnr.index if training == "sft_kd"])
    both = [m for m in methods if (m, "std_kd") in psnr.index]
    if claim == "methods":
        return [psnr[m, "sft_kd"] - psnr[m, "std_kd"] for m in both]
    if teacher is None or not both:
        return []
    return [sum(psnr[m, "sft_kd"] - psnr[m, "std_kd"] for m in both) / len(both)]


def _all_effects(claim: str, table: pd.DataFrame) -> list[float]:
    groups = table.groupby(["dataset", "acceleration"], sort=False)
    return [effect for _, cells in groups for effect in claim_effects(claim, cells)]


def _tests_of(claim: str, tests: pd.DataFrame) -> pd.DataFrame:
    if claim == "teacher":
        pair = (tests["first_title"] == "SFT teacher") & (tests["second_title"] == "Teacher")
        return tests[pair]
    return tests[tests["family"] == ("recipe" if claim == "methods" else "primary")]


def _why_no_gap(tests: pd.DataFrame) -> str:
    """Why it is not asked whether the gap is closed; empty if the tests show the teacher to be
    better than the student.
    """
    verdicts = set(tests[tests["family"] == "gap"]["verdict"])
    if "better" in verdicts:
        return ""
    return NO_GAP if verdicts - {"cannot tell"} else UNTOLD_GAP


def _counted(effects: list[float]) -> str:
    return f"{sum(effect > 0 for effect in effects)} of {len(effects)}"


def _verdict(effects: list[float]) -> str:
    held = sum(effect > 0 for effect in effects)
    if held == len(effects):
        return "same direction"
    if not any(effects):
        return "no difference"
    if held == 0:
        return "opposite direction" if all(effects) else "not the same direction"
    return f"same direction in {held} of {len(effects)}"


def claim_layout(claims: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row per setting and claim."""
    rows: dict[str, dict[str, str]] = {}
    for _, row in claims.iterrows():
        title = f"{labels.title(row['dataset'], row['acceleration'])}: {row['text']}"
        tests = (
            MISSING_TESTS
            if not row["tests"]
            else (
                f"shown in {row['shown']} of {row['tests']}"
                + (f", shown to be worse in {row['opposed']}" if row["opposed"] else "")
                + (f", cannot tell in {row['untold']}" if row["untold"] else "")
                + (f" ({row['scope']})" if row["scope"] and row["shown"] + row["opposed"] else "")
            )
        )
        rows[title] = {
            "paper": row["paper"],
            "here": f"{row['here']} ({row['effects_db']} dB)" if row["effects_db"] else MISSING,
            "verdict": row["verdict"],
            "by test": tests,
        }
    columns = pd.Index(["paper", "here", "verdict", "by test"], name="claim")
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)


MISSING_TESTS = "not tested"


def claim_notes(labels: Labels) -> list[str]:
    """How to read the claims."""
    notes = [
        "Directions by mean PSNR: a count is of comparisons that went the paper's way (more than "
        "0); the tests say whether chance explains them. The paper has one training per cell and "
        "no test.",
        "The gap: mean over methods of how far a student stays below the standard teacher, "
        "Std-KD minus SFT-KD-Recon; asked only if the tests show the teacher to be better than "
        "the student. How much of it is left, also by students without a teacher, is in the table "
        "of differences.",
    ]
    other = [d.title for d in labels.datasets.values() if d.paper is None]
    if other:
        notes.append(
            f"{', '.join(other)}: {NOT_COMPARABLE} with the paper in value; its column counts all "
            "four of its settings."
        )
    return notes
