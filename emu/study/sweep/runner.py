"""Points to rows on any `concurrent.futures.Executor`; without one, in spawned processes of this machine.

A process that dies takes its point with it, not the study: the points that were under way are run again one by one, and the one that
kills its process again becomes a row that says so."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ProcessPoolExecutor
from queue import SimpleQueue
from typing import Any

from emu.errors import EmuError

Row = dict[str, Any]
AHEAD = 2
"""Points handed to each process of this machine beyond need: as many more are lost by an interrupt."""
AHEAD_ELSEWHERE = 4096
"""Points handed to somebody else's executor at a time; how many workers it has is not ours to know."""
DIED = {"error": "the process that ran this died (out of memory?)", "error_kind": "died"}


def rows(
    work: Callable[[Any], Row], tasks: Sequence[Any], executor: Executor | None = None, jobs: int | None = None
) -> Iterator[tuple[int, Row]]:
    """(index, work(task)) of every task, as they come. `jobs` processes (as many as there are cores); 1: in this one.

    `work` is a function of a module, and raises nothing. Raises EmuError if processes cannot be started at all."""
    if executor is not None:
        left = dict(enumerate(tasks))
        for j, row in _answers(executor, work, list(left.items()), AHEAD_ELSEWHERE, lambda j: (j, dict(DIED))):
            del left[j]
            yield j, row
        yield from ((j, dict(DIED)) for j in left)  # those that a broken executor never took
        return
    count = min(jobs or os.cpu_count() or 1, len(tasks))
    if count <= 1:
        yield from ((j, work(task)) for j, task in enumerate(tasks))
        return
    yield from _here(work, tasks, count)


def _here(work: Callable[[Any], Row], tasks: Sequence[Any], count: int) -> Iterator[tuple[int, Row]]:
    """In processes of this machine, started anew when one has died."""
    left = dict(enumerate(tasks))
    while left:
        broken: list[int] = []
        with _Processes(count) as pool:
            for j, row in _answers(pool, work, list(left.items()), AHEAD * count, lambda j: (j, None)):
                if row is None:
                    broken.append(j)
                else:
                    del left[j]
                    yield j, row
        if broken and len(left) == len(tasks):
            raise EmuError(
                "the processes of this study end as soon as they start. A script that runs one must keep its own work behind "
                '`if __name__ == "__main__":`; jobs=1 runs everything in one process'
            )
        for j in broken:
            with _Processes(1) as pool:
                yield from _answers(pool, work, [(j, left.pop(j))], 1, lambda j: (j, dict(DIED)))


class _Processes(ProcessPoolExecutor):
    """Spawned, so that nothing of this process' threads and locks is copied; on an interrupt they end at once."""

    def __init__(self, count: int) -> None:
        super().__init__(count, multiprocessing.get_context("spawn"), signal.signal, (signal.SIGINT, signal.SIG_IGN))

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool | None:
        if kind is not None:
            for process in list((self._processes or {}).values()):  # Python 3.14 has terminate_workers
                process.terminate()
        self.shutdown(wait=True, cancel_futures=True)
        return None


def _answers(
    executor: Executor, work: Callable[[Any], Row], tasks: list[tuple[int, Any]], ahead: int, lost: Callable[[int], tuple[int, Any]]
) -> Iterator[tuple[int, Any]]:
    """Rows as they come; `lost` says what to make of a task whose executor broke. What is not begun is cancelled if nobody listens."""
    done: SimpleQueue[tuple[int, Future[Row]]] = SimpleQueue()
    waiting, under_way = deque(tasks), dict[int, Future[Row]]()
    try:
        while waiting or under_way:
            while waiting and len(under_way) < ahead:
                j, task = waiting.popleft()
                try:
                    under_way[j] = executor.submit(work, task)
                except BrokenExecutor:
                    waiting.clear()
                    if not under_way:
                        yield lost(j)
                    break
                under_way[j].add_done_callback(lambda future, j=j: done.put((j, future)))  # type: ignore[misc]
            if not under_way:
                break
            j, future = done.get()
            del under_way[j]
            try:
                row = future.result()
            except (BrokenExecutor, CancelledError):
                waiting.clear()
                yield lost(j)
            else:
                yield j, row
    finally:
        for future in under_way.values():
            future.cancel()
