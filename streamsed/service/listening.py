"""What sessions, groups of them and pools have in common: contexts, iteration, and how errors come out."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import TypeVar

from streamsed.service.dispatcher import RecordQueue
from streamsed.types import Record

Self = TypeVar("Self", bound="Listening")

_RECORD_CAPACITY = 10_000


class Listening(ABC):
    """Context manager, iterator and asynchronous iterator of records.

    Attributes
    ----------
    error : Exception or None
        What ended it, if not its own end; iterating, ``run`` and leaving the context raise it.
    """

    def __init__(self) -> None:
        self.error: Exception | None = None
        self._error_raised = False
        self._queue = RecordQueue(_RECORD_CAPACITY)

    @abstractmethod
    def start(self: Self) -> Self:
        """Open what is listened to and begin in the background; does nothing the second time."""

    @abstractmethod
    def stop(self) -> None:
        """Ask for the end and return at once; for signal handlers and any thread.

        Open events are closed, the summary is the last record.
        """

    @abstractmethod
    def close(self) -> None:
        """Ask for the end and wait for it; the records left can still be iterated over."""

    @abstractmethod
    def wait(self) -> None:
        """Wait until all that was started has ended, without asking for it."""

    @property
    @abstractmethod
    def _is_new(self) -> bool:
        """Whether nobody has started or closed it."""

    def __enter__(self: Self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is None:
            self._raise_error()

    async def __aenter__(self: Self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)
        if error is None:
            self._raise_error()

    def __iter__(self) -> Iterator[Record]:
        self._attach()
        yield from self._queue
        self.wait()
        self._raise_error()

    async def __aiter__(self) -> AsyncIterator[Record]:
        await asyncio.to_thread(self._attach)
        async for record in self._queue:
            yield record
        self.wait()
        self._raise_error()

    def _attach(self) -> None:
        if self._is_new:
            self.start()

    def _raise_error(self) -> None:
        if self.error is not None and not self._error_raised:
            self._error_raised = True
            raise self.error
