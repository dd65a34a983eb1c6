"""Events from posteriors, and F1 of them with bootstrap intervals by scene."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from streamsed.config import ClassPost, FrameClock, PostConfig
from streamsed.metrics import Interval, RecordingCounts, bootstrap_interval
from streamsed.postprocess import PostChain
from training.decoding import decode
from training.labelled import Events

Counts = npt.NDArray[np.int64]
Average = Callable[[Counts], float]


def events_of(
    posteriors: npt.NDArray[np.float32],
    labels: Sequence[str],
    clock: FrameClock,
    *,
    median_frames: int = 1,
    threshold: float = 0.5,
) -> dict[str, Events]:
    """Median filter and threshold, by the chain that ships.

    Parameters
    ----------
    posteriors : ndarray, shape (N, T', K)
    labels : sequence of str
        The K columns.
    clock : FrameClock
    median_frames : int
        Odd length of the median; 1: none.
    threshold : float

    Returns
    -------
    dict of str to list of (onset, offset, label)
        Seconds, by the scene's number.
    """
    post = ClassPost(
        threshold_on=threshold,
        threshold_off=threshold,
        median_seconds=median_frames * clock.frame_seconds,
        min_duration=0.0,
        min_gap=0.0,
    )
    chain = PostChain(labels, clock, PostConfig(default=post))
    return {str(number): decode(chain, scene) for number, scene in enumerate(posteriors)}


def stacked(counts: RecordingCounts) -> Counts:
    """Return true positives, reference and estimated of each scene, shape (N, 3, K)."""
    return np.stack([counts.true_positives, counts.reference, counts.estimated], axis=1)


def micro_f1(total: Counts) -> float:
    """F1 of all labels together of counts (3, K); NaN where nothing was and nothing was said to be."""
    matched, expected, produced = total.sum(axis=1)
    return 2 * matched / (expected + produced) if expected + produced else math.nan


def macro_f1(total: Counts) -> float:
    """Mean F1 of the labels that occur, of counts (3, K); one that is never found has 0."""
    matched, expected, produced = total[:, total[1] > 0]
    return float(np.mean(2 * matched / (expected + produced))) if matched.size else math.nan


def mean_f1(members: Sequence[Counts], average: Average, resamples: int) -> Interval:
    """Mean over members of an F1, with its interval by scene; ``members`` are counts (N, 3, K)."""

    def statistic(scenes: list[int]) -> float:
        return _mean(members, average, scenes)

    return bootstrap_interval(range(len(members[0])), statistic, resamples=resamples)


def f1_difference(first: Counts, second: Counts, average: Average, resamples: int) -> Interval:
    """What the first has more than the second, both on the same scenes, counts (N, 3, K)."""
    return mean_f1_difference([first], [second], average, resamples)


def mean_f1_difference(
    first: Sequence[Counts], second: Sequence[Counts], average: Average, resamples: int
) -> Interval:
    """What the members of the first have more on average than those of the second, all on the same scenes."""

    def statistic(scenes: list[int]) -> float:
        return _mean(first, average, scenes) - _mean(second, average, scenes)

    return bootstrap_interval(range(len(first[0])), statistic, resamples=resamples)


def _mean(members: Sequence[Counts], average: Average, scenes: list[int]) -> float:
    return float(np.mean([average(counts[scenes].sum(axis=0)) for counts in members]))


def mean_std(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation of a sample."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
