"""The microphone as a source: capture without the GIL, and a supervisor that notices when the device fails.

Three parties work on it. PortAudio's thread runs the core's C callback, which copies into a ring and does
nothing else. The reader (the service's worker) calls :meth:`Microphone.read`. The supervisor thread looks
at the arrival times: neither PortAudio nor the sound server says so when a source is suspended or the
server is frozen, and its stop and close may hang; see docs/capture.md.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamsed import _core
from streamsed.config import require
from streamsed.errors import DeviceLost, DeviceNotFound, StateError
from streamsed.sources import devices, portaudio
from streamsed.sources.arrival_clock import ArrivalClock
from streamsed.sources.base import Block
from streamsed.sources.devices import Device
from streamsed.sources.pulse_watch import PulseWatch
from streamsed.types import GapCause, StatusState

_log = logging.getLogger(__name__)

_TICK_SECONDS = 0.05
_FIRST_BACK_OFF_SECONDS = 0.5
_LONGEST_BACK_OFF_SECONDS = 8.0
# PulseAudio's first block comes 0.7 to 1.7 s after the start.
_FIRST_BLOCK_SECONDS = 3.0
_CLOSE_SECONDS = 2.0
# The server answers within some milliseconds; one that does not must not keep the sound waiting.
_WATCH_SECONDS = 1.0
OPEN_SECONDS = 10.0

# Names under which ALSA lists "whatever the server has as its default": another source is then what was
# asked for.
_FOLLOWS_DEFAULT = frozenset({"default", "sysdefault", "pulse", "pipewire"})

StatusCallback = Callable[[StatusState, str], None]

# Captures whose stream could not be closed: PortAudio may still call back into them.
_abandoned: list[_Capture] = []


class _PythonCallback:
    """Capture through sounddevice's public Python callback; offers what ``_core.CaptureContext`` does."""

    def __init__(self, ring: _core.RingBuffer) -> None:
        self._ring = ring
        self.callbacks = 0
        self.frames_captured = 0
        self.overflow_flags = 0
        self.last_callback_monotonic_ns = 0

    def __call__(self, data: NDArray[np.float32], frames: int, _time: Any, status: Any) -> None:
        try:
            self._ring.write(data)
        except StateError:
            return  # closed: the stream is about to be stopped
        self.callbacks += 1
        self.frames_captured += frames
        self.overflow_flags += bool(status.input_overflow)
        self.last_callback_monotonic_ns = time.monotonic_ns()


def c_interface(sounddevice: ModuleType) -> tuple[Any, Any] | None:
    """Return sounddevice's cffi handle and the base class that takes C functions, as rtmixer uses them.

    With them capture never needs the GIL. Both are private, so they may be gone one day: None then.
    """
    ffi = getattr(sounddevice, "_ffi", None)
    stream_class = getattr(sounddevice, "_StreamBase", None)
    return None if ffi is None or stream_class is None else (ffi, stream_class)


class _Capture:
    """One opened PortAudio stream with its ring; to be opened and closed inside a ``portaudio.Call``."""

    def __init__(
        self,
        sounddevice: ModuleType,
        device: Device,
        rate: int,
        channels: int,
        latency: float,
        ring_frames: int,
    ) -> None:
        self.device = device
        self.ring = _core.RingBuffer(ring_frames, channels)
        self.opened_ns = time.monotonic_ns()
        self.context: Any
        self._stream: Any
        parameters = {
            "device": device.index,
            "channels": channels,
            "samplerate": rate,
            "dtype": "float32",
            "latency": latency,
        }
        interface = c_interface(sounddevice)
        if interface is None:
            _log.warning("sounddevice %s has no C interface: using Python", sounddevice.__version__)
            self.context = _PythonCallback(self.ring)
            self._stream = sounddevice.InputStream(callback=self.context, **parameters)
        else:
            ffi, stream_class = interface
            self.context = _core.CaptureContext(self.ring)
            self._stream = stream_class(
                kind="input",
                callback=ffi.cast("PaStreamCallback *", self.context.callback_address),
                userdata=ffi.cast("void *", self.context.user_data_address),
                **parameters,
            )
        portaudio.register_stream(self)
        try:
            self._stream.start()
        except BaseException:
            self.close()
            raise

    @property
    def uses_gil(self) -> bool:
        """Whether the capture callback is Python."""
        return isinstance(self.context, _PythonCallback)

    @property
    def latency_seconds(self) -> float:
        """Input latency as PortAudio states it."""
        return float(self._stream.latency)

    @property
    def sample_rate(self) -> float:
        """The rate that PortAudio opened with, in Hz."""
        return float(self._stream.samplerate)

    @property
    def active(self) -> bool:
        """False once PortAudio has given the stream up."""
        try:
            return bool(self._stream.active)
        except Exception:
            return False

    def snapshot(self) -> tuple[int, int]:
        """Return frames captured and when the last of them came (monotonic ns), of the same callback."""
        context = self.context
        while True:
            arrival, frames = context.last_callback_monotonic_ns, context.frames_captured
            if context.last_callback_monotonic_ns == arrival and context.frames_captured == frames:
                return frames, arrival

    @property
    def last_sign_ns(self) -> int:
        """Time of the last block, or of the opening before the first."""
        return self.context.last_callback_monotonic_ns or self.opened_ns

    def close(self) -> None:
        """Stop and free the stream; hangs while the sound server is frozen."""
        self.ring.close()
        try:
            # PortAudio's abort cancels its thread, which must not happen inside Python code.
            if self.uses_gil:
                self._stream.stop()
            else:
                self._stream.abort()
            self._stream.close()
        finally:
            portaudio.unregister_stream(self)

    def abandon(self) -> None:
        """Never free what PortAudio may still write to."""
        self.ring.close()
        _abandoned.append(self)
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self))


class Microphone:
    """A live input device.

    Parameters
    ----------
    device : int, str or None
        Index, name or part of a name; None for the default input, which may then change under way.
    sample_rate : int, optional
        In Hz; the device's own rate when None.
    channels : int
        How many to open.
    latency : {"low", "balanced", "high"}
        Chooses between PortAudio's defaults for interactive and for robust use (balanced: their geometric
        mean).
    stall_seconds : float
        Without a block for so long the device counts as stalled.
    recovery_seconds : float
        How long after the last block the device may come back before it counts as lost.
    ring_seconds : float
        How far the reader may fall behind before the oldest audio is dropped.
    on_status : callable, optional
        Called with state and detail from the supervisor thread.

    Raises
    ------
    DeviceNotFound
        If no device, or several, match, or the sound system does not answer.
    ConfigError
        If a number is out of its range, or the device has fewer channels.
    """

    live = True

    def __init__(
        self,
        device: int | str | None = None,
        *,
        sample_rate: int | None = None,
        channels: int = 1,
        latency: str = "balanced",
        stall_seconds: float = 0.7,
        recovery_seconds: float = 30.0,
        ring_seconds: float = 5.0,
        on_status: StatusCallback | None = None,
    ) -> None:
        require(channels >= 1, "channels", "at least 1", channels)
        require(sample_rate is None or sample_rate > 0, "sample_rate", "a positive rate in Hz", sample_rate)
        require(0.1 <= stall_seconds <= 60.0, "stall_seconds", "seconds in [0.1, 60]", stall_seconds)
        require(0.0 <= recovery_seconds < 1e6, "recovery_seconds", "seconds, 0 or more", recovery_seconds)
        require(0.5 <= ring_seconds <= 60.0, "ring_seconds", "seconds in [0.5, 60]", ring_seconds)
        require(latency in ("low", "balanced", "high"), "latency", "low, balanced or high", latency)
        self._sounddevice = portaudio.load()
        self.device = devices.resolve(device, devices.list_devices())
        require(
            channels <= self.device.channels,
            "channels",
            f"at most {self.device.channels}, as {self.device.name!r} has",
            channels,
        )
        self.sample_rate = sample_rate or self.device.default_sample_rate
        self.channels = channels
        self.name = self.device.name
        self._follows_default = device is None or self.device.identity[0] in _FOLLOWS_DEFAULT
        low, high = self.device.low_latency_seconds, self.device.high_latency_seconds
        self._latency = {"low": low, "high": high, "balanced": (low * high) ** 0.5}[latency]
        self._ring_frames = round(ring_seconds * self.sample_rate)
        self._stall_ns = round(stall_seconds * 1e9)
        self._recovery_seconds = recovery_seconds
        self.on_status = on_status

        self._attention = threading.Event()  # the supervisor has something to do at once
        self._watch = PulseWatch(on_change=self._attention.set)
        self._supervisor = threading.Thread(target=self._supervise, name="streamsed supervisor", daemon=True)
        self._closing = threading.Event()
        self._capture: _Capture | None = None  # the one the supervisor looks after
        self._lost: DeviceLost | None = None
        self.state: StatusState | None = None
        self._overflow_flags = 0  # of streams that are closed
        self.reopened = 0

        # The reader's side. Raw positions count the frames captured since the start; positions count losses
        # too.
        self._guard = threading.Lock()
        self._captures: deque[_Capture] = deque()  # the one being read, then its successors
        self._raw_base = 0  # raw position of the first frame of the capture being read
        self._clock = ArrivalClock(self.sample_rate)
        self._frontier_shift = 0  # position less raw position, of what is being captured now
        self._shift = 0  # the same, of what is being read now
        self._losses: deque[tuple[int, int, GapCause]] = deque()  # raw position, missing, cause
        self._pieces: deque[tuple[int, NDArray[np.float32], int]] = (
            deque()
        )  # raw position, samples, missing before
        self._interrupted = False
        self._observed: _Capture | None = None  # the one that the clock knows

    def open(self) -> None:
        """Open the device and begin to capture.

        Raises
        ------
        DeviceNotFound
            If it cannot be opened.
        """

        def attempt() -> _Capture:
            capture = self._open(self.device)
            self._watch.start()
            self._watch_newest()
            return capture

        try:
            capture = portaudio.call(attempt, "opening", OPEN_SECONDS, undo=lambda late: late.close())
        except (self._sounddevice.PortAudioError, portaudio.CallHung) as error:
            self._watch.close()
            raise DeviceNotFound(f"device {self.device.name!r} cannot be opened: {error}") from error
        self._adopt(capture)
        self._supervisor.start()

    def close(self) -> None:
        """Stop capturing; what has been captured can still be read. Never hangs, and may be called twice."""
        self._closing.set()
        self._attention.set()
        if self._supervisor.is_alive() and threading.current_thread() is not self._supervisor:
            self._supervisor.join(_CLOSE_SECONDS + 1.0)
        with self._guard:
            for capture in self._captures:
                capture.ring.close()

    @property
    def input_latency_seconds(self) -> float:
        """Capture latency as PortAudio states it."""
        capture = self._capture
        return self._latency if capture is None else capture.latency_seconds

    @property
    def overflow_flags(self) -> int:
        """How many blocks PortAudio has flagged; not a count of losses."""
        capture = self._capture
        return self._overflow_flags + (0 if capture is None else int(capture.context.overflow_flags))

    @property
    def uses_gil(self) -> bool:
        """Whether capture runs through Python, for want of sounddevice's internals."""
        capture = self._capture
        return capture is not None and capture.uses_gil

    @property
    def backlog_frames(self) -> int:
        """Frames captured and not yet read."""
        with self._guard:
            return sum(capture.ring.available_frames for capture in self._captures)

    @property
    def is_drained(self) -> bool:
        """Whether the reader has had everything that was captured; to be asked by the reader."""
        with self._guard:
            return not self._pieces and not any(capture.ring.available_frames for capture in self._captures)

    def arrival_seconds(self, position: int) -> float:
        """Return the monotonic time at which the sample before ``position`` arrives with the least delay."""
        base = self._clock.base_seconds
        return time.monotonic() if base is None else base + position / self.sample_rate

    # ---- reader
    # -----------------------------------------------------------------------------------------------

    def read(self, max_frames: int) -> Block | None:
        """Return the next samples, waiting for them, or None once closed; see :meth:`poll`."""
        while True:
            try:
                block = self.poll(max_frames, 1.0)
            except EOFError:
                return None
            if block is not None:
                return block

    def poll(self, max_frames: int, timeout_seconds: float, min_frames: int = 1) -> Block | None:
        """Return the next samples in order, or None if none are ready within the time.

        It waits for ``min_frames`` of them, unless the time is up.

        After an interruption samples are held back for half a second, until it is certain how much was lost.

        Raises
        ------
        DeviceLost
            After the last good sample, when the device did not come back.
        EOFError
            After the last sample, once closed.
        """
        if self._supervisor.ident is None:
            raise StateError(f"microphone {self.name!r}: expected it to be open; call open() first")
        block = self._take(max_frames)
        if block is not None:
            return block
        with self._guard:
            captures = tuple(self._captures)
        capture = captures[0]
        # Asked first: what comes between an empty read and the end is for the next call.
        closed = capture.ring.closed
        start, samples, missing = capture.ring.read(max_frames, timeout_seconds, min_frames)
        if len(samples):
            self._pieces.append((self._raw_base + start, samples, missing))
        self._observe(captures)
        if not len(samples) and closed:
            if len(captures) > 1:
                with self._guard:
                    self._captures.popleft()
                self._raw_base += capture.ring.write_position
            elif self._lost is not None or self._closing.is_set():
                block = self._take(max_frames, certain=False)  # no time is left to find out what was lost
                if block is not None:
                    return block
                if self._lost is not None:
                    raise self._lost
                raise EOFError
            else:
                self._closing.wait(min(timeout_seconds, _TICK_SECONDS))
        return self._take(max_frames)

    def _observe(self, captures: Sequence[_Capture]) -> None:
        """Tell the clock how far capture has come, and note the loss that this may prove."""
        newest = captures[-1]
        frames, arrival_ns = newest.snapshot()
        if not frames:
            return
        begin = self._raw_base + sum(older.ring.write_position for older in captures[:-1])
        if newest is not self._observed:
            if self._observed is not None:
                self._clock.interrupt(begin + self._frontier_shift)
            self._observed = newest
        loss = self._clock.observe(begin + frames + self._frontier_shift, arrival_ns / 1e9)
        if loss is None:
            return
        cause: GapCause = "device" if self._interrupted else "overflow"
        self._losses.append((loss.position - self._frontier_shift, loss.missing, cause))
        self._frontier_shift += loss.missing
        self._interrupted = False
        _log.info("%d samples lost before position %d (%s)", loss.missing, loss.position, cause)

    def _take(self, max_frames: int, *, certain: bool = True) -> Block | None:
        """Take samples whose time is certain (or any), cut where a loss lies among them."""
        if not self._pieces:
            return None
        raw, samples, missing = self._pieces[0]
        end = raw + min(len(samples), max_frames)
        if certain and self._clock.suspicious:
            end = min(end, self._clock.trusted_position - self._frontier_shift)
            if end <= raw:
                return None
        self._pieces.popleft()
        cause: GapCause = "overload"
        while self._losses and self._losses[0][0] <= raw:
            _, lost, cause = self._losses.popleft()
            missing += lost
            self._shift += lost
        if self._losses:
            end = min(end, self._losses[0][0])
        if end < raw + len(samples):
            self._pieces.appendleft((end, samples[end - raw :], 0))
        return Block(samples[: end - raw], raw + self._shift, missing, cause)

    # ---- supervisor
    # -------------------------------------------------------------------------------------------

    def _open(self, device: Device) -> _Capture:
        return _Capture(
            self._sounddevice, device, self.sample_rate, self.channels, self._latency, self._ring_frames
        )

    def _watch_newest(self) -> None:
        """Watch the stream that was just opened; to be run in the ``portaudio.Call`` that opened it."""
        self._watch.follow_newest()
        self._watch.wait_for_answer(_WATCH_SECONDS)

    def _adopt(self, capture: _Capture) -> None:
        with self._guard:
            self._captures.append(capture)
        self._capture = capture

    def _tell(self, state: StatusState, detail: str = "") -> None:
        self.state = state
        _log.info("%s: %s %s", self.name, state, detail)
        if self.on_status is not None:
            self.on_status(state, detail)

    def _supervise(self) -> None:
        try:
            self._look_after()
        except DeviceLost as error:
            self._lost = error
        except Exception as error:
            _log.exception("supervisor of %s failed", self.name)
            self._lost = DeviceLost(f"device {self.name!r}: {error!r}")
        finally:
            self._watch.close()
            self._close_stream(time.monotonic() + _CLOSE_SECONDS)

    def _look_after(self) -> None:
        last_tick = time.monotonic()
        while True:
            self._attention.wait(_TICK_SECONDS)
            self._attention.clear()
            if self._closing.is_set():
                return
            now = time.monotonic()
            was_paused, last_tick = now - last_tick > 6 * _TICK_SECONDS, now
            capture = self._capture
            assert capture is not None
            if self.state is None and capture.context.callbacks:
                self._tell("listening", self._description(capture))
            moved = self._watch.take_change()
            if moved is not None:
                self._moved(capture, *moved)
                continue
            if was_paused:
                continue  # this process stood still, not the device: let the callback catch up first
            reason = self._failure(capture)
            if reason is not None:
                self._interrupted = True
                self._tell("stalled", reason)
                if not self._resumes(capture):
                    self._recover(reason)

    def _failure(self, capture: _Capture) -> str | None:
        """Say what is wrong with the stream, or None."""
        idle_ns = time.monotonic_ns() - capture.last_sign_ns
        patience = self._stall_ns if capture.context.callbacks else round(_FIRST_BLOCK_SECONDS * 1e9)
        if idle_ns > patience:
            return f"no audio for {idle_ns / 1e9:.1f} s"
        if not capture.active:
            return "PortAudio has ended the stream"
        return None

    def _moved(self, capture: _Capture, before: str, after: str) -> None:
        """React to the server having connected the recording to another source."""
        detail = f"the sound server replaced source {before} by {after}"
        if not self._follows_default:
            # Another microphone was asked for: from here on, nothing that this one hears passes for it.
            capture.ring.close()
            self._interrupted = True
        self._tell("device_changed", detail)
        if self._follows_default:
            self._tell("listening", f"source {after}")
            return
        self._recover(detail)

    def _resumes(self, capture: _Capture) -> bool:
        """Wait a moment for the stream to go on by itself."""
        seen = capture.context.callbacks
        deadline = time.monotonic() + _FIRST_BACK_OFF_SECONDS
        while capture.active and time.monotonic() < deadline and not self._closing.wait(_TICK_SECONDS):
            if capture.context.callbacks > seen:
                self._tell("listening", "audio came back by itself")
                return True
        return False

    def _recover(self, reason: str) -> None:
        """Close the stream and open the device again until audio comes.

        Raises
        ------
        DeviceLost
            If it does not within ``recovery_seconds`` of the last block (of now, if there was none).
        """
        capture = self._capture
        assert capture is not None
        began = capture.last_sign_ns / 1e9 if capture.context.callbacks else time.monotonic()
        deadline = began + self._recovery_seconds
        self._tell("recovering", reason)
        self._watch.pause()
        back_off = _FIRST_BACK_OFF_SECONDS
        first = True
        while not self._closing.is_set():
            if not self._close_stream(deadline):
                reason = f"{reason}, and the sound system does not answer"
                break
            opened, refusal = self._reopen(deadline, rescan=not first)
            if opened is not None:
                self._capture = opened
                if self._has_block_within(opened, max(back_off, 1.0), deadline):
                    with self._guard:
                        self._captures.append(opened)
                    self.reopened += 1
                    self._tell("listening", f"device came back, {self._description(opened)}")
                    return
                refusal = "it opens, but no audio comes"
            reason = refusal or reason
            if time.monotonic() >= deadline:
                break
            if opened is None:
                self._closing.wait(min(back_off, max(0.0, deadline - time.monotonic())))
            back_off = min(2 * back_off, _LONGEST_BACK_OFF_SECONDS)
            first = False
        if not self._closing.is_set():
            raise DeviceLost(
                f"device {self.name!r} did not come back within {self._recovery_seconds:g} s: {reason}"
            )

    def _close_stream(self, deadline: float) -> bool:
        """Close the stream in a thread that may hang; False if it still does at the deadline."""
        capture, self._capture = self._capture, None
        if capture is None:
            return True
        self._overflow_flags += capture.context.overflow_flags
        capture.ring.close()
        closing = portaudio.Call(capture.close, "closing")
        while not closing.wait(_TICK_SECONDS):
            if time.monotonic() >= deadline:
                closing.give_up()
                capture.abandon()
                return False
        return True

    def _reopen(self, deadline: float, *, rescan: bool) -> tuple[_Capture | None, str]:
        """Try once to open the device, found by its identity; return the capture, or None and the reason."""

        def attempt() -> _Capture:
            if rescan:
                portaudio.reinitialise(self._sounddevice)
            found = devices.query(self._sounddevice)
            device = (
                devices.resolve(None, found)
                if self._follows_default
                else devices.find_again(self.device.identity, found)
            )
            if device is None:
                raise DeviceNotFound(f"there is no {self.device.name!r} any more")
            capture = self._open(device)
            # Here, where no other microphone is opened meanwhile.
            self._watch_newest()
            return capture

        began = time.monotonic()
        opening = portaudio.Call(attempt, "reopening", undo=lambda late: late.close())
        while not opening.wait(_TICK_SECONDS):
            if self._closing.is_set() or time.monotonic() >= deadline:
                break
        try:
            capture = opening.result(0.0)
        except portaudio.CallHung:
            waited = time.monotonic() - began
            return None, f"the sound system does not answer (for {waited:.1f} s)" if waited > 1.0 else ""
        except (self._sounddevice.PortAudioError, DeviceNotFound) as error:
            return None, str(error)
        self.device = capture.device
        return capture, ""

    def _has_block_within(self, capture: _Capture, seconds: float, deadline: float) -> bool:
        until = min(time.monotonic() + seconds, deadline)
        while not self._closing.wait(_TICK_SECONDS):
            if capture.context.callbacks:
                return True
            if time.monotonic() >= until or not capture.active:
                return False
        return False

    def _description(self, capture: _Capture) -> str:
        how = "Python callback" if capture.uses_gil else "C callback"
        return (
            f"{capture.device.name} ({capture.device.host_api}), {self.sample_rate} Hz, "
            f"{self.channels} channel(s), {how}"
        )
