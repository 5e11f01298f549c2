"""Results that were made otherwise than is asked for, whatever Snakemake remembers of them."""

from __future__ import annotations

import json
import os
import shutil

import nibabel
import numpy as np
import pytest
import yaml
from conftest import TINY, Checkout

TEACHER = "results/tiny/heart/4x/seed0/teacher"


def test_a_copy_of_the_results_is_complete(copied: Checkout) -> None:
    assert copied.planned() == []


def test_another_configuration_trains_anew(copied: Checkout) -> None:
    planned = copied.planned("--config", "training={learning_rate: 0.01}")
    assert sum(p.startswith("Training") for p in planned) == 9
    assert "Report: results/tiny/report.html" in planned


def test_what_nobody_asks_for_is_left_alone(copied: Checkout) -> None:
    planned = copied.planned(
        "results/tiny/figures/heart/4x/mask.png", "--config", "training={learning_rate: 0.01}"
    )
    assert planned == []


def test_the_first_difference_is_said(copied: Checkout) -> None:
    done = copied.tiny("-n", "--config", "training={learning_rate: 0.01}")
    line = f"{TEACHER}/weights.safetensors: was made with training.learning_rate 0.001 where 0.01"
    assert line in done.stderr


def test_outdated_results_can_be_refused(copied: Checkout) -> None:
    arguments = ("training={learning_rate: 0.01}", "outdated=refuse")
    done = copied.tiny("-n", "--config", *arguments)
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "learning_rate 0.001 where 0.01 is asked for" in line
    assert "Traceback" not in done.stderr


def test_a_result_that_was_edited_is_made_anew(copied: Checkout) -> None:
    """As by hand, in a table or a history that then says what nothing made."""
    for name, message in (
        ("teacher/volumes.csv", "Evaluat"),
        ("student/history_reconstruction.csv", "Training"),
    ):
        path = copied.root / "results/tiny/heart/4x/seed0" / name
        before = path.read_bytes()
        path.write_bytes(before.replace(b"1", b"2"))
        planned = copied.planned()
        assert any(job.startswith(message) for job in planned), planned
        path.write_bytes(before)
        # The same bytes at another time are the same result.
        assert not any(job.startswith(message) for job in copied.planned())


def test_a_file_of_another_result_with_its_older_date_is_seen(copied: Checkout) -> None:
    """As copied or moved here from another folder."""
    folder = copied.root / "results/tiny/heart/4x/seed0"
    shutil.copy2(folder / "student/volumes.csv", folder / "sft_teacher/volumes.csv")
    os.utime(folder / "sft_teacher/volumes.csv", (0, 0))
    assert "Evaluating: heart 4x seed 0" in copied.planned()


def test_what_was_made_from_other_data_is_made_anew(copied: Checkout) -> None:
    """A store that is older than the trainings and that these were not trained on, as one prepared
    elsewhere and copied here with its date.
    """
    copied.configure({"datasets": OTHER_HEARTS})
    store = copied.root / "elsewhere/volumes.h5"
    words = ("--dataset", "heart", "--output", str(store))
    done = copied.command("prepare", "--config", "tiny.yaml", *words)
    assert done.returncode == 0, done.stderr
    for path in store.parent.glob("volumes.*"):
        os.utime(path, (10**9, 10**9))
        shutil.copy2(path, copied.root / "results/tiny/heart" / path.name)
    planned = copied.planned()
    assert sum(p.startswith("Training") for p in planned) == 9
    assert {"Tables", "Evaluating: heart 4x seed 0"} <= set(planned)
    done = copied.tiny("-n")
    assert f"{TEACHER}/weights.safetensors: was made from another heart/volumes.h5" in done.stderr


OTHER_HEARTS = yaml.safe_load(TINY)["datasets"]
OTHER_HEARTS["heart"]["source"]["seed"] = 1


def test_other_models_to_show_are_shown(copied: Checkout) -> None:
    """As many as before, where Snakemake does not remember which."""
    copied.configure("evaluation: {panel_methods: [sp]}")
    planned = copied.planned()
    assert "Figure: reconstructions of heart at 4x" in planned
    assert "Figure: learning curves of heart at 4x" in planned
    assert not [job for job in planned if job.startswith(("Training", "Evaluating"))]


def test_other_code_makes_anew(copied: Checkout) -> None:
    engine = copied.root / "pipeline_src/training/engine.py"
    engine.write_text("# A comment.\n" + engine.read_text())
    assert copied.planned() == []
    engine.write_text(engine.read_text() + "\nEDITED = 1\n")
    # As in a checkout that is older than the results.
    for path in (engine, engine.parent):
        shutil.copystat(copied.root / "tiny.yaml", path)
    planned = copied.planned()
    assert sum(p.startswith("Training") for p in planned) == 9


STUDENT = "results/tiny/heart/4x/seed0/std_kd_at"
LOG = "results/tiny/logs/train/heart_4x_seed0_{}.log"


def trained(checkout: Checkout) -> dict[str, str]:
    """The manifests of teacher and student: with what, when and how long."""
    return {place: (checkout.root / place / "manifest.json").read_text() for place in PAIR}


PAIR = (TEACHER, STUDENT)


def test_trainings_on_the_same_bytes_are_taken_as_they_are(copied: Checkout) -> None:
    """An edit of what prepares the data that changes no number."""
    code = copied.root / "pipeline_src/data/preparation.py"
    code.write_text(code.read_text() + "\nEDITED = 1\n")
    before = trained(copied)
    target = f"{STUDENT}/weights.safetensors"
    assert len(copied.planned(target)) == 3
    done = copied.tiny(target)
    assert done.returncode == 0, done.stderr
    assert trained(copied) == before
    for model in ("teacher", "std_kd_at"):
        assert "has ended before" in (copied.root / LOG.format(model)).read_text()
    assert copied.planned(target) == []
    assert not list(copied.root.rglob("finished"))


def test_trainings_on_other_bytes_are_trained_anew(copied: Checkout) -> None:
    before = trained(copied)
    target = f"{STUDENT}/weights.safetensors"
    done = copied.tiny(target, "--config", "datasets={heart: {split: {seed: 1}}}")
    assert done.returncode == 0, done.stderr
    after = trained(copied)
    assert all(after[place] != before[place] for place in PAIR)
    assert not list(copied.root.rglob("finished"))


def test_what_is_forced_is_trained_anew(copied: Checkout) -> None:
    before = trained(copied)
    done = copied.tiny(f"{TEACHER}/weights.safetensors", "--forceall")
    assert done.returncode == 0, done.stderr
    assert trained(copied)[TEACHER] != before[TEACHER]


def test_a_result_of_unknown_origin_is_made_anew(copied: Checkout) -> None:
    (copied.root / TEACHER / "manifest.json").write_text("{}")
    planned = copied.planned(f"{TEACHER}/weights.safetensors")
    assert planned == ["Training teacher: heart 4x seed 0"]


def test_a_patient_more_prepares_anew(copied: Checkout) -> None:
    path = copied.root / "results/tiny/heart/volumes.manifest.json"
    made = json.loads(path.read_text())
    made["settings"]["source"]["patients"] += 1
    path.write_text(json.dumps(made))
    assert copied.planned("results/tiny/heart/volumes.h5") == ["Preparing heart"]


def test_run_from_elsewhere(copied: Checkout, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    mask = "results/tiny/heart/4x/mask.npz"
    done = copied.tiny(mask, "--directory", str(elsewhere), "--cores", "1")
    assert done.returncode == 0, done.stderr
    assert (elsewhere / mask).exists()


def test_the_other_snakefile_has_the_same_targets(copied: Checkout) -> None:
    done = copied.tiny("-n", "-s", "workflow/Snakefile")
    assert "Nothing to be done" in done.stdout + done.stderr
    shutil.rmtree(copied.root / "results")
    done = copied.tiny("-n", "-s", "workflow/Snakefile")
    assert "train_sft_teacher" in done.stdout


def test_within_the_workflow_folder_is_refused(copied: Checkout) -> None:
    done = Checkout(copied.root / "workflow").snakemake("-n", "--cores", "1")
    assert done.returncode == 1
    assert "--directory" in done.stderr.splitlines()[-1]


def test_another_title_can_be_packed_and_traced(copied: Checkout) -> None:
    done = copied.tiny("--config", "title=Hearts")
    assert done.returncode == 0, done.stderr
    for command in ("crate results/tiny", "provenance results/tiny/tables/main.csv"):
        done = copied.command(*command.split())
        assert done.returncode == 0, done.stderr


def test_a_model_that_is_gone_is_trained_anew(copied: Checkout) -> None:
    shutil.rmtree(copied.root / "results/tiny/heart/4x/seed0/sft_kd_sp")
    planned = copied.planned()
    assert [p for p in planned if p.startswith("Training")] == [
        "Training sft_kd_sp: heart 4x seed 0"
    ]


def test_another_file_of_the_data_prepares_anew(fresh: Checkout) -> None:
    folder = fresh.root / "scans"
    rng = np.random.default_rng(0)

    def scan(patient: str, pixels: str) -> None:
        image = nibabel.Nifti1Pair(rng.random((32, 32, 2), dtype=np.float32), np.eye(4))
        nibabel.save(image, folder / f"sub-{patient}.{pixels}")

    folder.mkdir()
    for patient in "abc":
        scan(patient, "img")
    content = yaml.safe_load((fresh.root / "tiny.yaml").read_text())
    content["datasets"]["heart"] |= {
        "source": {"kind": "nifti", "path": "scans", "pattern": "sub-*.hdr"},
        "split": {"train": 1, "validation": 1, "test": 1},
    }
    (fresh.root / "tiny.yaml").write_text(yaml.safe_dump(content))
    store = "results/tiny/heart/volumes.h5"
    assert fresh.tiny(store).returncode == 0
    shutil.rmtree(fresh.root / ".snakemake")
    assert fresh.planned(store) == []
    # The pixels of a header that stays, and older than the store.
    scan("b", "img")
    for path in folder.iterdir():
        shutil.copystat(fresh.root / "tiny.yaml", path)
    assert fresh.planned(store) == ["Preparing heart"]


def test_a_new_checkout_is_no_reason(copied: Checkout) -> None:
    for path in copied.root.rglob("*"):
        if path.suffix in (".py", ".c", ".h", ".j2", ".js", ".csv") and "results" not in path.parts:
            path.touch()
    assert copied.planned() == []


@pytest.mark.parametrize(
    ("name", "messages"),
    [
        ("tables/gap.md", ["Tables"]),
        ("figures/heart/4x/panel.pdf", ["Figure: reconstructions of heart at 4x"]),
        ("heart/4x/seed0/teacher/panel.npz", ["Evaluating: heart 4x seed 0"]),
        ("config.yaml", []),
    ],
)
def test_a_file_that_is_gone_is_made_anew(copied: Checkout, name: str, messages: list[str]) -> None:
    path = copied.root / "results/tiny" / name
    path.unlink()
    planned = copied.planned()
    assert set(messages) <= set(planned)
    if name == "config.yaml":
        assert path.exists()


def test_what_convolves_is_settled_once_for_a_study(copied: Checkout) -> None:
    path = copied.root / "results/tiny/config.yaml"
    frozen = yaml.safe_load(path.read_text())
    settled = frozen["training"]["convolutions"]
    assert settled in ("compiled", "library")
    other = {"compiled": "library", "library": "compiled"}[settled]
    frozen["training"]["convolutions"] = other
    path.write_text(yaml.safe_dump(frozen))
    done = copied.tiny("-n")
    # As though another machine had settled it: what was asked for stays `auto`.
    assert f'convolutions "{settled}" where "{other}" is asked for' in done.stderr
