"""The fork server: imports once what most steps need, and forks for each step that asks.

It never starts CUDA, which does not survive a fork: each fork that uses a GPU starts its own. It
ends with the process that started it, once its forks have ended.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import runpy
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipeline_src.acceleration.fork_client import (
    FORKED,
    ON_GPU,
    PASSED_ON,
    THREADS,
    VARIABLE,
    end,
    peer,
    receive_request,
    send_number,
    socket_name,
)
from pipeline_src.running.processes import end_with_parent

#: Third-party packages that the steps import.
LOADED = (
    "h5py",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_pdf",
    "matplotlib.pyplot",
    "nibabel",
    "numpy",
    "pandas",
    "pydantic",
    "safetensors.torch",
    "scipy.ndimage",
    "scipy.stats",
    "seaborn",
    "skimage.metrics",
    "tabulate",
    "torch",
    "tqdm",
    "yaml",
)
#: Fewer steps than this are not worth a server, whose start takes as long as some of them.
FEWEST_STEPS = 10
#: Seconds between two tries to accept a client.
SHORTLY = 0.05
#: Servers that this process has started; each runs as long as its standard input is open.
servers: list[subprocess.Popen[bytes]] = []


def start(steps: int, *, on_gpu: bool = False) -> None:
    """Start a server for this process's children, if it is worthwhile and possible (Linux).

    Children started before it is ready run by themselves. No server is started if the environment
    already names one (or `off`), or if there is no place for a socket.

    Args:
        steps: how many steps there are to run.
        on_gpu: whether the trainings among them use a GPU.
    """
    if steps < FEWEST_STEPS or not hasattr(os, "pidfd_open") or VARIABLE in os.environ:
        return
    try:
        # Not TMPDIR, since the paths of sockets must be short.
        address = Path(tempfile.mkdtemp(prefix="sft_kd_recon_", dir="/tmp")) / socket_name()
    except OSError:
        return
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), THREADS)
    command = [sys.executable, "-m", "pipeline_src.acceleration.fork_server", str(address)]
    atexit.register(shutil.rmtree, address.parent, ignore_errors=True)
    # The server inherits that these signals are blocked; Ctrl-C is for the steps.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    with suppress(OSError):
        # The pipe is closed when this process ends, however it ends.
        servers.append(
            subprocess.Popen(command, stdin=subprocess.PIPE, env={**os.environ, **threads})
        )
        os.environ[VARIABLE] = str(address)
        if on_gpu:
            os.environ[ON_GPU] = "1"
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


def main() -> None:
    """Import the packages, then serve at the given socket until standard input is closed."""
    address = Path(sys.argv[1])
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    try:
        for name in LOADED:
            importlib.import_module(name)
        if not forks_can_use_a_gpu():
            print(
                "fork server: something that it imports has started CUDA, which a fork could not "
                "use; steps run by themselves",
                file=sys.stderr,
            )
            return
        # The collector of a fork ignores what exists now, so that its memory stays shared.
        gc.collect()
        gc.freeze()
        with socket.socket(socket.AF_UNIX) as listener:
            try:
                listener.bind(str(address))
            except FileNotFoundError:
                return  # The process that started this one has ended already.
            listener.listen(socket.SOMAXCONN)
            _Server(listener).serve()
    finally:
        address.unlink(missing_ok=True)
        with suppress(OSError):
            address.parent.rmdir()


def forks_can_use_a_gpu() -> bool:
    """Whether nothing has started CUDA in this process; this function does not start it.

    Even counting the GPUs starts CUDA, and torch only notices that in a fork.
    """
    import torch

    if torch.cuda.is_initialized():
        return False
    process = os.fork()
    if not process:
        spoiled = True
        with suppress(BaseException):
            spoiled = torch.cuda._is_in_bad_fork()
        os._exit(int(spoiled))
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0


@dataclass
class _Fork:
    """A fork, the connection to its client, and the descriptors that signal the end of each."""

    process: int
    connection: socket.socket
    ended: int
    client_ended: int


class _Server:
    def __init__(self, listener: socket.socket) -> None:
        self._listener: socket.socket | None = listener
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(0, selectors.EVENT_READ)
        self._forks: list[_Fork] = []

    def serve(self) -> None:
        """Fork for each client, until standard input is closed and all forks have ended."""
        while self._listener or self._forks:
            for key, _ in self._selector.select():
                if key.fileobj == 0:
                    self._stop_listening()
                elif isinstance(key.data, _Fork):
                    self._hear_of(key.data, key.fd)
                elif self._listener:
                    try:
                        connection = self._listener.accept()[0]
                    except OSError:
                        # The client is gone, or too many files are open: then it waits.
                        time.sleep(SHORTLY)
                    else:
                        self._accept(connection)

    def _stop_listening(self) -> None:
        assert self._listener
        self._selector.unregister(0)
        self._selector.unregister(self._listener)
        self._listener.close()
        self._listener = None

    def _accept(self, connection: socket.socket) -> None:
        server = os.getpid()
        with suppress(OSError), ExitStack() as undo:
            # After any failure, such as too many processes, the client runs the command itself.
            undo.callback(connection.close)
            client, user = peer(connection)
            if user != os.geteuid():
                return
            client_ended = os.pidfd_open(client)
            undo.callback(os.close, client_ended)
            process = os.fork()
            if not process:
                try:
                    self._forget()
                    os.close(client_ended)
                    _run_command(connection, server)
                finally:
                    os._exit(1)
            undo.callback(os.kill, process, signal.SIGKILL)
            ended = os.pidfd_open(process)
            undo.pop_all()
            fork = _Fork(process, connection, ended, client_ended)
            self._forks.append(fork)
            self._selector.register(ended, selectors.EVENT_READ, fork)
            self._selector.register(client_ended, selectors.EVENT_READ, fork)
            send_number(connection, process)

    def _hear_of(self, fork: _Fork, end: int) -> None:
        if fork not in self._forks:
            return  # Both ended at the same time, and the other event was handled first.
        if end == fork.client_ended:
            # Nobody waits for the fork any more: it is ended like the step's process.
            self._selector.unregister(fork.client_ended)
            os.kill(fork.process, signal.SIGKILL)
            return
        status = os.waitstatus_to_exitcode(os.waitpid(fork.process, 0)[1])
        with suppress(OSError):
            send_number(fork.connection, status)
        fork.connection.close()
        for file in (fork.ended, fork.client_ended):
            with suppress(KeyError):
                self._selector.unregister(file)
            os.close(file)
        self._forks.remove(fork)

    def _forget(self) -> None:
        """In a fork: close the files of the server."""
        self._selector.close()
        if self._listener:
            self._listener.close()
        for other in self._forks:
            other.connection.close()
            os.close(other.ended)
            os.close(other.client_ended)


def _run_command(connection: socket.socket, server: int) -> NoReturn:
    """In a fork: run the client's command as `python -m pipeline_src` would, and end."""
    status = 1
    os.environ[FORKED] = "1"  # for `end`, if no command comes
    try:
        # Forks do not outlive a server that was killed; a training saves its state.
        end_with_parent(server)
        received = receive_request(connection)
        connection.close()
        if received is not None:
            status = _run(*received)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        end(status)


def _run(request: Mapping[str, Any], streams: Iterable[int]) -> int:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    # As Python opens them when it starts.
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ[FORKED] = "1"
    sys.path[:] = request["path"]
    sys.argv = ["pipeline_src", *request["arguments"]]
    for name in [*sys.modules]:
        if name.partition(".")[0] == "pipeline_src":
            del sys.modules[name]
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    try:
        runpy.run_module("pipeline_src", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


if __name__ == "__main__":
    main()
