"""`streamsed.listen` with a model of respiratory cycles: callbacks, snippets, overload, a real sound path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli import write_wav
from pulse import DEVICE, RATE, Pulse
from tiny_cycles import breathing, tiny_cycles

import streamsed
from streamsed.errors import ConfigError
from streamsed.service import session as session_module
from streamsed.types import Cycle, CycleOpen, Event, Start, Status


@pytest.fixture(scope="module")
def lung(tmp_path_factory: pytest.TempPathFactory) -> streamsed.CycleDetector:
    return streamsed.load(tiny_cycles(tmp_path_factory.mktemp("cycles") / "tiny").path)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    return write_wav(folder / "chest.wav", breathing(16.0, 8000, wheeze=(1,)), 8000)


def test_callbacks_and_statistics(lung, recording):
    cycles: list[Cycle] = []
    events: list[Event] = []
    session = streamsed.listen(input=recording, model=lung, on_cycle=cycles.append, on_event=events.append)
    summary = session.run()
    assert [cycle.label for cycle in cycles] == ["normal", "wheeze", "normal", "normal"]
    assert events == []
    assert summary.cycles == session.stats.cycles == 4
    assert session.stats.events == summary.events == 0


def test_a_session_of_sound_events_has_no_cycles(detector):
    session = streamsed.listen(input=[np.zeros(16000, np.float32)], sample_rate=16000, model=detector)
    list(session)
    assert session.stats.cycles is None
    assert "cycles" not in session.summary.to_dict()


def test_one_file_per_cycle(lung, recording, tmp_path):
    session = streamsed.listen(input=recording, model=lung, save_audio=tmp_path, pre_roll=0.5)
    cycles = [record for record in session if isinstance(record, Cycle)]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(f"{cycle.cycle_id}_{cycle.label}.wav" for cycle in cycles)
    second = cycles[1]
    samples, rate = soundfile.read(tmp_path / f"{second.cycle_id}_wheeze.wav")
    assert len(samples) / rate == pytest.approx(second.offset - second.onset + 0.5, abs=1e-3)


def test_thresholds_reach_the_models_that_have_the_label(lung, detector, recording):
    both = [detector, lung]
    options = {"input": recording, "model": both, "thresholds": {"high": 0.6, "wheeze": 0.999}}
    labels = {record.label for record in streamsed.listen(**options) if isinstance(record, Cycle)}
    assert labels == {"normal"}
    with pytest.raises(ConfigError, match=r"thresholds: expected labels among .*\['dog'\]"):
        streamsed.listen(input=recording, model=both, thresholds={"dog": 0.5})


class Hurried:
    """A policy that never has the time for more than one network."""

    def __init__(self, members):
        self.members = members

    def update(self, late_seconds, position_seconds):
        return 1


def test_overload_leaves_members_out(lung, monkeypatch, tmp_path):
    monkeypatch.setattr(session_module, "MemberPolicy", Hurried)
    path = write_wav(tmp_path / "chest.wav", breathing(1.5), 4000)
    session = streamsed.listen(input=path, model=lung, realtime=True)
    records = list(session)
    details = [record.detail for record in records if isinstance(record, Status)]
    assert "overload: 1 of 3 members of tiny-cycles until it has caught up" in details
    (cycle,) = [record for record in records if isinstance(record, Cycle)]
    assert cycle.members_skipped == 2
    assert session.summary.members_skipped_seconds == pytest.approx(1.5, abs=0.01)


@pytest.mark.microphone
def test_breaths_at_a_microphone(pulse: Pulse, lung: streamsed.CycleDetector) -> None:
    records = []
    player = None
    session = streamsed.listen(DEVICE, model=lung, duration=9.8)
    with session as microphone:
        for record in microphone:
            records.append(record)
            if isinstance(record, Status) and record.state == "listening" and player is None:
                player = pulse.play(breathing(12.5, RATE, wheeze=(1,)))
    start = next(record for record in records if isinstance(record, Start))
    assert start.latency_seconds["final"] <= 0.5
    assert session.summary is not None
    assert session.summary.dropped_samples == 0
    cycles = [record for record in records if isinstance(record, Cycle)]
    # One that began before the sound, those of 4 s, and the last one that the end cuts off.
    whole = [cycle for cycle in cycles if not cycle.truncated]
    assert whole
    assert [cycle.offset - cycle.onset for cycle in whole] == pytest.approx([4.0] * len(whole), abs=0.1)
    assert "wheeze" in {cycle.label for cycle in cycles}
    for cycle in cycles:
        assert 0.0 <= cycle.emitted_seconds - cycle.offset <= 0.5
    assert any(isinstance(record, CycleOpen) and record.posteriors for record in records)
