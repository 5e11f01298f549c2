"""A loss, a network, a source of data and a metric are one file each, and no other file changes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_study import TINY_STUDY

from pipeline_src.evaluation.metrics import METRICS, Image, Metric
from pipeline_src.modules import PACKAGE
from pipeline_src.operations.estimate.speed import seconds_of_merits
from pipeline_src.reporting.report import caption_html

LOSS = '''
"""The outputs' difference."""
from pipeline_src.distillation.base import DistillationLoss, register_loss
from pipeline_src.models.taps import Tap


@register_loss("outputs")
class Outputs(DistillationLoss):
    @classmethod
    def default_cascades(cls, count):
        return [count]

    def taps(self):
        return [Tap("out", k) for k in self.cascades]

    def summarise(self, features):
        return tuple(features.values())

    def compare(self, student, teacher):
        return self.mean([(s - t).abs().mean() for s, t in zip(student, teacher, strict=True)])
'''
NETWORK = '''
"""One convolution in each cascade."""
from torch import nn

from pipeline_src.models.base import CascadeNetwork, FeaturePoint, register_network


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolution, self.out = nn.Conv2d(1, 1, 3, padding=1), FeaturePoint()

    def forward(self, image):
        return self.out(self.convolution(image))


@register_network("smallest")
class Smallest(CascadeNetwork):
    @classmethod
    def describe(cls, network, options):
        return f"{network.cascades} convolutions"

    def make_block(self, options):
        return Block()
'''
SOURCE = '''
"""Squares."""
import numpy as np

from pipeline_src.data.volume_reference import Header, VolumeReference

DESCRIPTION = "squares"


def list_volumes(source, data_root):
    shape = (16, 16, 1)
    return [
        VolumeReference(f"p{k}", "", "", None, lambda: np.ones(shape, np.float32),
                        lambda: Header(shape))
        for k in range(4)
    ]
'''
#: After this line of the registry the new metric is put.
LAST = '        Metric("vif", "VIF", 4, True, vif, table="Visual information fidelity", place=2),\n'
METRIC = (
    '        Metric("mae", "MAE", 5, False, lambda x, y, peak: float(abs(x - y).mean() / peak), '
    'table="Mean absolute error", place=4),\n'
)
LOOK = """
import json, sys
from pathlib import Path
import numpy as np
from pipeline_src.config import check_study
from pipeline_src.evaluation.metrics import METRICS
from pipeline_src.evaluation.metrics_files import NUMBERS
from pipeline_src.models.multiply_adds import counts
from pipeline_src.operations.extensions import check_extensions
from pipeline_src.operations.preflight import check_files, inspect_data
from pipeline_src.planning.plans import training_plan
from pipeline_src.planning.steps import prepare_step, training_code
from pipeline_src.reporting.methods_text import methods_paragraphs
from pipeline_src.reporting.display_names import TABLES, TABLE_TITLES, table_caption, value_text
from pipeline_src.reporting.report import caption_html
from pipeline_src.reporting.tables.differences import TESTED_MORE

study = check_study(json.loads(sys.argv[1]))
told = list(check_extensions(check_files(study), run_modules=True))
[(_, found)] = inspect_data(study)
images = np.ones((1, 48, 48), np.float32) * np.linspace(0, 1, 48, dtype=np.float32)
print(json.dumps({
    "told": told,
    "models": study.model_names(),
    "parameters": counts(study.networks.teacher).parameters,
    "patients": found.patients,
    "text": " ".join(methods_paragraphs(study)),
    "trained by": [p.name for p in training_code(training_plan(study, "std_kd_outputs", 0))],
    "prepared by": [p.name for p in prepare_step(study, "heads").code],
    "mae": METRICS["mae"].of_slice(images[0], images[0] * 0.5, 1.0),
    "metric": [TABLES[-1], TABLE_TITLES["mae"], value_text(0.5, "mae"), TESTED_MORE[-1]],
    "read": "mae" in NUMBERS,
    "caption": caption_html(table_caption("mae"), {}),
}))
"""
FILES = {
    "loss": ("distillation/losses/outputs.py", LOSS),
    "network": ("models/kinds/smallest.py", NETWORK),
    "source": ("data/sources/squares.py", SOURCE),
    "metric": ("evaluation/metrics.py", None),
}
NETWORKS = {"kind": "smallest", "cascades": 2}
STUDY = TINY_STUDY | {
    "methods": {"outputs": {}},
    "networks": {"teacher": NETWORKS, "student": {"depth": 2, "cascades": 2}},
    "datasets": {
        "heads": TINY_STUDY["datasets"]["heads"]
        | {"source": {"kind": "squares", "module": "pipeline_src.data.sources.squares"}}
    },
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the package with the four files says of a study that names what is new."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(PACKAGE, root / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for place, text in FILES.values():
        path = root / PACKAGE.name / place
        if text is None:
            registry = path.read_text()
            assert registry.count(LAST) == 1
            text = registry.replace(LAST, LAST + METRIC)
        path.write_text(text)
    assert _changed(root) == {place for place, _ in FILES.values()}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps(STUDY)],
        cwd=root,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin", "HOME": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _changed(root: Path) -> set[str]:
    """Files of the copy that the project does not have, or has otherwise."""
    return {
        path.relative_to(root / PACKAGE.name).as_posix()
        for path in (root / PACKAGE.name).rglob("*.py")
        if not (own := PACKAGE / path.relative_to(root / PACKAGE.name)).exists()
        or own.read_bytes() != path.read_bytes()
    }


def test_a_new_loss_is_one_file(found: dict[str, Any]) -> None:
    assert {"std_kd_outputs", "sft_kd_outputs"} <= set(found["models"])
    assert "outputs.py" in found["trained by"]
    assert "distilled by outputs, " in str(found["text"])


def test_a_new_network_is_one_file(found: dict[str, Any]) -> None:
    assert found["parameters"] == 2 * 10
    assert "the student is a DC-CNN" in str(found["text"])
    assert "The teacher is smallest: 2 convolutions" in str(found["text"])
    assert "smallest.py" in found["trained by"]


def test_a_new_source_is_one_file(found: dict[str, Any]) -> None:
    assert found["patients"] == 4
    assert "slices of squares" in str(found["text"])
    assert "squares.py" in found["prepared by"]


def test_a_new_metric_is_one_file(found: dict[str, Any]) -> None:
    assert found["mae"] == pytest.approx(0.25)
    assert found["metric"] == ["mae", "Mean absolute error", "0.50000", "mae"]
    assert found["read"] is True
    assert "A further metric" in found["caption"]


def test_what_is_said_of_all_other_metrics_names_none() -> None:
    caption = caption_html("differences_more_table", {})
    assert not [metric.title for metric in METRICS.values() if metric.title in caption]


def test_an_estimate_times_every_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[str] = []

    def timing(name: str, metric: Metric) -> Metric:
        def of_slice(target: Image, image: Image, data_range: float) -> float:
            timed.append(name)
            return 0.0

        return replace(metric, of_slice=of_slice)

    for name, metric in list(METRICS.items()):
        monkeypatch.setitem(METRICS, name, timing(name, metric))
    assert seconds_of_merits(8, 8) >= 0
    assert timed == list(METRICS)
