"""Fixtures that the tests of the status command share."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from training_helpers import study_with

from pipeline_src.config import Study


@pytest.fixture
def study() -> Study:
    return study_with(training={"epochs": 8})


@pytest.fixture
def results(tmp_path: Path, study: Study) -> Path:
    """An empty results folder with the study's configuration, as a run begins it."""
    folder = tmp_path / "results" / "tiny"
    folder.mkdir(parents=True)
    text = yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(text)
    return folder
