"""How well respiratory cycles are found: F1 by overlap, boundaries, over- and under-segmentation, rate."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from streamsed._metrics.bootstrap import Interval, percentile_interval, times_drawn_by_group
from streamsed.config import require

CycleTimes: TypeAlias = Sequence[tuple[float, float]]

# Times are written in milliseconds: neighbours may overlap by the rounding.
_ROUNDING = 2e-3


@dataclass(frozen=True)
class CycleScores:
    """Scores of segmentation over all recordings together; NaN where nothing is there to divide by.

    Attributes
    ----------
    f1, precision, recall : float
        Of cycles matched one to one with an intersection over union of ``iou`` or more.
    over_segmentation : float
        Share of the true cycles that hold two or more estimated ones, each by more than half of its own length.
    under_segmentation : float
        Share of the estimated cycles that hold two or more true ones, likewise.
    boundary_median, boundary_mean : float
        Of the absolute difference, in seconds, between boundaries of matched cycles. A boundary that two matched
        cycles share on both sides counts once.
    boundary_bias : float
        Mean of estimated minus true, in seconds: positive if estimates are late.
    rate_error, rate_bias : float
        Mean absolute and mean signed difference of the respiratory rate in breaths per minute, over recordings that
        have cycles on both sides. The rate of a recording is 60 s over the median duration of its cycles.
    without_rate : int
        Recordings with true cycles and no estimated one.
    reference, estimated, matched : int
        Counts of cycles.
    """

    f1: float
    precision: float
    recall: float
    over_segmentation: float
    under_segmentation: float
    boundary_median: float
    boundary_mean: float
    boundary_bias: float
    rate_error: float
    rate_bias: float
    without_rate: int
    reference: int
    estimated: int
    matched: int


@dataclass(frozen=True)
class CycleIntervals:
    """Bootstrap intervals of :class:`CycleScores`."""

    f1: Interval
    over_segmentation: Interval
    under_segmentation: Interval
    boundary_mean: Interval
    rate_error: Interval


@dataclass(frozen=True)
class CycleCounts:
    """What was counted in each of F recordings.

    Attributes
    ----------
    recordings, groups : tuple of str
        Names, and what is drawn as a whole by the bootstrap: patients.
    reference, estimated, matched, over_segmented, under_segmented : ndarray, shape (F,), int64
    boundary_errors : tuple of ndarray
        Estimated minus true in seconds, of each recording.
    reference_rate, estimated_rate : ndarray, shape (F,)
        In breaths per minute; NaN without cycles.
    iou : float
    """

    recordings: tuple[str, ...]
    groups: tuple[str, ...]
    reference: NDArray[np.int64]
    estimated: NDArray[np.int64]
    matched: NDArray[np.int64]
    over_segmented: NDArray[np.int64]
    under_segmented: NDArray[np.int64]
    boundary_errors: tuple[NDArray[np.float64], ...]
    reference_rate: NDArray[np.float64]
    estimated_rate: NDArray[np.float64]
    iou: float

    def scores(self) -> CycleScores:
        """Return the scores of all recordings together."""
        sums = self._sums().sum(axis=0)
        matched, expected, produced = (int(count) for count in sums[:3])
        f1, over, under, boundary_mean, rate_error = (float(value) for value in _ratios(sums))
        errors = np.concatenate([*self.boundary_errors, np.empty(0)])
        difference = self.estimated_rate - self.reference_rate
        difference = difference[~np.isnan(difference)]
        return CycleScores(
            f1=f1,
            precision=_share(matched, produced),
            recall=_share(matched, expected),
            over_segmentation=over,
            under_segmentation=under,
            boundary_median=float(np.median(np.abs(errors))) if errors.size else math.nan,
            boundary_mean=boundary_mean,
            boundary_bias=float(errors.mean()) if errors.size else math.nan,
            rate_error=rate_error,
            rate_bias=float(difference.mean()) if difference.size else math.nan,
            without_rate=int(((self.reference > 0) & (self.estimated == 0)).sum()),
            reference=expected,
            estimated=produced,
            matched=matched,
        )

    def intervals(self, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> CycleIntervals:
        """Return bootstrap intervals by group, see :func:`bootstrap_interval`.

        Raises
        ------
        ConfigError
            If there is no recording or a parameter is out of range.
        """
        sums = self._sums()
        drawn = times_drawn_by_group(self.groups, resamples, seed) @ sums
        values = _ratios(sums.sum(axis=0))
        found = (
            percentile_interval(float(value), resampled, level)
            for value, resampled in zip(values, _ratios(drawn), strict=True)
        )
        return CycleIntervals(*found)

    def _sums(self) -> NDArray[np.float64]:
        """Return what adds up over recordings, shape (F, 9), in the order that ``_ratios`` takes."""
        difference = np.abs(self.estimated_rate - self.reference_rate)
        has_rate = ~np.isnan(difference)
        columns = (
            self.matched,
            self.reference,
            self.estimated,
            self.over_segmented,
            self.under_segmented,
            [np.abs(errors).sum() for errors in self.boundary_errors],
            [errors.size for errors in self.boundary_errors],
            np.where(has_rate, difference, 0.0),
            has_rate,
        )
        return np.stack([np.asarray(column, np.float64) for column in columns], axis=-1)


def cycle_counts(
    reference: Mapping[str, CycleTimes],
    estimated: Mapping[str, CycleTimes],
    *,
    iou: float = 0.5,
    groups: Mapping[str, str] | None = None,
) -> CycleCounts:
    """Compare respiratory cycles of recordings.

    Parameters
    ----------
    reference, estimated : mapping of str to sequence of (onset, offset)
        Cycles of each recording in seconds, in order and without overlap. A recording that one side lacks has no
        cycles there.
    iou : float
        Least intersection over union of a match, in (0, 1].
    groups : mapping of str to str, optional
        Patient of each recording, drawn as a whole by the bootstrap. By default each recording is drawn by itself.

    Raises
    ------
    ConfigError
        If ``iou`` is out of range, or cycles are out of order, overlap, or are not positive in length.
    """
    names = tuple(sorted({*reference, *estimated}))
    counts = np.zeros((5, len(names)), np.int64)
    rates = np.full((2, len(names)), np.nan)
    errors = []
    for number, name in enumerate(names):
        true = _times(reference.get(name, ()), f"reference[{name!r}]")
        found = _times(estimated.get(name, ()), f"estimated[{name!r}]")
        pairs = match_cycles(true, found, iou)
        counts[:, number] = len(true), len(found), len(pairs), _split(true, found), _split(found, true)
        errors.append(_boundary_errors(true, found, pairs))
        for side, cycles in enumerate((true, found)):
            if len(cycles):
                rates[side, number] = 60 / float(np.median(cycles[:, 1] - cycles[:, 0]))
    whole = tuple(name if groups is None else groups.get(name, name) for name in names)
    expected, produced, matched, over, under = counts
    return CycleCounts(
        names, whole, expected, produced, matched, over, under, tuple(errors), rates[0], rates[1], iou
    )


def cycle_scores(
    reference: Mapping[str, CycleTimes], estimated: Mapping[str, CycleTimes], *, iou: float = 0.5
) -> CycleScores:
    """Return the scores of :func:`cycle_counts`, which says what the parameters are."""
    return cycle_counts(reference, estimated, iou=iou).scores()


def match_cycles(
    reference: CycleTimes | NDArray[np.float64], estimated: CycleTimes | NDArray[np.float64], iou: float = 0.5
) -> list[tuple[int, int]]:
    """Match cycles of one recording one to one: as many as possible, and of those with the most overlap.

    Cycles of one side do not overlap, so that no two matches can cross: the best matching is the heaviest chain of
    pairs that increase on both sides, found exactly by dynamic programming.

    Parameters
    ----------
    reference, estimated : sequence of (onset, offset)
        In seconds, in order and without overlap.
    iou : float
        Least intersection over union, in (0, 1].

    Returns
    -------
    list of (int, int)
        Numbers of matched cycles on either side, in order.

    Raises
    ------
    ConfigError
        As :func:`cycle_counts`.
    """
    require(0 < iou <= 1, "iou", "in (0, 1]", iou)
    true, found = _times(reference, "reference"), _times(estimated, "estimated")
    if not len(true) or not len(found):
        return []
    # Chains by the estimated cycle that they end with: numbers and weights both increase.
    ends: list[int] = []
    chains: list[_Chain] = []
    for i, (onset, offset) in enumerate(true):
        first = int(np.searchsorted(found[:, 1], onset, side="right"))
        last = int(np.searchsorted(found[:, 0], offset, side="left"))
        grown = []
        for j in range(first, last):
            overlap = min(offset, found[j, 1]) - max(onset, found[j, 0])
            share = overlap / (max(offset, found[j, 1]) - min(onset, found[j, 0]))
            if share >= iou:
                place = bisect_left(ends, j)
                before = chains[place - 1] if place else _Chain(0, 0.0, None, (-1, -1))
                grown.append((j, _Chain(before.length + 1, before.overlap + share, before, (i, j))))
        for j, chain in grown:
            _insert(ends, chains, j, chain)
    pairs = []
    link: _Chain | None = chains[-1] if chains else None
    while link is not None and link.length:
        pairs.append(link.pair)
        link = link.before
    return pairs[::-1]


@dataclass(frozen=True, eq=False)
class _Chain:
    length: int
    overlap: float
    before: _Chain | None
    pair: tuple[int, int]

    @property
    def weight(self) -> tuple[int, float]:
        return self.length, self.overlap


def _insert(ends: list[int], chains: list[_Chain], j: int, chain: _Chain) -> None:
    """Add a chain, unless one that ends no later is as heavy; drop those that it makes needless."""
    place = bisect_left(ends, j)
    known = place if place < len(ends) and ends[place] == j else place - 1
    if known >= 0 and chains[known].weight >= chain.weight:
        return
    stop = place
    while stop < len(ends) and chains[stop].weight <= chain.weight:
        stop += 1
    ends[place:stop] = [j]
    chains[place:stop] = [chain]


def _times(cycles: CycleTimes | NDArray[np.float64], parameter: str) -> NDArray[np.float64]:
    times = np.asarray(cycles, np.float64).reshape(-1, 2) if len(cycles) else np.empty((0, 2))
    wrong = ~(np.isfinite(times).all(axis=1) & (times[:, 0] < times[:, 1]))
    require(not wrong.any(), parameter, "cycles with onset < offset", times[wrong][:2].tolist())
    overlaps = np.flatnonzero((times[1:, 0] < times[:-1, 1] - _ROUNDING) | (times[1:, 0] < times[:-1, 0]))
    shown = times[overlaps[0] : overlaps[0] + 2].tolist() if overlaps.size else []
    require(not overlaps.size, parameter, "cycles in order and without overlap", shown)
    return times


def _split(whole: NDArray[np.float64], parts: NDArray[np.float64]) -> int:
    """Count the cycles of ``whole`` that hold two or more of ``parts``, each by more than half of it."""
    if not len(whole) or not len(parts):
        return 0
    # More than half of a part can only lie in the cycle that holds its middle.
    middle = parts.mean(axis=1)
    holder = np.searchsorted(whole[:, 0], middle, side="right") - 1
    inside = np.minimum(whole[holder, 1], parts[:, 1]) - np.maximum(whole[holder, 0], parts[:, 0])
    held = (holder >= 0) & (inside > (parts[:, 1] - parts[:, 0]) / 2)
    return int((np.bincount(holder[held], minlength=len(whole)) >= 2).sum())


def _boundary_errors(
    true: NDArray[np.float64], found: NDArray[np.float64], pairs: list[tuple[int, int]]
) -> NDArray[np.float64]:
    boundaries = {(float(true[i, side]), float(found[j, side])) for i, j in pairs for side in (0, 1)}
    return np.array([estimate - truth for truth, estimate in sorted(boundaries)])


def _ratios(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return F1, over- and under-segmentation, mean boundary and rate error of sums (..., 9)."""
    matched, expected, produced, over, under, boundary, boundaries, rate, rates = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (
            2 * matched / (expected + produced),
            over / expected,
            under / produced,
            boundary / boundaries,
            rate / rates,
        )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
