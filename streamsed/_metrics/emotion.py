"""Dimensional emotion: concordance correlation coefficient and root mean square error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamsed._metrics.bootstrap import Interval, percentile_interval, times_drawn_by_group
from streamsed.config import require
from streamsed.types import EMOTION_DIMENSIONS

Floats = NDArray[np.float64]

MEAN = "mean"


@dataclass(frozen=True)
class EmotionScores:
    """Scores by dimension, under its name, and ``"mean"`` for the mean over the dimensions.

    Attributes
    ----------
    ccc : dict of str to float
        Concordance correlation coefficient, in [-1, 1]; NaN where truth and estimate are one and the same constant, or
        there are fewer than two values.
    rmse : dict of str to float
        Root mean square error, on the scale of the labels.
    count : int
        Values that were compared, in each dimension.
    """

    ccc: dict[str, float]
    rmse: dict[str, float]
    count: int


@dataclass(frozen=True)
class EmotionIntervals:
    """Bootstrap intervals of :class:`EmotionScores`, under the same names."""

    ccc: dict[str, Interval]
    rmse: dict[str, Interval]


@dataclass(frozen=True)
class EmotionMoments:
    """What is known of each group of utterances; sums of it give every score.

    Attributes
    ----------
    groups : tuple of G str
        What the bootstrap draws as a whole: speakers, or recordings.
    dimensions : tuple of K str
    sums : ndarray, shape (G, K, 6), float64
        n, Σx, Σy, Σx², Σy², Σxy, of values that the mean of all truths was taken from.
    """

    groups: tuple[str, ...]
    dimensions: tuple[str, ...]
    sums: Floats

    def scores(self) -> EmotionScores:
        """Return the scores of all groups together: pooled, not the mean of each group's."""
        ccc, rmse = _scores(self.sums.sum(axis=0))
        return EmotionScores(self._named(ccc), self._named(rmse), round(float(self.sums[:, 0, 0].sum())))

    def intervals(self, *, resamples: int = 1000, level: float = 0.95, seed: int = 0) -> EmotionIntervals:
        """Return bootstrap intervals by group, see :func:`bootstrap_interval`.

        Raises
        ------
        ConfigError
            If a parameter is out of range.
        """
        drawn = times_drawn_by_group(self.groups, resamples, seed)
        resampled = _scores(np.einsum("rg,gks->rks", drawn, self.sums))
        named = []
        for values, of_draws in zip(_scores(self.sums.sum(axis=0)), resampled, strict=True):
            value, draws = self._named(values), [*of_draws.T, of_draws.mean(axis=1)]
            named.append(
                {
                    name: percentile_interval(value[name], column, level)
                    for name, column in zip(value, draws, strict=True)
                }
            )
        return EmotionIntervals(*named)

    def _named(self, values: Floats) -> dict[str, float]:
        names = (*self.dimensions, MEAN)
        return dict(zip(names, [*map(float, values), float(values.mean())], strict=True))


def concordance(truth: ArrayLike, estimate: ArrayLike) -> float:
    """Return the concordance correlation coefficient 2 σ_xy / (σ_x² + σ_y² + (μ_x - μ_y)²).

    Lin, "A concordance correlation coefficient to evaluate reproducibility", Biometrics 45, 1989; with population
    moments, as ``audmetric.concordance_cc`` and eq. (1) of Vlasenko et al., ICASSP 2024, have it. NaN if both are the
    same constant, or there are fewer than two values.

    Parameters
    ----------
    truth, estimate : array_like, shape (n,)

    Raises
    ------
    ConfigError
        If they differ in length or are not finite.
    """
    x, y = (np.asarray(values, np.float64).reshape(-1, 1) for values in (truth, estimate))
    return emotion_moments(x, y, dimensions=("level",)).scores().ccc["level"]


def emotion_moments(
    truth: ArrayLike,
    estimate: ArrayLike,
    groups: Sequence[str] | None = None,
    dimensions: Sequence[str] = EMOTION_DIMENSIONS,
) -> EmotionMoments:
    """Count what scores and intervals are made of.

    Parameters
    ----------
    truth, estimate : array_like, shape (n, K)
        Levels of K dimensions of n utterances.
    groups : sequence of n str, optional
        Speaker of each utterance; by default each is a group of its own, which makes intervals too narrow where one
        speaker says several.
    dimensions : sequence of K str

    Raises
    ------
    ConfigError
        If the shapes do not fit, there is no utterance, or a value is not finite; the dimension is named.
    """
    arrays = [np.asarray(values, np.float64) for values in (truth, estimate)]
    shape = arrays[0].shape
    expected = f"shape (n, {len(dimensions)}) with n above 0"
    require(len(shape) == 2 and shape[1] == len(dimensions) and shape[0] > 0, "truth", expected, shape)
    require(arrays[1].shape == shape, "estimate", f"shape {shape}, as truth", arrays[1].shape)
    for name, values in zip(("truth", "estimate"), arrays, strict=True):
        for dimension, column in zip(dimensions, values.T, strict=True):
            wrong = np.flatnonzero(~np.isfinite(column))
            require(
                not wrong.size, f"{name}, {dimension}", "finite values", f"others at {wrong[:3].tolist()}"
            )
    labels = [str(index) for index in range(shape[0])] if groups is None else [str(item) for item in groups]
    require(len(labels) == shape[0], "groups", f"{shape[0]} names, one for each utterance", len(labels))
    names, group = np.unique(np.asarray(labels), return_inverse=True)
    centre = arrays[0].mean(axis=0)
    x, y = (values - centre for values in arrays)
    each = np.stack([np.ones(shape), x, y, x * x, y * y, x * y], axis=-1)
    sums = np.zeros((len(names), shape[1], each.shape[-1]))
    np.add.at(sums, group, each)
    return EmotionMoments(tuple(map(str, names)), tuple(dimensions), sums)


def _scores(sums: Floats) -> tuple[Floats, Floats]:
    """Return CCC and RMSE of sums with shape (..., 6), each with shape (...)."""
    n, sum_x, sum_y, sum_xx, sum_yy, sum_xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean_x, mean_y = sum_x / n, sum_y / n
        covariance = sum_xy / n - mean_x * mean_y
        spread = sum_xx / n - mean_x**2 + sum_yy / n - mean_y**2 + (mean_x - mean_y) ** 2
        # Rounding leaves some 1e-17 of constants.
        ccc = np.where((n > 1) & (spread > 1e-15), 2.0 * covariance / spread, np.nan)
        rmse = np.sqrt(np.maximum((sum_xx + sum_yy - 2.0 * sum_xy) / n, 0.0))
    return ccc, rmse
