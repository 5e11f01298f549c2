"""Trainings that are killed at any instant go on and end with the same bits."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_helpers import KILLED, KINDS, Start, Uninterrupted, assert_same_result, finish, log
from fault_worker import Job

from pipeline_src.files import leftovers
from pipeline_src.planning.places import STATE

pytest_plugins = ["shared_fixtures"]
every_kind = pytest.mark.parametrize("kind", KINDS)
#: About as many file operations as the trainings here have.
OPERATIONS = 250


@every_kind
def test_killed_at_random_instants(
    kind: str,
    job: Callable[..., Job],
    start: Start,
    uninterrupted: Uninterrupted,
    kills: int,
    seen: Callable[..., None],
    tmp_path: Path,
) -> None:
    expected, seconds = uninterrupted(kind)
    draw = random.Random(f"instants of {kind}")
    killed = in_a_save = resumed = trainings = 0
    while killed < kills:
        output = tmp_path / str(trainings)
        trainings += 1
        for _ in range(50):
            process = start(job(kind, output))
            time.sleep(draw.uniform(0, 1.1 * seconds))
            process.kill()
            status = finish(process)
            if status == 0:
                break
            assert status == KILLED, log(output)
            killed += 1
            in_a_save += bool(leftovers(output / STATE))
        else:
            assert finish(start(job(kind, output))) == 0, log(output)
        resumed += log(output).count("goes on after")
        assert_same_result(output, expected)
    assert resumed
    seen(
        "SIGKILL at a random instant",
        kind,
        killed,
        f"{trainings} trainings ended with the same bits; {resumed} resumptions, "
        f"{in_a_save} kills inside a save",
    )


@every_kind
def test_killed_before_any_file_operation(
    kind: str,
    job: Callable[..., Job],
    start: Start,
    uninterrupted: Uninterrupted,
    kills: int,
    seen: Callable[..., None],
    tmp_path: Path,
) -> None:
    """Between every two file operations of a training, so within every save as well."""
    expected, _ = uninterrupted(kind)
    # Without a kill the number is never reached; the first training tells how many there are.
    draw, killed, number = random.Random(f"operations of {kind}"), 0, 0
    while True:
        number += 1 + draw.randrange(2 * OPERATIONS // kills)
        output = tmp_path / str(number)
        status = finish(start(job(kind, output, kill_at=number)))
        if status == 0:
            break
        assert status == KILLED, log(output)
        killed += 1
        assert finish(start(job(kind, output))) == 0, log(output)
        assert_same_result(output, expected)
    assert killed >= kills // 3
    seen("SIGKILL before a file operation", kind, killed, "each ended with the same bits")
