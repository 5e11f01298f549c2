"""The study's answers in a few lines, for the head of the report."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from pipeline_src.reporting.names import value_text
from pipeline_src.reporting.paper import NO_GAP

#: Questions put to the tests: title, family, and what the first model was trained by.
QUESTIONS = (
    ("SFT-KD-Recon against Std-KD, mean over methods (primary)", "primary", "sft_kd"),
    ("SFT-KD-Recon against Std-KD", "recipe", "sft_kd"),
    ("SFT-KD-Recon against a student trained for as many epochs", "matched", "sft_kd"),
    ("SFT-KD-Recon against the SFT-started student without distillation", "sft_start", "sft_kd"),
    ("Std-KD against a student trained for as many epochs", "matched", "std_kd"),
)
#: What is read as a number of both tables.
NUMBERS = ("effect", "shown", "opposed", "tests")
ORDER = ("better", "no difference shown", "worse", "cannot tell")


@dataclass(frozen=True)
class Verdict:
    """One line.

    Attributes:
        answer: a word or two, such as `same direction` or `better in 3 of 5`.
        tone: `yes`, `no` or `open`.
    """

    question: str
    answer: str
    detail: str
    tone: str


def verdicts(claims: pd.DataFrame, differences: pd.DataFrame) -> list[Verdict]:
    """From the tables `claims` and `differences`: the paper's claims, then what was tested."""
    lines = [_claim(rows) for _, rows in claims.groupby("claim", sort=False)]
    psnr = differences[differences["metric"] == "psnr_db"]
    for question, family, training in QUESTIONS:
        rows = psnr[(psnr["family"] == family) & (psnr["first_training"] == training)]
        if len(rows):
            lines.append(_tested(question, rows))
    return lines


def _claim(rows: pd.DataFrame) -> Verdict:
    held, of = _sum_counts(rows["here"])
    # Data sets that are not the paper's all stand beside the same four settings of it.
    paper_held, paper_of = _sum_counts(rows["paper"].drop_duplicates())
    shown, opposed, tests = (int(rows[name].sum()) for name in ("shown", "opposed", "tests"))
    paper = f"in the paper {paper_held} of {paper_of}"
    if not of:
        return Verdict(
            str(rows["text"].iloc[0]), "cannot be asked here", f"{NO_GAP}; {paper}", "open"
        )
    return Verdict(
        str(rows["text"].iloc[0]),
        f"{held} of {of} here",
        f"{paper}; by mean PSNR; "
        + (f"shown in {shown} of {tests} tests" if tests else "untested"),
        _tone(shown, opposed, tests),
    )


def _tone(better: int, worse: int, tests: int) -> str:
    """`yes` or `no` where every test shows it, `open` elsewhere; nothing untested is more."""
    if tests and better == tests:
        return "yes"
    return "no" if tests and worse == tests else "open"


def _sum_counts(texts: pd.Series) -> tuple[int, int]:
    """The sum of counts such as `4 of 5`."""
    held, of = texts.str.extract(r"^(\d+) of (\d+)").astype(int).sum()
    return int(held), int(of)


def _tested(question: str, rows: pd.DataFrame) -> Verdict:
    counts = {verdict: int((rows["verdict"] == verdict).sum()) for verdict in ORDER}
    named = [f"{verdict} in {count}" for verdict, count in counts.items() if count]
    tone = _tone(counts["better"], counts["worse"], len(rows))
    found = rows["effect"].dropna()
    ends = [value_text(end, "psnr_db", "+") for end in (found.min(), found.max())]
    effects = f"effects {' to '.join(ends[: min(len(found), 2)])} dB" if len(found) else "no effect"
    return Verdict(question, f"{', '.join(named)} of {len(rows)}", f"tested; {effects}", tone)
