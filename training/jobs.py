"""Work on many items by several processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

from streamsed.config import require

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_jobs(
    items: Sequence[Item],
    start: Callable[[], Callable[[Item], Result]],
    workers: int = 1,
    *,
    chunk_size: int = 1,
) -> Iterator[Result]:
    """Yield the result of every item, in their order, as soon as it and those before it are there.

    Parameters
    ----------
    items : sequence
    start : callable
        Called once in every process; what it returns is called with each item. It, items and results are pickled if
        there are several processes.
    workers : int
        Processes; 1 is this one.
    chunk_size : int
        Items that a process gets at a time.

    Raises
    ------
    ConfigError
        If there is no worker.
    Exception
        What a job raises; no further ones are begun.
    """
    require(workers >= 1, "workers", "at least one process", workers)
    if workers == 1 or len(items) <= 1:
        work = start() if items else None
        for item in items:
            assert work is not None
            yield work(item)
        return
    pool = ProcessPoolExecutor(
        min(workers, len(items)), get_context("spawn"), initializer=_start, initargs=(start,)
    )
    try:
        yield from pool.map(_run, items, chunksize=chunk_size)
    finally:
        pool.shutdown(cancel_futures=True)


_work: Callable[[Any], Any] | None = None


def _start(start: Callable[[], Callable[[Any], Any]]) -> None:
    global _work
    # Ctrl-C reaches all processes of a terminal; the first one ends the others after what they are at.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _work = start()


def _run(item: Any) -> Any:
    assert _work is not None
    return _work(item)
