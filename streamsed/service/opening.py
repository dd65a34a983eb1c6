"""``listen``: from what the caller says to a session, or to a group of them."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypedDict, Unpack, cast, overload

import numpy.typing as npt

from streamsed.bundle import Backend
from streamsed.config import require
from streamsed.detector import Detector, Thresholds, load
from streamsed.emotion import EmotionDetector
from streamsed.models import Provider
from streamsed.respiration import CycleDetector
from streamsed.service.dispatcher import CycleCallback, EventCallback, RecordCallback
from streamsed.service.group import SessionGroup
from streamsed.service.session import Session
from streamsed.service.settings import SessionSettings
from streamsed.sound_stream import SoundModel
from streamsed.sources import ChannelSelection, IterableSource, PcmSource, Source
from streamsed.sources.camera import Camera, is_camera
from streamsed.sources.microphone import Microphone
from streamsed.sources.video_sound import recording_source

Model = str | os.PathLike[str] | Detector | CycleDetector | EmotionDetector
_DETECTORS = (Detector, CycleDetector, EmotionDetector)

Device = int | str | None
Recording = str | os.PathLike[str] | Source


class ListenOptions(TypedDict, total=False):
    """The options of :func:`listen`, which has them explained."""

    sample_rate: int | None
    channels: int | None
    channel: ChannelSelection
    latency: str
    thresholds: Thresholds | None
    duration: float | None
    once: str | None
    realtime: bool
    top_k: int
    on_event: EventCallback | None
    on_record: RecordCallback | None
    on_cycle: CycleCallback | None
    provider: Provider
    backend: Backend | None
    strict_realtime: bool
    recovery_seconds: float
    save_audio: str | os.PathLike[str] | None
    pre_roll: float
    source_name: str | Sequence[str] | None
    video: int | str | os.PathLike[str] | None


@overload
def listen(  # type: ignore[overload-overlap]  # a str is a sequence of str
    device: Device = None,
    input: Recording | None = None,
    model: Model | Sequence[Model] = "everyday",
    **options: Unpack[ListenOptions],
) -> Session: ...


@overload
def listen(
    device: Sequence[Device],
    input: Recording | Sequence[Recording] | None = None,
    model: Model | Sequence[Model] = "everyday",
    **options: Unpack[ListenOptions],
) -> SessionGroup: ...


@overload
def listen(  # type: ignore[overload-overlap]  # a list of paths is an iterable of what numpy can read
    device: Device = None,
    *,
    input: Sequence[Recording],
    model: Model | Sequence[Model] = "everyday",
    **options: Unpack[ListenOptions],
) -> SessionGroup: ...


@overload
def listen(
    device: None = None,
    *,
    input: Iterable[npt.ArrayLike],
    model: Model | Sequence[Model] = "everyday",
    **options: Unpack[ListenOptions],
) -> Session: ...


def listen(
    device: Device | Sequence[Device] = None,
    input: Recording | Sequence[Recording] | Iterable[npt.ArrayLike] | None = None,
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
    source_name: str | Sequence[str] | None = None,
    video: int | str | os.PathLike[str] | None = None,
) -> Session | SessionGroup:
    """Listen to microphones, files or anything that yields sound, and report events as they happen.

    With a list of devices or of inputs, or with both, all of them are listened to at once, through one model.

    Parameters
    ----------
    device : int, str or None, or a sequence of them
        Index of an input device, its name or part of it; None for the default one.
    input : path, "-", Source or iterable, or a sequence of paths and Sources, optional
        Instead of a device, or beside devices if one of the two is a list: a recording, raw 16-bit PCM on stdin, or
        chunks of shape (n,) or (n, channels).
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
        Seconds of audio after which each source ends, gaps counted.
    once : str, optional
        End all after the first finished event or cycle of this label.
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
    source_name : str, or a sequence of one for each source, optional
        What the records call the source: "mic0" (the first device of a list), or the name of the file; the whole paths
        of all files where two have the same name.
    video : int, str or path, optional
        Pictures for a model that takes them: a video file, whose sound is heard, or a camera beside the device (or
        beside a live ``input``), by number, path or ``FORMAT:NAME``; see :class:`streamsed.sources.camera.Camera`. Of a
        single source.

    Returns
    -------
    Session or SessionGroup
        A group if ``device`` or ``input`` is a list, of one item even.

    Raises
    ------
    ConfigError
        A parameter that cannot be used.
    DeviceNotFound
        No such device, or no audio system. A camera that is not there is found at the start.
    BundleError
        A model that is missing or damaged.
    """
    names = [model] if isinstance(model, (str, os.PathLike, *_DETECTORS)) else list(model)
    require(bool(names), "model", "at least one", names)
    several = _is_list_of_sources(device, input)
    if not several:
        require(device is None or input is None, "input", "no device beside it", device)
    pairs = _pairs(device, input) if several else [(cast("Device", device), input)]
    require(not several or video is None, "video", "a single source beside it", video)
    detectors = [
        item if isinstance(item, _DETECTORS) else load(item, backend=backend, provider=provider)
        for item in names
    ]
    sources: list[Source] = []
    pictures = []
    for one_device, given in pairs:
        seen = _video(video, detectors, one_device, given)
        source: Source
        if isinstance(seen, Path) and given is None:
            _check_own_format(video, sample_rate, channels)
            source = recording_source(seen)
        elif given is None:
            source = Microphone(
                one_device,
                sample_rate=sample_rate,
                channels=1 if channels is None else channels,
                latency=latency,
                recovery_seconds=recovery_seconds,
            )
        else:
            source = _source(given, sample_rate, channels)
        if isinstance(seen, Camera):
            live = given is None or source.live or realtime
            require(live, "video", "a live input beside a camera", given)
        sources.append(source)
        pictures.append(seen)
    settings = [
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
            source_name=name,
            channel=channel,
            video=seen,
        )
        for name, seen in zip(_names(source_name, sources, pairs), pictures, strict=True)
    ]
    if several:
        return SessionGroup(sources, detectors, settings, on_event, on_record, on_cycle)
    return Session(sources[0], detectors, settings[0], on_event, on_record, on_cycle)


def _is_list_of_sources(device: Any, given: Any) -> bool:
    """Say whether several sources are meant, rather than one whose chunks are in a list."""
    return isinstance(device, (list, tuple)) or (
        isinstance(given, (list, tuple)) and any(_is_recording(item) for item in given)
    )


def _is_recording(item: object) -> bool:
    return isinstance(item, (str, os.PathLike)) or (hasattr(item, "read") and hasattr(item, "sample_rate"))


def _pairs(device: Any, given: Any) -> list[tuple[Device, Any]]:
    """Return device and input of each source, the devices first."""
    devices = list(device) if isinstance(device, (list, tuple)) else [] if device is None else [device]
    inputs = list(given) if isinstance(given, (list, tuple)) else [] if given is None else [given]
    if len(inputs) > 1:
        wrong = [item for item in inputs if not _is_recording(item)]
        require(not wrong, "input", "paths and Sources in a list of inputs", wrong)
    require(bool(devices or inputs), "device", "at least one device or input", device)
    pipes = sum(isinstance(item, str) and item == "-" for item in inputs)
    require(pipes <= 1, "input", "stdin (-) once", inputs)
    return [*((item, None) for item in devices), *((None, item) for item in inputs)]


def _names(
    given: str | Sequence[str] | None, sources: Sequence[Source], pairs: Sequence[tuple[Device, Any]]
) -> list[str]:
    """Return what the records call each source."""
    if given is not None:
        names = [given] if isinstance(given, str) else list(given)
        require(len(names) == len(sources), "source_name", f"{len(sources)}, one for each source", given)
        return names
    microphones = itertools.count()
    names = [
        f"mic{next(microphones)}" if isinstance(source, Microphone) else source.name for source in sources
    ]
    if len(set(names)) < len(names):
        whole = [
            Path(item).as_posix() if isinstance(item, (str, os.PathLike)) and item != "-" else name
            for name, (_, item) in zip(names, pairs, strict=True)
        ]
        names = _made_unique(whole)
    return names


def _made_unique(names: Sequence[str]) -> list[str]:
    """Number those that are there more than once: the same file twice, or two pipes."""
    taken = set(names)
    unique: list[str] = []
    for name in names:
        new, number = name, 1
        while new in unique or (new != name and new in taken):
            number += 1
            new = f"{name}-{number}"
        unique.append(new)
    return unique


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
    require(sample_rate is not None, "sample_rate", f"the rate of {type(given).__name__} in Hz", sample_rate)
    assert sample_rate is not None
    return IterableSource(given, sample_rate)
