"""A training records by which choices its results will be judged."""

from __future__ import annotations

from pathlib import Path

import yaml
from training_helpers import CONFIGURATION, Files

from pipeline_src.cli import main
from pipeline_src.config import load_study
from pipeline_src.planning.choices import choices
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.running.finished import set_aside

pytest_plugins = ["shared_fixtures"]


def test_choices_are_those_of_the_time_of_the_training(files: Files, tmp_path: Path) -> None:
    configured, output = tmp_path / "study.yaml", tmp_path / "out"
    setting = ["--dataset", "tiny", "--acceleration", "4x", "--model", "student", "--seed", "0"]
    given = ["--data", str(files.store), "--mask", str(files.mask), "--output", str(output)]
    for margin in (0.05, 0.5):
        told = CONFIGURATION | {"evaluation": {"margins": {"psnr_db": margin}}}
        configured.write_text(yaml.safe_dump(told))
        # The second time nothing is trained, so that what was chosen first stays recorded.
        set_aside(output)
        assert main(["train", "--config", str(configured), *setting, *given]) == 0
        recorded = Manifest.read(output / "manifest.json").choices
        assert recorded["evaluation.margins.psnr_db"] == 0.05
    assert recorded.keys() == choices(load_study(configured), "tiny").keys()
