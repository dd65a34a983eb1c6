"""Pooling of posterior frames to clip posteriors."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.config import POOLINGS, TaggingConfig, from_mapping
from streamsed.errors import ConfigError
from streamsed.tagging import ClipPooling, pooled


def frames(n, k=3, seed=0):
    """Posteriors as they are: mostly near 0, some near 1."""
    return (np.random.default_rng(seed).random((n, k)) ** 6).astype(np.float32)


def defined(posteriors, pooling):
    """The equations, in double precision."""
    p = np.asarray(posteriors, np.float64)
    if pooling == "max":
        return p.max(axis=0)
    return p.mean(axis=0) if pooling == "mean" else (p * p).sum(axis=0) / p.sum(axis=0)


@pytest.mark.parametrize("pooling", POOLINGS)
class TestPooled:
    def test_equals_the_equation(self, pooling):
        posteriors = frames(731)
        assert pooled(posteriors, pooling=pooling) == pytest.approx(defined(posteriors, pooling), abs=1e-6)

    def test_absent_frames_count_nowhere(self, pooling):
        posteriors = frames(40)
        present = np.arange(40) % 3 > 0
        padded = posteriors.copy()
        padded[~present] = np.nan
        assert np.array_equal(
            pooled(padded, present, pooling=pooling), pooled(posteriors[present], pooling=pooling)
        )

    @pytest.mark.parametrize(
        ("posteriors", "present"),
        [
            (np.zeros((0, 2)), None),
            (np.ones((5, 2)), np.zeros(5)),
            (np.zeros((5, 2)), None),
            (np.full((5, 2), 1e-9), None),
        ],
        ids=["no frames", "none present", "all zero", "all below a step"],
    )
    def test_nothing_heard_is_zero(self, pooling, posteriors, present):
        assert np.array_equal(pooled(posteriors, present, pooling=pooling), np.zeros(2, np.float32))

    def test_certain_frames_stay_certain(self, pooling):
        assert np.array_equal(pooled(np.ones((9, 2)), pooling=pooling), np.ones(2, np.float32))

    def test_a_day_of_sound_has_no_overflow(self, pooling):
        clip = ClipPooling(1, pooling)
        block = np.ones((1 << 20, 1), np.float32)
        for _ in range(5):
            clip.add(block)
        clip.add(np.zeros((1, 1)))
        n = 5 << 20
        expected = {"mean": n / (n + 1)}.get(pooling, 1.0)
        assert clip.posteriors[0] == np.float32(expected)
        assert clip.present_frames == clip.span_frames == n + 1


@given(
    st.sampled_from(POOLINGS),
    st.sampled_from([None, 1, 7, 50]),
    st.lists(st.tuples(st.integers(0, 70), st.integers(0, 60)), max_size=6),
)
def test_chunks_and_gaps_change_no_bit(pooling, window, pieces):
    """Any chunks, and frames that never came, give what the frames of the window give at once."""
    posteriors = frames(sum(n for n, _ in pieces), seed=len(pieces))
    clip = ClipPooling(3, pooling, window)
    heard, present, at = [np.zeros((0, 3))], [np.zeros(0, bool)], 0
    for n, lost in pieces:
        for begin in range(at, at + n, 3):
            clip.add(posteriors[begin : min(begin + 3, at + n)])
        clip.gap(lost)
        heard += [posteriors[at : at + n], np.zeros((lost, 3))]
        present += [np.ones(n, bool), np.zeros(lost, bool)]
        at += n
    newest = slice(None) if window is None else slice(-window, None)
    all_heard, all_present = np.concatenate(heard)[newest], np.concatenate(present)[newest]
    assert np.array_equal(clip.posteriors, pooled(all_heard, all_present, pooling))
    assert clip.span_frames == len(all_heard)
    assert clip.present_frames == all_present.sum()
    clip.reset()
    assert not clip.posteriors.any()
    assert clip.span_frames == clip.present_frames == 0


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_window_forgets_without_a_trace(pooling):
    """After hours of other sound, not one bit is left of it."""
    clip = ClipPooling(3, pooling, 100)
    clip.add(frames(50_000, seed=1))
    posteriors = frames(100, seed=2)
    clip.add(posteriors)
    assert np.array_equal(clip.posteriors, pooled(posteriors, pooling=pooling))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pooled(np.zeros(3)), r"posteriors: expected shape \(T', K\), got \(3,\)"),
        (lambda: pooled(np.full((2, 1), 1.5)), r"posteriors: expected values in \[0, 1\], got \[1.5, 1.5\]"),
        (lambda: pooled(np.full((2, 1), np.nan)), r"posteriors: expected values in \[0, 1\], got \[nan"),
        (lambda: pooled(np.zeros((2, 1)), [1]), r"present: expected shape \(2,\), got \(1,\)"),
        (lambda: pooled(np.zeros((2, 1)), pooling="softmax"), "pooling: expected one of"),
        (lambda: ClipPooling(0), "n_labels: expected >= 1, got 0"),
        (lambda: ClipPooling(1, "max", 0), "window_frames: expected >= 1 or None, got 0"),
        (lambda: ClipPooling(1).add(np.zeros((1, 2))), r"posteriors: expected shape \(T', 1\), got \(1, 2\)"),
        (lambda: ClipPooling(1).gap(-1), "frames: expected >= 0, got -1"),
        (lambda: TaggingConfig("softmax"), "pooling: expected one of"),
        (lambda: TaggingConfig(window_seconds=0.0), r"window_seconds: expected seconds in \[0.1, 600\]"),
        (lambda: TaggingConfig(default_threshold=0.0), r"default_threshold: expected in \(0, 1\]"),
        (lambda: TaggingConfig(thresholds={"rain": 1.5}), r"thresholds.rain: expected in \(0, 1\], got 1.5"),
        (
            lambda: from_mapping(TaggingConfig, {"pool": 1}, "tagging"),
            r"tagging: expected keys among .*'pool'",
        ),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()


def test_threshold_of_a_label():
    config = TaggingConfig(default_threshold=0.3, thresholds={"rain": 0.7})
    assert (config.threshold("rain"), config.threshold("speech")) == (0.7, 0.3)
