"""The live service: threads, watchdog, back-pressure, shutdown.

Capture runs in PortAudio's own thread, a worker reads and detects, a dispatcher runs callbacks, and the
microphone's supervisor watches the device::

    with streamsed.listen(device=0, model="everyday") as microphone:
        for record in microphone: ...            # or: async for record in microphone

    streamsed.listen(on_event=print).run()       # callbacks, until the end

    session = streamsed.listen(on_event=print)   # callbacks, in the background
    session.start(); ...; session.close()

Constructing checks the arguments and loads the model; what goes wrong later (DeviceLost, Overload,
FormatError at a file's end) is raised by iterating, ``run()`` or leaving the context, after the summary has
been delivered. :meth:`Session.stop` may be called from a signal handler: the iteration then ends normally,
with the summary.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from streamsed.bundle import Backend
from streamsed.config import require
from streamsed.detector import Detector, Thresholds, load
from streamsed.emotion import EmotionDetector
from streamsed.models import Provider
from streamsed.respiration import CycleDetector
from streamsed.service.dispatcher import CycleCallback, EventCallback, RecordCallback
from streamsed.service.pool import DetectorPool, PoolStats
from streamsed.service.pool_lane import LaneStats, PoolLane
from streamsed.service.session import Session, SessionSettings, SessionStats, check_input
from streamsed.sound_stream import SoundModel
from streamsed.sources import ChannelSelection, IterableSource, PcmSource, Source
from streamsed.sources.camera import Camera, is_camera
from streamsed.sources.microphone import Microphone
from streamsed.sources.video_sound import recording_source

__all__ = ["DetectorPool", "LaneStats", "PoolLane", "PoolStats", "Session", "SessionStats", "listen"]

Model = str | os.PathLike[str] | Detector | CycleDetector | EmotionDetector
_DETECTORS = (Detector, CycleDetector, EmotionDetector)


def listen(
    device: int | str | None = None,
    input: str | os.PathLike[str] | Source | Iterable[npt.ArrayLike] | None = None,
    model: Model | Sequence[Model] = "everyday",
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    channel: ChannelSelection = "mix",
    latency: str = "balanced",
    thresholds: Thresholds | None = None,
    duration: float | None = None,
    once: str | None = None,
    realtime: bool = False,
    top_k: int = 0,
    on_event: EventCallback | None = None,
    on_record: RecordCallback | None = None,
    on_cycle: CycleCallback | None = None,
    provider: Provider = "cpu",
    backend: Backend | None = None,
    strict_realtime: bool = False,
    recovery_seconds: float = 30.0,
    save_audio: str | os.PathLike[str] | None = None,
    pre_roll: float = 1.0,
    source_name: str | None = None,
    video: int | str | os.PathLike[str] | None = None,
) -> Session:
    """Listen to a microphone, a file or anything that yields sound, and report events as they happen.

    Parameters
    ----------
    device : int, str or None
        Index of an input device, its name or part of it; None for the default one.
    input : path, "-", Source or iterable, optional
        Instead of a device: a recording, raw 16-bit PCM on stdin, or chunks of shape (n,) or (n, channels).
    model : str, path, Detector, CycleDetector or EmotionDetector, or a sequence of them
        Names of shipped bundles, or paths. Several share the capture.
    sample_rate : int, optional
        In Hz, of a device (default: its own), of stdin (default: 16000) or of an iterable (needed).
    channels : int, optional
        Of a device or of stdin; 1 by default.
    channel : "mix", int or sequence of int
        Which of them are heard.
    latency : {"low", "balanced", "high"}
        See :class:`streamsed.config.LatencyProfile`.
    thresholds : float or mapping of label to float, optional
        Instead of the model's own; see ``stream`` of the detectors. Those for single labels reach the models that
        have them.
    duration : float, optional
        Seconds of audio after which to end, gaps counted.
    once : str, optional
        End after the first finished event or cycle of this label.
    realtime : bool
        Play a file as if it were live, at its own pace: who falls behind then loses sound.
    top_k : int
        Give Tags records with so many classes, of the newest frame and of the last seconds.
    on_event, on_record, on_cycle : callable, optional
        Called by the dispatcher thread for each event, each record or each respiratory cycle. With any of them,
        iterating yields nothing more. A callback that raises is logged and counted.
    provider : {"cpu", "cuda", "auto"}
        Where the networks compute.
    backend : {"onnx", "torchscript"}, optional
        What runs them; by default what the bundle has, "onnx" first.
    strict_realtime : bool
        Raise Overload, where otherwise the oldest sound would be dropped with a gap record.
    recovery_seconds : float
        How long a device may be away before DeviceLost.
    save_audio : path, optional
        Folder for one WAV file per event or cycle.
    pre_roll : float
        Seconds before the onset that such a file has.
    source_name : str, optional
        What the records call the source: "mic0", or the name of the file.
    video : int, str or path, optional
        Pictures for a model that takes them: a video file, whose sound is heard, or a camera beside the device (or
        beside a live ``input``), by number, path or ``FORMAT:NAME``; see :class:`streamsed.sources.camera.Camera`.

    Returns
    -------
    Session

    Raises
    ------
    ConfigError
        A parameter that cannot be used.
    DeviceNotFound
        No such device, or no audio system. A camera that is not there is found at the start.
    BundleError
        A model that is missing or damaged.
    """
    require(device is None or input is None, "input", "no device beside it", device)
    names = [model] if isinstance(model, (str, os.PathLike, *_DETECTORS)) else list(model)
    require(bool(names), "model", "at least one", names)
    detectors = [
        item if isinstance(item, _DETECTORS) else load(item, backend=backend, provider=provider)
        for item in names
    ]
    seen = _video(video, detectors, device, input)
    source: Source
    if isinstance(seen, Path) and input is None:
        _check_own_format(video, sample_rate, channels)
        source = recording_source(seen)
    elif input is None:
        source = Microphone(
            device,
            sample_rate=sample_rate,
            channels=1 if channels is None else channels,
            latency=latency,
            recovery_seconds=recovery_seconds,
        )
    else:
        source = _source(input, sample_rate, channels)
    if isinstance(seen, Camera):
        live = input is None or source.live or realtime
        require(live, "video", "a live input beside a camera", input)
    return Session(
        source,
        detectors,
        SessionSettings(
            latency=latency,
            thresholds=thresholds,
            duration=duration,
            once=once,
            realtime=realtime,
            top_k=top_k,
            strict_realtime=strict_realtime,
            save_audio=None if save_audio is None else Path(save_audio),
            pre_roll=pre_roll,
            source_name=source_name or ("mic0" if isinstance(source, Microphone) else source.name),
            channel=channel,
            video=seen,
        ),
        on_event,
        on_record,
        on_cycle,
    )


def _video(
    video: int | str | os.PathLike[str] | None,
    detectors: Sequence[SoundModel],
    device: int | str | None,
    given: Any,
) -> Camera | Path | None:
    """Return where pictures come from: as told, or from the recording that is heard."""
    if video is None:
        is_path = isinstance(given, (str, os.PathLike)) and given != "-"
        return Path(given) if is_path else None
    names = [detector.name for detector in detectors]
    sees = any(detector.image_encoder is not None for detector in detectors)
    expected = "a model that takes pictures (the sound of a video alone: input)"
    require(sees, "video", expected, f"{', '.join(names)}, which hears alone")
    if isinstance(video, int) or is_camera(os.fspath(video)):
        return Camera(video if isinstance(video, int) else os.fspath(video))
    require(device is None, "video", "a camera beside a device; a video file has its own sound", video)
    require(given is None, "video", "no input beside a video file, which has its own sound", video)
    return Path(video)


def _check_own_format(video: object, sample_rate: int | None, channels: int | None) -> None:
    """Raise ConfigError if the sound of a video file is told its rate or channels."""
    for name, value in (("sample_rate", sample_rate), ("channels", channels)):
        require(value is None, name, f"None for {video}, which knows its own", value)


def _source(given: Any, sample_rate: int | None, channels: int | None) -> Source:
    """Make a source of what was given as ``input``."""
    if given == "-":
        return PcmSource(sys.stdin.buffer, sample_rate or 16000, channels or 1)
    if isinstance(given, (str, os.PathLike)):
        return recording_source(given)
    if hasattr(given, "read") and hasattr(given, "sample_rate"):
        source: Source = given
        return source
    require(hasattr(given, "__iter__"), "input", "a path, '-', a Source or an iterable of chunks", given)
    check_input(given, sample_rate)
    assert sample_rate is not None
    return IterableSource(given, sample_rate)
