"""Archives the records of a study, without images and weights, to be stored with documents."""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from pipeline_src.config import Study, load_study
from pipeline_src.errors import InputError
from pipeline_src.files import (
    atomic_path,
    is_in_use,
    open_regular,
    sha256_file,
    whole_folder,
    write_text,
)
from pipeline_src.planning.places import (
    CONFIG,
    COST,
    MANIFEST,
    MASK,
    REPORT,
    ROBUSTNESS,
    TABLE_FOLDER,
    VOLUMES,
    Places,
    manifest_of,
)
from pipeline_src.planning.reported import Figure, Reported, of_study
from pipeline_src.planning.results import figure_words
from pipeline_src.provenance.crate_content import (
    check_digests,
    read_action,
    require_file,
    required_files,
)
from pipeline_src.provenance.manifest import Manifest
from pipeline_src.reporting.figures.kinds import KINDS

#: The records themselves, in an archive's folder.
RECORDS = "records.tar.xz"
#: Folder of the input data in archived paths.
DATA_ROOT = "data"
#: Largest size of an archive's unpacked content, in bytes.
LARGEST = 2 << 30


def recorded_files(study: Study) -> list[str]:
    """Paths in the results that an archive contains, in order, each once.

    They are configuration, metrics, histories, manifests, masks, the measured cost, and the
    reconstructed slices that the figures show, but neither weights nor stores.
    """
    places, reported = Places(study), of_study(study)
    files = [CONFIG, COST, manifest_of(COST)]
    for dataset in study.datasets:
        files += [manifest_of(places.store(dataset, seed)) for seed in places.seeds("store")]
    for name in required_files(study):
        place = PurePosixPath(name)
        if place.parts[0] == TABLE_FOLDER or place.suffix in (".h5", ".html", ".safetensors"):
            continue
        files.append(name)
        if place.name in (MASK, VOLUMES) or ROBUSTNESS in place.parts:
            files.append(manifest_of(name))
    for figure in drawable(reported):
        files += shown_by(reported, figure)
    return list(dict.fromkeys(f for f in files if not f.startswith(f"{TABLE_FOLDER}/")))


def drawable(reported: Reported) -> list[Figure]:
    """The figures of a study that can be drawn from its records: those that do not show a store."""
    return [figure for figure in reported.figures() if KINDS[figure.kind].shows != "store"]


def shown_by(reported: Reported, figure: Figure) -> list[str]:
    """The files that a figure shows; see `Reported.shown`."""
    return reported.shown(figure.kind, figure.dataset or "", figure.acceleration or "")


def write_archive(results: Path, folder: Path) -> list[Path]:
    """Write a finished study's records, its tables as Markdown, and a page that describes both.

    The same results give the same bytes. Host names, cluster jobs and the folder of the data are
    left out of manifests and configuration.

    Args:
        results: folder of the study, `results/{study}`.
        folder: such as `docs/studies/{study}`.

    Raises:
        InputError: the study is unfinished, or a file is not what its manifest says.
    """
    study = load_study(results / CONFIG)
    tables = _tables(results, of_study(study))
    names = recorded_files(study)
    for name in names:
        require_file(results, name)
    contents = {name: _content(results, name, Path(study.data_root)) for name in names}
    _check(results, names)
    with atomic_path(folder / RECORDS) as temporary:
        _pack(temporary, contents)
    for path in tables:
        write_text(folder / TABLE_FOLDER / path.name, path.read_text(encoding="utf-8"))
    write_text(folder / "README.md", _page(study, folder, tables))
    return [
        folder / RECORDS,
        folder / "README.md",
        *[folder / TABLE_FOLDER / p.name for p in tables],
    ]


def _tables(results: Path, reported: Reported) -> list[Path]:
    names = [f"{TABLE_FOLDER}/{name}.md" for name in reported.tables]
    for name in names:
        require_file(results, name)
    return [results / name for name in names]


def _check(results: Path, names: Sequence[str]) -> None:
    """Check that recorded files are those that the recorded manifests describe.

    Raises:
        InputError: one is not.
    """
    digests = {name: sha256_file(results / name) for name in names}
    for name in names:
        if name.endswith(MANIFEST):
            check_digests(results, read_action(results, name), digests)


def _content(results: Path, name: str, data_root: Path) -> bytes:
    path = results / name
    if name == CONFIG:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        return yaml.safe_dump(config | {"data_root": DATA_ROOT}, sort_keys=False).encode()
    if name.endswith(MANIFEST):
        manifest = Manifest.read(path, "inputs", "runs")
        public = _public(manifest, path.resolve(), results.resolve(), data_root.resolve())
        return (json.dumps(public, indent=2) + "\n").encode()
    with open_regular(path) as stream:
        return stream.read()


def _public(manifest: Manifest, path: Path, results: Path, data_root: Path) -> dict[str, Any]:
    """A manifest without the names of machines and folders; paths are resolved."""

    def place_of(given: str) -> str:
        place = Path(os.path.normpath(path.parent / given))
        if place.is_relative_to(results):
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


def _page(study: Study, folder: Path, tables: Sequence[Path]) -> str:
    listed = "\n".join(f"- [{path.stem}](tables/{path.name})" for path in tables)
    title = study.title or study.study
    return f"""# {title}

The records of the study `{study.study}`: configuration, metrics of every slice and volume, learning
curves, manifests, masks and the reconstructed slices that its figures show, in `{RECORDS}`; not
its weights, nor the prepared images. Its tables, figures and report are made from them by

```bash
python -m pipeline_src restore docs/studies/{folder.name} --output results/{study.study}
```

which also tells whether the tables below are still what the code makes of the records.

{listed}
"""


def unpack(folder: Path, results: Path) -> Study:
    """Unpack a study's records into a folder that does not exist yet.

    Only plain files at paths that a study has are accepted.

    Raises:
        InputError: the archive is damaged or contains something else, or the folder is in use.
    """
    path = folder / RECORDS
    if is_in_use(results):
        raise InputError(f"{results}: is in use; give another folder with --output, or remove it")
    with whole_folder(results) as unpacked:
        held = set()
        try:
            for name, content in _members(path):
                held.add(name)
                place = unpacked / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
        except (tarfile.TarError, lzma.LZMAError, EOFError) as error:
            raise InputError(f"{path}: is damaged ({error}); fetch it again") from None
        study = load_study(unpacked / CONFIG)
        names = recorded_files(study)
        for name in names:
            if name not in held:
                raise InputError(
                    f"{path}: lacks {name}; fetch it again, or archive the study again"
                )
        if more := sorted(held - set(names)):
            raise InputError(f"{path}: {more[0]!r:.80} in it is no record of the study")
        _check(unpacked, names)
    return study


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    left = LARGEST
    try:
        file = open_regular(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    with (
        file,
        lzma.open(file) as stream,
        tarfile.open(fileobj=stream, mode="r|") as packed,
    ):
        for entry in packed:
            place = PurePosixPath(entry.name)
            plain = entry.isfile() and not place.is_absolute() and ".." not in place.parts
            left -= entry.size
            content = packed.extractfile(entry) if plain and left >= 0 else None
            if content is None:
                problem = "larger than a study's records" if plain else "no plain file"
                raise InputError(f"{path}: {entry.name!r:.80} in it is {problem}")
            yield place.as_posix(), content.read()


def remake(study: Study, results: Path, run: Callable[[list[str]], int]) -> None:
    """Make tables, figures and report from records.

    Args:
        study: as configured.
        results: the unpacked records.
        run: runs one command of the command line; returns its exit status.

    Raises:
        InputError: a command failed; it has printed why.
    """
    reported, config = of_study(study), str(results / CONFIG)
    figures = drawable(reported)

    def made(*words: str) -> None:
        if run(list(words)):
            raise InputError(f"{results}: could not be made again; see the line above")

    def here(paths: Sequence[str]) -> list[str]:
        return [str(results / path) for path in paths]

    tried = here(Places(study).under_shifts())
    made(
        *("tables", *here(reported.metrics()), "--config", config),
        *(["--robustness", *tried] if tried else []),
        *("--cost", str(results / COST), "--output", str(results / TABLE_FOLDER)),
    )
    for figure in figures:
        shown = here(shown_by(reported, figure))
        setting = (figure.dataset, figure.acceleration)
        words = figure_words(
            reported.title(figure.kind, *setting),
            setting if KINDS[figure.kind].picks_setting else None,
        )
        output = str(results / f"{figure.place}.png")
        made("figure", figure.kind, *(shown or [config]), *words, "--output", output)
    made(
        *("report", "--config", config),
        *("--tables", *here([f"{TABLE_FOLDER}/{name}.html" for name in reported.tables])),
        *("--figures", *here([f"{figure.place}.png" for figure in figures])),
        *("--results", str(results), "--output", str(results / REPORT)),
    )


def changed_tables(folder: Path, results: Path) -> list[str]:
    """Names of the tables that differ from those stored with the records."""
    study = load_study(results / CONFIG)
    kept = {path.name: path.read_bytes() for path in (folder / TABLE_FOLDER).glob("*.md")}
    made = {path.name: path.read_bytes() for path in _tables(results, of_study(study))}
    return sorted(name for name in kept.keys() | made.keys() if kept.get(name) != made.get(name))
