"""The table of robustness: losses by hand, what they are against, and what SFT changes in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from reporting_helpers import ONE_SETTING, TEACHER, Model, Value, written_metrics
from reporting_helpers import measured as measured_by_hand

from pipeline_src.errors import InputError
from pipeline_src.reporting.tables.labels import DatasetLabel, Labels
from pipeline_src.reporting.tables.robustness import read_robustness, robustness_table
from pipeline_src.reporting.tables.robustness_layout import robustness_layout, robustness_notes

STD, SFT, NONE = ("at", "std_kd"), ("at", "sft_kd"), ("zero_filled", "none")
BEFORE: dict[Model, Value] = {TEACHER: 32.0, STD: 31.0, SFT: 31.5}
TWO_SETS = Labels({"heart": DatasetLabel("Heart"), "brain": DatasetLabel("Brain MRI")}, ("4x",))


def measured(models: dict[Model, Value], **columns: Any) -> pd.DataFrame:
    """Of few patients: seeds alone are tested then, which takes no permutations of ties."""
    return measured_by_hand(models, **{"patients": 4, **columns})


def under(shift: str, models: dict[Model, Value], **columns: object) -> pd.DataFrame:
    return measured(models, shift=shift, sampled=0.25, **columns)


def zero_filled(psnr: float, **columns: object) -> pd.DataFrame:
    """As the evaluation writes it: of no seed."""
    return measured({NONE: psnr}, seeds=[0], **columns).assign(seed=float("nan"))


def losses(
    table: pd.DataFrame, against: str = "unshifted", metric: str = "psnr_db"
) -> pd.DataFrame:
    rows = table[(table["against"] == against) & (table["metric"] == metric)]
    return rows.set_index(["shift", "training"])


@pytest.fixture
def table() -> pd.DataFrame:
    before = pd.concat([measured(BEFORE), zero_filled(28.0)])
    shifted = pd.concat(
        [
            under("noise_0.01", {TEACHER: 30.0, STD: 30.0, SFT: lambda s, p: 31.0 + (s - 1) / 16}),
            # Zero filling is measured with each seed again.
            zero_filled(27.5, shift="noise_0.01", sampled=0.25),
            zero_filled(27.5, shift="noise_0.01", sampled=0.25),
            under("acceleration_2", {TEACHER: 36.0, STD: 35.0, SFT: 35.5}),
        ]
    )
    return robustness_table(shifted, before, ONE_SETTING)


def test_a_loss_is_what_is_missing_to_the_metric_without_the_shift(table: pd.DataFrame) -> None:
    rows = losses(table)
    assert rows.loc[("noise_0.01", "standard"), "loss"] == 2
    assert rows.loc[("noise_0.01", "std_kd"), "loss"] == 1
    assert rows.loc[("noise_0.01", "sft_kd"), "loss"] == 0.5
    # Easier than what was trained for.
    assert rows.loc[("acceleration_2", "standard"), "loss"] == -4
    assert list(rows.index.get_level_values("shift").unique()) == ["noise_0.01", "acceleration_2"]
    first = rows.loc[("noise_0.01", "standard")]
    # Patients lie a quarter of a dB apart from 0 to 0.75.
    assert (first["value"], first["unshifted"]) == (30.375, 32.375)
    assert (first["patients"], first["seeds"]) == (4, 3)
    assert first["low"] == first["high"] == 2
    spread = rows.loc[("noise_0.01", "sft_kd")]
    assert spread["low"] < 0.5 < spread["high"]
    assert losses(table, metric="ssim").loc[("noise_0.01", "standard"), "loss"] == 2 / 64


def test_zero_filling_without_a_seed_is_measured_once(table: pd.DataFrame) -> None:
    row = losses(table).loc[("noise_0.01", "none")]
    assert (row["loss"], row["seeds"], row["patients"]) == (0.5, 1, 4)
    assert row["title"] == "Zero-filled"


def test_what_sft_changes_is_the_difference_between_the_losses(table: pd.DataFrame) -> None:
    rows = losses(table, "std_kd")
    assert rows.loc[("noise_0.01", "sft_kd"), "loss"] == -0.5
    assert rows.loc[("noise_0.01", "sft_kd"), "verdict"] == "more robust"
    assert rows.loc[("acceleration_2", "sft_kd"), "loss"] == 0
    assert rows.loc[("acceleration_2", "sft_kd"), "verdict"] == "equivalent"
    assert rows.loc[("all", "sft_kd"), "loss"] == -0.25
    assert set(rows["title"]) == {"SFT-KD-Recon AT minus Std-KD AT"}


def test_a_student_that_loses_more_is_less_robust() -> None:
    shifted = under("noise_0.01", {STD: 30.0, SFT: 29.5})
    [row] = losses(robustness_table(shifted, measured(BEFORE), ONE_SETTING), "std_kd").to_dict(
        "records"
    )
    assert (row["loss"], row["verdict"]) == (1.0, "less robust")


def test_a_difference_that_is_shown_is_not_printed_as_zero() -> None:
    """As in the other tables."""
    lost = under("noise_0.01", {STD: 30.0, SFT: lambda s, p: 30.497 + (s - 1) / 4096})
    layout = robustness_layout(robustness_table(lost, measured(BEFORE), ONE_SETTING), ONE_SETTING)
    [name] = [name for name in layout.index if "minus" in name and "SFT-KD-Recon" in name][:1]
    cells = layout.loc[name]["PSNR (dB)"]
    assert cells["verdict"] == "less robust (these patients)"
    assert cells["loss"] == "+0.003"


def test_one_seed_gives_intervals_and_no_verdict() -> None:
    def spread(_: int, patient: int) -> float:
        return 30 + patient % 2 / 8

    before = measured(BEFORE, seeds=[0])
    shifted = measured({STD: 30.0, SFT: spread}, seeds=[0], shift="seed_1", sampled=0.25)
    table = robustness_table(shifted, before, ONE_SETTING)
    assert list(losses(table, "std_kd")["verdict"]) == ["cannot tell"]
    row = losses(table).loc[("seed_1", "sft_kd")]
    assert row["low"] < row["loss"] < row["high"]


def test_other_images_are_against_the_model_that_was_trained_on_them() -> None:
    before = pd.concat([measured(BEFORE), measured({STD: 40.0, SFT: 41.0}, dataset="brain")])
    shifted = under("data_brain", {STD: 38.0, SFT: 38.0})
    table = robustness_table(shifted, before, TWO_SETS)
    rows = losses(table)
    assert rows.loc[("data_brain", "std_kd"), "loss"] == 2
    assert rows.loc[("data_brain", "sft_kd"), "loss"] == 3
    assert set(rows["dataset"]) == {"heart"}
    assert set(rows["shift_title"]) == {"images of Brain MRI"}
    # They are of other patients: no mean over all shifts has them.
    assert "all" not in set(table["shift"])


def test_a_model_without_its_own_metrics_has_no_loss() -> None:
    shifted = under("seed_1", {TEACHER: 30.0, SFT: 30.0})
    table = robustness_table(shifted, measured({TEACHER: 31.0}), ONE_SETTING)
    rows = losses(table)
    assert rows.loc[("seed_1", "sft_kd"), "reason"] == (
        "SFT-KD-Recon AT: not measured without the shift"
    )
    assert pd.isna(rows.loc[("seed_1", "sft_kd"), "loss"])
    said = "No loss: SFT-KD-Recon AT: not measured without the shift."
    assert said in robustness_notes(table)


def test_layout_begins_with_the_answer(table: pd.DataFrame) -> None:
    layout = robustness_layout(table, ONE_SETTING)
    assert layout.index[0] == (
        "mean of all shifts but other images: SFT-KD-Recon AT minus Std-KD AT"
    )
    row = layout.loc["noise of 1 %: SFT-KD-Recon AT minus Std-KD AT"]
    assert row["PSNR (dB)", "loss"] == "-0.50"
    assert row["PSNR (dB)", "verdict"] == "more robust (these patients)"
    assert layout.loc["noise of 1 %: Teacher"]["PSNR (dB)", "loss"] == "+2.00"
    assert layout.loc["noise of 1 %: Teacher"]["PSNR (dB)", "mean"] == "30.38"
    assert len(layout) == 3 + 4 + 3


def verdicts_and_note(patients: int) -> tuple[list[str], list[str]]:
    """What is shown of two shifts, by which SFT-KD-Recon loses less and more, and of their mean;
    and the note on whom it is about."""

    def value(low: float) -> Value:
        # No two patients alike.
        return lambda seed, patient: low + patient / 256

    shifted = [
        under("noise_0.01", {STD: 30.0, SFT: value(31.0)}, patients=patients),
        under("seed_1", {STD: 30.0, SFT: value(29.0)}, patients=patients),
    ]
    before = measured(BEFORE, patients=patients)
    table = robustness_table(pd.concat(shifted), before, ONE_SETTING)
    layout = robustness_layout(table, ONE_SETTING)
    pairs = layout[["minus" in name for name in layout.index]]
    notes = [note for note in robustness_notes(table) if note.startswith("These patients: ")]
    return list(pairs["PSNR (dB)", "verdict"]), notes


def test_verdicts_about_the_measured_patients_alone_say_so() -> None:
    """6 patients are enough for the mean of all shifts, and not for two of them; 7 are."""
    alone = ["more robust (these patients)", "less robust (these patients)"]
    found, [note] = verdicts_and_note(5)
    assert sorted(found[1:], reverse=True) == alone
    assert "there are too few (5 patients)" in note
    assert note.endswith("the same patients.")
    found, [note] = verdicts_and_note(6)
    assert "these" not in found[0]
    assert sorted(found[1:], reverse=True) == alone
    assert note.endswith(" (Noise in k-space; Other lines of the same density).")
    found, notes = verdicts_and_note(7)
    assert sorted(found[1:], reverse=True) == ["more robust", "less robust"]
    assert notes == []


def test_a_mean_of_all_shifts_is_of_all_of_them() -> None:
    """Std-KD was not measured under the one that SFT-KD-Recon loses most by."""
    shifted = pd.concat(
        [
            under("noise_0.01", {STD: 30.5, SFT: 31.25}),
            under("noise_0.02", {STD: 30.0, SFT: 31.0}),
            under("noise_0.05", {SFT: 20.0}),
        ]
    )
    table = robustness_table(shifted, measured(BEFORE), ONE_SETTING)
    rows = losses(table, "std_kd")
    assert list(rows.loc[("noise_0.01", "sft_kd"), ["loss", "verdict"]]) == [-0.25, "more robust"]
    whole = table[table["shift_title"] == "mean of all shifts but other images"]
    whole = whole[whole["metric"] == "psnr_db"].iloc[0]
    assert pd.isna(whole["loss"])
    assert whole["verdict"] == "cannot tell"
    lacks = "SFT-KD-Recon AT minus Std-KD AT: not both measured under noise of 5 %"
    assert whole["reason"] == lacks
    assert f"Cannot tell: {lacks}." in robustness_notes(table)
    assert (
        robustness_layout(table, ONE_SETTING).loc[
            "mean of all shifts but other images: SFT-KD-Recon AT minus Std-KD AT"
        ]["PSNR (dB)", "verdict"]
        == "cannot tell"
    )


def test_files_are_read_shift_by_shift(tmp_path: Path) -> None:
    """Each shift has a mask of its own, which would be refused among metrics of one setting."""
    paths = []
    for shift, mask in (("seed_1", "a"), ("seed_2", "b")):
        rows = under(shift, {TEACHER: 30.0}, mask=mask, data="d")
        paths += written_metrics(rows, tmp_path / shift)
    found = read_robustness(paths)
    assert set(found["shift"]) == {"seed_1", "seed_2"}
    mixed = written_metrics(under("seed_1", {TEACHER: 30.0}, mask="z", data="d"), tmp_path / "z")
    with pytest.raises(InputError, match="with another mask than"):
        read_robustness([*paths, *mixed])


def test_files_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a file of the robustness command"):
        read_robustness(written_metrics(measured(BEFORE), tmp_path / "plain"))
    odd = written_metrics(under("<b>", {TEACHER: 30.0}), tmp_path / "odd")
    with pytest.raises(InputError, match="is not a shift"):
        read_robustness(odd)
    with pytest.raises(InputError, match="is of lung 4x, which the study does not have"):
        robustness_table(
            under("seed_1", {TEACHER: 30.0}, dataset="lung"), measured(BEFORE), ONE_SETTING
        )
