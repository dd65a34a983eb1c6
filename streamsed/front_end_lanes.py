"""The front-end of many streams in one call: what a GPU needs to be worth it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.errors import StreamsedError
from streamsed.frontend import LogMel
from streamsed.lanes import LaneInputError, LogMelLanes, Provider, resolve_provider
from streamsed.models import Steps
from streamsed.models.steps import Answer
from streamsed.ownership import OneThread

Floats = npt.NDArray[np.float32]

# Lanes that are made at a time: their states lie together, and one call serves them all.
_BLOCK_LANES = 64


class FrontEndLanes:
    """Hands out lanes of one front-end, and makes more when all are taken; shared by streams of any thread.

    Parameters
    ----------
    log_mel : LogMel
    provider : {"cpu", "cuda"}

    Raises
    ------
    ConfigError
        If the provider is not there.
    GpuOutOfMemory
        Also from :meth:`lane`, if the GPU has no room for more lanes.
    """

    def __init__(self, log_mel: LogMel, provider: Provider) -> None:
        self._log_mel = log_mel
        self._provider: Provider = provider
        self._guard = threading.Lock()
        self._free: list[tuple[_Block, int]] = []
        self._grow()

    def _grow(self) -> None:
        block = _Block(LogMelLanes(self._log_mel, _BLOCK_LANES, self._provider))
        self._free += [(block, number) for number in reversed(range(_BLOCK_LANES))]

    def lane(self) -> LaneLogMel:
        """Return a fresh lane, which is free again when nobody has it any more."""
        with self._guard:
            if not self._free:
                self._grow()
            block, number = self._free.pop()
        lane = LaneLogMel(block, number)
        weakref.finalize(lane, self._free.append, (block, number))
        return lane


def gpu_lanes(log_mel: LogMel, provider: Provider) -> FrontEndLanes | None:
    """Return lanes on the GPU if ``provider`` means it, and None for streams that compute their own on the CPU.

    Raises
    ------
    ConfigError
        For "cuda" without a usable GPU, saying why there is none, or an unknown name.
    """
    return FrontEndLanes(log_mel, "cuda") if resolve_provider(provider) == "cuda" else None


class _Block:
    """Lanes whose states lie together, for one thread at a time."""

    def __init__(self, lanes: LogMelLanes) -> None:
        self.lanes = lanes
        self.guard = threading.Lock()


class FrontEndCall(NamedTuple):
    """Samples of one lane, shape (n,), whose frames are needed."""

    block: _Block
    number: int
    samples: Floats

    @property
    def group(self) -> Hashable:
        """Lanes whose states lie together."""
        return id(self.block)

    def answer(self) -> Answer:
        """Compute the frames of this lane."""
        (answer,) = self.answer_group([self], None)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def answer_group(self, calls: Sequence[Any], max_batch: int | None) -> list[Answer | Exception]:
        """Compute the frames of all lanes in one call; bad samples are their lane's error, a failure everybody's."""
        del max_batch  # no lane waits for another one's recurrence here
        begin = time.perf_counter()
        numbers = [call.number for call in calls]
        complaints: dict[int, Exception] = {}
        with self.block.guard:
            try:
                frames = self.block.lanes.process([call.samples for call in calls], numbers)
            except LaneInputError as error:
                frames = error.outputs
                complaints = {
                    number: LaneInputError({number: text}, []) for number, text in error.complaints.items()
                }
            except StreamsedError as error:
                # A GPU that fails, which is the error of all who need it.
                return [error for _ in calls]
        share = (time.perf_counter() - begin) / len(calls)
        return [
            complaints.get(number) or Answer(rows, (), share)
            for number, rows in zip(numbers, frames, strict=True)
        ]


class LaneLogMel:
    """An :class:`~streamsed.frontend.OnlineLogMel` whose frames are computed together with those of other lanes.

    Parameters
    ----------
    block
        Where the lane is.
    number : int
    """

    def __init__(self, block: _Block, number: int) -> None:
        self._block = block
        self._number = number
        self._one_thread = OneThread("LaneLogMel")
        self.reset()

    @property
    def position_samples(self) -> int:
        """Samples taken in, lost ones counted."""
        with self._block.guard:
            return self._block.lanes.position_samples(self._number)

    def process_steps(self, samples: Floats) -> Steps[Floats]:
        """Take samples, shape (n,) float32; return the frames (T, n_mels) that they complete."""
        with self._one_thread:
            (answer,) = yield (FrontEndCall(self._block, self._number, samples),)
            frames: Floats = answer.outputs
            return frames

    def skip(self, missing_samples: int) -> int:
        """Go on behind lost samples; return the number of frames that do not exist."""
        with self._block.guard:
            return self._block.lanes.skip(self._number, missing_samples)

    def flush(self) -> Floats:
        """End the stream: no frames, as an unfinished one is none. Then only :meth:`reset` is legal."""
        with self._block.guard:
            return self._block.lanes.flush(self._number)

    def reset(self) -> None:
        """Become equal to a new stream."""
        with self._block.guard:
            self._block.lanes.reset([self._number])
