"""Matching, boundaries, over- and under-segmentation and rate of respiratory cycles."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.errors import ConfigError
from streamsed.metrics import cycle_counts, cycle_scores, match_cycles


def iou(a, b):
    overlap = min(a[1], b[1]) - max(a[0], b[0])
    return max(0.0, overlap) / (max(a[1], b[1]) - min(a[0], b[0]))


@st.composite
def cycles(draw):
    """Cycles in order, some next to each other and some with pauses."""
    edges = draw(st.lists(st.integers(0, 60), unique=True, max_size=14).map(sorted))
    keep = draw(st.lists(st.booleans(), min_size=13, max_size=13))
    return [(a / 4, b / 4) for a, b, kept in zip(edges[:-1], edges[1:], keep, strict=False) if kept or a % 3]


@settings(deadline=None)
@given(cycles(), cycles(), st.sampled_from([0.1, 0.25, 0.5, 0.7, 1.0]))
def test_the_matching_is_the_optimal_assignment(true, found, least):
    linear_sum_assignment = pytest.importorskip("scipy.optimize").linear_sum_assignment
    pairs = match_cycles(true, found, least)
    shares = np.array([[iou(a, b) for b in found] for a in true]).reshape(len(true), len(found))
    # One more match weighs more than any sum of overlaps.
    weights = np.where(shares >= least, 1 + shares / 100, 0)
    rows, columns = linear_sum_assignment(weights, maximize=True)
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    assert all(shares[pair] >= least for pair in pairs)
    assert sum(weights[pair] for pair in pairs) == pytest.approx(weights[rows, columns].sum())


def test_a_perfect_segmentation():
    true = {"a": [(0.0, 2.0), (2.0, 5.0)], "b": [(1.0, 3.0)]}
    scores = cycle_scores(true, true)
    assert scores.f1 == scores.precision == scores.recall == 1
    assert scores.over_segmentation == scores.under_segmentation == 0
    assert scores.boundary_median == scores.boundary_mean == scores.boundary_bias == 0
    assert scores.rate_error == 0
    assert (scores.reference, scores.estimated, scores.matched) == (3, 3, 3)


def test_late_boundaries_have_a_positive_bias_and_shared_ones_count_once():
    true = {"a": [(0.0, 2.0), (2.0, 4.0)]}
    late = {"a": [(0.0, 2.3), (2.3, 4.1)]}
    counts = cycle_counts(true, late)
    np.testing.assert_allclose(np.sort(counts.boundary_errors[0]), [0.0, 0.1, 0.3])
    scores = counts.scores()
    assert scores.boundary_bias == pytest.approx(0.4 / 3)
    assert scores.boundary_mean == pytest.approx(0.4 / 3)
    assert scores.boundary_median == pytest.approx(0.1)


def test_a_cut_at_the_pause_is_over_segmentation_and_a_missed_one_is_under_segmentation():
    true = [(0.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    cut = [(0.0, 1.0), (1.0, 2.0), (2.0, 4.0), (4.0, 6.0)]
    scores = cycle_scores({"a": true}, {"a": cut})
    assert scores.over_segmentation == pytest.approx(1 / 3)
    assert scores.under_segmentation == 0
    merged = cycle_scores({"a": cut}, {"a": true})
    assert merged.over_segmentation == 0
    assert merged.under_segmentation == pytest.approx(1 / 3)
    # Of halves with an overlap of exactly one half, one is the match.
    assert scores.matched == 3


def test_respiratory_rate():
    true = {"a": [(0.0, 3.0), (3.0, 6.0), (6.0, 9.0)], "b": [(0.0, 4.0)], "c": [(0.0, 2.0)]}
    found = {"a": [(0.0, 4.0), (4.0, 8.0)], "b": [(0.0, 3.0)]}
    scores = cycle_scores(true, found)
    assert scores.rate_error == pytest.approx((5 + 5) / 2)
    assert scores.rate_bias == pytest.approx(0)
    assert scores.without_rate == 1


def test_nothing_on_either_side():
    scores = cycle_scores({"a": []}, {"a": []})
    assert math.isnan(scores.f1)
    assert math.isnan(scores.boundary_median)
    assert cycle_scores({"a": [(0.0, 1.0)]}, {}).f1 == 0
    assert math.isnan(cycle_scores({}, {"a": [(0.0, 1.0)]}).recall)


def test_intervals_draw_whole_patients():
    good = [(0.0, 2.0), (2.0, 4.0)]
    bad = [(0.0, 4.0)]
    true = {f"{patient}_{i}": good for patient in "pqr" for i in range(3)}
    found = {name: bad if name.startswith("p") else good for name in true}
    patients = {name: name[0] for name in true}
    by_patient = cycle_counts(true, found, groups=patients).intervals(seed=1)
    by_recording = cycle_counts(true, found).intervals(seed=1)
    assert by_patient.f1.value == cycle_scores(true, found).f1
    assert by_patient.f1.low < by_recording.f1.low < by_patient.f1.value
    assert by_patient.f1.high == 1
    assert by_patient.under_segmentation.value == pytest.approx(3 / 15)


@pytest.mark.parametrize(
    "cycles, message",
    [
        ([(0.0, 2.0), (1.0, 3.0)], "without overlap"),
        ([(3.0, 4.0), (1.0, 2.0)], "in order"),
        ([(2.0, 1.0)], "onset < offset"),
        ([(0.0, float("nan"))], "onset < offset"),
    ],
)
def test_cycles_that_are_none(cycles, message):
    with pytest.raises(ConfigError, match=message):
        cycle_counts({"a": [(0.0, 1.0)]}, {"a": cycles})
    with pytest.raises(ConfigError, match=message):
        match_cycles(cycles, [])


def test_the_overlap_must_be_a_share():
    with pytest.raises(ConfigError, match="iou"):
        match_cycles([(0.0, 1.0)], [(0.0, 1.0)], 0)


def test_an_hour_of_cycles_is_quick_and_exact():
    edges = np.arange(0, 3600, 1.5)
    true = list(itertools.pairwise(edges.tolist()))
    shifted = [(a + 0.2, b + 0.2) for a, b in true]
    assert match_cycles(true, shifted) == [(i, i) for i in range(len(true))]
