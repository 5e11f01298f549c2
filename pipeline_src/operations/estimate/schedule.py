"""Simulates the schedule of a study's jobs on a given number of GPUs."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Task:
    """A job of the study.

    Attributes:
        seconds: its duration, from when it may start.
        after: names of the jobs that it depends on.
        on_gpu: whether it occupies one of the counted GPUs (or places for trainings).
        priority: jobs of higher priority start first.
    """

    name: str
    seconds: float
    after: tuple[str, ...] = ()
    on_gpu: bool = False
    priority: int = 0


def makespan(tasks: Sequence[Task], gpus: int) -> float:
    """Seconds until all jobs are done, if each starts as soon as its dependencies are done and a
    GPU is free.

    Jobs that need no GPU start at once. Jobs that are ready at the same time are ordered by
    priority, then as given.
    """
    places = {task.name: place for place, task in enumerate(tasks)}
    waiting = {task.name: {name for name in task.after if name in places} for task in tasks}
    followers: dict[str, list[Task]] = {task.name: [] for task in tasks}
    for task in tasks:
        for name in waiting[task.name]:
            followers[name].append(task)
    ready: list[tuple[int, int]] = []
    running: list[tuple[float, int]] = []
    now, free = 0.0, gpus

    def admit(task: Task) -> None:
        if task.on_gpu:
            heapq.heappush(ready, (-task.priority, places[task.name]))
        else:
            heapq.heappush(running, (now + task.seconds, places[task.name]))

    for task in tasks:
        if not waiting[task.name]:
            admit(task)
    while ready or running:
        while ready and free:
            place = heapq.heappop(ready)[1]
            free -= 1
            heapq.heappush(running, (now + tasks[place].seconds, place))
        now, place = heapq.heappop(running)
        done = tasks[place]
        free += done.on_gpu
        for task in followers[done.name]:
            waiting[task.name].discard(done.name)
            if not waiting[task.name]:
                admit(task)
    return now


def longest_path(tasks: Sequence[Task]) -> tuple[float, list[str]]:
    """Duration in seconds of the longest chain of dependent jobs, and their names."""
    by_name: Mapping[str, Task] = {task.name: task for task in tasks}
    found: dict[str, tuple[float, list[str]]] = {}

    def path_to(name: str) -> tuple[float, list[str]]:
        if name not in found:
            task = by_name[name]
            before = [path_to(other) for other in task.after if other in by_name]
            seconds, names = max(before, default=(0.0, []), key=lambda path: path[0])
            found[name] = (seconds + task.seconds, [*names, name])
        return found[name]

    return max((path_to(task.name) for task in tasks), key=lambda path: path[0])
