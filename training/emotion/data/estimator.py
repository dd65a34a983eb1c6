"""The evaluator-weighted estimator: raters who agree with the others count more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamsed.config import require

Floats = npt.NDArray[np.float64]


def evaluator_weights(ratings: npt.ArrayLike) -> Floats:
    """Return the weight of each rater: the correlation of their ratings with the mean of all.

    Grimm and Kroschel, "Evaluation of natural emotions using self assessment manikins", ASRU 2005, eq. (5): r_k, the
    correlation of x_k with the mean over the raters of each utterance. A rater who contradicts the others, or always
    says the same, gets 0.

    Parameters
    ----------
    ratings : array_like, shape (N, K)
        Of N utterances by K raters, one dimension; NaN where a rater has not heard an utterance.

    Returns
    -------
    ndarray, shape (K,), float64
        In [0, 1].

    Raises
    ------
    ConfigError
        If there is no rating, or nobody agrees with anybody.
    """
    values = np.asarray(ratings, np.float64)
    require(values.ndim == 2 and values.size > 0, "ratings", "shape (N, K), N and K above 0", values.shape)
    rated = ~np.isnan(values)
    require(bool(rated.any(axis=1).all()), "ratings", "at least one rating of every utterance", "none")
    mean = np.nansum(values, axis=1) / rated.sum(axis=1)
    weights = np.array([_correlation(values[of, k], mean[of]) for k, of in enumerate(rated.T)])
    require(bool((weights > 0).any()), "ratings", "a rater who agrees with the others", "none")
    return np.clip(weights, 0.0, None)


def weighted_estimate(ratings: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> Floats:
    """Return Σ_k r_k x_nk / Σ_k r_k over the raters k of each utterance n, shape (N,).

    Parameters
    ----------
    ratings : array_like, shape (N, K)
        As for :func:`evaluator_weights`.
    weights : array_like, shape (K,), optional
        r_k; by default those of the same ratings.

    Raises
    ------
    ConfigError
        If all raters of an utterance have weight 0; or as :func:`evaluator_weights`.
    """
    values = np.asarray(ratings, np.float64)
    factors = evaluator_weights(values) if weights is None else np.asarray(weights, np.float64)
    counted = np.where(np.isnan(values), 0.0, factors)
    total = counted.sum(axis=1)
    alone = np.flatnonzero(total <= 0)
    require(
        not alone.size, "ratings", "a rater of weight above 0 for every utterance", f"none for {alone[:3]}"
    )
    estimate: Floats = (counted * np.nan_to_num(values)).sum(axis=1) / total
    return estimate


def _correlation(rating: Floats, mean: Floats) -> float:
    deviations = rating - rating.mean() if rating.size else rating, mean - mean.mean() if mean.size else mean
    norms = [float(np.linalg.norm(item)) for item in deviations]
    return float(deviations[0] @ deviations[1] / (norms[0] * norms[1])) if min(norms) > 1e-9 else 0.0
