"""Defines where the files of a study lie below its results, and what they are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pipeline_src.config.error_bounds import bounded_models
from pipeline_src.config.robustness import shifts_of

if TYPE_CHECKING:
    from pipeline_src.config.study import Study

#: Of a study as a whole.
CONFIG, REPORT = "config.yaml", "report.html"
COST, RUNTIME_COST = "cost.csv", "runtimes.csv"
TABLE_FOLDER, FIGURE_FOLDER, LOG_FOLDER = "tables", "figures", "logs"
#: Of a data set, and of a setting.
STORE, MASK = "volumes.h5", "mask.npz"
#: In a model's folder, by its training.
WEIGHTS, STUDENT_WEIGHTS = "weights.safetensors", "student_weights.safetensors"
MANIFEST = "manifest.json"
#: Of an unfinished training: its state, the one before, and how far the newest is.
STATE, PREVIOUS_STATE, PROGRESS = "training.state", "training.state.previous", "progress.json"
#: In a model's folder and that of zero filling, by an evaluation.
VOLUMES, SLICES, PANEL = "volumes.csv", "slices.csv", "panel.npz"
#: Of the files that a model reconstructs, and where a study has them.
RECONSTRUCTIONS, RECONSTRUCTED = "reconstructions.json", "reconstructed"
#: Of a setting: what its models do under shifts, and the bounds of their errors.
ROBUSTNESS, ERROR_BOUNDS = "robustness", "error_bounds"
#: Tables of measurements besides the metrics.
MEASURED = ("cost", "runtimes", "robustness", "error_bounds")
#: Matches the folders of all models of a study.
MODEL_FOLDERS = "*/*x/seed*/*"

Kind = Literal["store", "mask", "zero_filled"]
#: What has to be repeated for a kind of file to lie in a folder for each seed.
REPEATED: dict[Kind, set[str]] = {
    "store": {"split"},
    "mask": {"mask"},
    "zero_filled": {"mask", "split"},
}


class Places:
    """Paths relative to `results/{study}`.

    Accelerations are given as `4x`. A seed may be a wildcard; it is used only if there is one file
    of that kind per seed, and may be None otherwise.
    """

    def __init__(self, study: Study) -> None:
        self._study = study

    def repeated(self, kind: Kind) -> bool:
        """Whether there is one per seed."""
        return bool(REPEATED[kind] & set(self._study.repeat_over))

    def seeds(self, kind: Kind) -> list[int] | list[None]:
        """The seeds that have one each; only None if one serves all."""
        return list(self._study.seeds) if self.repeated(kind) else [None]

    def store(self, dataset: str, seed: int | str | None) -> str:
        """The store of a data set."""
        of_seed = f"split{seed}/" if self.repeated("store") else ""
        return f"{dataset}/{of_seed}{STORE}"

    def mask(self, dataset: str, acceleration: str, seed: int | str | None) -> str:
        """The mask of a setting."""
        of_seed = f"seed{seed}/" if self.repeated("mask") else ""
        return f"{dataset}/{acceleration}/{of_seed}{MASK}"

    def zero_filled(self, dataset: str, acceleration: str, seed: int | str | None) -> str:
        """The folder of the metrics of zero filling."""
        of_seed = f"seed{seed}/" if self.repeated("zero_filled") else ""
        return f"{dataset}/{acceleration}/{of_seed}zero_filled"

    def model(self, dataset: str, acceleration: str, seed: int | str, model: str) -> str:
        """The folder of a trained model."""
        return f"{dataset}/{acceleration}/seed{seed}/{model}"

    def robustness(self, dataset: str, acceleration: str, seed: int | str, shift: str) -> str:
        """The metrics of a setting's models, with one seed, under a shift."""
        return f"{dataset}/{acceleration}/{ROBUSTNESS}/seed{seed}/{shift}.csv"

    def under_shifts(self) -> list[str]:
        """All of these that a study asks for."""
        return [
            self.robustness(*setting, seed, shift.name)
            for setting in self._study.settings()
            for shift in shifts_of(self._study, setting)
            for seed in self._study.seeds
        ]

    def error_bound(self, dataset: str, acceleration: str, seed: int | str, model: str) -> str:
        """The bound of the errors of a trained model."""
        return f"{dataset}/{acceleration}/{ERROR_BOUNDS}/seed{seed}/{model}.json"

    def error_bounds(self) -> list[str]:
        """All of these that a study asks for."""
        return [
            self.error_bound(*setting, seed, model)
            for setting in self._study.settings()
            for model in bounded_models(self._study)
            for seed in self._study.seeds
        ]

    def training_log(self, dataset: str, acceleration: str, seed: int | str, model: str) -> str:
        """The log of a model's training."""
        return f"{LOG_FOLDER}/train/{dataset}_{acceleration}_seed{seed}_{model}.log"


def history(stage: str) -> str:
    """The history of a training's stage, in its model's folder."""
    return f"history_{stage}.csv"


def stage_of(history: str) -> str:
    """The stage that a history belongs to."""
    return history.rpartition("/")[2].removeprefix("history_").removesuffix(".csv")


def manifest_of(path: str) -> str:
    """The manifest beside a result other than a training's, such as a store, a mask or metrics."""
    return f"{path.rpartition('.')[0]}.{MANIFEST}"
