"""Archives the records of a study, without images and weights, to be stored with documents."""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline_src.config import Study, load_study
from pipeline_src.files import (
    atomic_path,
    open_regular,
    read_bytes,
    sha256_file,
)
from pipeline_src.planning import places as layout
from pipeline_src.planning.reported import Figure, Reported, of_study
from pipeline_src.provenance.as_configured import TABLES, check_settings
from pipeline_src.provenance.crate_content import (
    check_digests,
    check_inside,
    read_action,
    require_file,
    required_files,
)
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.reporting.figures.kinds import KINDS
from pipeline_src.reporting.figures.packed import PICTURE_SUFFIXES, packed_picture
from pipeline_src.text import markdown

#: The records themselves, in an archive's folder.
RECORDS = "records.tar.xz"
#: Folder of the input data in archived paths.
DATA_ROOT = "data"


def recorded_files(study: Study) -> list[str]:
    """Paths in the results that an archive contains, in order, each once.

    They are configuration, metrics, histories, manifests, masks, what else was measured, and the
    reconstructed slices that the figures show, but neither weights nor stores.
    """
    places, reported = layout.Places(study), of_study(study)
    files = [layout.CONFIG]
    measured = {one for found in reported.measurements.values() for one in found}
    for dataset in study.datasets:
        files += [layout.manifest_of(places.store(dataset, seed)) for seed in places.seeds("store")]
    for name in required_files(study):
        place = PurePosixPath(name)
        if place.parts[0] == layout.TABLE_FOLDER or place.suffix in (
            ".h5",
            ".html",
            ".safetensors",
        ):
            continue
        files.append(name)
        if place.name in (layout.MASK, layout.VOLUMES) or name in measured:
            files.append(layout.manifest_of(name))
    for figure in drawable(reported):
        files += shown_by(reported, figure)
    return list(dict.fromkeys(f for f in files if not f.startswith(f"{layout.TABLE_FOLDER}/")))


def drawable(reported: Reported) -> list[Figure]:
    """The figures of a study that can be drawn from its records: those that do not show a store."""
    return [figure for figure in reported.figures() if KINDS[figure.kind].shows != "store"]


def shown_by(reported: Reported, figure: Figure) -> list[str]:
    """The files that a figure shows; see `Reported.shown`."""
    return reported.shown(figure.kind, figure.dataset or "", figure.acceleration or "")


def write_archive(results: Path, folder: Path) -> list[Path]:
    """Write a finished study's records, its tables as Markdown, its figures, and a page that shows
    them.

    Tables and figures of an earlier version of the study are removed. The same results give the
    same bytes. Host names, cluster jobs and the folder of the data are left out of manifests and
    configuration.

    Args:
        results: folder of the study, `results/{study}`.
        folder: such as `docs/studies/{study}`.

    Raises:
        InputError: the study is unfinished, or a file or figure is not what its manifest says.
    """
    require_file(results, layout.CONFIG)
    study = load_study(results / layout.CONFIG)
    reported = of_study(study)
    tables = study_tables(results, reported)
    names = recorded_files(study)
    for name in names:
        require_file(results, name)
        check_inside(results, name)
    contents = {name: _content(results, name, Path(study.data_root)) for name in names}
    figures = drawn(results, reported)
    made = [TABLES, *read_action(results, TABLES).outputs]
    check_records(results, [*names, *made, *figures, *map(layout.manifest_of, figures)])
    check_settings(results, study)
    pictures = [_packed(results / name, figure, reported) for name, figure in figures.items()]
    kept = {f"{layout.TABLE_FOLDER}/{path.name}": read_bytes(path) for path in tables}
    kept |= {picture.place: picture.content for picture in pictures}
    kept["README.md"] = _page(study, folder, tables, pictures).encode()
    # What else lies in another folder than an archive's is somebody's own.
    earlier = archived(folder) if (folder / RECORDS).exists() else []
    with atomic_path(folder / RECORDS) as temporary:
        _pack(temporary, contents)
    for name, content in kept.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(content)
    for path in earlier:
        if path.relative_to(folder).as_posix() not in kept:
            path.unlink()
    return [folder / RECORDS, *[folder / name for name in kept]]


def archived(folder: Path) -> list[Path]:
    """The tables and figures in an archive's folder."""
    figures = folder / layout.FIGURE_FOLDER
    pictures = [path for suffix in PICTURE_SUFFIXES for path in figures.rglob(f"*.{suffix}")]
    return sorted([*(folder / layout.TABLE_FOLDER).glob("*.md"), *pictures])


@dataclass(frozen=True)
class Picture:
    """A figure as an archive keeps it: its place in the folder, what it shows, and its content."""

    place: str
    what: str
    content: bytes


def drawn(results: Path, reported: Reported) -> dict[str, Figure]:
    """The figures of a study that are there, of those that its records suffice for, by their names.

    Raises:
        InputError: one is a link that leaves the results.
    """
    figures = {f"{figure.place}.png": figure for figure in drawable(reported)}
    found = {name: figure for name, figure in figures.items() if (results / name).exists()}
    for name in found:
        check_inside(results, name)
    return found


def not_drawn(results: Path) -> list[str]:
    """Names of the figures that an archive of these results lacks, though their records suffice."""
    reported = of_study(load_study(results / layout.CONFIG))
    names = {f"{figure.place}.png" for figure in drawable(reported)}
    return sorted(names - drawn(results, reported).keys())


def _packed(path: Path, figure: Figure, reported: Reported) -> Picture:
    suffix, content = packed_picture(path)
    kind = KINDS[figure.kind]
    title = reported.title(figure.kind, figure.dataset, figure.acceleration)
    what = kind.what if kind.of == "study" else f"{kind.what} {title}"
    return Picture(f"{figure.place}.{suffix}", what[0].upper() + what[1:], content)


def study_tables(results: Path, reported: Reported) -> list[Path]:
    """A study's tables as Markdown.

    Raises:
        InputError: one is missing, or is a link that leaves the results.
    """
    names = [f"{layout.TABLE_FOLDER}/{name}.md" for name in reported.tables]
    for name in names:
        require_file(results, name)
        check_inside(results, name)
    return [results / name for name in names]


def check_records(results: Path, names: Sequence[str]) -> None:
    """Check that recorded files are those that the recorded manifests describe, and that these tell
    the same of files that are not recorded, such as weights. Of a store they need not: other
    machines write the same images in other bytes.

    Raises:
        InputError: one is not, or they do not.
    """
    actions = [read_action(results, name) for name in names if name.endswith(layout.MANIFEST)]
    outputs = [one for action in actions for one in action.outputs.items()]
    digests = {place: sha256 for place, sha256 in outputs if not place.endswith(layout.STORE)}
    digests |= {name: sha256_file(results / name) for name in names}
    for action in actions:
        check_digests(results, action, digests)


def _content(results: Path, name: str, data_root: Path) -> bytes:
    path = results / name
    if name == layout.CONFIG:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        return yaml.safe_dump(config | {"data_root": DATA_ROOT}, sort_keys=False).encode()
    if name.endswith(layout.MANIFEST):
        manifest = Manifest.read(path, "inputs", "runs")
        public = _public(manifest, path.resolve(), results.resolve(), data_root.resolve())
        return (json.dumps(public, indent=2) + "\n").encode()
    with open_regular(path) as stream:
        return stream.read()


def _public(manifest: Manifest, path: Path, results: Path, data_root: Path) -> dict[str, Any]:
    """A manifest without the names of machines and folders; paths are resolved."""

    def place_of(given: str) -> str:
        place = Path(os.path.normpath(path.parent / given))
        # Of records that were archived before, the place is told already.
        if place.is_relative_to(results) or given.startswith(f"/{DATA_ROOT}/"):
            return given
        inside = place.is_relative_to(data_root)
        below = place.relative_to(data_root) if inside else Path(place.name)
        return f"/{DATA_ROOT}/{below.as_posix()}"

    return manifest.without_places(place_of)


def _pack(path: Path, contents: dict[str, bytes]) -> None:
    """Pack files so that the same contents give the same bytes."""
    with (
        lzma.open(path, "wb", preset=9) as stream,
        tarfile.open(fileobj=stream, mode="w") as packed,
    ):
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(contents[name]), 0o644
            packed.addfile(entry, io.BytesIO(contents[name]))


def _page(study: Study, folder: Path, tables: Sequence[Path], pictures: Sequence[Picture]) -> str:
    listed = "\n".join(f"- [{path.stem}](tables/{path.name})" for path in tables)
    title = markdown(study.title or study.study)
    described = f"""# {title}

The records of the study `{study.study}`: configuration, metrics of every slice and volume, learning
curves, manifests, masks and the reconstructed slices that its figures show, in `{RECORDS}`; not
its weights, nor the prepared images. Its tables, figures and report are made from them by

```bash
python -m pipeline_src restore docs/studies/{folder.name} --output results/{study.study}
```

which also tells whether the tables below are still what the code makes of the records.

{listed}
"""
    shown = [
        f"\n## {markdown(picture.what)}\n\n![{markdown(picture.what)}]({picture.place})\n"
        for picture in pictures
    ]
    credits = [
        f"\nImages of {markdown(study.dataset_title(name))}: {markdown(dataset.credit)}.\n"
        for name, dataset in study.datasets.items()
        if dataset.credit
    ]
    return "".join([described, *credits, *shown])
