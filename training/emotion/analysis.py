"""What single features say of the labels: section 5 of the paper, its scatter plots and Table 2."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.metrics import EmotionMoments, emotion_moments
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.data import Utterance
from training.emotion.material import Features
from training.emotion.svr import min_max

Floats = npt.NDArray[np.float64]


class TopFeature(NamedTuple):
    """A feature that says a lot of a dimension."""

    dimension: str
    name: str
    ccc: float


def feature_concordance(features: npt.ArrayLike, labels: npt.ArrayLike) -> Floats:
    """Return the concordance of every feature with every label, both scaled to [0, 1] by their extremes.

    Parameters
    ----------
    features : array_like, shape (N, D)
    labels : array_like, shape (N, K)

    Returns
    -------
    ndarray, shape (D, K), float64
        0 for a constant feature.

    Raises
    ------
    ConfigError
        If there are fewer than two utterances, or the numbers of rows differ.
    """
    x, y = (np.asarray(values, np.float64) for values in (features, labels))
    require(len(x) == len(y) >= 2, "features", f"as many rows as labels, 2 or more, {len(y)}", len(x))
    x, y = min_max(x)(x), min_max(y)(y)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    covariance = (x - mean_x).T @ (y - mean_y) / len(x)
    spread = x.var(axis=0)[:, np.newaxis] + y.var(axis=0) + (mean_x[:, np.newaxis] - mean_y) ** 2
    found: Floats = 2.0 * covariance / np.where(spread > 0, spread, 1.0)
    return found


def top_features(features: Features, labels: npt.ArrayLike, number: int = 2) -> list[TopFeature]:
    """Return the features of highest concordance with each dimension (Table 2)."""
    found = feature_concordance(features.values, labels)
    return [
        TopFeature(dimension, features.names[index], float(column[index]))
        for dimension, column in zip(EMOTION_DIMENSIONS, found.T, strict=True)
        for index in np.argsort(-column, kind="stable")[:number]
    ]


def rater_moments(utterances: Sequence[Utterance]) -> EmotionMoments | None:
    """Compare each rater with the mean of the others: how well people agree, on the scale of the models' scores.

    Returns
    -------
    EmotionMoments or None
        By speaker, all raters pooled; None if fewer than two rated any utterance in all dimensions.
    """
    truth, estimate, speakers = [], [], []
    for item in utterances:
        ratings = np.array([levels for levels in item.ratings.values() if not np.isnan(levels).any()])
        if len(ratings) < 2:
            continue
        total = ratings.sum(axis=0)
        for rating in ratings:
            truth.append((total - rating) / (len(ratings) - 1))
            estimate.append(rating)
            speakers.append(item.speaker)
    return emotion_moments(truth, estimate, speakers) if truth else None


def draw_concordance(found: Mapping[str, Floats], title: str, path: Path) -> None:
    """Draw arousal against valence of every feature, a colour for each set (Figs 3 and 4).

    Parameters
    ----------
    found : mapping of str to ndarray, shape (D, 3)
        Of :func:`feature_concordance`, under the name of the set.
    title : str
    path : Path
        Of the picture.
    """
    # Figure without pyplot: nothing global, no display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), layout="constrained", dpi=110)
    axes = figure.add_subplot()
    columns = [EMOTION_DIMENSIONS.index(name) for name in ("arousal", "valence")]
    # The largest set first, so that the others lie on top of it.
    for name, values in sorted(found.items(), key=lambda item: -len(item[1])):
        axes.scatter(
            *values[:, columns].T, s=6, alpha=0.5, linewidths=0, label=f"{name} ({len(values)} features)"
        )
    axes.axhline(0.0, color="0.7", linewidth=0.8, zorder=0)
    axes.axvline(0.0, color="0.7", linewidth=0.8, zorder=0)
    axes.set(xlabel="CCC with arousal", ylabel="CCC with valence", title=title)
    axes.legend(markerscale=2.5, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def top_table(sets: Mapping[str, Sequence[TopFeature]]) -> tuple[list[str], list[list[str]]]:
    """Return head and rows of Table 2."""
    rows = [
        [name, feature.dimension, f"`{feature.name}`", f"{feature.ccc:.3f}"]
        for name, features in sets.items()
        for feature in features
    ]
    return ["set", "dimension", "feature", "CCC"], rows
