"""A real SLURM of two nodes on this machine, used by somebody who is not root.

Each node is a slurmd of its own; what is simulated is that they are two machines, and their GPUs
(device files that compute nothing). All of it lives in a mount namespace, with its own
configuration of SLURM and its own list of users, so that the machine keeps what it has.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from slurm_node import (
    COMMON_CONF,
    CONFIGURATION,
    end_munged,
    make_devices,
    plain_environment,
    start_munged,
)
from waiting import wait_until

NAMES = ("node1", "node2")
USER, USER_ID = "researcher", "4242"
CONF = (
    COMMON_CONF
    + """
SlurmctldPort=27000
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SlurmdTimeout=10
{accounting}
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port=27001 CPUs=2 RealMemory=9000 Gres=gpu:1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port=27002 CPUs=2 RealMemory=9000 Gres=gpu:1
PartitionName=DEFAULT Nodes=node[1-2] MaxTime=60 DefMemPerCPU=500 State=UP
PartitionName=cpu Default=YES
PartitionName=gpu
"""
)
NO_ACCOUNTING = "AccountingStorageType=accounting_storage/none"
ACCOUNTING = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort=27003
AccountingStorageEnforce=associations,limits
AccountingStorageTRES=gres/gpu
AccountingStoreFlags=job_comment
"""
DBD_CONF = """
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort=27003
AuthType=auth/munge
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=slurm_acct_db
PidFile={folder}/run/slurmdbd.pid
LogFile={folder}/log/slurmdbd.log
"""
GRES_CONF = """
NodeName=node1 Name=gpu File={folder}/fakegpu0
NodeName=node2 Name=gpu File={folder}/fakegpu1
"""


def why_no_namespace() -> str:
    """Why no mount namespace can be made here; empty where one can."""
    for program in ("unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    made = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True)
    return made.stderr.strip()


@dataclass
class TwoNodes:
    """The cluster, and what befalls it.

    Attributes:
        folder: where it and its user keep everything.
        inside: words before a command that runs as root on the cluster.
    """

    folder: Path
    inside: tuple[str, ...]

    def as_user(self, folder: Path) -> tuple[str, ...]:
        """Words before a command that its user runs in a folder."""
        user = ("setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups")
        home = ("env", f"HOME={self.folder}/home", f"USER={USER}", f"LOGNAME={USER}")
        return (*self.inside, f"--wd={folder}", *user, "--", *home)

    def run(self, *command: str) -> str:
        """What a command says that root gives on the cluster."""
        done = subprocess.run(
            [*self.inside, *command],
            check=True,
            capture_output=True,
            text=True,
            env=plain_environment(),
        )
        return done.stdout

    def answers(self, *command: str) -> bool:
        """Whether a command of root's ends well."""
        with suppress(subprocess.CalledProcessError):
            self.run(*command)
            return True
        return False

    def give_to_user(self, folder: Path) -> None:
        subprocess.run(["chown", "--recursive", f"{USER_ID}:{USER_ID}", str(folder)], check=True)

    def states(self) -> list[str]:
        """Of both nodes, such as `idle`; none while nobody answers."""
        with suppress(subprocess.CalledProcessError):
            return self.run("sinfo", "-h", "-N", "-p", "cpu", "-o", "%T").split()
        return []

    def jobs(self) -> list[dict[str, str]]:
        """All jobs that SLURM remembers, by its own names of what it knows of each."""
        lines = self.run("scontrol", "--oneliner", "show", "jobs").splitlines()
        return [
            dict(word.split("=", 1) for word in line.split() if "=" in word)
            for line in lines
            if line.startswith("JobId=")
        ]

    def start_node(self, name: str) -> None:
        self.run("slurmd", "-N", name)

    def lose(self, name: str) -> None:
        """A node's power fails: its daemon and all its jobs' processes are gone at once."""
        _kill(int((self.folder / "run" / f"slurmd-{name}.pid").read_text()))
        _end_jobs(name)

    @contextmanager
    def lost(self, name: str) -> Iterator[None]:
        """As `lose`; the node is back after the block."""
        self.lose(name)
        try:
            yield
        finally:
            self.start_node(name)
            wait_until(lambda: self.states() == ["idle", "idle"], "the lost node")

    def restart_controller(self, *, state_is_lost: bool = False) -> None:
        """Kill the controller and start it again, with the state that it kept or with none."""
        place = self.folder / "run" / "slurmctld.pid"
        process = int(place.read_text())
        _kill(process)
        wait_until(lambda: not Path(f"/proc/{process}").exists(), "the controller's end")
        if state_is_lost:
            shutil.rmtree(self.folder / "state")
            (self.folder / "state").mkdir()
        self.run("slurmctld", *(["-i"] if state_is_lost else []))


def _kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def _end_jobs(node: str) -> None:
    """Kill all jobs of a node, first what would tell SLURM of their end."""
    jobs = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("SLURMD_NODENAME") == node:
                jobs.append(process)
    for process in jobs:
        with suppress(psutil.Error):
            for parent in process.parents():
                if parent.name() == "slurmstepd":
                    _kill(parent.pid)
    for process in jobs:
        _kill(process.pid)


def why_no_accounting() -> str:
    """Why no accounting can be started here; empty where it can."""
    missing = [n for n in ("slurmdbd", "mariadbd", "mariadb-install-db") if shutil.which(n) is None]
    packages = "slurmdbd mariadb-server-core mariadb-client-core"
    return f"no {missing[0]}; apt-get install --no-install-recommends {packages}" if missing else ""


def _start_accounting(cluster: TwoNodes) -> subprocess.Popen[bytes]:
    """Its data base, in the namespace alone; the user has an account."""
    database, place = cluster.folder / "database", "/run/mysqld"
    Path(place).mkdir(exist_ok=True)
    cluster.run("mount", "--bind", str(cluster.folder / "mysqld"), place)
    options = ("--no-defaults", "--user=root", f"--datadir={database}")
    cluster.run("mariadb-install-db", *options, "--auth-root-authentication-method=normal")
    server = subprocess.Popen(
        [
            *cluster.inside,
            "mariadbd",
            *options,
            "--skip-networking",
            f"--socket={place}/mysqld.sock",
        ],
        stderr=subprocess.DEVNULL,
    )
    wait_until((cluster.folder / "mysqld" / "mysqld.sock").exists, "the data base")
    cluster.run("slurmdbd")
    wait_until(lambda: cluster.answers("sacctmgr", "-n", "show", "cluster"), "slurmdbd")
    for words in ("cluster lab", "account mri", f"user {USER} account=mri"):
        cluster.run("sacctmgr", "-i", "add", *words.split())
    return server


@contextmanager
def two_nodes(folder: Path, *, accounting: bool = False) -> Iterator[TwoNodes]:
    """Start the cluster, and end it."""
    folders = ["state", "log", "run", "etc", "home", "mysqld", *(f"spool-{node}" for node in NAMES)]
    for name in folders:
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)
    make_devices(folder)
    values = {"folder": folder, "host": socket.gethostname().split(".")[0]}
    values["accounting"] = ACCOUNTING if accounting else NO_ACCOUNTING
    for name, text in (("slurm.conf", CONF), ("gres.conf", GRES_CONF), ("slurmdbd.conf", DBD_CONF)):
        (folder / "etc" / name).write_text(text.format(**values))
        (folder / "etc" / name).chmod(0o600 if name == "slurmdbd.conf" else 0o644)
    for name, line in (
        ("passwd", f"{USER}:x:{USER_ID}:{USER_ID}::{folder}/home:/bin/bash"),
        ("group", f"{USER}:x:{USER_ID}:"),
    ):
        (folder / name).write_text(Path(f"/etc/{name}").read_text() + f"{line}\n")
    CONFIGURATION.mkdir(exist_ok=True)
    own_munged = start_munged()
    holder = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sleep", "1d"])
    space = Path(f"/proc/{holder.pid}/ns/mnt")
    wait_until(lambda: space.readlink() != Path("/proc/self/ns/mnt").readlink(), "a namespace")
    cluster = TwoNodes(folder, ("nsenter", f"--target={holder.pid}", "--mount"))
    cluster.give_to_user(folder / "home")
    server = None
    try:
        for name, place in (
            ("etc", CONFIGURATION),
            ("passwd", "/etc/passwd"),
            ("group", "/etc/group"),
        ):
            cluster.run("mount", "--bind", f"{folder / name}", f"{place}")
        _open_python(cluster)
        server = _start_accounting(cluster) if accounting else None
        cluster.run("slurmctld")
        for name in NAMES:
            cluster.start_node(name)
        wait_until(lambda: cluster.states() == ["idle", "idle"], "both nodes to be idle")
        yield cluster
    finally:
        for name in ("slurmctld", "slurmdbd", *(f"slurmd-{node}" for node in NAMES)):
            with suppress(OSError, ValueError):
                _kill(int((folder / "run" / f"{name}.pid").read_text()))
        for node in NAMES:
            _end_jobs(node)
        if server is not None:
            server.kill()
            server.wait()
        holder.kill()
        holder.wait()
        if own_munged:
            end_munged()


def _open_python(cluster: TwoNodes) -> None:
    """Let the user reach this Python where it lies below a folder that is root's alone: within the
    namespace that folder holds nothing else."""
    places = list(dict.fromkeys(map(Path, (sys.base_prefix, sys.prefix))))
    closed = next(
        (
            p
            for place in places
            for p in (*reversed(place.parents), place)
            if not p.stat().st_mode & 1
        ),
        None,
    )
    if closed is None:
        return
    kept = [place for place in places if place.is_relative_to(closed)]
    for number, place in enumerate(kept):
        aside = cluster.folder / f"python{number}"
        aside.mkdir()
        cluster.run("mount", "--bind", str(place), str(aside))
    cluster.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", str(closed))
    for number, place in enumerate(kept):
        cluster.run("mkdir", "--parents", str(place))
        cluster.run("mount", "--bind", str(cluster.folder / f"python{number}"), str(place))
