"""Compares what a study's results were made with to its configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError
from pipeline_src.planning import places as layout
from pipeline_src.planning.outdated import other_setting
from pipeline_src.planning.repeats import of_repeat
from pipeline_src.planning.steps import mask_step, store_settings, table_settings
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.manifest import Manifest

#: The manifest of all tables.
TABLES = f"{layout.TABLE_FOLDER}/main.{layout.MANIFEST}"


def check_settings(results: Path, study: Study) -> None:
    """Check that stores, masks, models, metrics and tables were made with the settings of a
    configuration, as far as there are manifests.

    A run for one target leaves its configuration in the results, whatever the others were made
    with.

    Raises:
        InputError: one was not.
    """
    for name, asked in _settings(study):
        path = results / name
        if not path.exists():
            continue
        made = dict(Manifest.read(path, "settings").settings)
        made.pop("paper", None)  # The values beside which tables stand are no part of it.
        if other := other_setting(made, json.loads(json.dumps(asked))):
            raise InputError(
                f"{path}: tells of a result that was made with {other} by {layout.CONFIG}; run the "
                "whole workflow with one configuration first"
            )


def _settings(study: Study) -> Iterator[tuple[str, dict[str, Any]]]:
    """Manifests in the results, and the settings that they should tell of."""
    places, models = layout.Places(study), Models(study)
    for dataset in study.datasets:
        for seed in places.seeds("store"):
            asked = store_settings(of_repeat(study, seed), dataset)
            yield layout.manifest_of(places.store(dataset, seed)), asked
    for setting in study.settings():
        for seed in places.seeds("mask"):
            step = mask_step(of_repeat(study, seed), setting.dataset, setting.factor)
            yield layout.manifest_of(places.mask(*setting, seed)), dict(step.settings)
        part = {"part": study.datasets[setting[0]].report_on}
        for seed in places.seeds("zero_filled"):
            folder = places.zero_filled(*setting, seed)
            yield layout.manifest_of(f"{folder}/{layout.VOLUMES}"), part
        for seed in study.seeds:
            for model in models.names(setting):
                folder = places.model(*setting, seed, model)
                yield (
                    f"{folder}/{layout.MANIFEST}",
                    models.plan(model, seed).model_dump(mode="json"),
                )
                yield layout.manifest_of(f"{folder}/{layout.VOLUMES}"), part
    yield TABLES, table_settings(study)
