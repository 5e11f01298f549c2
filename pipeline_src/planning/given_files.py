"""The files that a study is given: inputs of its steps, by which results may be outdated."""

from __future__ import annotations

from pathlib import Path

from pipeline_src.config.study import Study
from pipeline_src.errors import InputError


def source_files_of(study: Study, dataset: str) -> list[str]:
    """The data files of a data set, so that it is prepared again when one has changed.

    Empty if the data does not exist (yet): a plan can be shown without it, and the preparation then
    says what is missing.
    """
    from pipeline_src.data.sources import list_volumes

    try:
        # However its folder is spelled, a file is the same.
        volumes = list_volumes(study.datasets[dataset].source, Path(study.data_root).resolve())
    except InputError:
        return []
    return [str(path) for volume in volumes for path in volume.files]


def source_folder(study: Study, dataset: str) -> Path | None:
    """The folder of a data set's files; None where it is drawn."""
    path = getattr(study.datasets[dataset].source, "path", None)
    return Path(study.data_root, path) if path else None


def reconstructed_files(study: Study, name: str, output: str) -> list[str]:
    """The files of an entry of `reconstruct`, so that changed ones are reconstructed anew.

    Those that it lists where they are not (all) there, which the command then says.
    """
    from pipeline_src.inference.inputs import list_inputs

    asked = study.reconstruct[name]
    given = asked.paths(str(Path(study.data_root).resolve()))
    try:
        return [str(path) for path, _ in list_inputs(given, asked.pattern, Path(output))]
    except InputError:
        return given
