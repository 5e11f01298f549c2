"""What decides how results are judged is compared with what it was when models were trained."""

from __future__ import annotations

from pathlib import Path

from reporting_helpers import study_with
from reviewers_helpers import write_records

from pipeline_src.config import Study
from pipeline_src.files import read_json, write_json
from pipeline_src.planning.choices import choices
from pipeline_src.provenance.manifest import UNKNOWN
from pipeline_src.reporting.reviewers.chosen import chosen_anew, chosen_part
from pipeline_src.reporting.reviewers.records import read_records

PATIENTS = {"train": ["p1", "p2"], "validation": ["p3", "p4", "p5"], "test": ["p6"]}
MARGIN = "evaluation.margins.psnr_db"


def trained(study: Study, folder: Path, *, recorded: bool = True) -> Path:
    """The records of a study whose trainings know its choices."""
    write_records(study, folder, PATIENTS)
    for path in folder.glob("*/*/seed*/*/manifest.json") if recorded else ():
        told = choices(study, path.relative_to(folder).parts[0])
        write_json(path, read_json(path) | {"choices": told})
    return folder


def test_choices_made_before_the_trainings_are_no_change(tmp_path: Path) -> None:
    study = study_with(methods={"at": {}})
    records = read_records(study, trained(study, tmp_path / "tiny"))
    assert chosen_anew(study, records) == []
    rows = {key: rest for key, *rest in chosen_part(study, records).tables[0].rows}
    assert rows[MARGIN] == ["0.05", f"0.05 ({records.training.found} trainings)"]
    of_a_dataset = f"datasets.{next(iter(study.datasets))}.report_on"
    assert rows[of_a_dataset] == ['"test"', f'"test" ({records.training.found // 2} trainings)']


def test_a_margin_and_repeats_chosen_later_are_told(tmp_path: Path) -> None:
    before = study_with(methods={"at": {}}, seeds=[0])
    results = trained(before, tmp_path / "tiny")
    after = study_with(
        methods={"at": {}}, seeds=[0, 1], evaluation={"margins": {"psnr_db": 0.2, "ssim": None}}
    )
    records = read_records(after, results)
    count = f"({records.training.found} trainings)"
    assert chosen_anew(after, records) == [
        f"seeds: now [0, 1], at training [0] {count}",
        f"{MARGIN}: now 0.2, at training 0.05 {count}",
        f"evaluation.margins.ssim: now null, at training 0.0005 {count}",
    ]


def test_another_order_is_no_change(tmp_path: Path) -> None:
    before = study_with(methods={"at": {}, "sp": {}}, recipes=["sft_kd", "std_kd"], seeds=[1, 0])
    results = trained(before, tmp_path / "tiny")
    after = study_with(methods={"sp": {}, "at": {}}, recipes=["std_kd", "sft_kd"], seeds=[0, 1])
    assert chosen_anew(after, read_records(after, results)) == []


def test_trainings_that_know_no_choices_tell_of_no_change(tmp_path: Path) -> None:
    study = study_with(methods={"at": {}})
    records = read_records(study, trained(study, tmp_path / "tiny", recorded=False))
    assert chosen_anew(study, records) == []
    assert {row[2] for row in chosen_part(study, records).tables[0].rows} == {UNKNOWN}
