"""The segmenters of respiratory cycles on one clock: posteriors or sound in, times of boundaries out."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from streamsed.bundle import CycleManifest, Manifest
from streamsed.config import FrameClock, require
from streamsed.evidence import PosteriorFrames
from streamsed.frontend import LogMel, LogMelConfig, OnlineLogMel
from streamsed.latency import CycleLatency
from streamsed.segmentation import (
    Boundary,
    CycleDecoder,
    EnvelopeConfig,
    EnvelopeSegmenter,
    GridSegmenter,
    Segmenter,
)

SegmenterKind: TypeAlias = Literal["crnn", "envelope", "grid"]
SEGMENTER_KINDS: tuple[SegmenterKind, ...] = ("crnn", "envelope", "grid")
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TimedBoundary:
    """Where one cycle ends and the next begins, in seconds; ``forced`` as in :class:`Boundary`."""

    seconds: float
    forced: bool


class BoundaryFinder(ABC):
    """Finds the boundaries of one stream.

    Parameters
    ----------
    segmenter : Segmenter
    clock : FrameClock
        Of the frames that the segmenter takes.
    look_ahead_seconds : float
        What these wait for.
    """

    def __init__(self, segmenter: Segmenter, clock: FrameClock, look_ahead_seconds: float) -> None:
        self._segmenter = segmenter
        self._clock = clock
        self._look_ahead_seconds = look_ahead_seconds

    def latency(self, chunk_seconds: float) -> CycleLatency:
        """Return the delay of a boundary."""
        # The frame at whose left edge the boundary lies counts as framing.
        frames_after = max(0, self._segmenter.latency_frames - 1)
        return CycleLatency(
            resampling=0.0,
            framing=self._clock.frame_seconds + self._clock.shift_seconds,
            look_ahead=self._look_ahead_seconds,
            chunk=chunk_seconds,
            decoder=frames_after * self._clock.frame_seconds,
        )

    def _timed(self, boundaries: list[Boundary]) -> list[TimedBoundary]:
        return [TimedBoundary(self._clock.seconds(item.frame), item.forced) for item in boundaries]

    @abstractmethod
    def process(self, sound: Floats, frames: PosteriorFrames) -> list[TimedBoundary]:
        """Take sound at the model's rate, shape (n,), and the posterior frames that became final with it."""

    @abstractmethod
    def bridge(self, frames: int) -> list[TimedBoundary] | None:
        """Go on over so many lost posterior frames, with the cycle that is open; None where that cannot be done."""

    @abstractmethod
    def gap(self, frames: int) -> list[TimedBoundary]:
        """Decide what is pending before so many lost posterior frames, and begin anew after them."""

    def flush(self) -> list[TimedBoundary]:
        """Decide what is pending at the end; afterwards only :meth:`reset` is legal."""
        return self._timed(self._segmenter.flush())

    def reset(self) -> None:
        """Become equal to a new object."""
        self._segmenter.reset()


class PosteriorBoundaries(BoundaryFinder):
    """Boundaries from one column of the network's posteriors."""

    def __init__(self, segmenter: Segmenter, manifest: Manifest) -> None:
        hop_seconds = manifest.frame_shape[0] / manifest.sample_rate
        super().__init__(segmenter, manifest.clock, manifest.look_ahead_frames * hop_seconds)
        self._column = manifest.labels.index("boundary")

    def process(self, sound: Floats, frames: PosteriorFrames) -> list[TimedBoundary]:
        """Take the posteriors; the sound does not matter."""
        return self._timed(self._segmenter.process(frames.posteriors[:, self._column]))

    def bridge(self, frames: int) -> list[TimedBoundary]:
        """Go on as if nothing had been heard that speaks for a boundary."""
        return self._timed(self._segmenter.process(np.zeros(frames, np.float32)))

    def gap(self, frames: int) -> list[TimedBoundary]:
        """Decide what is pending before so many lost posterior frames, and begin anew after them."""
        return self._timed(self._segmenter.gap(frames))


class EnvelopeBoundaries(BoundaryFinder):
    """Boundaries from the envelope of the sound alone, without the network."""

    def __init__(self, segmenter: EnvelopeSegmenter, front_end: LogMelConfig, time_stride: int) -> None:
        clock = FrameClock(front_end.sample_rate, front_end.hop_length, front_end.window_length)
        super().__init__(segmenter, clock, 0.0)
        self._log_mel = OnlineLogMel(LogMel(front_end))
        self._stride = time_stride
        self._begin()

    def _begin(self) -> None:
        self._heard = 0  # log-mel frames, lost ones counted
        self._expected = 0  # posterior frames, lost ones counted

    def process(self, sound: Floats, frames: PosteriorFrames) -> list[TimedBoundary]:
        """Take the sound; of the posteriors only their number matters."""
        self._expected = frames.first + len(frames)
        return self._take(self._log_mel.process(sound))

    def _take(self, log_mel: Floats) -> list[TimedBoundary]:
        self._heard += len(log_mel)
        return self._timed(self._segmenter.process(log_mel))

    def bridge(self, frames: int) -> None:
        """Refuse: an envelope with a hole in it has a rise at its end."""

    def gap(self, frames: int) -> list[TimedBoundary]:
        """Decide what is pending before so many lost posterior frames, and begin anew after them."""
        self._expected += frames
        first = self._expected * self._stride
        self._log_mel.skip(first * self._clock.hop_length - self._log_mel.position_samples)
        lost, self._heard = first - self._heard, first
        return self._timed(self._segmenter.gap(lost))

    def reset(self) -> None:
        """Become equal to a new object."""
        super().reset()
        self._log_mel.reset()
        self._begin()


def boundary_finder(manifest: CycleManifest, kind: SegmenterKind) -> BoundaryFinder:
    """Make a fresh finder.

    Parameters
    ----------
    manifest : CycleManifest
    kind : {"crnn", "envelope", "grid"}
        The network and its decoder; the envelope of the sound; or a boundary after every usual period.

    Raises
    ------
    ConfigError
        Another kind.
    """
    require(kind in SEGMENTER_KINDS, "segmenter", f"one of {', '.join(SEGMENTER_KINDS)}", kind)
    network, decoder = manifest.segmenter, manifest.cycles.decoder
    seconds = network.clock.frame_seconds
    if kind == "crnn":
        return PosteriorBoundaries(CycleDecoder(decoder, seconds), network)
    if kind == "grid":
        return PosteriorBoundaries(GridSegmenter(decoder.period_seconds, seconds), network)
    assert network.front_end is not None  # the manifest saw to it
    front_end = dataclasses.replace(
        network.front_end, normalisation="none", mean=(), std=(), log="ln", clamp_min=None, clamp_max=None
    )
    usual, last = EnvelopeConfig(), front_end.n_mels - 1
    config = dataclasses.replace(
        usual, first_band=min(usual.first_band, last), last_band=min(usual.last_band, last)
    )
    hop_seconds = front_end.hop_length / front_end.sample_rate
    envelope = EnvelopeSegmenter(config, front_end.n_mels, hop_seconds)
    return EnvelopeBoundaries(envelope, front_end, network.time_stride)
