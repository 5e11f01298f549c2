"""Answers the study's questions, the same for every study, by its tests of PSNR."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pipeline_src.evaluation.comparison import THESE_PATIENTS
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.reporting.display_names import (
    ALL_METHODS,
    MISSING,
    effect_texts,
    full_title,
    value_text,
)
from pipeline_src.reporting.tables.labels import Labels, of_setting

METRIC, ALPHA = "psnr_db", 0.05
SHOWN, REFUTED, NOT_SHOWN = "shown", "refuted", "not shown"
CANNOT = "cannot be asked here"
#: A sign for each answer, so that they can be distinguished without colour.
SIGNS = {SHOWN: "+", REFUTED: "\N{MINUS SIGN}", NOT_SHOWN: "?", CANNOT: MISSING}
COLUMNS = ["dataset", "acceleration", "question", "asks", "effect", "low", "high", "margin"]
COLUMNS += ["detectable", "patients", "scope", "methods", "verdict", "word", "reason"]
#: Columns that are read as numbers.
NUMBERS = ("effect", "low", "high", "margin", "detectable", "patients")


@dataclass(frozen=True)
class Question:
    """One test of the table of differences, and the question that it answers.

    Attributes:
        question: the question that it belongs to.
        asks: its own part of the question.
        family, first, second: the comparison, first better than second.
    """

    question: str
    asks: str
    family: str
    first: tuple[str, str]
    second: tuple[str, str]


GAP = "Is there a gap to close?"
PRIMARY = "Does student-friendly training of the teacher help?"
CONTROLS = "Is it the teacher, the start, or the extra epochs?"
DISTILLATION = "Does distillation help at all?"
METHOD = "Is one method better than the others?"
STD, SFT = (ALL_METHODS, "std_kd"), (ALL_METHODS, "sft_kd")
QUESTIONS = (
    Question(GAP, "Teacher over student", "gap", ("teacher", "standard"), ("student", "standard")),
    Question(PRIMARY, "SFT-KD-Recon over Std-KD", "primary", SFT, STD),
    Question(
        CONTROLS,
        "The teacher: SFT-KD-Recon over the SFT start alone",
        "controls",
        SFT,
        (ALL_METHODS, "sft_start_only"),
    ),
    Question(
        CONTROLS,
        "The start: SFT-KD-Recon over the SFT teacher alone",
        "controls",
        SFT,
        (ALL_METHODS, "sft_teacher_only"),
    ),
    Question(
        CONTROLS,
        "More than epochs: SFT-KD-Recon over a student trained as long as SFT and distillation",
        "controls",
        SFT,
        ("student_as_long", "standard"),
    ),
    Question(
        DISTILLATION,
        "Std-KD over a student trained for as many epochs",
        "distillation",
        STD,
        ("student_matched", "standard"),
    ),
    Question(
        DISTILLATION,
        "SFT-KD-Recon over a student of the same start, trained for as many epochs",
        "distillation",
        SFT,
        ("student_sft_start", "sft"),
    ),
)


def answer_table(differences: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """One row per setting and part of a question: effect, interval and one of four words.

    `shown`: the tests show the first to be better. `refuted`: they show that it is worse, or not
    better by as much as the margin, which is outside the interval too. `cannot be asked here`: a
    model is missing, or there are too few seeds. `not shown`: none of these.
    """
    tests = differences[differences["metric"] == METRIC]
    rows = []
    for dataset, acceleration in labels.settings():
        here = of_setting(tests, dataset, acceleration)
        for question in (*QUESTIONS, *_of_methods(tests)):
            rows.append(
                {
                    "dataset": dataset,
                    "acceleration": acceleration,
                    "question": question.question,
                    "asks": question.asks,
                    **_answered(question, here),
                }
            )
    return pd.DataFrame(rows, columns=COLUMNS)


def _of_methods(tests: pd.DataFrame) -> list[Question]:
    """A question for every test of a method that the study compares with the others."""
    asked = tests.loc[
        tests["family"] == "methods", ["first", "second", "first_training"]
    ].drop_duplicates()
    return [
        Question(
            METHOD,
            f"{full_title(first, recipe)} over {full_title(second, recipe)}",
            "methods",
            (first, recipe),
            (second, recipe),
        )
        for first, second, recipe in asked.itertuples(index=False)
    ]


def _answered(question: Question, tests: pd.DataFrame) -> dict[str, object]:
    """The answer from the row of a comparison."""
    wanted = {
        "family": question.family,
        "first": question.first[0],
        "first_training": question.first[1],
        "second": question.second[0],
        "second_training": question.second[1],
    }
    found = tests[(tests[list(wanted)] == pd.Series(wanted)).all(axis=1)]
    if found.empty:
        tested = {
            model
            for one in ("first", "second")
            for model in zip(tests[one], tests[f"{one}_training"], strict=True)
        }
        pair = (question.first, question.second)
        lacking = [model for model in pair if model not in tested]
        names = " and ".join(full_title(*model) for model in lacking or pair)
        verb = "is" if len(lacking) == 1 else "are"
        what = "in the study" if lacking else "compared in it"
        return {"word": CANNOT, "reason": f"{names} {verb} not {what}"}
    row = found.iloc[0]
    return {
        **{name: row[name] for name in (*NUMBERS, "scope", "methods", "verdict")},
        "word": word_of(row),
        "reason": row["reason"],
    }


def word_of(row: pd.Series) -> str:
    """One of the four words for a row of the table of differences."""
    if row["verdict"] == "cannot tell":
        return CANNOT
    if row["verdict"] == "better":
        return SHOWN
    if row["verdict"] == "worse":
        return REFUTED
    # The test is one-sided; the interval, which stands beside the word, must not contradict it.
    below = row["verdict"] == "equivalent" or row["p_below"] < ALPHA
    return REFUTED if below and row["high"] < row["margin"] else NOT_SHOWN


def answer_text(row: pd.Series) -> str:
    """A word with its effect and interval: `+ shown: +0.21 dB (+0.10 to +0.32)`; in brackets after
    the word the methods if it is not about all, how it is refuted, and for whom it holds if not for
    other patients too.
    """
    word, about = str(row["word"]), []
    if word != CANNOT and row["methods"]:
        about.append(f"{row['methods']} alone")
    if word == REFUTED:
        worse = row["verdict"] == "worse"
        about.append("worse" if worse else f"less than {row['margin']:g} dB better")
    if word in (SHOWN, REFUTED) and row["scope"] == THESE_PATIENTS:
        about.append(f"these {row['patients']:.0f} patients")
    text = f"{SIGNS[word]} {word}" + (f" ({'; '.join(about)})" if about else "")
    if pd.isna(row["effect"]):
        return text
    effect, *ends = effect_texts(row[["effect", "low", "high"]], METRIC, word)
    return f"{text}: {effect} dB" + (f" ({' to '.join(ends)})" if ends else "")


def by_question(answers: pd.DataFrame) -> Iterator[tuple[str, list[tuple[str, pd.DataFrame]]]]:
    """Each question with its parts, each of which has a row per setting."""
    for question, parts in answers.groupby("question", sort=False):
        asked = [(str(asks), rows) for asks, rows in parts.groupby("asks", sort=False)]
        yield str(question), asked


def answer_layout(answers: pd.DataFrame, labels: Labels) -> pd.DataFrame:
    """Questions in rows, settings in columns."""
    columns: dict[str, dict[str, str]] = {}
    for dataset, acceleration in labels.settings():
        here = of_setting(answers, dataset, acceleration)
        columns[labels.title(dataset, acceleration)] = {
            f"{row['question']} {row['asks']}": answer_text(row) for _, row in here.iterrows()
        }
    layout = pd.DataFrame(columns)
    layout.columns.name = METRICS[METRIC].heading
    return layout


def answer_notes(answers: pd.DataFrame, labels: Labels) -> list[str]:
    """How to read the four words, and how small an effect this study could have shown."""
    over = (
        "methods (but of one method against another), "
        if METHOD in set(answers["question"])
        else "methods, "
    )
    notes = [
        f"Effects are means over {over}patients and seeds, with 95 % intervals. Shown: better by "
        "the tests of the table of differences. Refuted: shown to be worse, or to be better by "
        "less than the margin, if at all. Not shown: neither. Cannot be asked: a model was not "
        "trained or not measured everywhere, or there are too few seeds.",
        "The questions are the same for every study; the second is the primary one, one test per "
        "setting. Margin and methods compared with others are those of the configuration.",
    ]
    for dataset, acceleration in labels.settings():
        here = of_setting(answers, dataset, acceleration)
        primary = here[(here["question"] == PRIMARY) & here["detectable"].notna()]
        title = labels.title(dataset, acceleration)
        if len(primary) and primary["word"].iloc[0] != CANNOT:
            least = value_text(primary["detectable"].iloc[0], METRIC)
            alone = primary["scope"].iloc[0] == THESE_PATIENTS
            about = ", about these patients alone" if alone else ""
            notes.append(
                f"{title}: a study like this one shows effects of {least} dB or more on the "
                f"primary question in 80 % of cases{about}."
            )
        gap = here[here["question"] == GAP]["word"]
        if len(gap) and gap.iloc[0] not in (SHOWN, CANNOT):
            notes.append(
                f"{title}: the teacher is not shown to be better than the student, so there is no "
                "gap that distillation could close; the other answers are about this schedule "
                "alone."
            )
    return notes
