"""What respiratory cycles are made with: the quality gate, the history of the sound, the tracker."""

from __future__ import annotations

import numpy as np
import pytest

from streamsed.audio_history import AudioHistory
from streamsed.config import QualityGateConfig
from streamsed.cycle_tracker import CycleTracker
from streamsed.quality import QualityGate

FRAME = 0.04


def feed(gate, seconds, lung=0.95, speech=0.02, contact=0.02):
    count = round(seconds / FRAME)
    return gate.process(*(np.full(count, value, np.float32) for value in (lung, speech, contact)))


class TestQualityGate:
    def test_stays_open_over_a_pause_of_doubt(self):
        gate = QualityGate(QualityGateConfig(), FRAME)
        assert feed(gate, 5.0) == []
        assert feed(gate, 0.5, lung=0.1, speech=0.4) == []
        assert feed(gate, 5.0) == []
        assert gate.is_open

    @pytest.mark.parametrize(
        ("what", "condition"),
        [
            ({"speech": 0.95}, "speech"),
            ({"contact": 0.9}, "contact_noise"),
            ({"lung": 0.05}, "not_lung_sound"),
            ({"lung": 0.0, "speech": 0.5, "contact": 0.9}, "contact_noise"),
            ({"lung": 0.0, "speech": 0.9}, "speech"),
            ({"lung": 0.0, "speech": 0.3, "contact": 0.3}, "not_lung_sound"),
        ],
    )
    def test_closes_with_a_reason_and_opens_again(self, what, condition):
        gate = QualityGate(QualityGateConfig(), FRAME)
        feed(gate, 10.0)
        (closed,) = feed(gate, 4.0, **what)
        assert closed.condition == condition
        # The reason is as old as the first frame at which not all was well.
        assert 250 <= closed.since < closed.frame < 250 + 40
        assert not gate.is_open
        (opened,) = feed(gate, 4.0)
        assert (opened.condition, opened.since) == (None, opened.frame)
        assert gate.is_open

    def test_what_begins_badly_is_told_at_once(self):
        gate = QualityGate(QualityGateConfig(), FRAME)
        (closed,) = feed(gate, 2.0, lung=0.0)
        assert closed.since == 0
        assert closed.frame * FRAME < 0.7

    def test_does_not_flutter(self):
        gate = QualityGate(QualityGateConfig(), FRAME)
        changes = []
        for _ in range(50):
            changes += feed(gate, 0.2, lung=0.8) + feed(gate, 0.2, lung=0.1)
        assert len(changes) <= 1

    def test_counts_lost_frames_and_resets(self):
        gate = QualityGate(QualityGateConfig(), FRAME)
        feed(gate, 2.0)
        gate.gap(1000)
        (closed,) = feed(gate, 4.0, speech=1.0)
        assert closed.frame > 1050
        gate.reset()
        (again,) = feed(gate, 4.0, speech=1.0)
        assert again.frame < 50


class TestAudioHistory:
    def test_reads_what_was_heard(self):
        history = AudioHistory(100)
        sound = np.arange(90, dtype=np.float32)
        for begin in range(0, 90, 7):
            history.append(sound[begin : begin + 7])
        assert history.position == 90
        np.testing.assert_array_equal(history.read(5, 80), sound[5:80])
        assert len(history.read(90, 95)) == len(history.read(10, 10)) == 0

    def test_forgets_and_keeps_its_own_copy(self):
        history = AudioHistory(50)
        piece = np.zeros(10, np.float32)
        for value in range(1000):
            piece[:] = value
            history.append(piece)
        assert len(history._pieces) <= 6
        np.testing.assert_array_equal(history.read(9960, 10_000), np.repeat(np.arange(996, 1000), 10))

    def test_holes_are_closed_up(self):
        history = AudioHistory(1000)
        history.append(np.ones(10, np.float32))
        history.skip(30)
        history.append(np.full(10, 2, np.float32))
        np.testing.assert_array_equal(history.read(5, 35), [1] * 5 + [2] * 5)
        history.reset()
        assert (history.position, len(history.read(0, 100))) == (0, 0)


class TestCycleTracker:
    def test_boundaries_end_one_and_begin_the_next(self):
        tracker = CycleTracker()
        assert tracker.boundary(1.0, forced=False) == []
        (first,) = tracker.begin(0.0)
        assert (first.state, first.number, first.truncated) == ("open", 1, True)
        assert tracker.begin(0.5) == []
        ended, begun = tracker.boundary(2.0, forced=True)
        assert (ended.state, ended.offset, ended.forced, ended.truncated) == ("closed", 2.0, True, True)
        assert (begun.onset, begun.truncated, begun.forced) == (2.0, False, False)
        # A boundary from before the cycle that is open says nothing about it.
        assert tracker.boundary(1.5, forced=False) == []
        (cut,) = tracker.cut(3.0)
        assert (cut.offset, cut.truncated) == (3.0, True)
        assert tracker.cut(3.0) == tracker.retract() == []

    def test_a_second_forced_end_in_a_row_is_no_breathing(self):
        tracker = CycleTracker()
        tracker.begin(0.0)
        first, _ = tracker.boundary(9.0, forced=True)
        assert (first.state, first.forced, tracker.breathless) == ("closed", True, False)
        (second,) = tracker.boundary(18.0, forced=True)
        assert (second.state, second.onset, tracker.breathless, tracker.open) == (
            "retracted",
            9.0,
            True,
            None,
        )
        assert tracker.boundary(27.0, forced=True) == []
        (again,) = tracker.boundary(30.0, forced=False)
        assert (again.state, again.onset, again.truncated, tracker.breathless) == ("open", 30.0, False, False)
        # A long breath among others is one.
        long, _ = tracker.boundary(39.0, forced=True)
        breath, _ = tracker.boundary(42.0, forced=False)
        another, _ = tracker.boundary(51.0, forced=True)
        assert [item.state for item in (long, breath, another)] == ["closed"] * 3

    def test_no_breathing_is_forgotten_where_the_gate_closes(self):
        tracker = CycleTracker()
        tracker.begin(0.0)
        tracker.boundary(9.0, forced=True)
        tracker.boundary(18.0, forced=True)
        assert tracker.retract() == []
        assert tracker.boundary(20.0, forced=False) == []
        assert tracker.begin(25.0)[0].onset == 25.0

    def test_short_breaths_stay_and_short_stubs_go(self):
        tracker = CycleTracker()
        tracker.begin(0.0)
        stub, _ = tracker.boundary(0.1, forced=False)
        assert stub.state == "retracted"
        breath, _ = tracker.boundary(0.3, forced=False)
        assert (breath.state, breath.offset) == ("closed", 0.3)
        long, _ = tracker.boundary(16.5, forced=True)
        assert long.offset - long.onset == pytest.approx(16.2)

    def test_only_the_cycle_around_a_hole_spans_it(self):
        tracker = CycleTracker()
        tracker.begin(0.0)
        tracker.bridge(3.0)
        # That boundary lies before the hole, and became known behind it.
        before, _ = tracker.boundary(2.0, forced=False)
        around, _ = tracker.boundary(4.0, forced=False)
        after, _ = tracker.boundary(6.0, forced=False)
        assert [cycle.spans_gap for cycle in (before, around, after)] == [False, True, False]
        tracker.bridge(7.0)
        (retracted,) = tracker.retract()
        assert retracted.state == "retracted"
        tracker.begin(8.0)
        assert not tracker.cut(9.0)[0].spans_gap
