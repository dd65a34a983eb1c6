"""Concordance and RMSE against audmetric, and intervals by speaker."""

from __future__ import annotations

import math

import audmetric
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from streamsed.errors import ConfigError
from streamsed.metrics import concordance, emotion_moments
from streamsed.types import EMOTION_DIMENSIONS

LEVELS = st.floats(0, 1, width=32)


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.float64, st.tuples(st.just(2), st.integers(2, 30)), elements=LEVELS))
def test_concordance_is_that_of_audmetric(pair):
    truth, estimate = pair
    expected = audmetric.concordance_cc(truth, estimate)
    if np.ptp(truth) < 1e-6 and np.ptp(estimate) < 1e-6:
        return
    assert concordance(truth, estimate) == pytest.approx(expected, abs=1e-6)


def test_concordance_far_from_zero_keeps_its_digits():
    truth = 1e6 + np.random.default_rng(0).normal(size=200)
    estimate = truth + 0.1
    assert concordance(truth, estimate) == pytest.approx(audmetric.concordance_cc(truth, estimate), abs=1e-6)


def test_scores_by_dimension_are_pooled_over_speakers():
    rng = np.random.default_rng(1)
    truth = rng.random((60, 3))
    estimate = np.clip(truth + rng.normal(0, [0.05, 0.2, 0.5], (60, 3)), 0, 1)
    moments = emotion_moments(truth, estimate, [f"s{number % 6}" for number in range(60)])
    scores = moments.scores()
    for column, name in enumerate(EMOTION_DIMENSIONS):
        expected = audmetric.concordance_cc(truth[:, column], estimate[:, column])
        assert scores.ccc[name] == pytest.approx(expected, abs=1e-12)
        error = np.sqrt(np.mean((truth[:, column] - estimate[:, column]) ** 2))
        assert scores.rmse[name] == pytest.approx(error, abs=1e-12)
    assert scores.ccc["mean"] == pytest.approx(np.mean([scores.ccc[name] for name in EMOTION_DIMENSIONS]))
    assert scores.count == 60 and moments.groups == tuple(f"s{number}" for number in range(6))


def test_intervals_draw_speakers_whole():
    rng = np.random.default_rng(2)
    truth = rng.random((40, 3))
    estimate = truth + rng.normal(0, 0.2, (40, 3))
    speakers = [f"s{number // 10}" for number in range(40)]
    found = emotion_moments(truth, estimate, speakers).intervals(resamples=50, seed=3)
    draws = np.random.default_rng(3).integers(0, 4, (50, 4))
    values = []
    for draw in draws:
        rows = np.concatenate([np.arange(10 * speaker, 10 * speaker + 10) for speaker in draw])
        values.append(audmetric.concordance_cc(truth[rows, 1], estimate[rows, 1]))
    low, high = np.quantile(values, [0.025, 0.975])
    assert found.ccc["arousal"].low == pytest.approx(low) and found.ccc["arousal"].high == pytest.approx(high)
    assert found.ccc["mean"].low < found.ccc["mean"].value < found.ccc["mean"].high
    assert 0 < found.rmse["valence"].low < found.rmse["valence"].high


def test_what_is_undefined_is_nan():
    assert math.isnan(concordance([0.4, 0.4], [0.4, 0.4]))
    assert math.isnan(concordance([0.4], [0.5]))
    assert concordance([0.0, 1.0], [0.5, 0.5]) == 0.0


def test_bad_arguments_are_named():
    good = np.full((4, 3), 0.5)
    with pytest.raises(ConfigError, match=r"estimate, arousal: expected finite values, got .*\[2\]"):
        emotion_moments(good, np.where(np.arange(12).reshape(4, 3) == 7, np.nan, good))
    with pytest.raises(ConfigError, match=r"estimate: expected shape \(4, 3\)"):
        emotion_moments(good, good[:3])
    with pytest.raises(ConfigError, match="groups: expected 4 names"):
        emotion_moments(good, good, ["a"])
    with pytest.raises(ConfigError, match="truth: expected shape"):
        emotion_moments(np.zeros((0, 3)), np.zeros((0, 3)))
