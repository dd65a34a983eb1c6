"""Micro-batches: threads that need the same network at about the same time share a run of it."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from streamsed.config import require
from streamsed.errors import StateError
from streamsed.models import Steps, answer_lanes, drive
from streamsed.models.steps import Answer, Call, NetworkCall

T = TypeVar("T")

# Longer than a front-end takes for a step, and a twentieth of a step of 40 ms.
MAX_WAIT_SECONDS = 0.002
# Lanes that are answered together; who comes later is not kept waiting for more than these.
_MOST_LANES = 64


class _Request:
    """What one lane waits for; ``turn`` is notified when it is answered, or when it has to see to the next batch."""

    def __init__(self, calls: Sequence[Call], deadline: float, guard: threading.Lock) -> None:
        self.calls = calls
        self.deadline = deadline
        self.turn = threading.Condition(guard)
        self.answers: Sequence[Answer] | Exception | None = None


class MicroBatcher:
    """Lets lanes of several threads share runs of networks.

    Each thread drives its own lane, and only what the lane asks of networks is answered together: nobody waits for
    what another lane computes by itself, for longer than ``max_wait_seconds``, nor for a lane that has nothing to do.
    One batch runs at a time, in the thread of one of those who wait for it; what is asked for meanwhile is in the
    next one, in the order in which it was asked for.

    Parameters
    ----------
    max_wait_seconds : float
        A batch begins when every lane that is being driven waits for it, and at the latest so long after the first
        of them has asked (if no other batch is running then).
    max_batch : int, optional
        Lanes that share a run, at most; by default as many as are worth it on a CPU.

    Raises
    ------
    ConfigError
        If a number is out of its range.
    """

    def __init__(self, max_wait_seconds: float = MAX_WAIT_SECONDS, max_batch: int | None = None) -> None:
        sane = 0.0 <= max_wait_seconds <= 1.0
        require(sane, "max_wait_seconds", "seconds in [0, 1]", max_wait_seconds)
        require(max_batch is None or max_batch > 0, "max_batch", "an integer > 0", max_batch)
        self._max_wait = max_wait_seconds
        self._max_batch = max_batch
        self._guard = threading.Lock()
        self._waiting: deque[_Request] = deque()
        self._computing = 0  # lanes being driven that wait for no network
        self._running = False

    def run(self, steps: Steps[T]) -> T:
        """Run a lane to its end and return its result; called by any thread.

        The result is that of :func:`~streamsed.models.run_alone`, and an exception is that of this lane.
        """
        with self._driven():
            return drive(steps, self._answer)

    @contextmanager
    def _driven(self) -> Iterator[None]:
        with self._guard:
            self._computing += 1
        try:
            yield
        finally:
            with self._guard:
                self._computing -= 1
                self._call_next()

    def _answer(self, calls: Sequence[Call]) -> Sequence[Answer]:
        with self._guard:
            request = _Request(calls, time.monotonic() + self._max_wait, self._guard)
            self._waiting.append(request)
            self._computing -= 1
            try:
                self._wait_for(request)
            finally:
                self._withdraw(request)
        if isinstance(request.answers, Exception):
            raise request.answers
        assert request.answers is not None
        return request.answers

    def _wait_for(self, request: _Request) -> None:
        """Wait for the answers and run batches that are due; called with the guard, which both let go of meanwhile."""
        while request.answers is None:
            if self._running:
                request.turn.wait()
            elif self._computing <= 0 or time.monotonic() >= self._waiting[0].deadline:
                self._run_batch()
            elif request is self._waiting[0]:
                request.turn.wait(max(0.0, request.deadline - time.monotonic()))
            else:
                request.turn.wait()

    def _run_batch(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_LANES))]
        self._running = True
        self._guard.release()
        try:
            found = answer_lanes([request.calls for request in batch], self._max_batch)
        except BaseException:
            # Ctrl-C in the thread that computes for all.
            self._guard.acquire()
            for request in reversed(batch):
                self._give_back(request)
            raise
        else:
            self._guard.acquire()
            for request, answers in zip(batch, found, strict=True):
                self._give(request, answers)
        finally:
            self._running = False
            self._call_next()

    def _give(self, request: _Request, answers: Sequence[Answer] | Exception) -> None:
        request.answers = answers
        # Counted here and not when its thread wakes up: the next batch is to wait for it.
        self._computing += 1
        request.turn.notify()

    def _give_back(self, request: _Request) -> None:
        """Let another thread answer it, unless some of it may be done already: a network's run changes nothing."""
        if all(isinstance(call, NetworkCall) for call in request.calls):
            self._waiting.appendleft(request)
        else:
            self._give(request, StateError("the thread that computed for all lanes was interrupted"))

    def _call_next(self) -> None:
        """Let the one who has waited longest look whether a batch is due."""
        if self._waiting and not self._running:
            self._waiting[0].turn.notify()

    def _withdraw(self, request: _Request) -> None:
        """Take back a request whose thread was interrupted while it waited."""
        if request in self._waiting:
            self._waiting.remove(request)
            self._computing += 1
            self._call_next()
