"""A small study on the tests' SLURM."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from snakemake_helpers import WEIGHTS, Run, Study, assert_same_result, new_study
from two_nodes import TwoNodes
from waiting import wait_until

#: A training of a quarter of a minute: long enough for SLURM, which thinks in seconds.
EPOCHS = 900
PROFILE = "workflow/profiles/slurm"
#: The profile's, at the pace of tests; a test's own GPU partition takes the place of `gpu`.
PACE = (
    *("--slurm-init-seconds-before-status-checks", "2"),
    *("--max-status-checks-per-second", "1"),
    *("--latency-wait", "20"),
)


class ClusterStudy(Study):
    """A copy of the project and its small study, run as jobs of SLURM."""

    def submit(self, *options: str, target: str = WEIGHTS, train: str = "gpu") -> Run:
        """Plain Snakemake with the profile for SLURM."""
        return self.start_command("snakemake", *self._arguments(target, train, options))

    def launch(
        self,
        *options: str,
        launcher: tuple[str, ...] = (),
        target: str = WEIGHTS,
        train: str = "gpu",
    ) -> Run:
        """The same, launched."""
        arguments = self._arguments(target, train, options)
        return self.start_command(
            "pipeline_src", "launch", "--poll", "0.02", *launcher, "--", *arguments
        )

    @staticmethod
    def _arguments(target: str, train: str, options: tuple[str, ...]) -> list[str]:
        """``train`` is the partition of trainings, and further resources of theirs; they take the
        place of all that the profile gives to single rules."""
        arguments = [target, "--profile", PROFILE, *PACE, *options]
        if train:
            partition, *resources = train.split()
            arguments += ["--set-resources", f"train:slurm_partition={partition}", "train:gpu=1"]
            arguments += [f"train:{resource}" for resource in resources]
        return arguments

    def wait_until_training(self) -> None:
        """Until its training has saved its state twice."""
        saved = self.teacher / "training.state.previous"
        wait_until(saved.exists, "a saved state")

    def job(self) -> str:
        """SLURM's number of the one training that runs."""
        [number] = _lines("squeue", "-h", "-t", "R", "-o", "%A", "-n", self._name())
        return number

    def is_in_state(self, state: str) -> bool:
        """Whether a job of its last run is, by SLURM's short names of states."""
        return bool(_lines("squeue", "-h", "-t", state, "-o", "%A", "-n", self._name()))

    def _name(self) -> str:
        """The name that Snakemake gives its jobs."""
        found = re.findall(r"SLURM run ID: (\S+)", self.runs[-1].said())
        return str(found[-1])

    def copy(self, root: Path) -> ClusterStudy:
        """The same, with Snakemake's records."""
        left_out = shutil.ignore_patterns("__pycache__")
        shutil.copytree(self.root, root, ignore=left_out, symlinks=True)
        return ClusterStudy(root)

    def assert_resumed(self, expected: Study, run: Run) -> None:
        """The run ended well, a training was taken up, and its result is the undisturbed one."""
        assert run.end() == 0, run.said()
        assert self.recorded_runs() > 1, run.said()
        assert_same_result(self, expected)


def new_cluster_study(root: Path) -> ClusterStudy:
    return ClusterStudy(new_study(root, EPOCHS).root)


def new_grid(root: Path) -> ClusterStudy:
    """One of every kind of job, and as little of each as there can be."""
    return ClusterStudy(new_study(root, epochs=2, methods="methods: {at: {}, sp: {}}").root)


def user_study(study: Study, cluster: TwoNodes) -> ClusterStudy:
    """The same study, of the user of two nodes."""
    root = cluster.folder / "home" / study.root.parent.name
    study.root.rename(root)
    cluster.give_to_user(root)
    return ClusterStudy(root, before=cluster.as_user(root))


def _lines(*command: str) -> list[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.split()


def slurm(*command: str) -> None:
    """A command of SLURM's, as a user or an administrator gives it."""
    subprocess.run(command, check=True, capture_output=True, text=True)
