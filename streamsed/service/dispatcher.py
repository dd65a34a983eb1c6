"""Hands records to callbacks and to whoever iterates, in a thread of its own, in order."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from streamsed.types import Cycle, Event, Record

_log = logging.getLogger(__name__)

RecordCallback = Callable[[Record], object]
EventCallback = Callable[[Event], object]
CycleCallback = Callable[[Cycle], object]


class RecordQueue:
    """Bounded queue between the dispatcher and one iterating consumer; a full one makes the producer wait.

    Parameters
    ----------
    capacity : int
        Records; beyond it :meth:`put` waits.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._records: deque[Record] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._wake_up: Callable[[], object] | None = None

    def put(self, record: Record, *, wait: bool = True) -> None:
        """Append a record, waiting for room unless told not to, or the queue is closed."""
        with self._changed:
            while wait and len(self._records) >= self._capacity and not self._closed:
                self._changed.wait()
            self._records.append(record)
            self._changed.notify_all()
            self._tell()

    def let_producer_pass(self) -> None:
        """Take whatever comes from now on: nobody may be left to make room."""
        with self._changed:
            self._capacity = sys.maxsize
            self._changed.notify_all()

    def close(self) -> None:
        """No more records: consumers end after those that are left, producers wait no longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._tell()

    def _tell(self) -> None:
        if self._wake_up is not None:
            self._wake_up()

    def __iter__(self) -> Iterator[Record]:
        while True:
            with self._changed:
                # A wait without time-out would not be interrupted by Ctrl-C on every platform.
                while not self._records and not self._closed:
                    self._changed.wait(0.2)
                if not self._records:
                    return
                record = self._records.popleft()
                self._changed.notify_all()
            yield record

    async def __aiter__(self) -> AsyncIterator[Record]:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()

        def wake_up() -> None:
            try:
                loop.call_soon_threadsafe(ready.set)
            except RuntimeError:
                _log.debug("the event loop has been closed while records were coming")

        with self._changed:
            self._wake_up = wake_up
        try:
            while True:
                ready.clear()
                with self._changed:
                    record = self._records.popleft() if self._records else None
                    closed = self._closed
                    self._changed.notify_all()
                if record is not None:
                    yield record
                elif closed:
                    return
                else:
                    await ready.wait()
        finally:
            with self._changed:
                self._wake_up = None


class Dispatcher:
    """The thread that runs callbacks. One that raises is logged and counted, and is called again for the
    next record.

    Parameters
    ----------
    on_record : callable, optional
        For every record.
    on_event : callable, optional
        For every finished event.
    on_cycle : callable, optional
        For every finished respiratory cycle.
    extra : callable, optional
        For every item, tuples which are no records included, after the callbacks; and for None at the end.
    queue : RecordQueue or None
        Where records are left for iteration.
    capacity : int
        Items waiting for the callbacks, beyond which :meth:`put` waits.
    """

    def __init__(
        self,
        on_record: RecordCallback | None,
        on_event: EventCallback | None,
        queue: RecordQueue,
        *,
        on_cycle: CycleCallback | None = None,
        extra: Callable[[Any], object] | None = None,
        capacity: int = 10_000,
    ) -> None:
        self._on_record = on_record
        self._on_event = on_event
        self._on_cycle = on_cycle
        self._extra = extra
        self._queue = queue
        self._capacity = capacity
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.iterated = on_record is None and on_event is None and on_cycle is None
        self.callback_errors = 0
        self._thread = threading.Thread(target=self._run, name="streamsed dispatcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def put(self, item: Any, *, wait: bool = True) -> None:
        """Hand over a record (or an item for ``extra``); waits while the callbacks are far behind."""
        with self._changed:
            while wait and len(self._items) >= self._capacity and not self._closed:
                self._changed.wait()
            self._items.append(item)
            self._changed.notify_all()

    def let_producer_pass(self) -> None:
        """Take whatever comes from now on: the callback that runs may itself be waiting for the producer."""
        with self._changed:
            self._capacity = sys.maxsize
            self._changed.notify_all()

    def end(self) -> None:
        """Deliver what is left, then end; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def close(self) -> None:
        """Wait for the end, unless called by a callback."""
        self.end()
        if threading.current_thread() is not self._thread:
            while self._thread.is_alive():
                self._thread.join(0.2)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._items and not self._closed:
                    self._changed.wait()
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            self._deliver(item)
        if self._extra is not None:
            self._guarded(self._extra, None)
        self._queue.close()

    def _deliver(self, item: Any) -> None:
        if not isinstance(item, tuple):
            if self._on_record is not None:
                self._guarded(self._on_record, item)
            if self._on_event is not None and isinstance(item, Event):
                self._guarded(self._on_event, item)
            if self._on_cycle is not None and isinstance(item, Cycle):
                self._guarded(self._on_cycle, item)
            if self.iterated:
                self._queue.put(item)
        # Last, as it may touch a disk.
        if self._extra is not None:
            self._guarded(self._extra, item)

    def _guarded(self, callback: Callable[[Any], object], item: Any) -> None:
        try:
            callback(item)
        except Exception:
            self.callback_errors += 1
            _log.exception("callback %r failed (%d so far)", callback, self.callback_errors)
