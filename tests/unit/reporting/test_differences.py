"""What is said of the differences between models."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from reporting_helpers import (
    MEAN_SFT,
    ONE_SETTING,
    PRIMARY,
    SFT_AT,
    SFT_SP,
    SFT_START,
    SFT_TEACHER,
    STD_AT,
    STD_SP,
    STUDENT,
    TEACHER,
    ZERO,
    Model,
    measured,
)

from pipeline_src.reporting.tables.answers import (
    METHOD,
    REFUTED,
    SHOWN,
    answer_notes,
    answer_table,
    answer_text,
)
from pipeline_src.reporting.tables.differences import (
    FAMILIES,
    difference_layout,
    difference_notes,
    difference_table,
)
from pipeline_src.reporting.tables.families import AS_LONG
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels


def row(
    table: pd.DataFrame, first: Model, second: Model, metric: str = "psnr_db", **where: str
) -> pd.Series:
    keys = dict(zip(("first", "first_training"), first, strict=True))
    keys |= dict(zip(("second", "second_training"), second, strict=True))
    keys |= {"metric": metric} | where
    found = table[(table[list(keys)] == pd.Series(keys)).all(axis=1)]
    assert len(found) == 1
    return found.iloc[0]


def test_a_model_better_by_as_much_on_every_patient_and_seed_is_better_by_that() -> None:
    table = difference_table(measured({STD_AT: 30.0, SFT_AT: 30.5}), ONE_SETTING)
    for metric, effect in (("psnr_db", 0.5), ("ssim", 0.5 / 64)):
        found = row(table, SFT_AT, STD_AT, metric)
        assert found[["effect", "low", "high"]].tolist() == pytest.approx([effect] * 3)
        # All 12 patients go one way: 2 of the 2^12 patterns of signs are as extreme.
        assert found["p"] == found["p_holm"] == pytest.approx(2 / 2**12)
        assert (found["patients"], found["seeds"], found["verdict"]) == (12, 3, "better")
    # And the mean over the one method there is.
    assert len(table) == 4


def test_a_model_that_is_worse_is_said_to_be_worse() -> None:
    table = difference_table(measured({TEACHER: 38.0, STUDENT: 40.0}, patients=8), ONE_SETTING)
    found = row(table, TEACHER, STUDENT)
    assert found["effect"] == pytest.approx(-2)
    assert found["verdict"] == "worse"
    assert (found["first_title"], found["second_title"]) == ("Teacher", "Student")


def test_of_an_error_less_is_better() -> None:
    rows = pd.concat([measured({TEACHER: 30.0}, hfn=0.125), measured({STUDENT: 30.0}, hfn=0.25)])
    found = row(difference_table(rows, ONE_SETTING, ["hfn"]), TEACHER, STUDENT, "hfn")
    assert (found["effect"], found["verdict"]) == (-0.125, "better")


def test_each_metric_is_held_to_its_own_margin() -> None:
    """Seeds differ, so that no difference is shown of either."""
    rows = measured({STUDENT: 30.0, TEACHER: lambda seed, _: 30.0 + (seed - 2) / 8}, range(5))
    for margins, expected in (
        ({"psnr_db": 2.0, "ssim": 1 / 1024}, ["equivalent", "no difference shown"]),
        ({"psnr_db": 0.125, "ssim": 1 / 32}, ["no difference shown", "equivalent"]),
    ):
        table = difference_table(rows, replace(ONE_SETTING, margins=margins))
        found = [row(table, TEACHER, STUDENT, metric) for metric in margins]
        assert [one["verdict"] for one in found] == expected
        assert [one["margin"] for one in found] == list(margins.values())
        told = f"PSNR (dB) {margins['psnr_db']:g}, SSIM {margins['ssim']:g};"
        assert any(told in note for note in difference_notes(table))


def test_equal_models_are_equivalent() -> None:
    found = row(
        difference_table(measured({STD_AT: 30.0, SFT_AT: 30.0}), ONE_SETTING), SFT_AT, STD_AT
    )
    assert found[["effect", "low", "high", "p_holm"]].tolist() == [0, 0, 0, 1]
    assert found["verdict"] == "equivalent"


def test_seeds_that_differ_by_chance_show_no_difference_although_all_patients_do() -> None:
    """Every patient is better in the mean, but one seed in three is worse."""
    by_seed = [1.0, -0.75, 0.5]
    rows = measured({STD_AT: 30.0, SFT_AT: lambda seed, _: 30.0 + by_seed[seed]}, patients=8)
    found = row(difference_table(rows, ONE_SETTING), SFT_AT, STD_AT)
    assert found["effect"] == pytest.approx(0.25)
    assert found["p"] == pytest.approx(2 / 2**8)
    assert found["low"] < 0 < found["high"]
    assert found["verdict"] == "no difference shown"


def test_frames_of_a_patient_are_averaged_first() -> None:
    # Patient 0 has two frames, +1 and +3 dB; patient 1 has one, +4 dB: (2 + 4) / 2.
    base, ours = (measured({model: 30.0}, patients=2) for model in (STD_AT, SFT_AT))
    of_first = [rows[rows["patient"] == "p00"].assign(frame="ES") for rows in (base, ours)]
    ours["psnr_db"] += ours["patient"].map({"p00": 1.0, "p01": 4.0})
    of_first[1]["psnr_db"] += 3.0
    table = difference_table(pd.concat([base, ours, *of_first]), ONE_SETTING)
    found = row(table, SFT_AT, STD_AT)
    assert found["effect"] == pytest.approx(3)
    assert found["patients"] == 2


def test_a_pair_not_measured_alike_is_told_and_the_others_are_compared() -> None:
    models = {STD_AT: 30.0, SFT_AT: 31.0, STD_SP: 30.0, SFT_SP: 31.0}
    rows = measured(models, patients=8)
    sft_at = (rows["model"] == "at") & (rows["training"] == "sft_kd")
    lacking = sft_at & (rows["patient"] == "p03") & (rows["seed"] == 1)
    volume = "at sft_kd: not measured, but at std_kd is: seed 1, patient p03"
    of_seed = "at sft_kd: not measured, but at std_kd is: seed 2, patient p00 and 7 more"
    for left, reason in (
        (rows[~lacking], volume),
        (rows[~(sft_at & (rows["seed"] == 2))], of_seed),
        (
            rows.assign(psnr_db=rows["psnr_db"].where(~lacking)),
            "at sft_kd: psnr_db is not a finite number: seed 1, patient p03",
        ),
    ):
        table = difference_table(left, ONE_SETTING)
        found = row(table, SFT_AT, STD_AT)
        assert (found["verdict"], found["reason"]) == ("cannot tell", reason)
        assert found[["effect", "low", "high", "p", "p_holm", "patients", "seeds"]].isna().all()
        # It does not count in the correction of the other's p: 2 / 2^8.
        other = row(table, SFT_SP, STD_SP)
        assert (other["verdict"], other["p_holm"]) == ("better", pytest.approx(2 / 2**8))
        assert f"Cannot tell: {reason}." in difference_notes(table)
        layout = difference_layout(table, ONE_SETTING)["PSNR (dB)"]
        shown = layout.loc["SFT-KD-Recon AT minus Std-KD AT"].tolist()
        assert shown == ["\N{EN DASH}"] * 3 + ["cannot tell"]


def test_neither_variants_nor_zero_filling_are_compared() -> None:
    rows = measured({STD_AT: 30.0, SFT_AT: 30.5}, patients=4)
    zero = measured({ZERO: 20.0}, seeds=[0], patients=4).assign(seed=None)
    varied = measured({SFT_AT: 50.0}, variant="a.b")
    found = difference_table(pd.concat([rows, zero, varied]), ONE_SETTING)
    pd.testing.assert_frame_equal(found, difference_table(rows, ONE_SETTING))


def test_metrics_without_a_pair_give_a_table_without_rows() -> None:
    table = difference_table(measured({STUDENT: 30.0}), ONE_SETTING)
    full = difference_table(measured({STUDENT: 30.0, TEACHER: 31.0}, patients=2), ONE_SETTING)
    assert len(table) == 0
    assert list(table.columns) == list(full.columns)
    assert len(difference_layout(table, ONE_SETTING)) == 0
    assert difference_notes(table)


# Holm's correction.


def with_ranks(*negative: int) -> list[float]:
    """Twelve differences of sizes that differ, those of the given ranks below zero: three small,
    the others about 1, so that Wilcoxon's p is above that of the mean."""
    sizes = [1 / 64, 2 / 64, 3 / 64, *(1 + k / 64 for k in range(9))]
    return [-size if rank in negative else size for rank, size in enumerate(sizes, 1)]


def three_methods(**columns: str) -> pd.DataFrame:
    better = {"at": with_ranks(), "cc": with_ranks(1), "sp": with_ranks(3)}
    rows = [
        measured(
            {(m, "std_kd"): 30.0, (m, "sft_kd"): lambda _, patient, by=by: 30.0 + by[patient]},
            **columns,
        )
        for m, by in better.items()
    ]
    return pd.concat(rows, ignore_index=True)


#: Subsets of the ranks that sum to no more than those below zero: 1, 2 and 5; both tails.
P = {"at": 2 / 4096, "cc": 4 / 4096, "sp": 10 / 4096}
P_HOLM = {"at": 3 * 2 / 4096, "cc": 2 * 4 / 4096, "sp": 10 / 4096}


def test_holms_correction_is_over_a_family_of_a_setting_and_metric() -> None:
    labels = Labels({"heart": DatasetLabel("Heart"), "brain": DatasetLabel("Brain")}, ("4x",))
    # The teacher's comparisons are another family.
    teacher = measured({SFT_TEACHER: 40.0}, dataset="heart")
    rows = pd.concat([teacher, *(three_methods(dataset=name) for name in labels.datasets)])
    table = difference_table(rows, labels)
    assert set(table["family"]) == {"primary", "recipe", "teacher"}
    for dataset in labels.datasets:
        for metric in ("psnr_db", "ssim"):
            for method in P:
                ours, theirs = (method, "sft_kd"), (method, "std_kd")
                found = row(table, ours, theirs, metric, dataset=dataset)
                assert found["p"] == pytest.approx(P[method])
                assert found["p_holm"] == pytest.approx(P_HOLM[method])
                assert found["verdict"] == "better"


# Too few to tell.


@pytest.mark.parametrize(
    ("seeds", "patients", "reason"),
    [
        ((0,), 6, "1 seed, 3 needed"),
        ((0, 1), 6, "2 seeds, 3 needed"),
        ((0,), 2, "1 seed, 3 needed; 2 patients, 6 needed"),
    ],
)
def test_too_few_seeds_or_patients_cannot_tell_and_the_notes_say_so(
    seeds: tuple[int, ...], patients: int, reason: str
) -> None:
    table = difference_table(measured({STD_AT: 30.0, SFT_AT: 35.0}, seeds, patients), ONE_SETTING)
    found = row(table, SFT_AT, STD_AT)
    assert found["verdict"] == "cannot tell"
    assert found["reason"] == reason
    assert found["effect"] == pytest.approx(5)
    assert f"Cannot tell: {reason}." in difference_notes(table)


def test_too_few_patients_for_others_are_these_patients_and_the_notes_say_so() -> None:
    """2 / 2^6 is below 0.05 for one comparison, 2 / 2^5 is not."""
    for patients, scope in ((5, "these patients"), (6, "patients and seeds")):
        models = {STD_AT: 30.0, SFT_AT: 35.0}
        table = difference_table(measured(models, patients=patients), ONE_SETTING)
        found = row(table, SFT_AT, STD_AT)
        assert (found["verdict"], found["scope"]) == ("better", scope)
        told = any(note.startswith("These patients: ") for note in difference_notes(table))
        assert told == (patients == 5)
        notes = answer_notes(answer_table(table, ONE_SETTING), ONE_SETTING)
        [least] = [note for note in notes if "in 80 % of cases" in note]
        assert ("about these patients alone" in least) == (patients == 5)


def test_notes_give_no_reason_where_every_verdict_is_given() -> None:
    table = difference_table(measured({STD_AT: 30.0, SFT_AT: 35.0}, patients=6), ONE_SETTING)
    notes = difference_notes(table)
    assert len(notes) == 3
    asked = set(table["family"])
    assert {"primary", "recipe"} <= asked < set(FAMILIES)
    for family, question in FAMILIES.items():
        assert (f"{question};" in notes[1] or f"{question})" in notes[1]) == (family in asked)


# The primary question.


def test_the_primary_comparison_is_the_mean_over_methods() -> None:
    models = {STD_AT: 30.0, SFT_AT: 30.5, STD_SP: 29.0, SFT_SP: 28.75}
    table = difference_table(measured(models), ONE_SETTING)
    found = row(table, *PRIMARY, family="primary")
    assert found["effect"] == pytest.approx((0.5 - 0.25) / 2)
    assert found["first_title"] == "SFT-KD-Recon"
    assert found["verdict"] == "better"


def test_methods_of_one_recipe_alone_are_no_part_of_it() -> None:
    models = {STD_AT: 30.0, SFT_AT: 30.5, STD_SP: 10.0}
    table = difference_table(measured(models), ONE_SETTING)
    assert row(table, *PRIMARY, family="primary")["effect"] == pytest.approx(0.5)


def test_a_mean_over_some_methods_says_so() -> None:
    start = ("at", "sft_start_only")
    models = {STD_AT: 30.0, SFT_AT: 30.5, STD_SP: 10.0, SFT_SP: 11.0, start: 30.25, AS_LONG: 20.0}
    table = difference_table(measured(models), ONE_SETTING)
    alone = row(table, MEAN_SFT, ("*", "sft_start_only"), family="controls")
    assert (alone["effect"], alone["methods"]) == (pytest.approx(0.25), "AT")
    both = row(table, MEAN_SFT, AS_LONG, family="controls")
    assert (both["effect"], both["methods"]) == (pytest.approx(0.75), "")
    names = list(difference_layout(table, ONE_SETTING).index)
    assert "AT alone, SFT-KD-Recon minus SFT start alone" in names
    assert "mean over methods, SFT-KD-Recon minus Student, as long as SFT and KD" in names
    answers = answer_table(table, ONE_SETTING)
    told = {row["asks"]: answer_text(row) for _, row in answers.iterrows()}
    assert told["The teacher: SFT-KD-Recon over the SFT start alone"].startswith(
        "+ shown (AT alone): +0.25 dB"
    )
    assert "alone)" not in told["SFT-KD-Recon over Std-KD"]


def test_a_mean_over_the_methods_that_have_both_recipes_names_them() -> None:
    models = {STD_AT: 30.0, SFT_AT: 30.5, STD_SP: 10.0, SFT_SP: 10.5, ("cc", "sft_kd"): 20.0}
    table = difference_table(measured(models | {SFT_START: 10.0}), ONE_SETTING)
    names = list(difference_layout(table, ONE_SETTING).index)
    assert "mean over AT, SP, SFT-KD-Recon minus Std-KD" in names
    assert "mean over methods, SFT-KD-Recon minus Student from SFT blocks" in names
    assert len(names) == len(table) / table["metric"].nunique()


def test_a_method_that_was_not_measured_everywhere_leaves_it_open() -> None:
    models = {STD_AT: 30.0, SFT_AT: 30.5, STD_SP: 29.0, SFT_SP: 29.5}
    rows = measured(models)
    for lacking in ("seed", "patient"):
        of_sp = (rows["model"] == "sp") & (rows[lacking] == rows[lacking].max())
        table = difference_table(rows[~of_sp], ONE_SETTING, ["psnr_db"])
        found = row(table, *PRIMARY, family="primary")
        assert found["verdict"] == "cannot tell"
        assert "same volumes and seeds" in found["reason"]


def test_a_compared_method_is_tested_and_is_a_question_of_the_study() -> None:
    own_std, own_sft = ("own", "std_kd"), ("own", "sft_kd")
    models = {STD_AT: 30.0, SFT_AT: 30.0, own_std: 31.0, own_sft: 29.0}
    metrics = measured(models)
    labels = replace(ONE_SETTING, compared=("own",))
    table = difference_table(metrics, labels)
    assert row(table, own_std, STD_AT)["verdict"] == "better"
    assert row(table, own_sft, SFT_AT)["effect"] == pytest.approx(-1)
    assert "of the same recipe" in difference_notes(table)[1]
    asked = answer_table(table, labels)
    found = asked[asked["question"] == METHOD].set_index("asks")
    assert found["word"].to_dict() == {
        "SFT-KD-Recon own over SFT-KD-Recon AT": REFUTED,
        "Std-KD own over Std-KD AT": SHOWN,
    }
    assert "of one method against another" in answer_notes(asked, labels)[0]
    # Who does not ask is not told.
    table = difference_table(metrics, ONE_SETTING)
    assert METHOD not in set(answer_table(table, ONE_SETTING)["question"])
