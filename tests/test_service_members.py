"""Members of ensembles that are left out while live processing is behind: the policy, and a session that needs it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest
from streams import RATE
from tiny_models import scene

import streamsed
from streamsed.errors import Overload
from streamsed.service import members as members_module
from streamsed.service.members import MemberPolicy
from streamsed.sources import IterableSource
from streamsed.types import Event, Gap, Status, Summary


def decisions(policy, late, seconds, start=0.0, step=0.04):
    """Feed so many seconds; ``late(t)`` is how late it is after t of them."""
    times = np.arange(step, seconds + step / 2, step)
    return [policy.update(late(t), start + t) for t in times]


class TestPolicy:
    def test_in_time_is_in_full(self):
        assert set(decisions(MemberPolicy(5), lambda t: 0.9, 60.0)) == {5}

    def test_who_catches_up_by_himself_is_left_alone(self):
        assert set(decisions(MemberPolicy(5), lambda t: 4.0 - 0.6 * t, 5.0)) == {5}

    def test_a_backlog_that_stays_costs_half_of_the_members_and_a_large_one_all_but_one(self):
        found = decisions(MemberPolicy(5), lambda t: 1.0 + 0.2 * t, 10.0)
        assert list(dict.fromkeys(found)) == [5, 2, 1]
        assert found.index(2) == pytest.approx(0.5 / 0.04, abs=1.5)
        assert list(dict.fromkeys(decisions(MemberPolicy(5), lambda t: 3.0, 5.0))) == [5, 1]

    def test_they_come_back_one_by_one(self):
        policy = MemberPolicy(3)
        decisions(policy, lambda t: 3.0, 2.0)
        found = decisions(policy, lambda t: 0.05, 20.0, start=2.0)
        assert list(dict.fromkeys(found)) == [1, 2, 3]
        assert found.index(2) == pytest.approx(5.0 / 0.04, abs=2)
        assert found.index(3) == pytest.approx(10.0 / 0.04, abs=3)

    def test_after_a_relapse_it_takes_longer(self):
        policy = MemberPolicy(3)
        decisions(policy, lambda t: 3.0, 2.0)
        decisions(policy, lambda t: 0.0, 6.0, start=2.0)
        assert policy.running == 2
        decisions(policy, lambda t: 3.0, 2.0, start=8.0)
        found = decisions(policy, lambda t: 0.0, 30.0, start=10.0)
        assert found.index(2) == pytest.approx(10.0 / 0.04, abs=2)
        assert policy.running == 3
        decisions(policy, lambda t: 0.0, 15.0, start=40.0)
        assert policy._patience == 5.0

    def test_between_in_time_and_late_nothing_changes(self):
        policy = MemberPolicy(4)
        decisions(policy, lambda t: 1.5, 2.0)
        running = policy.running
        assert running < 4
        assert set(decisions(policy, lambda t: 0.5, 60.0, start=2.0)) == {running}

    def test_a_single_network_always_runs(self):
        assert set(decisions(MemberPolicy(1), lambda t: 5.0, 10.0)) == {1}


class Slow:
    """A network on a machine that has something else to do."""

    def __init__(self, network, load):
        self._network = network
        self._load = load

    def run(self, frames, state):
        time.sleep(self._load["seconds"])
        return self._network.run(frames, state)


@pytest.fixture
def load() -> dict[str, float]:
    """What a step of one network waits for, in seconds."""
    return {"seconds": 0.02}


@pytest.fixture
def slow(tiny_ensemble_path, load) -> streamsed.Detector:
    detector = streamsed.load(tiny_ensemble_path)
    detector._networks = [Slow(network, load) for network in detector._networks]
    return detector


def behind(until) -> Iterator[np.ndarray]:
    """Four seconds of sound at once, then sound at its own speed until ``until()``, a minute at most."""
    sound = np.tile(scene(), 10)
    yield sound[: 4 * RATE]
    for begin in range(4 * RATE, len(sound), RATE // 25):
        if until():
            return
        time.sleep(0.04)
        yield sound[begin : begin + RATE // 25]


def test_a_session_that_falls_behind_leaves_members_out_and_says_so(slow, load, monkeypatch):
    monkeypatch.setattr(members_module, "_PATIENCE_SECONDS", 0.5)
    said: list[Status] = []
    source = IterableSource(behind(lambda: len(said) == 3), RATE, live=True)
    records = []
    with streamsed.listen(input=source, model=slow) as session:
        for record in session:
            records.append(record)
            if isinstance(record, Status) and record.state == "listening":
                said.append(record)
                if len(said) == 2:
                    load["seconds"] = 0.0
    assert [status.detail for status in said] == [
        "iterable",
        "overload: 1 of 3 members of ensemble until it has caught up",
        "caught up: all 3 members of ensemble",
    ]
    skipped = [record.members_skipped for record in records if isinstance(record, Event)]
    assert 2 in skipped
    summary = records[-1]
    assert isinstance(summary, Summary)
    assert summary.members_skipped_seconds > 1.0
    assert session.stats.members_skipped == 0


def test_strict_realtime_leaves_nobody_out(slow, load):
    load["seconds"] = 0.1
    # Twice what the capture keeps, while half a second of sound takes four.
    source = IterableSource(iter([scene()[: 4 * RATE], np.tile(scene(), 2)]), RATE, live=True)
    records = []
    with pytest.raises(Overload), streamsed.listen(input=source, model=slow, strict_realtime=True) as session:
        records.extend(session)
    assert session.summary.members_skipped_seconds is None
    assert any(isinstance(record, Gap) for record in records)
    assert not any(getattr(record, "members_skipped", None) for record in records)


def test_a_recording_waits_and_has_all_members(slow, load):
    load["seconds"] = 0.005
    with streamsed.listen(input=[scene()], model=slow, sample_rate=RATE) as session:
        records = list(session)
    assert records[-1].members_skipped_seconds is None
    assert not any(getattr(record, "members_skipped", None) for record in records)
