"""Confidence intervals by drawing recordings with replacement."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamsed.config import require

Recording = TypeVar("Recording")


@dataclass(frozen=True)
class Interval:
    """A figure and the interval around it.

    Attributes
    ----------
    value : float
        Of the recordings as they are.
    low, high : float
        Percentiles (1 - level) / 2 and (1 + level) / 2 of the resampled values; NaN if none is defined.
    level : float
        In (0, 1).
    resamples : int
        How many were drawn.
    undefined : int
        In how many of them the figure is NaN (a label that happens not to occur); they are left out.
    """

    value: float
    low: float
    high: float
    level: float
    resamples: int
    undefined: int


def bootstrap_interval(
    recordings: Sequence[Recording],
    statistic: Callable[[list[Recording]], float],
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Estimate how far a figure would vary with other recordings of the same kind.

    Percentile interval of the bootstrap (Efron, "Bootstrap methods: another look at the jackknife", Annals of
    Statistics 7, 1979). Whole recordings are drawn, as the frames and events of one depend on each other.

    Parameters
    ----------
    recordings : sequence of N items
        What each recording contributes, whatever ``statistic`` understands: counts, or arrays of frames.
    statistic : callable
        Takes a list of N of them, some more than once, and returns the figure or NaN.
    resamples : int
        How many times N recordings are drawn; 1000 and more for a 95 % interval.
    level : float
        Probability that the interval is to cover, in (0, 1).
    seed : int
        The same seed draws the same recordings, for every statistic: differences of two systems can be
        bootstrapped in pairs.

    Returns
    -------
    Interval

    Raises
    ------
    ConfigError
        If there is no recording or a parameter is out of range.
    """
    draws = drawn_recordings(len(recordings), resamples, seed)
    values = np.array([statistic([recordings[i] for i in draw]) for draw in draws], np.float64)
    return percentile_interval(float(statistic(list(recordings))), values, level)


def drawn_recordings(n_recordings: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return which recordings are drawn, shape (resamples, n_recordings)."""
    require(n_recordings > 0, "recordings", "at least one", n_recordings)
    require(resamples >= 1, "resamples", ">= 1", resamples)
    return np.random.default_rng(seed).integers(0, n_recordings, (resamples, n_recordings))


def times_drawn(n_recordings: int, resamples: int, seed: int) -> NDArray[np.int64]:
    """Return how often each recording is drawn, shape (resamples, n_recordings)."""
    draws = drawn_recordings(n_recordings, resamples, seed)
    counts: NDArray[np.int64] = np.apply_along_axis(np.bincount, 1, draws, minlength=n_recordings)
    return counts


def times_drawn_by_group(groups: Sequence[str], resamples: int, seed: int) -> NDArray[np.int64]:
    """Return how often each recording is drawn where groups are drawn whole, shape (resamples, n_recordings)."""
    names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return times_drawn(len(names), resamples, seed)[:, group]


def percentile_interval(value: float, resampled: ArrayLike, level: float) -> Interval:
    """Return the interval of values that were computed from resampled recordings."""
    require(0 < level < 1, "level", "in (0, 1)", level)
    values: NDArray[Any] = np.asarray(resampled, np.float64)
    defined = values[~np.isnan(values)]
    low, high = math.nan, math.nan
    if defined.size:
        low, high = (float(edge) for edge in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    return Interval(value, low, high, level, int(values.size), int(values.size - defined.size))
