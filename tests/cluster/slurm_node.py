"""A real SLURM on this machine: one node, two declared GPUs (device files that are no GPUs).

slurmctld, slurmd and munged are Debian's, started as root and stopped with the tests. What is
simulated is the GPUs alone: character devices that SLURM hands out, binds to jobs and hides from
others like any GPU, and that nothing can compute on.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from waiting import wait_until

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scontrol", "scancel")
INSTALL = "apt-get install --no-install-recommends slurm-wlm munge"
CONFIGURATION = Path("/etc/slurm")
MUNGED_PID = Path("/run/munge/munged.pid")

#: What the tests' clusters share.
COMMON_CONF = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=10
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=2,batch_sched_delay=1,sched_interval=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
MinJobAge=300
GresTypes=gpu
"""
SLURM_CONF = (
    COMMON_CONF
    + """
SlurmdSpoolDir={folder}/spool
SlurmdPidFile={folder}/run/slurmd.pid
SlurmdLogFile={folder}/log/slurmd.log
ProctrackType=proctrack/cgroup
TaskPlugin=task/cgroup
SlurmdTimeout=60
AccountingStorageType=accounting_storage/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=DEFAULT Nodes={host} MaxTime=60 DefMemPerCPU=500 State=UP
PartitionName=cpu Default=YES PriorityTier=10
PartitionName=gpu PriorityTier=10
PartitionName=urgent PriorityTier=20
PartitionName=scavenge_requeue PriorityTier=1 PreemptMode=REQUEUE
PartitionName=scavenge_cancel PriorityTier=1 PreemptMode=CANCEL
"""
)
GRES_CONF = "NodeName={host} Name=gpu File={folder}/fakegpu[0-1]\n"
CGROUP_CONF = """
CgroupPlugin=cgroup/v1
CgroupAutomount=no
CgroupMountpoint=/sys/fs/cgroup
ConstrainCores=yes
ConstrainRAMSpace=yes
ConstrainDevices=yes
"""


def why_not() -> str:
    """Why no SLURM can be started here, with what to do; empty where one can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {missing[0]} on this machine; install SLURM: {INSTALL}"
    if os.geteuid() != 0:
        return "a SLURM of the tests' own is started as root"
    if not Path("/sys/fs/cgroup/memory").is_dir():
        return "the tests' SLURM is set up for cgroup v1, which this machine does not mount"
    if (CONFIGURATION / "slurm.conf").exists() and not _is_ours():
        return f"{CONFIGURATION}/slurm.conf is this machine's own SLURM, which is left alone"
    return ""


def _is_ours() -> bool:
    return "ClusterName=lab\n" in (CONFIGURATION / "slurm.conf").read_text()


@dataclass
class SlurmNode:
    """The daemons, and what an administrator does to them."""

    folder: Path
    cpus: int = 2
    memory: int = 8000
    host: str = field(default_factory=lambda: socket.gethostname().split(".")[0])
    own_munged: bool = False

    def start(self) -> None:
        for name in ("state", "spool", "log", "run"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        make_devices(self.folder)
        # What tests that were killed have left.
        for pid_file in _pid_files():
            _end(pid_file)
        texts = {"slurm.conf": SLURM_CONF, "gres.conf": GRES_CONF, "cgroup.conf": CGROUP_CONF}
        values = {**vars(self), "folder": self.folder}
        CONFIGURATION.mkdir(exist_ok=True)
        for name, text in texts.items():
            (CONFIGURATION / name).write_text(text.format(**values))
        self.own_munged = start_munged()
        self.start_slurmctld()
        self.start_slurmd()
        wait_until(lambda: self.state() == "idle", "the node to be idle")

    def stop(self) -> None:
        with suppress(AssertionError):
            self.empty()
        self.kill("slurmd")
        self.kill("slurmctld")
        if self.own_munged:
            end_munged()
        for name in ("slurm.conf", "gres.conf", "cgroup.conf"):
            (CONFIGURATION / name).unlink(missing_ok=True)

    def start_slurmctld(self) -> None:
        subprocess.run(["slurmctld"], check=True, env=plain_environment())

    def start_slurmd(self) -> None:
        subprocess.run(["slurmd", "-N", self.host], check=True, env=plain_environment())

    def kill(self, daemon: str, number: signal.Signals = signal.SIGTERM) -> None:
        """End a daemon, by default as an administrator would."""
        _end(self.folder / "run" / f"{daemon}.pid", number)

    def state(self) -> str:
        """The node's state, such as `idle`; empty while nobody answers."""
        done = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
        return done.stdout.split()[0] if done.stdout else ""

    def squeue(self, *options: str) -> list[list[str]]:
        """Jobs that are waiting, running or ending: id, state, comment."""
        done = subprocess.run(
            ["squeue", "-h", "-o", "%A|%T|%k", *options], capture_output=True, text=True
        )
        return [line.split("|") for line in done.stdout.splitlines()]

    def empty(self) -> None:
        """Cancel all jobs."""
        subprocess.run(["scancel", "--user=root"], check=False, timeout=60)
        wait_until(lambda: not self.squeue(), "jobs to end", 45)

    def occupy(self, partition: str, seconds: int) -> None:
        """Submit a job that needs the whole node."""
        command = ["sbatch", "-p", partition, "-c", str(self.cpus), "-o", "/dev/null"]
        command += ["--mem=500", "--wrap", f"sleep {seconds}"]
        subprocess.run(command, check=True, capture_output=True, env=plain_environment())

    def update(self, **settings: str) -> None:
        """`scontrol update` of the node."""
        words = [f"{name}={value}" for name, value in settings.items()]
        subprocess.run(["scontrol", "update", f"nodename={self.host}", *words], check=True)


def make_devices(folder: Path) -> None:
    """Two declared GPUs: terminals that nobody uses, since SLURM wants two different devices."""
    for number in (0, 1):
        device = folder / f"fakegpu{number}"
        if not device.exists():
            os.mknod(device, 0o20666, os.makedev(4, 40 + number))


def start_munged() -> bool:
    """Whether munged had to be started."""
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    if _is_alive(MUNGED_PID):
        return False
    subprocess.run(["runuser", "-u", "munge", "--", "munged", "--force"], check=True)
    return True


def end_munged() -> None:
    _end(MUNGED_PID)


def plain_environment() -> dict[str, str]:
    """Without what pytest and its plugins put there, which would reach every job."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SLURM"))}


def _pid_files() -> list[Path]:
    """Those of the daemons that the configuration left by earlier tests names."""
    configuration = CONFIGURATION / "slurm.conf"
    text = configuration.read_text() if configuration.exists() else ""
    return [Path(path) for path in re.findall(r"^Slurm\w+PidFile=(.+)$", text, re.M)]


def _process(pid_file: Path) -> int | None:
    """The daemon that wrote this file, where it lives: it is called as its file is."""
    try:
        process = int(pid_file.read_text())
        name = Path(f"/proc/{process}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return process if name == pid_file.stem else None


def _is_alive(pid_file: Path) -> bool:
    return _process(pid_file) is not None


def _end(pid_file: Path, number: signal.Signals = signal.SIGTERM) -> None:
    """End a daemon, where it lives."""
    process = _process(pid_file)
    if process is not None:
        os.kill(process, number)
        wait_until(lambda: not Path(f"/proc/{process}").exists(), f"{pid_file.stem} to end")
