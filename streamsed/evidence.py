"""What the networks of a bundle say frame by frame, and what records keep of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamsed.config import FrameClock

Floats = npt.NDArray[np.float32]

# Of an event that lasts longer, its newest ten minutes count: memory stays constant however long a sound goes on.
_HISTORY_SECONDS = 600.0


@dataclass(frozen=True)
class PosteriorFrames:
    """Consecutive posterior frames of a stream.

    Attributes
    ----------
    first : int
        Number of the first one since the stream began, lost ones counted.
    posteriors : ndarray, shape (T', K), float32
        Fused, in [0, 1], before any post-processing.
    confidence : ndarray, shape (T',), float32, or None
        Σ w_m c_m / Σ w_m of the members that took part: how much they trust themselves (eq. (4) of [EOW] normalises
        by it). None for a bundle without confidences.
    disagreement : ndarray, shape (T',), float32, or None
        Bits in [0, 1] that the members differ by about the label that they differ most about:
        max over k of h(s_k) - Σ π_m h(p_mk), with the shares π_m of the fusion s = Σ π_m p_m and the binary entropy h.
        This is the mutual information between the decision and the choice of the member [HHG]. None for a single
        network, or where nobody asked.
    members : ndarray, shape (T',), int64
        How many members took part.

    References
    ----------
    .. [EOW] Y. Chen, H. Yin, "Ensemble confidence calibration for sound event detection in open-environment".
    .. [HHG] N. Houlsby, F. Huszár, Z. Ghahramani, M. Lengyel, "Bayesian active learning for classification and
       preference learning", 2011.
    """

    first: int
    posteriors: Floats
    confidence: Floats | None
    disagreement: Floats | None
    members: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.posteriors)

    @property
    def uncertainty(self) -> Floats:
        """Uncertainty of each frame, shape (T',), in [0, 1]: :func:`uncertainty` of its least certain label."""
        entropy = binary_entropy(self.posteriors).max(axis=1, initial=0.0)
        confidence = np.ones(len(self)) if self.confidence is None else self.confidence
        return np.asarray(1.0 - np.minimum(confidence, 1.0) * (1.0 - entropy), np.float32)


def join_frames(parts: Sequence[PosteriorFrames]) -> PosteriorFrames:
    """Concatenate consecutive frames; at least one part, and all of the same stream."""
    if len(parts) == 1:
        return parts[0]
    return PosteriorFrames(
        parts[0].first,
        np.concatenate([part.posteriors for part in parts]),
        _joined([part.confidence for part in parts]),
        _joined([part.disagreement for part in parts]),
        np.concatenate([part.members for part in parts]),
    )


def _joined(parts: Sequence[Floats | None]) -> Floats | None:
    there = [part for part in parts if part is not None]
    return np.concatenate(there) if there else None


def binary_entropy(posteriors: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Entropy in bits of each posterior: 0 is sure, 1 a coin toss."""
    p = np.asarray(posteriors, np.float64)
    result = np.zeros(p.shape)
    for part in (p, 1.0 - p):
        positive = part > 0.0
        result[positive] -= part[positive] * np.log2(part[positive])
    return result


def disagreement(posteriors: Floats, shares: npt.NDArray[np.float64], fused: Floats) -> Floats:
    """Return what :attr:`PosteriorFrames.disagreement` says.

    Parameters
    ----------
    posteriors : ndarray, shape (M, T', K)
    shares : ndarray, shape (M, T')
        Of the members in the fused posterior, 1 together.
    fused : ndarray, shape (T', K)
    """
    of_members = (shares[:, :, np.newaxis] * binary_entropy(posteriors)).sum(axis=0)
    bits = (binary_entropy(fused) - of_members).max(axis=1, initial=0.0)
    # Entropy is concave, so that only rounding can leave the range.
    return np.asarray(np.clip(bits, 0.0, 1.0), np.float32)


def uncertainty(entropy: float, confidence: float) -> float:
    """Return the uncertainty 1 - c (1 - h) of an event.

    Certain is what is no coin toss, said by networks that know such sounds: either alone makes it uncertain.
    Without confidences it is the entropy.

    Parameters
    ----------
    entropy : float
        h, the mean binary entropy in bits of the smoothed posterior over the event's frames.
    confidence : float
        c, the mean fused confidence over them; NaN where there is none.
    """
    if math.isnan(confidence):
        return entropy
    return 1.0 - min(confidence, 1.0) * (1.0 - entropy)


class FrameHistory:
    """Confidence and members of the newest frames of a stream, for the events that they belong to.

    Parameters
    ----------
    clock : FrameClock
    members : int
        M.
    """

    def __init__(self, clock: FrameClock, members: int) -> None:
        self._clock = clock
        self._all = members
        capacity = max(1, round(_HISTORY_SECONDS / clock.frame_seconds))
        self._confidence = np.empty(capacity, np.float32)
        self._members = np.empty(capacity, np.int64)
        self.reset()

    def reset(self) -> None:
        """Become equal to a new object."""
        # NaN and M stand for frames that never were.
        self._confidence.fill(np.nan)
        self._members.fill(self._all)
        self._end = 0

    def append(self, frames: PosteriorFrames) -> None:
        """Take new frames; those between the newest one and ``frames.first`` were lost."""
        begin, end = frames.first, frames.first + len(frames)
        if begin > self._end:
            lost = self._places(self._end, begin)
            self._confidence[lost], self._members[lost] = np.nan, self._all
        places, capacity = self._places(begin, end), len(self._members)
        self._confidence[places] = np.nan if frames.confidence is None else frames.confidence[-capacity:]
        self._members[places] = frames.members[-capacity:]
        self._end = end

    def _places(self, begin: int, end: int) -> slice | npt.NDArray[np.int64]:
        """Places of frames, of the newest ones if there are more than are kept."""
        capacity = len(self._members)
        place = begin % capacity
        if place + end - begin <= capacity:
            return slice(place, place + end - begin)
        return np.arange(max(begin, end - capacity), end) % capacity

    def _span(self, onset: float, offset: float) -> npt.NDArray[np.int64]:
        """Places of the frames between two times, at least one."""
        shift, length = self._clock.shift_seconds, self._clock.frame_seconds
        first, last = (max(0, round((seconds - shift) / length)) for seconds in (onset, offset))
        last = min(max(last, first + 1), self._end)
        first = max(0, min(first, last - 1), self._end - len(self._members))
        return np.arange(first, last) % len(self._members)

    def confidence(self, onset: float, offset: float) -> float:
        """Mean fused confidence of the frames heard between two times in seconds; NaN where there is none."""
        values = self._confidence[self._span(onset, offset)].astype(np.float64)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else math.nan

    def skipped(self, onset: float, offset: float) -> int:
        """How many members at most did not take part in a frame between two times in seconds."""
        return self._all - int(self._members[self._span(onset, offset)].min(initial=self._all))
