"""Embeddings of another modality beside the log-mel frames: which one a frame gets, offline and in a stream.

An embedding has the time at which it is known: a picture its presentation time, a stretch of sound its end. A log-mel
frame, whose time is the end of its window, gets the newest one that is known by then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import StateError
from streamsed.ownership import OneThread

Floats = npt.NDArray[np.float32]
Times = npt.NDArray[np.float64]

# Times of containers are rounded, those of frames are quotients: what is nearer than this is the same moment.
TOLERANCE_SECONDS = 1e-6
# So many embeddings may wait for sound: minutes of pictures at any rate.
_MAX_WAITING = 10_000


def align(
    features: npt.ArrayLike, times: npt.ArrayLike, frame_times: npt.ArrayLike, max_age_seconds: float
) -> tuple[Floats, Floats]:
    """Give every frame the newest embedding that is known at its time.

    Parameters
    ----------
    features : array_like, shape (N, D)
        Embeddings; N may be 0.
    times : array_like, shape (N,)
        When each is known, in seconds, not decreasing.
    frame_times : array_like, shape (T,)
        Of the frames, in seconds, in any order.
    max_age_seconds : float
        An embedding that is older counts as absent.

    Returns
    -------
    values : ndarray, shape (T, D), float32
        Zeros where there is none.
    present : ndarray, shape (T,), float32
        1 where there is one, else 0.

    Raises
    ------
    ConfigError
        Shapes that do not fit, times that decrease or are not finite, or an age that is not positive.
    """
    rows = np.asarray(features)
    known = np.asarray(times, np.float64)
    moments = np.asarray(frame_times, np.float64)
    require(rows.ndim == 2, "features", "shape (N, D)", rows.shape)
    require(known.shape == rows.shape[:1], "times", f"shape ({len(rows)},)", known.shape)
    require(moments.ndim == 1, "frame_times", "shape (T,)", moments.shape)
    require(bool(np.all(np.isfinite(known))), "times", "finite seconds", known)
    require(bool(np.all(np.diff(known) >= 0)), "times", "seconds that do not decrease", known)
    require(max_age_seconds > 0, "max_age_seconds", "seconds above 0", max_age_seconds)
    values = np.zeros((len(moments), rows.shape[1]), np.float32)
    if len(rows) == 0:
        return values, np.zeros(len(moments), np.float32)
    newest = np.searchsorted(known, moments + TOLERANCE_SECONDS, side="right") - 1
    present = (newest >= 0) & (moments - known[newest] <= max_age_seconds + TOLERANCE_SECONDS)
    values[present] = rows[newest[present]]
    return values, present.astype(np.float32)


def frame_end_seconds(
    first_frame: int, count: int, hop_length: int, window_length: int, sample_rate: int
) -> Times:
    """Return the times of log-mel frames from number ``first_frame`` on: the ends of their windows, shape (count,)."""
    frames = np.arange(first_frame, first_frame + count, dtype=np.int64)
    return np.asarray((frames * hop_length + window_length) / sample_rate, np.float64)


class OnlineAlignment:
    """What :func:`align` does, for frames that come one after the other.

    Equal to it, for any cut of the frames, as long as every embedding is pushed before the frames that it is known
    for. One that comes later is late: frames that were given out do not change, later ones may still get it.

    Parameters
    ----------
    features : int
        D, the size of an embedding.
    max_age_seconds : float
        As there.

    Attributes
    ----------
    features : int
    """

    def __init__(self, features: int, max_age_seconds: float) -> None:
        require(features > 0, "features", "> 0", features)
        require(max_age_seconds > 0, "max_age_seconds", "seconds above 0", max_age_seconds)
        self.features = features
        self._max_age = max_age_seconds
        self._one_thread = OneThread("OnlineAlignment")
        self.reset()

    def push(self, features: npt.ArrayLike, times: npt.ArrayLike) -> None:
        """Take embeddings, shape (N, D), and their times in seconds, shape (N,), none before an earlier one.

        Raises
        ------
        ConfigError
            Another shape, or a time that decreases or is not finite.
        StateError
            If thousands are ahead of the sound, after ``flush``, and from a second thread inside a running call.
        """
        with self._one_thread:
            self._check_open("push")
            rows = np.asarray(features, np.float32)
            moments = np.asarray(times, np.float64)
            fits = rows.ndim == 2 and rows.shape[1] == self.features
            require(fits, "features", f"shape (N, {self.features})", rows.shape)
            require(moments.shape == rows.shape[:1], "times", f"shape ({len(rows)},)", moments.shape)
            for row, moment in zip(rows, moments.tolist(), strict=True):
                self._push(row, moment)

    def _push(self, row: Floats, moment: float) -> None:
        newest = self._waiting[-1][1] if self._waiting else self._time
        in_order = bool(np.isfinite(moment)) and moment >= newest
        require(in_order, "times", f"seconds that do not decrease, {newest} or later", moment)
        if len(self._waiting) >= _MAX_WAITING:
            raise StateError(
                f"push: expected the sound to come along, got {_MAX_WAITING} embeddings ahead of it; "
                "give sound and embeddings in turns"
            )
        self._waiting.append((row.copy(), moment))

    def process(self, frame_times: npt.ArrayLike) -> tuple[Floats, Floats]:
        """Return values (T, D) and presence (T,) of the next frames, whose times in seconds, shape (T,), increase.

        Raises
        ------
        ConfigError
            Another shape, or times that decrease.
        StateError
            After ``flush``, and from a second thread inside a running call.
        """
        with self._one_thread:
            self._check_open("process")
            moments = np.asarray(frame_times, np.float64)
            require(moments.ndim == 1, "frame_times", "shape (T,)", moments.shape)
            rising = bool(np.all(np.diff(moments) >= 0))
            require(rising, "frame_times", "seconds that do not decrease", moments)
            values = np.zeros((len(moments), self.features), np.float32)
            present = np.zeros(len(moments), np.float32)
            for i, moment in enumerate(moments.tolist()):
                self._advance(moment)
                if moment - self._time <= self._max_age + TOLERANCE_SECONDS:
                    values[i], present[i] = self._row, 1.0
            return values, present

    def _advance(self, moment: float) -> None:
        while self._waiting and self._waiting[0][1] <= moment + TOLERANCE_SECONDS:
            self._row, self._time = self._waiting.popleft()

    def flush(self) -> None:
        """End; afterwards only :meth:`reset` is legal."""
        with self._one_thread:
            self._check_open("flush")
            self._finished = True

    def reset(self) -> None:
        """Become equal to a new object."""
        with self._one_thread:
            self._waiting: deque[tuple[Floats, float]] = deque()
            self._row = np.zeros(self.features, np.float32)
            self._time = -np.inf
            self._finished = False

    def _check_open(self, verb: str) -> None:
        if self._finished:
            raise StateError(f"{verb}: expected an alignment that was not flushed; call reset() first")


def extended_frames(log_mel: Floats, sides: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Join log-mel frames, shape (T, n_mels), and the values (T, D) and presence (T,) of each side input.

    Returns
    -------
    ndarray, shape (T, n_mels + sum of (D + 1)), float32
        Bands, then the values and the presence of each side input in turn.
    """
    columns = [log_mel]
    for values, present in sides:
        columns += [values, present[:, np.newaxis]]
    return np.concatenate(columns, axis=1, dtype=np.float32)
