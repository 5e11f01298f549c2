"""Commands run by forks of a server end, read and write as those in processes of their own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fork_helpers import ROOT, Server
from waiting import wait_until

from pipeline_src.acceleration import fork_server as server
from pipeline_src.acceleration.fork_client import FORKED, VARIABLE, socket_name
from pipeline_src.files import sha256_file
from pipeline_src.running.interruption import is_alive

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
pytestmark = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="fork servers are for Linux")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that tests leave as they found it."""
    served = Server(tmp_path_factory.mktemp("shared") / "server")
    yield served
    served.stop()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    """A server for one test."""
    served = Server(tmp_path / "server")
    yield served
    served.stop()


class Waiting:
    """A command that waits until it is told to end: it reads a pipe to which nobody writes."""

    def __init__(self, folder: Path) -> None:
        self._pipe = folder / "study.yaml"
        os.mkfifo(self._pipe)
        self.command = ["check", "--configfile", str(self._pipe)]
        self._held: list[int] = []

    def begin(self, asked: Server) -> tuple[subprocess.Popen[str], psutil.Process]:
        """The step, and its fork, which has come to the pipe."""
        step = asked.begin(*self.command)
        wait_until(self._is_read, "the command")
        [fork] = asked.forks()
        # Python sees a signal that comes between opening the pipe and reading it only afterwards.
        wait_until(lambda: fork.status() == psutil.STATUS_SLEEPING, "its reading")
        return step, fork

    def _is_read(self) -> bool:
        try:
            # Fails as long as nobody reads; held open, it lets the reader wait.
            self._held.append(os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return False
        return True

    def close(self) -> None:
        for held in self._held:
            os.close(held)


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    made = Waiting(tmp_path)
    yield made
    made.close()


def mask(output: Path) -> list[str]:
    study = ["--config", str(ROOT / "config/config.yaml"), "--dataset", "cardiac"]
    return ["mask", *study, "--acceleration", "4x", "--output", str(output)]


def recorded_run(output: Path) -> dict[str, Any]:
    """What the manifest says of the process."""
    [found] = json.loads(output.with_suffix(".manifest.json").read_text())["runs"]
    return dict(found)


def was_forked(output: Path) -> bool:
    return bool(recorded_run(output)["forked"])


def test_a_fork_does_what_a_process_does(shared: Server, tmp_path: Path) -> None:
    made = {}
    for name, environment in (("forked", {}), ("alone", {VARIABLE: ""})):
        (tmp_path / name).mkdir()
        # A relative path, so that the fork must be in the client's folder.
        status, output, errors = shared.run(
            *mask(Path("mask.npy")), cwd=tmp_path / name, environment=environment
        )
        assert status == 0, errors
        path = tmp_path / name / "mask.npy"
        told = recorded_run(path)
        assert told["forked"] == (name == "forked")
        assert told["peak_memory_mib"] > 20
        assert 0 < told["processor_seconds"] < 60
        made[name] = (output, errors, sha256_file(path), path.stat().st_mode)
    assert made["forked"] == made["alone"]


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """The folder of a copy of the package whose commands first say whether they are forks."""
    package = tmp_path / "copy" / "pipeline_src"
    shutil.copytree(ROOT / "pipeline_src", package, ignore=shutil.ignore_patterns("__pycache__"))
    with (package / "cli.py").open("a") as source:
        source.write(f"print('forked:', '{FORKED}' in os.environ)\n")
    return package.parent


@pytest.mark.parametrize(
    "command", [("check",), ("check", "--configfile", "absent.yaml"), ("--help",), ("absent",)]
)
def test_status_and_lines_are_those_of_a_process(
    command: tuple[str, ...], shared: Server, telling: Path
) -> None:
    copy = {"PYTHONPATH": str(telling)}
    status, output, errors = shared.run(*command, environment=copy, cwd=telling)
    assert output.startswith("forked: True\n")
    alone = shared.run(*command, environment=copy | {VARIABLE: ""}, cwd=telling)
    assert (status, output.replace("True", "False", 1), errors) == alone


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({"OMP_NUM_THREADS": "2"}, id="other threads"),
        pytest.param({VARIABLE: "off"}, id="off"),
        pytest.param({VARIABLE: f"/absent/{socket_name()}"}, id="nobody there"),
        pytest.param({VARIABLE: "/tmp/00000000.socket"}, id="another Python"),
    ],
)
def test_without_a_server_that_suits_a_command_runs_by_itself(
    environment: dict[str, str], shared: Server, tmp_path: Path
) -> None:
    status, _, errors = shared.run(*mask(tmp_path / "mask.npy"), environment=environment)
    assert status == 0, errors
    assert not was_forked(tmp_path / "mask.npy")


def test_a_fork_runs_the_code_of_the_moment(shared: Server, telling: Path) -> None:
    """As its manifest says, which is made from the files."""
    for text in ("The first text.", "The second text."):
        with (telling / "pipeline_src/cli.py").open("a") as source:
            source.write(f"__doc__ = '{text}'\n")
        _, output, _ = shared.run("--help", environment={"PYTHONPATH": str(telling)}, cwd=telling)
        assert output.startswith("forked: True\n")
        assert text in output


def test_a_server_is_not_asked_once_packages_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a manifest would name the version on disk, and the fork would use another."""
    monkeypatch.setattr("site.getsitepackages", lambda: [str(tmp_path)])
    before = socket_name()
    os.utime(tmp_path, (1, 1))
    assert socket_name() != before


def test_a_client_waits_for_a_silent_server_only_so_long(own: Server) -> None:
    """And its command is not run later as well."""
    line = "from pipeline_src.acceleration import fork_client as client; client.PATIENCE = 0.3; "
    line += "print(client.hand_over())"
    own.process.send_signal(signal.SIGSTOP)
    environment = os.environ | {VARIABLE: str(own.address), "OMP_NUM_THREADS": "1"}
    asked = subprocess.run(
        [sys.executable, "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (asked.stdout, asked.stderr) == ("None\n", "")
    own.process.send_signal(signal.SIGCONT)
    status, output, _ = own.run("--help")
    assert status == 0
    assert output
    wait_until(lambda: not own.forks(), "the end of all forks")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_what_ends_a_step_ends_its_fork(
    number: signal.Signals, shared: Server, waiting: Waiting
) -> None:
    step, _ = waiting.begin(shared)
    step.send_signal(number)
    step.communicate(timeout=60)
    assert step.returncode == -number
    wait_until(lambda: not shared.forks(), "the fork's end")


def test_what_ends_a_fork_ends_its_step(shared: Server, waiting: Waiting) -> None:
    step, fork = waiting.begin(shared)
    fork.kill()
    step.communicate(timeout=60)
    assert step.returncode == -signal.SIGKILL


def test_a_step_whose_server_was_killed_fails_and_its_fork_ends(
    own: Server, waiting: Waiting
) -> None:
    step, fork = waiting.begin(own)
    own.process.kill()
    _, errors = step.communicate(timeout=60)
    assert (step.returncode, errors) == (
        1,
        "error: the fork server that ran this command has ended\n",
    )
    wait_until(lambda: not is_alive(fork.pid), "the fork's end")


def test_a_server_ends_with_who_started_it_and_after_its_forks(
    own: Server, waiting: Waiting, tmp_path: Path
) -> None:
    step, _ = waiting.begin(own)
    own.close()
    status, _, errors = own.run(*mask(tmp_path / "mask.npy"))
    assert status == 0, errors
    assert not was_forked(tmp_path / "mask.npy")
    assert own.process.poll() is None
    step.kill()
    step.communicate()
    assert own.process.wait(timeout=60) == 0
    assert not own.address.parent.exists()


def test_a_server_is_started_for_many_steps_and_ends_with_its_process(
    run_python: Callable[..., str],
) -> None:
    line = "import os; from pipeline_src.acceleration import fork_server as server; "
    line += "server.start({}); "
    line += "print(os.environ.get('{}'), *[s.pid for s in server.servers])"
    assert run_python(line.format(server.FEWEST_STEPS - 1, VARIABLE)) == "None\n"
    address, process = run_python(line.format(server.FEWEST_STEPS, VARIABLE)).split()
    wait_until(lambda: not is_alive(int(process)), "the server's end")
    assert not Path(address).parent.exists()
    off = run_python(line.format(server.FEWEST_STEPS, VARIABLE), environment={VARIABLE: "off"})
    assert off == "off\n"


@pytest.fixture
def run_python() -> Callable[..., str]:
    """What a line of Python prints."""

    def run(line: str, environment: dict[str, str] | None = None) -> str:
        started = {name: value for name, value in os.environ.items() if name != VARIABLE}
        return subprocess.run(
            [sys.executable, "-c", line],
            cwd=ROOT,
            env=started | (environment or {}),
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    return run


# Who is at the other end.

LISTENS = """
import os, socket, sys
listener = socket.socket(socket.AF_UNIX)
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
listener.bind(sys.argv[1])
listener.listen()
print("ready", flush=True)
connection, _ = listener.accept()
try:
    connection.sendall((1 << 22).to_bytes(8, "big"))
    print(len(connection.recv(100)))
except ConnectionError:  # the client may have left before anything was sent
    print(0)
"""
ASKS = """
import os, socket, sys
os.chdir(sys.argv[1])
os.setresuid(65534, 65534, 65534)
client = socket.socket(socket.AF_UNIX)
client.connect(sys.argv[2])
print(len(client.recv(8)))
"""


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches; pytest's own are private."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@needs_root
def test_nothing_is_sent_to_another_user(open_folder: Path, run_python: Callable[..., str]) -> None:
    address = open_folder / socket_name()
    command = [sys.executable, "-c", LISTENS, str(address)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "ready\n"
        line = "from pipeline_src.acceleration.fork_client import hand_over; print(hand_over())"
        environment = {VARIABLE: str(address), "OMP_NUM_THREADS": "1"}
        assert run_python(line, environment=environment) == "None\n"
        assert other.stdout.read() == "0\n"


@needs_root
def test_no_command_is_taken_from_another_user(own: Server) -> None:
    own.address.parent.chmod(0o777)
    own.address.chmod(0o777)
    command = [sys.executable, "-c", ASKS, str(own.address.parent), own.address.name]
    assert subprocess.check_output(command, text=True, timeout=60) == "0\n"
    assert not own.forks()


def test_a_server_without_room_for_open_files_goes_on(own: Server) -> None:
    """It neither ends nor takes its folder away; who asked waits."""
    process = psutil.Process(own.process.pid)
    limit = process.rlimit(psutil.RLIMIT_NOFILE)
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds(), limit[1]))
    step = own.begin("--help")
    time.sleep(0.5)
    assert own.process.poll() is None
    assert own.address.exists()
    assert step.poll() is None
    process.rlimit(psutil.RLIMIT_NOFILE, limit)
    output, _ = step.communicate(timeout=60)
    assert output.startswith("usage")
    assert step.returncode == 0
