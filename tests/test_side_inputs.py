"""Which embedding a log-mel frame gets: offline, in a stream, and what a bundle says of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.errors import ConfigError, StateError
from streamsed.side_inputs import OnlineAlignment, align, extended_frames, frame_end_seconds


def test_a_frame_gets_the_newest_embedding_that_is_known_and_not_too_old():
    features = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    values, present = align(features, [0.1, 0.2, 0.9], [0.05, 0.1, 0.15, 0.2, 0.45, 0.46, 0.9, 1.0], 0.25)
    assert present.tolist() == [0, 1, 1, 1, 1, 0, 1, 1]
    assert values[:, 0].tolist() == [0, 1, 1, 2, 2, 0, 3, 3]
    assert values[:, 1].tolist() == [0, 10, 10, 20, 20, 0, 30, 30]
    assert values.dtype == present.dtype == np.float32


def test_rounded_times_of_the_same_moment_agree():
    third = 1 / 3
    _, present = align(np.ones((1, 1)), [third + 4e-7], [third, third + 0.25 - 4e-7, third + 0.2502], 0.25)
    assert present.tolist() == [1, 1, 0]


def test_no_embeddings_are_absent():
    values, present = align(np.empty((0, 4)), [], [0.1, 0.2], 1.0)
    assert values.shape == (2, 4) and not values.any() and not present.any()


def test_frame_times_are_the_ends_of_windows():
    assert frame_end_seconds(3, 2, 160, 512, 16000).tolist() == [
        (3 * 160 + 512) / 16000,
        (4 * 160 + 512) / 16000,
    ]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((np.ones(3), [0.0, 1.0, 2.0], [0.0], 1.0), "features"),
        ((np.ones((3, 1)), [0.0, 1.0], [0.0], 1.0), "times"),
        ((np.ones((2, 1)), [1.0, 0.0], [0.0], 1.0), "times"),
        ((np.ones((2, 1)), [0.0, np.nan], [0.0], 1.0), "times"),
        ((np.ones((2, 1)), [0.0, 1.0], [[0.0]], 1.0), "frame_times"),
        ((np.ones((2, 1)), [0.0, 1.0], [0.0], 0.0), "max_age_seconds"),
    ],
)
def test_what_cannot_be_aligned_is_named(arguments, name):
    with pytest.raises(ConfigError, match=name):
        align(*arguments)


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.floats(0, 0.3), max_size=30),
    cuts=st.lists(st.integers(0, 60), max_size=8),
    max_age=st.floats(0.05, 0.5),
)
def test_the_stream_equals_the_whole_for_any_cut(gaps, cuts, max_age):
    times = np.cumsum(np.array(gaps, np.float64))
    features = np.arange(2 * len(times), dtype=np.float32).reshape(-1, 2) + 1
    frame_times = frame_end_seconds(0, 60, 441, 1024, 16000)
    expected = align(features, times, frame_times, max_age)

    online = OnlineAlignment(2, max_age)
    parts, pushed = [], 0
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), 60], strict=True):
        due = int(np.searchsorted(times, frame_times[end - 1] + 2e-6)) if end else 0
        due = max(pushed, due)
        online.push(features[pushed:due], times[pushed:due])
        pushed = due
        parts.append(online.process(frame_times[begin:end]))
    for column in (0, 1):
        np.testing.assert_array_equal(np.concatenate([part[column] for part in parts]), expected[column])


def test_a_late_embedding_counts_for_later_frames_only():
    online = OnlineAlignment(1, 1.0)
    assert online.process([0.1, 0.2])[1].tolist() == [0, 0]
    online.push([[7.0]], [0.15])
    values, present = online.process([0.3])
    assert present.tolist() == [1] and values[0, 0] == 7.0


def test_misuse_of_the_stream_is_named_and_memory_is_bounded():
    online = OnlineAlignment(2, 1.0)
    with pytest.raises(ConfigError, match="features"):
        online.push([[1.0]], [0.0])
    online.push([[1.0, 2.0]], [0.5])
    with pytest.raises(ConfigError, match="do not decrease"):
        online.push([[1.0, 2.0]], [0.4])
    with pytest.raises(StateError, match="ahead of it"):
        online.push(np.zeros((10_001, 2)), np.linspace(1, 2, 10_001))
    online.reset()
    online.flush()
    with pytest.raises(StateError, match="reset"):
        online.process([0.0])
    online.reset()
    assert online.process([0.5])[1].tolist() == [0]


def test_extended_frames_have_bands_then_values_and_presence():
    log_mel = np.arange(6, dtype=np.float32).reshape(2, 3)
    first = (np.full((2, 1), 8.0, np.float32), np.array([1, 0], np.float32))
    second = (np.full((2, 2), 9.0, np.float32), np.array([0, 1], np.float32))
    frames = extended_frames(log_mel, [first, second])
    assert frames.tolist() == [[0, 1, 2, 8, 1, 9, 9, 0], [3, 4, 5, 8, 0, 9, 9, 1]]
    assert frames.dtype == np.float32
