"""Runs a step's command in a fork of the fork server, and ends with its exit status.

The client connects; the server forks and sends the fork's process number; only then does the client
send its command to the fork. A client that gets no answer can therefore run the command itself, and
the command runs only once. At the end the server sends the exit status.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import site
import socket
import struct
import sys
import zlib
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

#: Environment variable with the server's socket; Snakemake's process sets it.
VARIABLE = "SFT_KD_RECON_FORKSERVER"
#: Set beside it where trainings use a GPU.
ON_GPU = "SFT_KD_RECON_FORKS_ON_GPU"
#: Set in a fork's environment, for its manifest.
FORKED = "SFT_KD_RECON_FORKED"
#: Signals that ask a step to stop; they are passed on to the fork.
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
#: Number of threads of the server's libraries, which is fixed when they are loaded.
THREADS = "1"
#: Exit status of a command that Ctrl-C has ended, as shells have it.
INTERRUPTED = 130
#: Seconds to wait for the server's answer.
PATIENCE = 30.0
_NUMBER_BYTES = 8
_CREDENTIALS = struct.Struct("=iII")


def socket_name() -> str:
    """Name of the socket of a server with this environment, Python and packages, so that a client
    never asks a server with others.
    """
    folders = [Path(folder) for folder in site.getsitepackages()]
    changed = [str(folder.stat().st_mtime_ns) for folder in folders if folder.is_dir()]
    made_of = " ".join([sys.prefix, sys.version, *changed])
    return f"{zlib.crc32(made_of.encode()):08x}.socket"


def hand_over() -> int | None:
    """Let a fork of the server run this process's command.

    Returns the fork's exit status, or None if the command must run here: there is no server, it
    does not answer, or it has other packages or another number of threads. A signal that ends the
    fork ends this process too.
    """
    address = os.environ.pop(VARIABLE, "")
    # A training on a GPU computes nothing with the libraries' threads.
    any_threads = bool(os.environ.pop(ON_GPU, "")) and sys.argv[1:2] == ["train"]
    # A closed stream could not be passed on.
    streams = None not in (sys.stdin, sys.stdout, sys.stderr)
    suits = any_threads or os.environ.get("OMP_NUM_THREADS") == THREADS
    if not (suits and streams) or Path(address).name != socket_name():
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        # A signal that arrives before the fork exists is held back until it does.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
        fork = _ask(connection, address)
        if fork:
            _pass_signals_on(fork)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if not fork:
            return None
        try:
            _send_command(connection)
            status = receive_number(connection)
        except OSError:
            status = None
    if status is None:
        print("error: the fork server that ran this command has ended", file=sys.stderr)
        return 1
    if status < 0:
        if -status != signal.SIGKILL:  # its handler cannot be changed
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


def _ask(connection: socket.socket, address: str) -> int | None:
    """The process number of a fork, or None if nobody answers, or if another user does: they would
    be sent this process's environment and open files.
    """
    connection.settimeout(PATIENCE)
    try:
        connection.connect(address)
        _, user = peer(connection)
        return receive_number(connection) if user == os.geteuid() else None
    except OSError:
        return None
    finally:
        connection.settimeout(None)


def _send_command(connection: socket.socket) -> None:
    request = json.dumps(
        {
            "arguments": sys.argv[1:],
            "folder": str(Path.cwd()),
            "environment": dict(os.environ),
            "path": sys.path,
        }
    ).encode()
    socket.send_fds(connection, [_to_bytes(len(request))], [0, 1, 2])
    connection.sendall(request)


def _pass_signals_on(fork: int) -> None:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        with suppress(ProcessLookupError):  # it has ended, and its status follows
            os.kill(fork, number)

    for number in PASSED_ON:
        if signal.getsignal(number) != signal.SIG_IGN:  # as SIGHUP is under nohup
            signal.signal(number, pass_on)


def end(status: int) -> NoReturn:
    """End this process at once: cleaning up what torch imports would take a third of a second."""
    if FORKED not in os.environ:
        # In a fork, the registered functions are the server's and must not run.
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    if status == INTERRUPTED:
        # So that who waits sees what has ended it, as of any program.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def peer(connection: socket.socket) -> tuple[int, int]:
    """Process number and user of the other end.

    Raises:
        OSError: the system does not provide them.
    """
    if not hasattr(socket, "SO_PEERCRED"):
        raise OSError("the system does not say who answers")
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    process, user, _group = _CREDENTIALS.unpack(told)
    return process, user


def send_number(connection: socket.socket, number: int) -> None:
    """Send a whole number, such as an exit status."""
    connection.sendall(_to_bytes(number))


def receive_number(connection: socket.socket) -> int | None:
    """The next number from the other end, or None if that has closed the connection."""
    received = receive(connection, _NUMBER_BYTES)
    return None if received is None else int.from_bytes(received, "big", signed=True)


def receive_request(connection: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """A command to run and its standard streams, or None if the other end closed the connection."""
    header, streams, _, _ = socket.recv_fds(connection, _NUMBER_BYTES, 3)
    length = int.from_bytes(header, "big", signed=True)
    request = receive(connection, length) if header else None
    return None if request is None else (json.loads(request), streams)


def receive(connection: socket.socket, length: int) -> bytes | None:
    """Exactly ``length`` bytes, or None if the other end closed the connection before."""
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            return None
        received += part
    return received


def _to_bytes(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big", signed=True)
