"""Small videos for tests, written by PyAV: the grey level of every picture and every sample are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

HEIGHT, WIDTH = 48, 64
RATE = 16000
MICROSECOND = Fraction(1, 1_000_000)


def grey(level: float) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), round(level), np.uint8)


def write_video(
    path: Path,
    *,
    pictures: Sequence[tuple[float, np.ndarray]] = (),
    samples: np.ndarray | None = None,
    sample_rate: int = RATE,
    sound_starts: float = 0.0,
    sound_clock: Callable[[float], float] = lambda seconds: seconds,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    rotation: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write pictures, shape (h, w, 3), at their times and samples, shape (n,) or (n, channels), as one file.

    ``sound_clock`` gives the time stamp of a moment of the sound.
    """
    with av.open(str(path), "w", options=options or {}) as file:
        video = audio = None
        if len(pictures):
            ticks = 1000 if video_codec == "mpeg4" else 90000
            video = file.add_stream(video_codec, rate=50)
            video.height, video.width = pictures[0][1].shape[:2]
            video.pix_fmt = "yuv420p" if video_codec in ("libx264", "mpeg4") else "bgr0"
            video.time_base = video.codec_context.time_base = Fraction(1, ticks)
            if video_codec == "libx264":
                video.options = {"preset": "ultrafast", "crf": "10", "bf": "0"}
            if rotation:
                video.set_display_rotation(rotation)
        if samples is not None:
            samples = samples[:, np.newaxis] if samples.ndim == 1 else samples
            layout = "mono" if samples.shape[1] == 1 else "stereo"
            audio = file.add_stream(audio_codec, rate=sample_rate, layout=layout)
        # In the order of their times, as a recorder writes them.
        queue: list[tuple[float, object, object]] = []
        for seconds, image in pictures:
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(seconds * ticks), Fraction(1, ticks)
            queue.append((seconds, video, frame))
        if samples is not None:
            assert audio is not None
            kind = audio.codec_context.format.name
            for begin in range(0, len(samples), 1024):
                part = samples[begin : begin + 1024]
                values = part.reshape(1, -1) if kind in ("flt", "s16") else part.T
                if kind.startswith("s16"):
                    values = (values * 32767).astype(np.int16)
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(values, None if kind.startswith("s16") else np.float32),
                    format=kind,
                    layout=layout,
                )
                frame.sample_rate = sample_rate
                seconds = sound_starts + sound_clock(begin / sample_rate)
                frame.pts, frame.time_base = round(seconds * 1e6), MICROSECOND
                if audio_codec == "aac":
                    frame.pts, frame.time_base = round(seconds * sample_rate), Fraction(1, sample_rate)
                else:
                    audio.codec_context.time_base = MICROSECOND
                queue.append((seconds, audio, frame))
        for _, stream, frame in sorted(queue, key=lambda item: item[0]):
            for packet in stream.encode(frame):
                file.mux(packet)
        for stream in (video, audio):
            for packet in stream.encode() if stream is not None else ():
                file.mux(packet)
    return path


def ramp(count: int, fps: float = 15.0, step: float = 8.0) -> list[tuple[float, np.ndarray]]:
    """Pictures at a constant rate whose grey level is ``step`` times their number."""
    return [(i / fps, grey(min(step * i, 255))) for i in range(count)]
