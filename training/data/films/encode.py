"""Pictures and sound as a file that players know: H.264 and AAC in MP4."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

from streamsed.errors import OutputError
from training.data.films.render import Pictures


def write_mp4(
    path: str | Path,
    pictures: Pictures,
    rate_hz: int,
    samples: npt.NDArray[np.float32],
    sample_rate: int,
    quality: int = 20,
) -> None:
    """Write a film; what x264 makes of the same pictures differs now and then by a few bits.

    Parameters
    ----------
    path : str or Path
    pictures : ndarray, shape (n, height, width, 3), uint8
        RGB, of even height and width.
    rate_hz : int
        Pictures per second.
    samples : ndarray, shape (m,), float32
        Mono.
    sample_rate : int
        In Hz, one that AAC knows.
    quality : int
        Constant rate factor of H.264.

    Raises
    ------
    OutputError
        If the file cannot be written, or PyAV was built without these encoders.
    """
    try:
        # Without the encoders' names and times in the file.
        with av.open(str(path), "w", format="mp4", options={"fflags": "+bitexact"}) as container:
            options = {"crf": str(quality), "preset": "veryfast", "threads": "1", "g": str(rate_hz)}
            video = container.add_stream("libx264", rate=rate_hz, options=options)
            video.height, video.width = pictures.shape[1:3]
            video.pix_fmt = "yuv420p"
            video.codec_context.flags |= av.codec.context.Flags.bitexact
            audio = container.add_stream("aac", rate=sample_rate, layout="mono", bit_rate=48000)
            audio.codec_context.flags |= av.codec.context.Flags.bitexact
            heard = 0
            for number, picture in enumerate(pictures):
                # Side by side in the file, as players read it.
                while heard < len(samples) and heard / sample_rate <= number / rate_hz:
                    heard += _add_sound(container, audio, samples, heard)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = number, Fraction(1, rate_hz)
                container.mux(video.encode(frame))
            while heard < len(samples):
                heard += _add_sound(container, audio, samples, heard)
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
    except (OSError, ValueError) as error:
        # PyAV's errors are both, after what FFmpeg says.
        raise OutputError(f"{path}: cannot write: {error}") from None


def _add_sound(
    container: av.container.OutputContainer,
    audio: av.AudioStream,
    samples: npt.NDArray[np.float32],
    start: int,
) -> int:
    """Encode the next samples from ``start`` on; return how many."""
    block = np.ascontiguousarray(samples[start : start + 1024], np.float32)[None]
    sound = av.AudioFrame.from_ndarray(block, format="fltp", layout="mono")
    sound.sample_rate, sound.pts, sound.time_base = audio.rate, start, Fraction(1, audio.rate)
    container.mux(audio.encode(sound))
    return block.shape[1]
