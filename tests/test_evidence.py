"""Uncertainty of frames and events, and the history that the latter is computed from."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import RATE, events_of, run
from tiny_models import scene

from streamsed.config import FrameClock
from streamsed.evidence import (
    FrameHistory,
    PosteriorFrames,
    binary_entropy,
    disagreement,
    join_frames,
    uncertainty,
)

CLOCK = FrameClock(RATE, 160, 512, 2)


def frames(first, confidence, members=3):
    n = len(confidence)
    return PosteriorFrames(
        first,
        np.zeros((n, 2), np.float32),
        np.asarray(confidence, np.float32),
        None,
        np.broadcast_to(np.asarray(members, np.int64), (n,)),
    )


def test_entropy_of_a_posterior():
    expected = [0.0, -0.25 * math.log2(0.25) - 0.75 * math.log2(0.75), 1.0, 0.0]
    np.testing.assert_allclose(binary_entropy(np.array([0.0, 0.25, 0.5, 1.0])), expected, rtol=1e-12)


@given(st.floats(0, 1), st.floats(0, 1))
def test_uncertainty_is_one_of_two_reasons(entropy, confidence):
    found = uncertainty(entropy, confidence)
    assert max(entropy, 1 - confidence) - 1e-12 <= found <= 1.0
    assert uncertainty(entropy, 1.0) == pytest.approx(entropy)
    assert uncertainty(0.0, confidence) == pytest.approx(1 - confidence)
    assert uncertainty(entropy, math.nan) == entropy


def test_members_that_agree_do_not_differ_and_opposed_ones_differ_by_a_bit():
    same = np.array([[[0.3, 0.9]], [[0.3, 0.9]]], np.float32)
    opposed = np.array([[[0.0, 0.9]], [[1.0, 0.9]]], np.float32)
    half = np.full((2, 1), 0.5)
    np.testing.assert_allclose(disagreement(same, half, same.mean(axis=0)), [0.0], atol=1e-6)
    np.testing.assert_allclose(disagreement(opposed, half, opposed.mean(axis=0)), [1.0], atol=1e-6)


def test_disagreement_is_the_information_that_the_choice_of_the_member_gives():
    rng = np.random.default_rng(0)
    p = rng.uniform(0, 1, (3, 20, 4))
    shares = rng.dirichlet(np.ones(3), 20).T
    fused = (shares[:, :, None] * p).sum(0)
    # I(decision; member) from the joint distribution.
    joint = np.stack([shares[:, :, None] * p, shares[:, :, None] * (1 - p)])
    marginal = joint.sum(axis=1, keepdims=True) * shares[None, :, :, None]
    information = (joint * np.log2(joint / marginal)).sum(axis=(0, 1)).max(axis=1)
    found = disagreement(p.astype(np.float32), shares, fused.astype(np.float32))
    np.testing.assert_allclose(found, information, atol=1e-5)


def test_frames_of_a_model_without_confidences_are_as_uncertain_as_their_least_certain_label():
    part = PosteriorFrames(
        0, np.array([[0.0, 0.5], [1.0, 0.0]], np.float32), None, None, np.ones(2, np.int64)
    )
    np.testing.assert_allclose(part.uncertainty, [1.0, 0.0], atol=1e-6)
    sure = PosteriorFrames(
        0, np.array([[0.0, 1.0]], np.float32), np.array([0.7], np.float32), None, np.ones(1, np.int64)
    )
    np.testing.assert_allclose(sure.uncertainty, [0.3], atol=1e-6)


@given(
    parts=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 40)), min_size=1, max_size=30),
    span=st.tuples(st.integers(0, 600), st.integers(0, 200)),
)
def test_history_equals_a_plain_list(parts, span):
    rng = np.random.default_rng(0)
    history = FrameHistory(CLOCK, 3)
    known: dict[int, tuple[float, int]] = {}
    first = 0
    for lost, count in parts:
        first += lost
        confidence, members = rng.uniform(0, 1, count).astype(np.float32), rng.integers(1, 4, count)
        history.append(frames(first, confidence, members))
        known |= {first + i: (float(confidence[i]), int(members[i])) for i in range(count)}
        first += count
    begin, end = span[0], span[0] + span[1]
    times = CLOCK.seconds(begin), CLOCK.seconds(end)
    if begin >= first:
        return
    heard = [known[i] for i in range(begin, max(end, begin + 1)) if i in known]
    expected = np.mean([c for c, _ in heard]) if heard else math.nan
    assert history.confidence(*times) == pytest.approx(expected, nan_ok=True)
    assert history.skipped(*times) == 3 - min([m for _, m in heard], default=3)


def test_of_a_sound_that_goes_on_for_hours_the_newest_ten_minutes_count():
    history = FrameHistory(CLOCK, 3)
    rows = round(600 / CLOCK.frame_seconds)
    history.append(frames(0, np.zeros(rows), members=1))
    history.append(frames(rows, np.full(rows, 0.5)))
    assert history.confidence(0.0, CLOCK.seconds(2 * rows)) == pytest.approx(0.5)
    assert history.skipped(0.0, CLOCK.seconds(2 * rows)) == 0
    history.append(frames(10 * rows, np.full(2 * rows, 0.25)))
    assert history.confidence(0.0, CLOCK.seconds(12 * rows)) == pytest.approx(0.25)
    history.reset()
    assert math.isnan(history.confidence(0.0, 1.0))


def test_ten_minutes_may_end_anywhere_in_a_chunk():
    history = FrameHistory(CLOCK, 3)
    rows, chunk = round(600 / CLOCK.frame_seconds), 701
    values = np.random.default_rng(0).uniform(0, 1, 2 * rows).astype(np.float32)
    for first in range(0, len(values), chunk):
        history.append(frames(first, values[first : first + chunk]))
    for begin in (rows, rows + 1, rows + chunk, 2 * rows - 1):
        heard = values[begin:].astype(np.float64).mean()
        assert history.confidence(CLOCK.seconds(begin), CLOCK.seconds(2 * rows)) == pytest.approx(heard)


def test_uncertainty_of_a_record_is_that_of_its_frames(ensemble):
    """Streaming and offline: 1 - c (1 - h) with the mean confidence of the event's frames."""
    whole = ensemble.frames(scene(), latency="balanced")
    clock = ensemble.bundle.clock
    for event in (
        *events_of(run(ensemble.stream(), scene(), 777)),
        *ensemble.detect(scene(), latency="balanced"),
    ):
        first, last = (
            round((t - clock.shift_seconds) / clock.frame_seconds) for t in (event.onset, event.offset)
        )
        confidence = float(whole.confidence[first:last].mean())
        assert confidence < 0.9
        # The median of the posteriors is no part of this test: the entropy of sure frames is small.
        assert 1 - confidence <= event.uncertainty <= 1 - confidence * (1 - 0.35)


def test_frames_of_a_recording(ensemble, detector):
    found = ensemble.frames(scene())
    np.testing.assert_array_equal(found.posteriors, ensemble.posteriors(scene()))
    assert found.first == 0
    assert set(found.members) == {3}
    assert found.disagreement.min() >= 0.0 and found.disagreement.max() > 1e-4
    assert 0.0 < found.confidence.min() <= found.confidence.max() < 1.0
    assert found.uncertainty.shape == (len(found),)
    single = detector.frames(scene())
    assert single.confidence is None and single.disagreement is None


def test_frames_come_as_they_become_final(ensemble):
    parts = []
    run(ensemble.stream(latency="high", on_frames=parts.append), scene(), 5000)
    assert len(parts) > 10
    joined = join_frames(parts)
    assert [part.first for part in parts[1:]] == list(np.cumsum([len(part) for part in parts])[:-1])
    whole = ensemble.frames(scene())
    np.testing.assert_allclose(joined.posteriors, whole.posteriors, atol=1e-6)
    np.testing.assert_allclose(joined.disagreement, whole.disagreement, atol=1e-5)
