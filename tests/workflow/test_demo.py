"""The whole demo: a model of it repeats, and what the documents say of it can be typed."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest
from conftest import PROJECT, Checkout, copy_project
from documented_commands import OURS, SNAKEMAKE, of, words
from test_repeats import digests

from pipeline_src.acceleration.fork_client import VARIABLE

pytestmark = pytest.mark.skipif(
    not os.environ.get("FULL_DEMO"),
    reason="takes five minutes: set FULL_DEMO=1 to run the whole demo, and what is said of it",
)

#: What a reader puts in place of a word of the documents.
IN_PLACE_OF = {
    "FILE": ["results/demo/tables/main.csv"],
    "METRICS...": [
        f"results/demo/brain/4x/{folder}/volumes.csv"
        for folder in ("zero_filled", "seed0/teacher", "seed0/student")
    ],
    "best_model.pt": ["teacher.pt"],
}
#: What the lines have that are typed within a bundle.
WITHIN_BUNDLE = re.compile(r"(--check|--model) \.( |$)")
#: Lines that are not run here, by what they contain, and why.
LEFT_OUT = {
    "config/paper.yaml": "needs the paper's data; its plan is made by other tests",
    "data_root=": "needs the paper's data, and hours",
    "config/ablations.yaml": "takes an hour; its tables have tests of their own",
    "config/robustness.yaml": "takes half an hour; test_robustness_of_a_study.py runs a small one",
    "my.yaml": "is a user's own; test_data_of_ones_own.py",
    "mine.yaml": "is a user's own; test_extensions.py and test_networks_of_ones_own.py",
    "study.yaml": "is a user's own; test_reconstructions.py",
    "--config FILE": "is a user's own; test_data_of_ones_own.py",
    "schema .": "writes into the checkout; tests of the schema",
    "doctor": "ends by what the machine has; test_doctor.py",
    "launch": "needs a cluster; tests/cluster",
    "workflow/profiles/slurm": "needs a cluster; tests/cluster",
    "docs/studies": "is of records that no demo has; test_studies.py and test_archive.py",
    "VECTORS.npz": "is the authors' code's; test_parity_command.py",
    "sft_all": "is another workflow's; test_module.py",
    "gpu=": "says how many GPUs there are; test_gpus.py",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """The demo, complete."""
    checkout = copy_project(tmp_path_factory.mktemp("demo"))
    done = checkout.snakemake()
    assert done.returncode == 0, done.stdout + done.stderr
    return checkout


def test_the_demo_repeats(demo: Checkout, tmp_path: Path) -> None:
    """The longest chain of it: data, mask, teacher, its student."""
    model = "results/demo/brain/4x/seed0/sft_kd_fitnets"
    again = copy_project(tmp_path)
    again.environment[VARIABLE] = "off"
    done = again.snakemake(f"{model}/weights.safetensors")
    assert done.returncode == 0, done.stdout + done.stderr
    whole = digests(demo.root / "results/demo")
    found = digests(again.root / "results/demo", whole=False)
    assert found == {name: whole[name] for name in found}
    assert f"{model.removeprefix('results/demo/')}/weights.safetensors" in found


def test_what_is_left_out_is_in_the_documents() -> None:
    typed = [line for program in (OURS, SNAKEMAKE) for _, line in of(program)]
    for part in LEFT_OUT:
        assert any(part in line for line in typed), part


def test_command_lines_of_the_documents_run(demo: Checkout) -> None:
    shutil.copytree(PROJECT / "zoo", demo.root / "zoo")
    (demo.root / "scans").mkdir()
    image = np.random.default_rng(0).random((64, 64, 2), dtype=np.float32)
    for path in ("scan.nii.gz", "scans/one.nii.gz"):
        nibabel.save(nibabel.Nifti1Image(image, np.eye(4)), demo.root / path)  # type: ignore[no-untyped-call]
    typed = {line for program in (OURS, SNAKEMAKE) for _, line in of(program)}
    run = [line for line in typed if not any(part in line for part in LEFT_OUT)]
    # What another line writes comes after it.
    run.sort(key=lambda line: (any(word in line for word in ("my-student", "best_model.pt")), line))
    run.sort(key=lambda line: "--output my-student" not in line)
    assert len(run) > 20
    bundle = Checkout(demo.root / "bundle", {"PYTHONPATH": str(demo.root)})
    shutil.copytree(PROJECT / "zoo/acdc_4x_student", bundle.root)
    failed = []
    for line in run:
        program = OURS if line.startswith(OURS) else SNAKEMAKE
        given = [new for word in words(line, program) for new in IN_PLACE_OF.get(word, [word])]
        typed_in = bundle if WITHIN_BUNDLE.search(line) else demo
        if "--output" in given:
            shutil.rmtree(typed_in.root / given[given.index("--output") + 1], ignore_errors=True)
        done = typed_in.command(*given) if program == OURS else typed_in.snakemake(*given)
        if done.returncode:
            failed.append(f"{line}\n{done.stdout[-500:]}{done.stderr[-500:]}")
    assert not failed, "\n\n".join(failed)
