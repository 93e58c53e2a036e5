"""Rows and settings to outcomes, in processes of their own; the same outcomes whatever their number."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from emu.caching import caching
from emu.errors import EmuError
from emu.study.validate.mechanisms import Setting
from emu.study.validate.predict import predict
from emu.study.validate.rows import Row
from emu.study.validate.statistics import Outcome

Task = tuple[Row, Setting]
Done = Callable[[int, int, Outcome], None]


def outcomes(tasks: Sequence[Task], jobs: int = 1, cache: bool = True, done: Done | None = None) -> list[Outcome]:
    """One outcome for each task, in their order; `done` hears of each as it comes: how many there are now, of how many, the outcome.

    An interrupt ends the processes at once and goes on as KeyboardInterrupt. A process that dies is an EmuError, not a wait without
    end."""
    found: dict[int, Outcome] = {}
    work = _alone(tasks, cache) if jobs <= 1 or len(tasks) <= 1 else _together(tasks, min(jobs, len(tasks)), cache)
    for index, outcome in work:
        found[index] = outcome
        if done is not None:
            done(len(found), len(tasks), outcome)
    return [found[j] for j in range(len(tasks))]


def _alone(tasks: Sequence[Task], cache: bool) -> Iterator[tuple[int, Outcome]]:
    with caching(cache):
        yield from enumerate(map(predict, tasks))


def _together(tasks: Sequence[Task], jobs: int, cache: bool) -> Iterator[tuple[int, Outcome]]:
    """Each process has a pipe of its own and one task at a time, so it is known what a dead one was doing."""
    with _workers(jobs, cache) as pipes:
        waiting = iter(enumerate(tasks))
        doing: dict[Connection, int] = {}
        for pipe in pipes:
            doing[pipe], task = next(waiting)
            pipe.send(task)
        while doing:
            ready = wait(list(doing))
            for pipe in [p for p in doing if p in ready]:
                index = doing.pop(pipe)
                try:
                    outcome = pipe.recv()
                except (EOFError, OSError):
                    row = tasks[index][0]
                    raise EmuError(f"a process ended over {row.chip} {row}; was there too little memory? Fewer --jobs need less") from None
                if (following := next(waiting, None)) is not None:
                    doing[pipe] = following[0]
                    pipe.send(following[1])
                yield index, outcome


@contextmanager
def _workers(jobs: int, cache: bool) -> Iterator[list[Connection]]:
    """Processes that answer tasks, and end with the block. They are deaf to interrupts, which are this process's business."""
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in range(jobs)]
    processes = [context.Process(target=_serve, args=(theirs, cache), daemon=True) for _, theirs in ends]
    resource_tracker.ensure_running()  # it lets signals through again once it has started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by what starts now
    try:
        for process in processes:
            process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        for _, theirs in ends:
            theirs.close()  # so that the end of a process is the end of its pipe
        yield [ours for ours, _ in ends]
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()


def _serve(pipe: Connection, cache: bool) -> None:
    with caching(cache):
        while True:
            try:
                task = pipe.recv()
            except EOFError:
                return
            pipe.send(predict(task))
