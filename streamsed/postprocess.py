"""From posteriors to events: ensemble fusion, median filter, event decoder, and the chain of them.

The arithmetic is in the compiled core and counts frames; here labels and seconds are added. Slow obvious
versions of the same functions, which the tests compare with, are in :mod:`streamsed.reference`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamsed import _core
from streamsed.config import FrameClock, PostConfig, require

__all__ = [
    "Decision",
    "EventDecoder",
    "OnlineBinaryMedian",
    "OnlineMedianFilter",
    "PostChain",
    "fuse",
    "half_step",
    "median_filter",
    "median_width",
]

FloatArray: TypeAlias = NDArray[np.float32]
EdgeMode = Literal["reflect", "nearest", "mirror", "constant", "wrap"]
DecisionKind = Literal["onset", "retract", "event"]

# A decision of the core: the fields of Decision with numbers for kind and label and frames for seconds.
_Row: TypeAlias = tuple[int, int, int, int, int, float, float, bool, bool, int]

_KINDS: tuple[DecisionKind, ...] = ("onset", "retract", "event")

OnlineMedianFilter = _core.OnlineMedianFilter
OnlineBinaryMedian = _core.OnlineBinaryMedian


@dataclass(frozen=True, slots=True)
class Decision:
    """What the decoder says about one sound event.

    Attributes
    ----------
    kind : {"onset", "retract", "event"}
        An announcement that an event seems to have begun, that it came to nothing, or the finished event.
        Every onset is followed by exactly one retract or event of the same ``number``.
    number : int
        Counts from 1 in the order of announcement; unique within one decoder until reset.
    label : str
        The class.
    onset : float
        Seconds; of an "onset" or "retract" the provisional one.
    offset : float or None
        Seconds; None unless ``kind`` is "event".
    confidence : float
        Mean smoothed posterior over the event's frames; of an "onset" the posterior of the frame that caused
        it; of a "retract" 0.
    uncertainty : float
        Mean normalised binary entropy (bits) of the same frames, in [0, 1].
    spans_gap : bool
        The event goes on over lost audio.
    truncated : bool
        Its end was not heard: audio was lost while it was going on.
    decided_frame : int
        Newest posterior frame taken in when this was decided (lost frames counted).
    """

    kind: DecisionKind
    number: int
    label: str
    onset: float
    offset: float | None
    confidence: float
    uncertainty: float
    spans_gap: bool
    truncated: bool
    decided_frame: int


def median_width(seconds: float, clock: FrameClock, max_seconds: float = math.inf) -> int:
    """Odd count of posterior frames nearest to ``seconds``, at most ``max_seconds`` but at least 1."""
    # An even count goes up. The tiny excess keeps whole numbers of frames from losing one to rounding.
    width = 2 * math.floor(seconds / clock.frame_seconds / 2.0 + 1e-6) + 1
    if math.isinf(max_seconds):
        return width
    cap = math.floor(max_seconds / clock.frame_seconds + 1e-6)
    return max(1, min(width, cap if cap % 2 == 1 else cap - 1))


def half_step(seconds: float, clock: FrameClock, max_seconds: float = math.inf) -> int:
    """Half the length of a step filter in posterior frames: nearest, at most ``max_seconds`` but at least 1."""
    half = max(1, clock.frames(seconds / 2))
    if math.isinf(max_seconds):
        return half
    return max(1, min(half, math.floor(max_seconds / 2 / clock.frame_seconds + 1e-6)))


def median_filter(
    posteriors: NDArray[np.floating[Any]],
    widths: int | Sequence[int],
    mode: EdgeMode = "reflect",
    cval: float = 0.0,
) -> FloatArray:
    """Running median along time.

    Parameters
    ----------
    posteriors : ndarray, shape (T, K)
        float32 (float64 is converted); NaN is an error.
    widths : int or sequence of int
        Odd window length in frames, one for all classes or K of them; 1 leaves a class as it is.
    mode : {"reflect", "nearest", "mirror", "constant", "wrap"}
        Continuation at both ends, as in :func:`scipy.ndimage.median_filter`. "wrap" is offline only.
    cval : float
        Value outside for "constant".

    Returns
    -------
    ndarray, shape (T, K), float32
        The same values as ``scipy.ndimage.median_filter(posteriors[:, k], widths[k], mode=mode, cval=cval)``.

    Raises
    ------
    ConfigError
        Wrong shape or dtype, NaN, an even width, an unknown mode.
    """
    array = np.asarray(posteriors)
    require(array.ndim == 2, "posteriors", "an array (T, K)", array.shape)
    n_classes = array.shape[1]
    require(n_classes >= 1, "posteriors", "at least one class", array.shape)
    per_class = _widths(widths, n_classes)
    if mode != "wrap":
        return _core.median_filter(array, per_class, mode, cval)
    look_ahead = max(per_class) // 2
    if look_ahead == 0 or len(array) == 0:
        return _core.median_filter(array, per_class, "nearest", 0.0)
    padded = np.pad(array, ((look_ahead, look_ahead), (0, 0)), mode="wrap")
    return _core.median_filter(padded, per_class, "nearest", 0.0)[look_ahead:-look_ahead].copy()


def fuse(
    posteriors: NDArray[np.floating[Any]],
    confidences: NDArray[np.floating[Any]] | None = None,
    weights: Sequence[float] | NDArray[np.floating[Any]] | None = None,
    out: FloatArray | None = None,
) -> FloatArray:
    """Confidence-weighted mean of an ensemble, frame by frame: s = Σ w_m c_m F_m / Σ w_m c_m.

    Parameters
    ----------
    posteriors : ndarray, shape (M, T, K)
        Outputs of M models.
    confidences : ndarray, shape (M, T), optional
        How much each model trusts each frame, 0 or more; None means 1 everywhere.
    weights : array_like, shape (M,), optional
        Fixed weight of each model, 0 or more and not all 0; None means 1.
    out : ndarray, shape (T, K), float32, optional
        Where to put the result, for those who call this often with large arrays: fresh memory has to be cleared
        by the system first, which can take as long as the fusion.

    Returns
    -------
    ndarray, shape (T, K), float32
        ``out`` or a fresh array. Where Σ w_m c_m < 1e-6 nobody is sure: the mean weighted by w alone.

    Raises
    ------
    ConfigError
        Shapes that do not fit, a negative weight or confidence, NaN or Inf.
    """
    return _core.fuse(
        np.asarray(posteriors),
        None if confidences is None else np.asarray(confidences),
        None if weights is None else np.asarray(weights, dtype=np.float32),
        out,
    )


class EventDecoder:
    """Smoothed posteriors in, events out, each class by its ``method``.

    Hysteresis: an event is a run of frames at or above ``threshold_off`` that reaches ``threshold_on``, from its
    first frame on: the double threshold, in both directions. Pauses are bridged if ``threshold_on`` is reached again
    after at most ``min_gap``; else the next event begins after that time at the earliest.

    Change: the posterior is cut into segments of constant level, and those whose mean is at least
    ``threshold_on`` are events: sound event bounding boxes. A segment ends where the mean over the half
    step behind a boundary and its own mean differ by ``merge_absolute`` and by the factor ``merge_relative``;
    the cut lies at the extremum of the step filter (the difference of the means over the half steps on both
    sides) within half a step from there. Which segments are merged is thus decided on the way, not in the
    order of their differences in the whole recording, so that every cut is known a step length later.

    Then events shorter than ``min_duration`` are dropped. Every event is announced ("onset") when
    ``threshold_on`` is reached, with the time where its run began, and closed by one "event" or "retract", as
    soon as its end can no longer change.

    Parameters
    ----------
    labels : sequence of str
        K class names, the columns.
    clock : FrameClock
        Turns posterior frames into seconds.
    post : PostConfig
        Thresholds and durations by label; ``median_seconds`` is not used here.
    """

    def __init__(self, labels: Sequence[str], clock: FrameClock, post: PostConfig) -> None:
        self._face = _Face(labels, clock)
        settings = _decoder_settings(labels, clock, post, math.inf, math.inf)
        self._core = _core.EventDecoder(*settings)

    @property
    def latency_frames(self) -> int:
        """Posterior frames that a crossing of the threshold waits for: none."""
        return 0

    def process(self, smoothed: NDArray[np.floating[Any]]) -> list[Decision]:
        """Take posteriors (T, K) in and return what they decided."""
        return self._face.decisions(self._core.process(smoothed))

    def gap(self, frames: int) -> list[Decision]:
        """Account for ``frames`` lost posterior frames.

        An active class whose ``min_gap`` covers the gap goes on (``spans_gap`` once it is heard again);
        otherwise its event ends where the gap begins (``truncated``), and a class that is cut into segments
        begins anew, with silence before.
        """
        return self._face.decisions(self._core.gap(frames))

    def flush(self) -> list[Decision]:
        """Close everything that is open; afterwards only :meth:`reset` is legal."""
        return self._face.decisions(self._core.flush())

    def reset(self) -> None:
        """Become equal to a new object."""
        self._core.reset()


class PostChain:
    """Median filter and decoder composed, with announcements that do not wait for them.

    An onset is announced when the fused posterior itself reaches ``threshold_on`` while its class is idle, with
    the time where its run at or above ``threshold_off`` began. It becomes an event when the smoothed posterior
    follows, which also gives the event's onset. It is
    retracted when the smoothed posterior has not followed by the newest frame at or above ``threshold_on``,
    or by the last frame whose window holds the announcing one: at most ``latency_frames`` plus half the
    class's median later. Of a class that is cut into segments, an announcement is retracted when its segment
    ends with too low a mean, or when the mean is too low and ``threshold_on`` was last reached a step length
    before the newest frame that is smoothed to half a median.

    Parameters
    ----------
    labels : sequence of str
        K class names, the columns.
    clock : FrameClock
        Turns posterior frames into seconds.
    post : PostConfig
        Post-processing by label.
    max_median_seconds, max_min_gap, max_step_seconds : float
        Caps in seconds (see :class:`streamsed.config.LatencyProfile`).
    """

    def __init__(
        self,
        labels: Sequence[str],
        clock: FrameClock,
        post: PostConfig,
        max_median_seconds: float = math.inf,
        max_min_gap: float = math.inf,
        max_step_seconds: float = math.inf,
    ) -> None:
        self._face = _Face(labels, clock)
        widths = [
            median_width(post.for_label(label).median_seconds, clock, max_median_seconds) for label in labels
        ]
        settings = _decoder_settings(labels, clock, post, max_min_gap, max_step_seconds)
        self._core = _core.PostChain(widths, *settings)
        self.widths: tuple[int, ...] = tuple(widths)
        waits = (2 * half or gap + 1 for gap, half in zip(settings[3], settings[4], strict=True))
        self.final_latency_frames: int = self._core.latency_frames + max(waits)

    @property
    def latency_frames(self) -> int:
        """Posterior frames that a smoothed frame waits for; provisional onsets wait for none."""
        return int(self._core.latency_frames)

    def process(self, fused: NDArray[np.floating[Any]]) -> list[Decision]:
        """Take fused posteriors (T, K) in and return what they decided."""
        return self._face.decisions(self._core.process(fused))

    def process_members(
        self,
        posteriors: NDArray[np.floating[Any]],
        confidences: NDArray[np.floating[Any]] | None = None,
        weights: Sequence[float] | NDArray[np.floating[Any]] | None = None,
    ) -> list[Decision]:
        """Fuse, smooth and decide in one pass: ``process(fuse(posteriors, confidences, weights))``."""
        return self._face.decisions(
            self._core.process_members(
                np.asarray(posteriors),
                None if confidences is None else np.asarray(confidences),
                None if weights is None else np.asarray(weights, dtype=np.float32),
            )
        )

    def gap(self, frames: int) -> list[Decision]:
        """Account for ``frames`` lost posterior frames: nothing is smoothed across them.

        What the median still holds is decided first, as at the end of a recording, and announcements that it
        does not confirm are retracted; then see :meth:`EventDecoder.gap`.
        """
        return self._face.decisions(self._core.gap(frames))

    def flush(self) -> list[Decision]:
        """Decide what the median holds and close everything; afterwards only :meth:`reset` is legal."""
        return self._face.decisions(self._core.flush())

    def reset(self) -> None:
        """Become equal to a new object."""
        self._core.reset()


class _Face:
    """Labels and seconds for the core's class and frame numbers."""

    def __init__(self, labels: Sequence[str], clock: FrameClock) -> None:
        require(len(labels) >= 1, "labels", "at least one label", list(labels))
        require(len(set(labels)) == len(labels), "labels", "different names", list(labels))
        self._labels = tuple(labels)
        self._clock = clock

    def decisions(self, rows: Iterable[_Row]) -> list[Decision]:
        seconds = self._clock.seconds
        return [
            Decision(
                kind=_KINDS[kind],
                number=number,
                label=self._labels[class_index],
                onset=seconds(onset),
                offset=seconds(offset) if _KINDS[kind] == "event" else None,
                confidence=confidence,
                uncertainty=uncertainty,
                spans_gap=spans_gap,
                truncated=truncated,
                decided_frame=decided,
            )
            for (
                kind,
                number,
                class_index,
                onset,
                offset,
                confidence,
                uncertainty,
                spans_gap,
                truncated,
                decided,
            ) in rows
        ]


def _widths(widths: int | Sequence[int], n_classes: int) -> list[int]:
    if isinstance(widths, (int, np.integer)):
        return [int(widths)] * n_classes
    require(len(widths) == n_classes, "widths", f"one or {n_classes} odd frame counts", list(widths))
    return [int(width) for width in widths]


def _decoder_settings(
    labels: Sequence[str], clock: FrameClock, post: PostConfig, max_min_gap: float, max_step_seconds: float
) -> tuple[list[float], list[float], list[int], list[int], list[int], list[float], list[float]]:
    unknown = sorted(set(post.labels) - set(labels))
    require(not unknown, "post.labels", f"keys among {list(labels)}", unknown)
    settings = [post.for_label(label) for label in labels]
    cap = None if math.isinf(max_min_gap) else math.floor(max_min_gap / clock.frame_seconds + 1e-6)
    gaps = [clock.frames(item.min_gap) for item in settings]
    return (
        [float(item.threshold_on) for item in settings],
        [float(item.threshold_on if item.threshold_off is None else item.threshold_off) for item in settings],
        [clock.frames(item.min_duration) for item in settings],
        gaps if cap is None else [min(frames, cap) for frames in gaps],
        [
            half_step(item.step_seconds, clock, max_step_seconds) if item.method == "change" else 0
            for item in settings
        ],
        [float(item.merge_absolute) for item in settings],
        [float(item.merge_relative) for item in settings],
    )
