"""Support vector regression of each dimension, with a kernel of radial basis functions on scaled features."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.metrics import concordance
from training.emotion.data import Utterance
from training.emotion.features.base import import_package
from training.emotion.folds import Fold, make_folds

Floats = npt.NDArray[np.float64]


class Point(NamedTuple):
    """Parameters of one regressor: C, ε, and γ as a multiple of 1 / (D σ²), scikit-learn's "scale"."""

    cost: float = 1.0
    epsilon: float = 0.1
    gamma_scale: float = 1.0


@dataclass(frozen=True)
class SvrSettings:
    """How regressors are fitted.

    Parameters
    ----------
    preset : {"paper", "tuned"}
        "paper": C = 1, ε = 0.1, γ = scale for everything, as scikit-learn has it. "tuned": those of the lists with the
        highest concordance on groups of speakers inside the training side, for each fold and dimension.
    block_scaling : bool
        Divide each block of fused features by the square root of its number of features, so that all blocks have the
        same part in the distances. The paper does not.
    costs, epsilons, gamma_scales : tuple of float
        What "tuned" tries.
    inner_groups : int
        Groups of speakers inside the training side.
    """

    preset: Literal["paper", "tuned"] = "paper"
    block_scaling: bool = False
    costs: tuple[float, ...] = (1.0, 3.0)
    epsilons: tuple[float, ...] = (0.01, 0.05)
    gamma_scales: tuple[float, ...] = (0.25, 0.5, 1.0)
    inner_groups: int = 3

    def __post_init__(self) -> None:
        """Check the lists."""
        for name in ("costs", "epsilons", "gamma_scales"):
            values = getattr(self, name)
            usable = bool(values) and all(0 < value < 1e6 for value in values)
            require(usable, name, "numbers above 0", values)
        require(self.inner_groups >= 2, "inner_groups", "at least 2", self.inner_groups)

    @property
    def points(self) -> tuple[Point, ...]:
        """What may be chosen."""
        if self.preset == "paper":
            return (Point(),)
        grid = itertools.product(self.costs, self.epsilons, self.gamma_scales)
        return tuple(Point(*values) for values in grid)


class Scaling(NamedTuple):
    """x · factor + offset: MinMax of a training side to [0, 1], times a weight of the feature's block."""

    factor: Floats
    offset: Floats

    def __call__(self, features: npt.ArrayLike) -> Floats:
        """Scale features, shape (n, D)."""
        scaled: Floats = np.asarray(features, np.float64) * self.factor + self.offset
        return scaled


def min_max(features: npt.ArrayLike, blocks: Sequence[int] = ()) -> Scaling:
    """Return the scaling of a training side, shape (n, D); a constant feature becomes 0.

    Parameters
    ----------
    features : array_like, shape (n, D)
    blocks : sequence of int
        Sizes of the blocks that are weighted by 1 / √size; empty: no weights.
    """
    values = np.asarray(features, np.float64)
    low, high = values.min(axis=0), values.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    weights = np.ones(values.shape[1])
    if blocks:
        require(sum(blocks) == values.shape[1], "blocks", f"sizes with sum {values.shape[1]}", list(blocks))
        weights = np.concatenate([np.full(size, size**-0.5) for size in blocks])
    return Scaling(weights / spread, -low * weights / spread)


class _Kernel:
    """Squared distances, once for all points that are tried."""

    def __init__(self, train: Floats, test: Floats) -> None:
        self._train, self._test = _distances(train, train), _distances(test, train)
        variance = float(train.var())
        self._unit = 1.0 / (train.shape[1] * variance) if variance > 0 else 1.0

    def predict(self, levels: Floats, point: Point) -> Floats:
        """Fit to levels of the training side, shape (n,), and return those of the other."""
        svm = import_package("sklearn.svm", "support vector regression")
        gamma = -point.gamma_scale * self._unit
        regressor = svm.SVR(kernel="precomputed", C=point.cost, epsilon=point.epsilon)
        regressor.fit(np.exp(gamma * self._train), levels)
        found: Floats = regressor.predict(np.exp(gamma * self._test))
        return found


def _distances(rows: Floats, columns: Floats) -> Floats:
    squares = (rows**2).sum(axis=1)[:, np.newaxis] + (columns**2).sum(axis=1) - 2.0 * rows @ columns.T
    return np.maximum(squares, 0.0)


def choose_points(
    features: npt.ArrayLike,
    utterances: Sequence[Utterance],
    settings: SvrSettings,
    blocks: Sequence[int] = (),
) -> tuple[Point, ...]:
    """Return the parameters of each dimension, chosen on these utterances alone.

    Parameters
    ----------
    features : array_like, shape (n, D)
    utterances : sequence of n Utterance
    settings : SvrSettings
    blocks : sequence of int
        Sizes of the fused blocks; they count with ``block_scaling``.

    Raises
    ------
    ConfigError
        If there are fewer speakers than ``inner_groups``.
    """
    labels = label_array(utterances)
    if len(settings.points) == 1:
        return settings.points * labels.shape[1]
    rows = np.asarray(features, np.float64)
    estimates = np.zeros((len(settings.points), *labels.shape))
    for fold in make_folds(utterances, "speaker_group", settings.inner_groups):
        scaling = min_max(rows[fold.train], blocks if settings.block_scaling else ())
        kernel = _Kernel(scaling(rows[fold.train]), scaling(rows[fold.test]))
        for number, point in enumerate(settings.points):
            for dimension in range(labels.shape[1]):
                estimates[number, fold.test, dimension] = kernel.predict(labels[fold.train, dimension], point)
    chosen = []
    for dimension, truth in enumerate(labels.T):
        scores = [concordance(truth, estimate[:, dimension]) for estimate in estimates]
        chosen.append(settings.points[int(np.nanargmax(scores))])
    return tuple(chosen)


def out_of_fold(
    features: npt.ArrayLike,
    utterances: Sequence[Utterance],
    folds: Sequence[Fold],
    settings: SvrSettings,
    blocks: Sequence[int] = (),
) -> tuple[npt.NDArray[np.int64], Floats]:
    """Return the levels of the test sides of all folds, each by regressors of its training side alone.

    Returns
    -------
    indices : ndarray, shape (n,)
        Of the utterances in the test sides.
    levels : ndarray, shape (n, 3)

    Raises
    ------
    ConfigError
        If a fold has an empty side, or as :func:`choose_points`.
    """
    rows, labels = np.asarray(features, np.float64), label_array(utterances)
    require(len(rows) == len(utterances), "features", f"{len(utterances)} rows", len(rows))
    indices, levels = [], []
    for fold in folds:
        sides = len(fold.train), len(fold.test)
        require(min(sides) > 0, f"fold {fold.name!r}", "utterances on both sides", sides)
        inside = [utterances[index] for index in fold.train]
        points = choose_points(rows[fold.train], inside, settings, blocks)
        weighted = blocks if settings.block_scaling else ()
        indices.append(fold.test)
        levels.append(fitted_levels(rows[fold.train], labels[fold.train], rows[fold.test], points, weighted))
    return np.concatenate(indices), np.concatenate(levels)


def fitted_levels(
    train: npt.ArrayLike,
    labels: npt.ArrayLike,
    test: npt.ArrayLike,
    points: Sequence[Point],
    blocks: Sequence[int] = (),
) -> Floats:
    """Return levels of one side, shape (n, K), by regressors that are fitted to the other.

    Parameters
    ----------
    train, test : array_like, shape (m, D), (n, D)
        Features.
    labels : array_like, shape (m, K)
        Of the training side.
    points : sequence of K Point
    blocks : sequence of int
        Sizes of blocks that are weighted.
    """
    scaling = min_max(train, blocks)
    kernel = _Kernel(scaling(train), scaling(test))
    columns = np.asarray(labels, np.float64).T
    return np.stack(
        [kernel.predict(levels, point) for levels, point in zip(columns, points, strict=True)], axis=1
    )


def fit_pipelines(
    features: npt.ArrayLike, labels: npt.ArrayLike, points: Sequence[Point], blocks: Sequence[int] = ()
) -> list[Any]:
    """Return one scikit-learn pipeline of MinMaxScaler and SVR per dimension, for export.

    They predict what :func:`out_of_fold` would with the same training side.

    Parameters
    ----------
    features : array_like, shape (n, D)
    labels : array_like, shape (n, K)
    points : sequence of K Point
    blocks : sequence of int
        Sizes of blocks that are weighted; their weights become part of the scaler.
    """
    preprocessing, svm, pipeline = (
        import_package(f"sklearn.{name}", "support vector regression")
        for name in ("preprocessing", "svm", "pipeline")
    )
    rows = np.asarray(features, np.float64)
    scaling = min_max(rows, blocks)
    pipelines = []
    for levels, point in zip(np.asarray(labels, np.float64).T, points, strict=True):
        scaler = preprocessing.MinMaxScaler().fit(rows)
        scaler.scale_, scaler.min_ = scaling.factor, scaling.offset
        scaled = scaling(rows)
        variance = float(scaled.var())
        gamma = point.gamma_scale / (rows.shape[1] * variance) if variance > 0 else 1.0
        regressor = svm.SVR(kernel="rbf", C=point.cost, epsilon=point.epsilon, gamma=gamma).fit(
            scaled, levels
        )
        pipelines.append(pipeline.Pipeline([("scaler", scaler), ("regressor", regressor)]))
    return pipelines


def label_array(utterances: Sequence[Utterance]) -> Floats:
    """Return the labels, shape (n, 3)."""
    return np.array([item.labels for item in utterances], np.float64)
