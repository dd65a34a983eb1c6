"""The microphone on a real sound path, and every fault that it is known to have."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pulse import DEVICE, RATE, Pulse, find, noise

from streamsed.errors import ConfigError, DeviceLost, DeviceNotFound, StateError
from streamsed.sources import microphone as microphone_module
from streamsed.sources import portaudio
from streamsed.sources.base import Block
from streamsed.sources.microphone import Microphone

pytestmark = pytest.mark.microphone

# How well a hole's length is known: twice the jitter of the path, plus what the null sink itself jumps.
TOLERANCE_SECONDS = 0.03
STATUS_WITHIN_SECONDS = 1.0


class Recorder:
    """Reads a microphone in a thread and keeps everything, with the times of statuses."""

    def __init__(self, microphone: Microphone) -> None:
        self.microphone = microphone
        self.blocks: list[Block] = []
        self.statuses: list[tuple[float, str, str]] = []
        self.error: Exception | None = None
        microphone.on_status = lambda state, detail: self.statuses.append((time.monotonic(), state, detail))
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            while (block := self.microphone.read(RATE // 50)) is not None:
                self.blocks.append(block)
        except Exception as error:
            self.error = error

    @property
    def states(self) -> list[str]:
        return [state for _, state, _ in self.statuses]

    def wait_for(self, state: str, count: int = 1, seconds: float = 15.0) -> float:
        """Wait until ``state`` has been told ``count`` times and return when that was."""
        wait_until(lambda: self.states.count(state) >= count or self.error is not None, seconds, state)
        times = [moment for moment, told, _ in self.statuses if told == state]
        assert len(times) >= count, f"no {state!r}: {self.statuses}, {self.error!r}"
        return times[count - 1]

    @property
    def gaps(self) -> list[Block]:
        return [block for block in self.blocks if block.missing_frames_before]

    @property
    def end(self) -> int:
        last = self.blocks[-1]
        return last.start_position + len(last.samples)

    def samples(self, begin: int, count: int) -> np.ndarray:
        """Samples by their position."""
        result = np.full(count, np.nan, np.float32)
        for block in self.blocks:
            first = block.start_position
            low, high = max(begin, first), min(begin + count, first + len(block.samples))
            if low < high:
                result[low - begin : high - begin] = block.samples[low - first : high - first, 0]
        assert not np.isnan(result).any(), "asked for lost samples"
        return result

    def check_positions(self) -> None:
        """Every sample follows the one before it, or a gap of the stated size."""
        position = 0
        for block in self.blocks:
            assert block.start_position == position + block.missing_frames_before
            assert block.samples.dtype == np.float32
            position = block.start_position + len(block.samples)


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what}"
        time.sleep(0.01)


@contextmanager
def recording(device: str | None = DEVICE, **options: object) -> Iterator[Recorder]:
    """A microphone that is being read, from its first block on."""
    options = {"sample_rate": RATE, "latency": "low", "recovery_seconds": 10.0, **options}
    microphone = Microphone(device, **options)  # type: ignore[arg-type]
    recorder = Recorder(microphone)
    microphone.open()
    recorder.thread.start()
    try:
        recorder.wait_for("listening")
        yield recorder
    finally:
        begin = time.monotonic()
        microphone.close()
        recorder.thread.join(5.0)
        assert not recorder.thread.is_alive()
        assert time.monotonic() - begin < 4.0, "closing never hangs"


def play(pulse: Pulse, recorder: Recorder, seconds: float = 20.0) -> np.ndarray:
    """Play noise and wait until some of it has been heard."""
    played = noise(seconds)
    pulse.play(played)
    wait_until(lambda: np.abs(recorder.blocks[-1].samples).max() > 0.1, 5.0, "sound")
    time.sleep(0.3)
    return played


def check_hole(recorder: Recorder, played: np.ndarray, begin: int, end: int) -> None:
    """What is heard after ``end`` is as much later in the sound played as the positions say, from ``begin`` on."""
    part = RATE // 10
    before = find(recorder.samples(begin - part, part), played)
    after = find(recorder.samples(end + part, part), played)
    true_samples = (after - part) - (before + part)
    assert (end - begin) / RATE == pytest.approx(true_samples / RATE, abs=TOLERANCE_SECONDS)


def test_hears_what_is_played(pulse: Pulse) -> None:
    with recording() as recorder:
        assert not recorder.microphone.uses_gil
        assert recorder.microphone.input_latency_seconds < 0.05
        played = play(pulse, recorder)
        time.sleep(1.0)
    recorder.check_positions()
    assert recorder.gaps == []
    assert recorder.error is None
    end = recorder.end
    # A busy machine makes the player pause: any half second without a pause will do.
    part = RATE // 20
    found = []
    for begin in range(end - RATE, end - part, part):
        try:
            found.append(find(recorder.samples(begin, part), played) - begin)
        except AssertionError:
            continue
    assert len(found) >= 10, "most of it is what was played"
    assert sum(place == np.median(found) for place in found) >= 10, "sample by sample"


def test_captures_while_python_holds_the_gil(pulse: Pulse) -> None:
    with recording() as recorder:
        time.sleep(0.2)
        end = recorder.end
        ctypes.PyDLL(None).usleep(1_500_000)
        wait_until(lambda: recorder.end > end + RATE * 1.5, 1.0, "what came meanwhile")
    recorder.check_positions()
    assert recorder.gaps == []


def test_public_python_callback_is_the_fallback(pulse: Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(microphone_module, "c_interface", lambda _: None)
    with recording() as recorder:
        assert recorder.microphone.uses_gil
        play(pulse, recorder)
    recorder.check_positions()
    assert "Python callback" in recorder.statuses[0][2]


def test_suspended_source(pulse: Pulse) -> None:
    with recording() as recorder:
        played = play(pulse, recorder)
        suspended = time.monotonic()
        pulse.pactl("suspend-source", "virtmic", "1")
        assert recorder.wait_for("stalled") - suspended < STATUS_WITHIN_SECONDS
        recorder.wait_for("recovering")
        time.sleep(0.7)
        pulse.pactl("suspend-source", "virtmic", "0")
        recorder.wait_for("listening", 2)
        wait_until(lambda: bool(recorder.gaps), 3.0, "the gap")
        time.sleep(0.5)
    recorder.check_positions()
    (gap,) = recorder.gaps
    assert gap.missing_cause == "device"
    check_hole(recorder, played, gap.start_position - gap.missing_frames_before, gap.start_position)


def test_short_interruption_is_found_without_a_stall(pulse: Pulse) -> None:
    """A third of a second without a block: too short for a stall, but its samples are counted."""
    with recording() as recorder:
        played = play(pulse, recorder)
        pulse.pactl("suspend-source", "virtmic", "1")
        time.sleep(0.33)
        pulse.pactl("suspend-source", "virtmic", "0")
        wait_until(lambda: bool(recorder.gaps), 3.0, "the gap")
        time.sleep(0.5)
    recorder.check_positions()
    assert recorder.states == ["listening"]
    (gap,) = recorder.gaps
    check_hole(recorder, played, gap.start_position - gap.missing_frames_before, gap.start_position)


def test_frozen_server_thaws(pulse: Pulse) -> None:
    with recording() as recorder:
        end = recorder.end
        frozen = time.monotonic()
        pulse.signal(signal.SIGSTOP)
        assert recorder.wait_for("stalled") - frozen < STATUS_WITHIN_SECONDS
        recorder.wait_for("recovering")
        time.sleep(0.5)
        pulse.signal(signal.SIGCONT)
        recorder.wait_for("listening", 2)
        wait_until(lambda: bool(recorder.gaps), 3.0, "the gap")
        elapsed = time.monotonic() - frozen
    recorder.check_positions()
    (gap,) = recorder.gaps
    assert gap.missing_cause == "device"
    # The audio clock has kept up with the wall clock, but for what is on its way.
    assert (recorder.end - end) / RATE == pytest.approx(elapsed, abs=0.2)


def test_server_that_stays_frozen(pulse: Pulse) -> None:
    with recording(recovery_seconds=1.6) as recorder:
        pulse.signal(signal.SIGSTOP)
        recorder.wait_for("recovering")
        wait_until(lambda: recorder.error is not None, 5.0, "the end")
        assert isinstance(recorder.error, DeviceLost)
        assert "did not come back within 1.6 s" in str(recorder.error)
        assert "does not answer" in str(recorder.error)
    pulse.signal(signal.SIGCONT)
    # The call that hung comes to its end, and PortAudio can be used again.
    portaudio.call(lambda: None, "nothing", 5.0)


def test_server_killed_and_restarted(pulse: Pulse) -> None:
    with recording() as recorder:
        end = recorder.end
        killed = time.monotonic()
        pulse.kill()
        assert recorder.wait_for("stalled") - killed < STATUS_WITHIN_SECONDS
        recorder.wait_for("recovering")
        pulse.restore()
        recorder.wait_for("listening", 2)
        wait_until(lambda: bool(recorder.gaps), 3.0, "the gap")
        elapsed = time.monotonic() - killed
        assert recorder.microphone.reopened == 1
    recorder.check_positions()
    assert (recorder.end - end) / RATE == pytest.approx(elapsed, abs=0.2)


def test_last_source_removed(pulse: Pulse) -> None:
    with recording(recovery_seconds=1.5) as recorder:
        removed = time.monotonic()
        pulse.pactl("unload-module", "module-null-sink")
        assert recorder.wait_for("stalled") - removed < STATUS_WITHIN_SECONDS
        wait_until(lambda: recorder.error is not None, 5.0, "the end")
    assert isinstance(recorder.error, DeviceLost)
    assert DEVICE in str(recorder.error)


def test_source_replaced_behind_our_back(pulse: Pulse) -> None:
    """The server goes on with another source and says so to nobody; another microphone was asked for."""
    with recording() as recorder:
        played = play(pulse, recorder)
        # What comes until the server has told of it is the other source's, and not in step with this one.
        heard = recorder.end
        removed = time.monotonic()
        pulse.pactl("unload-module", "module-remap-source")
        assert recorder.wait_for("device_changed") - removed < STATUS_WITHIN_SECONDS
        detail = next(detail for _, state, detail in recorder.statuses if state == "device_changed")
        assert "virtmic" in detail
        assert "mic.monitor" in detail
        recorder.wait_for("recovering")
        pulse.load_source()
        recorder.wait_for("listening", 2)
        wait_until(lambda: bool(recorder.gaps), 3.0, "the gap")
        time.sleep(0.5)
    recorder.check_positions()
    (gap,) = recorder.gaps
    assert gap.missing_cause == "device"
    assert gap.start_position - gap.missing_frames_before >= heard
    check_hole(recorder, played, heard, gap.start_position)


def test_default_device_follows_the_server(pulse: Pulse) -> None:
    with recording(None) as recorder:
        pulse.pactl("unload-module", "module-remap-source")
        recorder.wait_for("device_changed")
        end = recorder.end
        wait_until(lambda: recorder.end > end + RATE // 2, 3.0, "more sound")
    recorder.check_positions()
    assert recorder.states == ["listening", "device_changed", "listening"]
    assert recorder.gaps == []


def test_reader_that_is_late_loses_nothing(pulse: Pulse) -> None:
    microphone = Microphone(DEVICE, sample_rate=16000)
    microphone.open()
    try:
        wait_until(lambda: microphone.state == "listening", 5.0, "listening")
        time.sleep(3.5)
        position = 0
        while position < 4.0 * 16000:
            block = microphone.read(1600)
            assert block is not None
            assert block.missing_frames_before == 0
            assert block.start_position == position
            position += len(block.samples)
    finally:
        microphone.close()


def test_reader_that_is_too_late_loses_the_oldest(pulse: Pulse) -> None:
    microphone = Microphone(DEVICE, sample_rate=16000, ring_seconds=0.5)
    microphone.open()
    try:
        wait_until(lambda: microphone.state == "listening", 5.0, "listening")
        time.sleep(1.5)
        block = microphone.read(800)
        assert block is not None
        assert block.missing_cause == "overload"
        assert block.start_position == block.missing_frames_before
        assert block.missing_frames_before / 16000 == pytest.approx(1.0, abs=0.3)
        following = microphone.read(800)
        assert following is not None
        assert following.start_position == block.start_position + len(block.samples)
        assert following.missing_frames_before == 0
    finally:
        microphone.close()


CAPTURE_MUCH = """
import sys, time
from streamsed.sources.microphone import Microphone
microphone = Microphone("streamsed_mic", sample_rate=192000, channels=16)
microphone.open()
while microphone.state != "listening":
    microphone.poll(9600, 0.1)
print("listening", flush=True)
begin = last = time.monotonic()
gaps = []
while last < begin + float(sys.argv[1]):
    block = microphone.poll(9600, 0.1)
    last = time.monotonic()
    if block is not None:
        end = block.start_position + len(block.samples)
        if block.missing_frames_before:
            gaps.append((block.missing_cause, block.missing_frames_before))
print(gaps, end, microphone.arrival_seconds(end) - begin, last - begin, microphone.overflow_flags)
microphone.close()
"""


def test_loss_that_nobody_flags_is_found(pulse: Pulse) -> None:
    """192 kHz in 16 channels; the process stands still for 2.5 s, longer than any buffer lasts."""
    process = subprocess.Popen(
        [sys.executable, "-c", CAPTURE_MUCH, "5.0"],
        env=dict(pulse.child_environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "listening\n"
        time.sleep(0.7)
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.5)
        process.send_signal(signal.SIGCONT)
        output = process.stdout.readline()
        assert process.wait(20.0) == 0
    finally:
        process.kill()
        process.stdout.close()
    gaps, rest = output.split("] ")
    end, arrived, _, _ = (float(value) for value in rest.split())
    lost = [int(number) for number in gaps.replace(")", "").split(", ") if number.isdigit()]
    assert len(lost) == 1, output
    assert 1.0 < lost[0] / 192000 < 2.6
    assert "overflow" in gaps
    # Audio and losses together are as long as the time that passed.
    assert arrived == pytest.approx(5.0, abs=0.3), output
    assert end > 4.5 * 192000


def test_device_that_is_listed_but_cannot_be_opened(pulse: Pulse) -> None:
    pulse.pactl("unload-module", "module-remap-source")
    microphone = Microphone(DEVICE)
    with pytest.raises(DeviceNotFound, match=f"device '{DEVICE}' cannot be opened"):
        microphone.open()
    microphone.close()


def test_frozen_server_at_the_start_is_no_hang(pulse: Pulse, monkeypatch: pytest.MonkeyPatch) -> None:
    microphone = Microphone(DEVICE)
    monkeypatch.setattr(microphone_module, "OPEN_SECONDS", 0.5)
    pulse.signal(signal.SIGSTOP)
    try:
        with pytest.raises(DeviceNotFound, match=r"did not answer within 0.5 s"):
            microphone.open()
    finally:
        pulse.signal(signal.SIGCONT)
    # The opening comes to its end now; the stream that nobody wants is closed.
    portaudio.call(lambda: None, "nothing", 5.0)
    assert portaudio.open_streams() == 0


def test_lifetime(pulse: Pulse) -> None:
    microphone = Microphone(DEVICE)
    with pytest.raises(StateError, match=r"call open\(\) first"):
        microphone.read(100)
    microphone.open()
    assert portaudio.open_streams() == 1
    microphone.close()
    microphone.close()
    while microphone.read(1 << 20) is not None:
        pass
    assert portaudio.open_streams() == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels: expected at least 1, got 0"),
        ({"channels": 999}, "channels: expected at most"),
        ({"sample_rate": -1}, "sample_rate: expected a positive rate in Hz, got -1"),
        ({"latency": "none"}, "latency: expected low, balanced or high, got 'none'"),
        ({"stall_seconds": 0.0}, "stall_seconds: expected"),
        ({"recovery_seconds": -1.0}, "recovery_seconds: expected"),
        ({"ring_seconds": 0.0}, "ring_seconds: expected"),
    ],
)
def test_bad_parameters_are_named(pulse: Pulse, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Microphone(DEVICE, **options)  # type: ignore[arg-type]


def test_positions_beyond_32_bits(pulse: Pulse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ALSA's file plugin is not paced: 2^32 frames, a day at 48 kHz, run through PortAudio in seconds."""
    (tmp_path / "tone.raw").write_bytes(np.zeros(RATE, "<i2").tobytes())
    (tmp_path / ".asoundrc").write_text(
        'pcm.filemic { type file slave.pcm "null" file "/dev/null" '
        f'infile "{tmp_path}/tone.raw" format "raw" }}\n'
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    portaudio.reinitialise(portaudio.load())
    try:
        microphone = Microphone("filemic", sample_rate=RATE)
        microphone._latency = 10.0  # the larger the buffers, the faster it runs
        microphone.open()
        position = 0
        deadline = time.monotonic() + 60.0
        while position < 2**32 + RATE:
            assert time.monotonic() < deadline, f"only {position} frames in 60 s"
            block = microphone.read(RATE)
            assert block is not None
            assert block.start_position == position + block.missing_frames_before
            position = block.start_position + len(block.samples)
        assert microphone.state == "listening"
        microphone.close()
    finally:
        monkeypatch.setenv("HOME", str(pulse.home))
        portaudio.reinitialise(portaudio.load())
    assert os.environ["HOME"] == str(pulse.home)
