"""Slow obvious implementations that the compiled core is tested against, written from the definitions.

Nothing at run time uses them.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamsed.config import CycleDecoderConfig

Floats: TypeAlias = NDArray[np.floating[Any]]

# numpy.pad's names of the continuations that scipy.ndimage calls so.
_PAD_MODES: dict[str, Literal["symmetric", "reflect", "edge", "constant", "wrap"]] = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "constant": "constant",
    "wrap": "wrap",
}


def median_filter(
    posteriors: Floats, widths: Sequence[int], mode: str = "reflect", cval: float = 0.0
) -> NDArray[np.float32]:
    """Sort every window of every class and take the middle.

    Parameters
    ----------
    posteriors : ndarray, shape (T, K)
        Any T, also shorter than a window: the continuation then repeats itself.
    widths : sequence of int
        K odd window lengths in frames.
    mode, cval
        Continuation, named as in :func:`scipy.ndimage.median_filter`.

    Returns
    -------
    ndarray, shape (T, K), float32
    """
    out = np.empty(posteriors.shape, dtype=np.float32)
    if len(posteriors) == 0:
        return out
    for k, width in enumerate(widths):
        half = width // 2
        column = np.asarray(posteriors[:, k], dtype=np.float32)
        if mode == "constant":
            padded = np.pad(column, half, mode="constant", constant_values=np.float32(cval))
        else:
            padded = np.pad(column, half, mode=_PAD_MODES[mode])
        for t in range(len(column)):
            out[t, k] = sorted(padded[t : t + width])[half]
    return out


def binary_median_decided(active: NDArray[np.bool_], width: int, mode: str = "reflect") -> list[int]:
    """For each frame of one class: after how many input frames its median is certain, whatever follows.

    Tries all frames, and both an all-0 and an all-1 future of the rest of the window.

    Parameters
    ----------
    active : ndarray, shape (T,), bool
    width : int
        Odd window length in frames.
    mode : {"reflect", "mirror", "nearest"}
        Continuation at the start.

    Returns
    -------
    list of int
        T counts; T + 1 where only the end of the sequence decides.
    """
    decided = []
    for t in range(len(active)):
        when = len(active) + 1
        for n in range(t + 1, len(active) + 1):
            outcomes = set()
            for future in (False, True):
                guess = np.concatenate([active[:n], np.full(2 * width, future)])[:, None]
                outcomes.add(median_filter(guess.astype(np.float32), [width], mode)[t, 0])
            if len(outcomes) == 1:
                when = n
                break
        decided.append(when)
    return decided


def fuse(
    posteriors: Floats, confidences: Floats | None = None, weights: Sequence[float] | None = None
) -> NDArray[np.float64]:
    """Σ w_m c_m F_m / Σ w_m c_m per frame; Σ w_m F_m / Σ w_m where Σ w_m c_m < 1e-6.

    Parameters
    ----------
    posteriors : ndarray, shape (M, T, K)
    confidences : ndarray, shape (M, T), optional
    weights : sequence of float, length M, optional

    Returns
    -------
    ndarray, shape (T, K), float64
    """
    members, frames, classes = posteriors.shape
    w = np.ones(members) if weights is None else np.asarray(weights, dtype=np.float64)
    out = np.empty((frames, classes))
    for t in range(frames):
        share = w if confidences is None else w * np.asarray(confidences[:, t], dtype=np.float64)
        if share.sum() < 1e-6:
            share = w
        out[t] = sum(share[m] * posteriors[m, t].astype(np.float64) for m in range(members)) / share.sum()
    return out


@dataclass(frozen=True)
class ReferenceEvent:
    """One event of one class in frames; fields as in :class:`streamsed.postprocess.Decision`."""

    onset: int
    offset: int
    confidence: float
    uncertainty: float
    spans_gap: bool
    truncated: bool


def _entropy_bits(p: float) -> float:
    return 0.0 if p <= 0.0 or p >= 1.0 else float(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)))


def decode(
    smoothed: Floats, threshold_on: float, threshold_off: float, min_duration: int, min_gap: int
) -> list[ReferenceEvent]:
    """Events of one class from its whole smoothed posterior, NaN marking lost frames.

    Active frames by hysteresis, which a loss longer than ``min_gap`` resets; then frames closer than
    ``min_gap`` joined; then each event extended backwards over the frames not below ``threshold_off`` that
    follow a loss and the pause of the event before; then events shorter than ``min_duration`` dropped. All in frames.

    Parameters
    ----------
    smoothed : ndarray, shape (T,)
    threshold_on, threshold_off : float
        Compared in float32, as the core does.
    min_duration, min_gap : int

    Returns
    -------
    list of ReferenceEvent
        In order of onset.
    """
    values = np.asarray(smoothed, dtype=np.float32)
    lost = np.isnan(values)
    on, off = np.float32(threshold_on), np.float32(threshold_off)

    active: list[int] = []
    state = False
    lost_run = 0
    for t, value in enumerate(values):
        if lost[t]:
            lost_run += 1
            state = state and lost_run <= min_gap
            continue
        lost_run = 0
        state = bool(value >= (off if state else on))
        if state:
            active.append(t)

    groups: list[list[int]] = []
    for t in active:
        if groups and t - groups[-1][-1] - 1 <= min_gap:
            groups[-1].append(t)
        else:
            groups.append([t])

    events = []
    earliest = 0
    for group in groups:
        onset, offset = group[0], group[-1] + 1
        while onset > earliest and values[onset - 1] >= off:
            onset -= 1
        earliest = offset + min_gap + 1
        if offset - onset < min_duration:
            continue
        heard = [float(value) for value in values[onset:offset] if not np.isnan(value)]
        events.append(
            ReferenceEvent(
                onset=onset,
                offset=offset,
                confidence=sum(heard) / len(heard),
                uncertainty=sum(_entropy_bits(value) for value in heard) / len(heard),
                spans_gap=bool(lost[onset:offset].any()),
                truncated=bool(offset < len(values) and lost[offset]),
            )
        )
    return events


@dataclass(frozen=True)
class Segment:
    """Rows [start, stop) of a stretch of posteriors with one level, their mean."""

    start: int
    stop: int
    mean: float


_POSTERIOR_STEPS = 2**24


def change_segments(
    posteriors: Floats, half: int, merge_absolute: float, merge_relative: float
) -> list[Segment]:
    """Cut a stretch of one class's posteriors where its level changes; the segments cover it.

    Boundaries t = 0, 1, ... are judged in turn, silence before and behind the stretch. The level behind t is
    the mean over [t, t + half). The level before it is the mean from the last cut to t, but over ``half`` rows
    at least; before the first cut it begins ``half`` rows of silence early. Where the two differ by
    ``merge_absolute`` and by the factor ``merge_relative``, there is a cut at the first extremum in
    [t, t + half] of delta(s) = mean over [s, s + half) - mean over [s - half, s): a maximum if the level rises,
    a minimum if it falls (Ebbers et al., Sound Event Bounding Boxes, Interspeech 2024, who merge the segments
    between all extrema afterwards). The next boundary to be judged is the one after the cut.

    Parameters
    ----------
    posteriors : ndarray, shape (T,)
        Clamped to [0, 1] and rounded to steps of 2^-24.
    half : int
        Rows of half the step filter.
    merge_absolute, merge_relative : float

    Returns
    -------
    list of Segment
    """
    rows = len(posteriors)
    clamped = np.clip(np.asarray(posteriors, dtype=np.float32), 0, 1).astype(np.float64)
    units = (int(value) for value in np.rint(clamped * _POSTERIOR_STEPS))
    sums = [0, *itertools.accumulate(units)]

    def total(start: int, stop: int) -> int:
        return sums[max(0, min(stop, rows))] - sums[max(0, min(start, rows))]

    cuts = []
    start, judged = -half, 0
    while judged <= rows:
        end = max(judged, start + half)
        before = total(start, end) / (end - start)
        behind = total(judged, judged + half) / half
        high, low = max(before, behind), min(before, behind)
        if high - low < merge_absolute * _POSTERIOR_STEPS or high < merge_relative * low:
            judged += 1
            continue
        places = range(judged, min(judged + half, rows) + 1)
        delta = [total(s, s + half) - total(s - half, s) for s in places]
        if behind < before:
            delta = [-value for value in delta]
        start = places[delta.index(max(delta))]
        judged = start + 1
        cuts.append(start)
    bounds = sorted({0, *cuts, rows})
    return [
        Segment(first, last, total(first, last) / (_POSTERIOR_STEPS * (last - first)))
        for first, last in itertools.pairwise(bounds)
    ]


def decode_changes(
    smoothed: Floats,
    threshold: float,
    half: int,
    merge_absolute: float,
    merge_relative: float,
    min_duration: int,
    min_gap: int,
) -> list[ReferenceEvent]:
    """Events of one class as segments of its whole smoothed posterior, NaN marking lost frames.

    Stretches between losses longer than ``min_gap`` are cut by themselves, shorter losses left out of them;
    segments with a mean of at least ``threshold`` that are not shorter than ``min_duration`` are events.

    Returns
    -------
    list of ReferenceEvent
        In order of onset.
    """
    heard = [int(t) for t in np.flatnonzero(~np.isnan(smoothed))]
    stretches: list[list[int]] = []
    for t in heard:
        if stretches and t - stretches[-1][-1] - 1 <= min_gap:
            stretches[-1].append(t)
        else:
            stretches.append([t])
    least = round(float(np.float32(threshold)) * _POSTERIOR_STEPS) / _POSTERIOR_STEPS
    events = []
    for frames in stretches:
        values = smoothed[frames]
        for segment in change_segments(values, half, merge_absolute, merge_relative):
            onset, offset = frames[segment.start], frames[segment.stop - 1] + 1
            if segment.mean < least or offset - onset < min_duration:
                continue
            inside = [_entropy_bits(float(value)) for value in values[segment.start : segment.stop]]
            events.append(
                ReferenceEvent(
                    onset=onset,
                    offset=offset,
                    confidence=segment.mean,
                    uncertainty=sum(inside) / len(inside),
                    spans_gap=bool(np.isnan(smoothed[onset:offset]).any()),
                    truncated=bool(offset < len(smoothed) and np.isnan(smoothed[offset])),
                )
            )
    return events


def smooth_between_losses(posteriors: Floats, widths: Sequence[int]) -> NDArray[np.float32]:
    """Median filter of each stretch of heard frames by itself (edge mode "reflect"); lost rows are NaN."""
    lost = [bool(np.isnan(row).any()) for row in posteriors]
    out = np.full(posteriors.shape, np.nan, dtype=np.float32)
    start = 0
    for t in range(len(posteriors) + 1):
        if t == len(posteriors) or lost[t]:
            out[start:t] = median_filter(posteriors[start:t], widths)
            start = t + 1
    return out


def cycle_boundaries(
    posteriors: Floats, config: CycleDecoderConfig, frame_seconds: float
) -> list[tuple[int, float, bool]]:
    """Boundaries of respiratory cycles as :class:`streamsed.segmentation.CycleDecoder` defines them.

    Looks at all frames of an open cycle anew for every frame that could end it.

    Parameters
    ----------
    posteriors : ndarray, shape (T,)
    config : CycleDecoderConfig
    frame_seconds : float

    Returns
    -------
    list of (int, float, bool)
        Frame, posterior there, and whether it is there by force.
    """
    wait = round(config.wait_seconds / frame_seconds)
    shortest = max(wait + 1, math.ceil(config.min_seconds / frame_seconds - 1e-9))
    longest = max(shortest, math.floor(config.max_seconds / frame_seconds + 1e-9))
    found: list[tuple[int, float, bool]] = []
    durations: list[float] = []
    since = 0
    while True:
        last = durations[max(0, len(durations) - config.history) :] if config.history else []
        period = statistics.median([*last, config.period_seconds])
        evidence = {
            t: _boundary_evidence(float(posteriors[t]), (t - since) * frame_seconds, period, config)
            for t in range(since + shortest, min(since + longest + 1, len(posteriors)))
        }
        above = {t: value for t, value in evidence.items() if value > 0}
        frame = None
        for t in above:
            best_so_far = all(above[t] > above[before] for before in above if before < t)
            heard = t + wait < len(posteriors) or since + longest < len(posteriors)
            if heard and best_so_far and all(above[t] >= above[u] for u in above if t < u <= t + wait):
                frame = t
                break
        if frame is None and above:
            frame = max(above, key=lambda t: above[t])
        if frame is not None:
            durations.append((frame - since) * frame_seconds)
            found.append((frame, float(posteriors[frame]), False))
        elif since + longest < len(posteriors):
            frame = since + longest
            found.append((frame, float(posteriors[frame]), True))
        else:
            return found
        since = frame


def _boundary_evidence(posterior: float, duration: float, period: float, config: CycleDecoderConfig) -> float:
    def logit(value: float) -> float:
        inside = min(max(value, 1e-4), 1 - 1e-4)
        return math.log(inside / (1 - inside))

    def log_hazard(z: float) -> float:
        if z < 3:
            return -0.5 * z * z - math.log(math.erfc(z / math.sqrt(2)) / 2)
        # Density over survival as a continued fraction (Laplace).
        fraction = z
        for k in range(200, 0, -1):
            fraction = z + k / fraction
        return math.log(fraction) + 0.5 * math.log(2 * math.pi)

    hazard = log_hazard(math.log(duration / period) / config.spread) - log_hazard(0.0)
    return logit(posterior) - logit(config.threshold) + config.prior_weight * hazard
