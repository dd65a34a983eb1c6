"""Several microphones at once, on a real sound path: who hears what, and what the loss of one means for the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pulse import Pulse
from tiny_models import scene
from two_microphones import (  # noqa: F401 - a fixture
    DEVICE,
    SECOND_DEVICE,
    SecondMicrophone,
    beeps,
    microphones,
)

import streamsed
from streamsed.errors import DeviceLost, DeviceNotFound
from streamsed.sources.pulse_watch import PulseWatch
from streamsed.types import Event, Gap, Onset, Record, Status, Summary

pytestmark = pytest.mark.microphone

Microphones = tuple[Pulse, SecondMicrophone]


class Listener:
    """A group whose records are collected by a callback."""

    def __init__(self, **options: object) -> None:
        self.records: list[Record] = []
        self.group = streamsed.listen(latency="low", on_record=self.records.append, **options)  # type: ignore[call-overload]

    def of(self, kind: type, source: str) -> list[Record]:
        return [record for record in self.records if isinstance(record, kind) and record.source == source]  # type: ignore[attr-defined]

    def wait(self, holds: Callable[[], object], what: str, seconds: float = 12.0) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.records}"
            time.sleep(0.01)

    def wait_until_all_listen(self) -> None:
        for name in self.group.source_names:
            self.wait(lambda name=name: self.of(Status, name), f"{name} to listen")  # type: ignore[misc]


def test_each_hears_its_own(microphones: Microphones, detector: streamsed.Detector) -> None:  # noqa: F811
    first, second = microphones
    listener = Listener(device=[DEVICE, SECOND_DEVICE], model=detector)
    with listener.group:
        listener.wait_until_all_listen()
        first.play(beeps(300.0))
        second.play(beeps(5000.0))
        for name in ("mic0", "mic1"):
            listener.wait(lambda name=name: len(listener.of(Event, name)) >= 3, f"events of {name}")  # type: ignore[misc]
    assert {event.label for event in listener.of(Event, "mic0")} == {"low"}  # type: ignore[union-attr]
    assert {event.label for event in listener.of(Event, "mic1")} == {"high"}  # type: ignore[union-attr]
    for name, device in (("mic0", DEVICE), ("mic1", SECOND_DEVICE)):
        assert device in listener.of(Status, name)[0].detail  # type: ignore[union-attr]
        assert listener.group.summaries[name].dropped_samples == 0
        whole = [event for event in listener.of(Event, name) if not event.truncated][1:]  # type: ignore[union-attr]
        for event in whole:
            assert event.offset - event.onset == pytest.approx(0.5, abs=0.15)  # type: ignore[union-attr]


def test_one_is_unplugged_and_the_other_goes_on(
    microphones: Microphones,  # noqa: F811
    detector: streamsed.Detector,
    tmp_path: Path,
) -> None:
    first, second = microphones
    path = tmp_path / "file.wav"
    soundfile.write(path, np.tile(scene(), 4), 16000)
    listener = Listener(
        device=[DEVICE, SECOND_DEVICE], input=[path], realtime=True, model=detector, recovery_seconds=1.5
    )
    group = listener.group
    with pytest.raises(DeviceLost, match=rf"'{SECOND_DEVICE}' did not come back within 1.5 s"), group:
        listener.wait_until_all_listen()
        first.play(beeps(300.0))
        second.play(beeps(5000.0))
        listener.wait(lambda: listener.of(Onset, "mic1"), "the second one to hear")
        second.remove()
        listener.wait(lambda: "mic1" in group.summaries, "the end of the second one")
        before = len(listener.of(Event, "mic0"))
        listener.wait(lambda: len(listener.of(Event, "mic0")) > before + 1, "the first one to go on")
        assert "mic0" not in group.summaries
        assert "file.wav" not in group.summaries
    states = [record.state for record in listener.of(Status, "mic1")]  # type: ignore[union-attr]
    assert states[0] == "listening"
    assert "recovering" in states
    assert states[-1] == "stopped"
    assert {record.state for record in listener.of(Status, "mic0")} == {"listening", "stopped"}  # type: ignore[union-attr]
    assert {event.label for event in listener.of(Event, "mic0")} == {"low"}  # type: ignore[union-attr]
    assert {event.label for event in listener.of(Event, "mic1")} == {"high"}  # type: ignore[union-attr]
    assert group.summaries["mic0"].dropped_samples == 0
    assert group.summaries["mic1"].dropped_samples > 0
    assert len(listener.of(Summary, "file.wav")) == 1


def test_one_is_plugged_in_again_and_the_other_never_noticed(
    microphones: Microphones,  # noqa: F811
    detector: streamsed.Detector,
) -> None:
    first, second = microphones
    listener = Listener(device=[DEVICE, SECOND_DEVICE], model=detector)
    with listener.group as group:
        listener.wait_until_all_listen()
        first.play(beeps(300.0))
        second.remove()
        listener.wait(lambda: group.stats["mic1"].state == "recovering", "the loss to be noticed")
        second.plug()
        listener.wait(lambda: group.stats["mic1"].reopened == 1, "the second one to come back")
        second.play(beeps(5000.0))
        listener.wait(lambda: listener.of(Event, "mic1"), "the second one to hear again")
        listener.wait(lambda: listener.of(Event, "mic0"), "the first one to hear")
    assert group.summaries["mic0"].dropped_samples == 0
    (gap,) = (record for record in listener.records if isinstance(record, Gap))
    assert gap.source == "mic1"
    assert gap.missing_samples == group.summaries["mic1"].dropped_samples > 0
    assert {event.label for event in listener.of(Event, "mic1")} == {"high"}  # type: ignore[union-attr]


def test_each_watches_its_own_source(
    microphones: Microphones,  # noqa: F811
    detector: streamsed.Detector,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the server does to one recording is not taken for the other's, however slowly it is asked."""
    connected_once = PulseWatch._connected_once

    def slowly(watch: PulseWatch) -> bool:
        time.sleep(0.3)
        return connected_once(watch)

    monkeypatch.setattr(PulseWatch, "_connected_once", slowly)
    _, second = microphones
    listener = Listener(device=[DEVICE, SECOND_DEVICE], model=detector)
    with listener.group:
        listener.wait_until_all_listen()
        # Its recording now hears the monitor of another sink.
        second.remove()
        listener.wait(lambda: len(listener.of(Status, "mic1")) > 1, "the change to be noticed")
        time.sleep(0.5)
    assert {record.state for record in listener.of(Status, "mic0")} == {"listening", "stopped"}  # type: ignore[union-attr]
    assert "device_changed" in {record.state for record in listener.of(Status, "mic1")}  # type: ignore[union-attr]


def test_nothing_begins_if_one_device_does_not_exist(
    microphones: Microphones,  # noqa: F811
    detector: streamsed.Detector,
) -> None:
    with pytest.raises(DeviceNotFound, match="no input device 'telephone'"):
        streamsed.listen(device=[DEVICE, "telephone"], model=detector)
    _, second = microphones
    group = streamsed.listen(device=[DEVICE, SECOND_DEVICE], model=detector)
    second.remove()
    with pytest.raises(DeviceNotFound, match=rf"'{SECOND_DEVICE}' cannot be opened"):
        group.start()
    deadline = time.monotonic() + 5.0
    while any("supervisor" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the first one was closed"
        time.sleep(0.02)
    assert list(group) == []
