"""The files of reconstructions in their folder: names, and whose what lies there is."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline_src.errors import InputError
from pipeline_src.files import read_json
from pipeline_src.inference.volumes import Volume
from pipeline_src.planning.places import RECONSTRUCTIONS, manifest_of

FORMAT = "sft-kd-recon reconstruction 1"
#: In the names of the bounds of errors, before the suffix.
BOUND = ".error-bound"


@dataclass(frozen=True)
class ResultPaths:
    """The files of one result; ``bound`` of its errors and contact ``sheet`` only if wanted."""

    facts: Path
    image: Path
    bound: Path | None
    sheet: Path | None

    @property
    def outputs(self) -> list[Path]:
        """All but the facts, which tell of them."""
        return [path for path in (self.image, self.bound, self.sheet) if path is not None]

    @property
    def all(self) -> list[Path]:
        """The facts and all that they tell of."""
        return [self.facts, *self.outputs]


class ResultFiles:
    """Results in one folder: `NAME` with the suffix of the input, `NAME.json` and `NAME.png`.

    Args:
        folder: of the results.
        bounds: a result has bounds of its errors too.
        pictures: it has a contact sheet too.
    """

    def __init__(self, folder: Path, bounds: bool, pictures: bool) -> None:
        self.folder, self._bounds, self._pictures = folder, bounds, pictures

    def of(self, volume: Volume) -> ResultPaths:
        """The files of the result of an input."""
        paths = self.possible(volume)
        return replace(
            paths,
            bound=paths.bound if self._bounds else None,
            sheet=paths.sheet if self._pictures else None,
        )

    def possible(self, volume: Volume) -> ResultPaths:
        """All files that any result of an input has, wanted or not."""

        def path(end: str) -> Path:
            return self.folder / volume.name.with_name(volume.name.name + end)

        return ResultPaths(
            facts=path(".json"),
            image=path(volume.suffix),
            bound=path(f"{BOUND}{volume.suffix}"),
            sheet=path(".png"),
        )

    def refuse_foreign(self, volume: Volume) -> None:
        """Check that no file in the output folder would be overwritten that was not made here.

        Raises:
            InputError: one would: the input itself, or facts of another kind.
        """
        paths = self.of(volume)
        facts = paths.facts
        for path in paths.all:
            if path.exists() and path.samefile(volume.path):
                raise InputError(
                    f"--output {self.folder}: {path} is the input itself; give another folder"
                )
        for own in (RECONSTRUCTIONS, manifest_of(RECONSTRUCTIONS)):
            if facts == self.folder / own:
                raise InputError(f"{volume.path}: {own} is a reserved name; rename the file")
        if facts.exists():
            told = None
            with suppress(InputError):
                told = read_json(facts)
            if not isinstance(told, dict) or told.get("format") != FORMAT:
                raise InputError(
                    f"--output {self.folder}: {facts} is of something else; give another folder"
                )
            return
        for path in paths.outputs:
            if path.exists() or path.is_symlink():
                raise InputError(
                    f"--output {self.folder}: {path} lies there and {facts.name} beside it, which "
                    "tells of a reconstruction, does not; remove it, or give another folder"
                )

    def of_other_models(self, own: set[Path], weights: str) -> list[str]:
        """Results in the folder, besides those whose facts are ``own``, that weights of another
        digest made, and that stay there.
        """
        found = []
        for path in sorted(set(self.folder.rglob("*.json")) - own):
            with suppress(InputError):
                told = read_json(path)
                if isinstance(told, dict) and told.get("format") == FORMAT:
                    model = told.get("model")
                    if not isinstance(model, dict) or model.get("weights_sha256") != weights:
                        found.append(path.relative_to(self.folder).with_suffix("").as_posix())
        return found

    @staticmethod
    def remove_others(paths: ResultPaths) -> None:
        """Remove what belongs to an earlier result in this place and not to the new one, as the
        bound of its errors.
        """
        facts, wanted = paths.facts, {path.name for path in paths.outputs}
        told = read_json(facts).get("outputs") if facts.exists() else None
        for name in set(told if isinstance(told, dict) else ()) - wanted:
            if name == Path(name).name and name.startswith(facts.stem):
                (facts.parent / name).unlink(missing_ok=True)
