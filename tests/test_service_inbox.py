"""The inbox of a lane: steps in order, bounded, every lost sample in a hole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.service.inbox import Hole, Inbox
from streamsed.service.load import LoadMeter


def sound(begin, count):
    return np.arange(begin, begin + count, dtype=np.float32)[:, np.newaxis]


def drain(inbox):
    """Return everything as a list of holes and sample values."""
    found = []
    while len(inbox):
        work = inbox.take()
        if work.hole is not None:
            found.append(work.hole)
        if work.sound is not None:
            found += work.sound[:, 0].astype(int).tolist()
    return found


@given(sizes=st.lists(st.integers(1, 30), max_size=20), step=st.integers(1, 12))
def test_sound_comes_out_in_steps_of_one_size(sizes, step):
    inbox = Inbox(step, 10_000)
    begin = 0
    for size in sizes:
        assert inbox.push(sound(begin, size), 0.0) == 0
        begin += size
    taken = []
    while inbox.has_step:
        work = inbox.take()
        assert len(work.sound) == step
        taken += work.sound[:, 0].tolist()
    assert inbox.waiting == begin % step
    assert taken + drain(inbox) == list(range(begin))


@given(
    operations=st.lists(
        st.one_of(st.integers(1, 15), st.integers(-9, -1), st.just(None)), min_size=1, max_size=60
    ),
    step=st.integers(1, 6),
    capacity=st.integers(1, 30),
)
def test_every_sample_comes_out_or_lies_in_a_hole(operations, step, capacity):
    """Pushes (> 0), holes (< 0) and takes (None): the clock that the stream sees never loses a sample."""
    inbox = Inbox(step, capacity)
    clock = next_sample = dropped = 0
    position = 0  # on the pusher's clock
    seen = []

    def take():
        nonlocal clock
        work = inbox.take()
        if work.hole is not None:
            clock += work.hole.missing_samples
        if work.sound is not None:
            assert len(work.sound) <= step
            assert work.sound[0, 0] == clock
            clock += len(work.sound)
            seen.extend(work.sound[:, 0].tolist())

    for operation in operations:
        if operation is None:
            if len(inbox):
                take()
        elif operation > 0:
            dropped += inbox.push(sound(position, operation), float(position))
            position += operation
            next_sample += operation
        else:
            inbox.push_hole(Hole(-operation, "device"))
            position -= operation
        assert inbox.waiting <= max(step, capacity)
    while len(inbox):
        take()
    assert clock == position
    assert len(seen) + dropped == next_sample
    assert inbox.dropped == dropped


def test_what_is_dropped_is_the_oldest_in_whole_steps():
    inbox = Inbox(4, 8)
    inbox.push(sound(0, 8), 1.0)
    assert inbox.push(sound(8, 1), 2.0) == 4
    assert drain(inbox) == [Hole(4, "overload"), 4, 5, 6, 7, 8]


def test_a_hole_is_due_at_once_and_ends_a_step():
    inbox = Inbox(10, 100)
    inbox.push(sound(0, 3), 1.0)
    assert not inbox.has_step
    inbox.push_hole(Hole(5, "device"))
    assert inbox.has_step
    first = inbox.take()
    assert first.hole is None
    assert len(first.sound) == 3
    second = inbox.take()
    assert second.hole == Hole(5, "device")
    assert second.sound is None


def test_a_step_is_as_old_as_its_newest_sample():
    inbox = Inbox(4, 100)
    inbox.push(sound(0, 3), 1.0)
    inbox.push(sound(3, 3), 2.0)
    assert inbox.take().arrival == 2.0


def test_more_than_the_capacity_at_once():
    inbox = Inbox(4, 8)
    assert inbox.push(sound(0, 30), 0.0) == 24
    assert drain(inbox) == [Hole(24, "overload"), *range(24, 30)]


def test_load_is_the_share_of_busy_time():
    meter = LoadMeter(0.0)
    meter.add(0.3, 0.5)
    assert meter.load == 0.0
    meter.add(0.2, 1.0)
    assert meter.load == pytest.approx(0.5)
    for second in range(2, 12):
        meter.add(0.25, float(second))
    assert meter.load == pytest.approx(0.25, abs=0.01)
    meter.add(9.0, 12.0)
    assert meter.load <= 1.0
