"""Making a study's tables, figures and report from its records, which may be a stranger's."""

from __future__ import annotations

import lzma
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from pipeline_src.config import Study, load_study
from pipeline_src.errors import InputError
from pipeline_src.files import is_in_use, open_regular, read_bytes, whole_folder
from pipeline_src.planning.places import CONFIG, REPORT, TABLE_FOLDER
from pipeline_src.planning.reported import of_study
from pipeline_src.planning.results import figure_words, measured_words
from pipeline_src.planning.study_models import Models
from pipeline_src.provenance.archive import (
    RECORDS,
    check_records,
    drawable,
    recorded_files,
    shown_by,
    study_tables,
)
from pipeline_src.reporting.figures.kinds import KINDS

#: More than this, unpacked, is no archive of a study.
LARGEST = 2 << 30
_TOO_LARGE = "a study's records"
#: What each entry counts for beside its content, so that there are at most 131 072.
HEADER_COST = 1 << 14
#: Headers that tarfile reads whole, and how many bytes of one it may.
_EXTENDED = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
LONGEST_NAME = 1 << 12


def unpack(folder: Path, results: Path, *, run_modules: bool = False) -> Study:
    """Unpack a study's records into a folder that does not exist yet.

    Only plain files at paths that a study has are accepted.

    Args:
        folder: of the records.
        results: where to; empty or not there yet.
        run_modules: take a study that names modules outside this project too, which figures and
            report import.

    Raises:
        InputError: the archive is damaged or holds something else, or the folder is in use.
    """
    path = folder / RECORDS
    if is_in_use(results):
        raise InputError(f"{results}: is in use; give another folder with --output, or remove it")
    with whole_folder(results) as unpacked:
        held = set()
        for entry, packed in _members(path):
            if entry.name in held:
                raise InputError(f"{path}: holds {entry.name!r:.80} twice; fetch it again")
            held.add(entry.name)
            if entry.name == CONFIG:
                _write(unpacked / CONFIG, entry, packed)
        if CONFIG not in held:
            raise InputError(f"{path}: lacks {CONFIG}; fetch it again, or archive the study again")
        try:
            study = load_study(unpacked / CONFIG)
        except InputError as error:
            said = str(error).removeprefix(f"{unpacked}/")
            raise InputError(f"{path}: in it, {said}") from None
        modules = [] if run_modules else [one.module for one in Models(study).named_modules()]
        if modules:
            raise InputError(
                f"{path}: its study names the module {min(modules)}, whose code figures and report "
                "run; if you trust it, give --import"
            )
        names = recorded_files(study)
        for name in names:
            if name not in held:
                raise InputError(
                    f"{path}: lacks {name}; fetch it again, or archive the study again"
                )
        if more := sorted(held - set(names)):
            raise InputError(f"{path}: {more[0]!r:.80} in it is no record of the study")
        for entry, packed in _members(path):
            if entry.name in held:  # It may be another file by now.
                _write(unpacked / entry.name, entry, packed)
        check_records(unpacked, names)
    return study


def _write(place: Path, entry: tarfile.TarInfo, packed: tarfile.TarFile) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    content = packed.extractfile(entry)
    assert content is not None
    with content, place.open("wb") as target:
        shutil.copyfileobj(content, target)


def _members(path: Path) -> Iterator[tuple[tarfile.TarInfo, tarfile.TarFile]]:
    """The entries of an archive, each with where its content can be read from.

    Raises:
        InputError: it cannot be read, or holds what no study's records hold.
    """
    left = LARGEST

    class Bounded(tarfile.TarInfo):
        """A header, counted before tarfile reads into memory what it tells of."""

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Bounded:
            nonlocal left
            entry = super().frombuf(buf, encoding, errors)
            left -= HEADER_COST + entry.size
            if left < 0:
                raise InputError(f"{path}: {entry.name!r:.80} in it is larger than {_TOO_LARGE}")
            if entry.size < 0 or (entry.type in _EXTENDED and entry.size > LONGEST_NAME):
                raise tarfile.ReadError(f"a header of {entry.size} bytes")
            return entry

    try:
        with (
            open_regular(path) as file,
            lzma.open(file) as stream,
            tarfile.open(fileobj=stream, mode="r|", tarinfo=Bounded) as packed,
        ):
            for entry in packed:
                place = PurePosixPath(entry.name)
                if (
                    not entry.isfile()
                    or entry.issparse()
                    or place.is_absolute()
                    or ".." in place.parts
                    or place.as_posix() != entry.name
                ):
                    raise InputError(f"{path}: {entry.name!r:.80} in it is no plain file")
                if "size" in entry.pax_headers:  # another than was counted
                    left -= entry.size
                if left < 0:
                    raise InputError(
                        f"{path}: {entry.name!r:.80} in it is larger than {_TOO_LARGE}"
                    )
                yield entry, packed
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (tarfile.TarError, lzma.LZMAError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is damaged ({error}); fetch it again") from None


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

    made(
        *("tables", *here(reported.metrics()), "--config", config),
        *measured_words({name: here(files) for name, files in reported.measurements.items()}),
        *("--output", str(results / TABLE_FOLDER)),
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
    made = {path.name: path.read_bytes() for path in study_tables(results, of_study(study))}
    stored = {path.name for path in (folder / TABLE_FOLDER).glob("*.md")}
    same = {
        name
        for name in stored & made.keys()
        if read_bytes(folder / TABLE_FOLDER / name) == made[name]
    }
    return sorted((stored | made.keys()) - same)
