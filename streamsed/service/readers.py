"""How the worker gets at sound without ever being stuck: every reader is polled with a time-out.

A microphone is polled directly. Any other source is read by a thread of its own, since a pipe or somebody's
generator may wait for ever.
"""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from typing import Protocol

import numpy as np

from streamsed import _core
from streamsed.sources.base import Block, Source
from streamsed.sources.microphone import Microphone

_log = logging.getLogger(__name__)

_RING_SECONDS = 5.0


class _ReadingThread(ABC):
    """A thread that reads a source and closes it, as nobody else may while it is reading."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"streamsed read {source.name}", daemon=True)

    def _run(self) -> None:
        try:
            self._read()
        except BaseException as error:
            self._error = error
        self._at_end()
        try:
            self._source.close()
        except Exception:
            _log.exception("closing %s failed", self._source.name)

    @abstractmethod
    def _read(self) -> None:
        """Read until the end or until told to stop."""

    @abstractmethod
    def _at_end(self) -> None:
        """Let the worker know."""

    def _join(self) -> None:
        # A file is closed by then; a pipe that is silent or a generator that waits may keep its thread.
        self._thread.join(0.5)


class Reader(Protocol):
    """What the worker needs of a source."""

    def poll(self, max_frames: int, timeout_seconds: float, min_frames: int = 1) -> Block | None:
        """Return what is there, None if nothing is in time; EOFError at the end."""

    def arrival_seconds(self, position: int) -> float:
        """Monotonic time at which the sample before ``position`` was there."""

    def close(self) -> None:
        """End; never hangs."""


class MicrophoneReader:
    """Reads a microphone."""

    def __init__(self, microphone: Microphone) -> None:
        self._microphone = microphone
        microphone.open()

    def poll(self, max_frames: int, timeout_seconds: float, min_frames: int = 1) -> Block | None:
        """See :meth:`streamsed.sources.microphone.Microphone.poll`."""
        return self._microphone.poll(max_frames, timeout_seconds, min_frames)

    def arrival_seconds(self, position: int) -> float:
        """By the microphone's smoothed clock."""
        return self._microphone.arrival_seconds(position)

    def close(self) -> None:
        """Close the device."""
        self._microphone.close()


class BlockingReader(_ReadingThread):
    """A source that waits for us: nothing is lost, reading stops while ``capacity`` blocks are waiting."""

    def __init__(self, source: Source, block_frames: int, capacity: int = 4) -> None:
        super().__init__(source)
        self._block_frames = block_frames
        self._capacity = capacity
        self._blocks: deque[Block] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._closed = False
        self._arrival = time.monotonic()
        self._thread.start()

    def _read(self) -> None:
        while not self._closed:
            block = self._source.read(self._block_frames)
            if block is None:
                break
            with self._changed:
                while len(self._blocks) >= self._capacity and not self._closed:
                    self._changed.wait()
                self._blocks.append(block)
                self._changed.notify_all()

    def _at_end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def poll(self, max_frames: int, timeout_seconds: float, min_frames: int = 1) -> Block | None:
        """Return the next block, whatever its size; raises what the source raised, after its last block."""
        del max_frames, min_frames
        with self._changed:
            self._changed.wait_for(lambda: self._blocks or self._ended, timeout_seconds)
            if self._blocks:
                block = self._blocks.popleft()
                # Nobody waits for a sound that comes as fast as it is read: its delay begins here.
                self._arrival = time.monotonic()
                self._changed.notify_all()
                return block
            if not self._ended:
                return None
        if self._error is not None:
            raise self._error
        raise EOFError

    def arrival_seconds(self, position: int) -> float:
        """Return when the newest block was taken."""
        del position
        return self._arrival

    def close(self) -> None:
        """Let the thread end after the read it is in."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._join()


class LiveReader(_ReadingThread):
    """A source that does not wait for us, by nature or because it is played at its own pace.

    As with a microphone, who falls behind by more than the ring's 5 s loses the oldest sound.

    Parameters
    ----------
    source : Source
        Opened.
    step_frames : int
        Frames read at a time.
    paced : bool
        Let every sample appear only when its time has come.
    """

    def __init__(self, source: Source, step_frames: int, *, paced: bool) -> None:
        super().__init__(source)
        self._step = step_frames
        self._paced = paced
        self._rate = source.sample_rate
        self._ring = _core.RingBuffer(round(_RING_SECONDS * self._rate) + step_frames, source.channels)
        self._began = time.monotonic()
        self._newest = (0, self._began)  # position, and when everything before it was there
        self._closing = threading.Event()
        self._thread.start()

    def _read(self) -> None:
        position = 0
        while not self._closing.is_set():
            frames = self._step
            if self._paced:
                # What is overdue comes at once, as a sound card's would: fed in steps, a process that was held up could
                # take in seconds of stale sound as fast as they came, and nobody would learn that it had been late.
                overdue = int((time.monotonic() - self._began) * self._rate) - position
                frames = min(max(frames, overdue), self._ring.capacity_frames)
            block = self._source.read(frames)
            if block is None:
                break
            samples = block.samples
            if block.missing_frames_before:
                # A hole of a recording that is played sounds as one, and the clock goes on.
                samples = np.pad(samples, ((block.missing_frames_before, 0), (0, 0)))
            position += len(samples)
            if self._paced and self._closing.wait(
                max(0.0, self._began + position / self._rate - time.monotonic())
            ):
                break
            self._newest = (position, time.monotonic())
            self._ring.write(samples)

    def _at_end(self) -> None:
        self._ring.close()

    def poll(self, max_frames: int, timeout_seconds: float, min_frames: int = 1) -> Block | None:
        """Return what has come, at least ``min_frames`` unless time is up; raises what the source raised."""
        # Asked first: what comes between an empty read and the end is for the next call.
        closed = self._ring.closed
        start, samples, missing = self._ring.read(max_frames, timeout_seconds, min_frames)
        if len(samples):
            return Block(samples, start, missing, "overload")
        if not closed:
            return None
        if self._error is not None:
            raise self._error
        raise EOFError

    def arrival_seconds(self, position: int) -> float:
        """By the rate, back from the newest sample."""
        newest, moment = self._newest
        return moment - (newest - position) / self._rate

    def close(self) -> None:
        """Let the thread end after the read it is in."""
        self._closing.set()
        self._ring.close()
        self._join()
