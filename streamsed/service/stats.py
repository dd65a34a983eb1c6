"""How a session is doing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamsed.service.pictures import PictureStats
from streamsed.types import Summary

SessionState = Literal["new", "starting", "listening", "stalled", "recovering", "device_changed", "stopped"]


@dataclass(frozen=True)
class SessionStats:
    """How a session is doing; see :attr:`Session.stats`.

    Attributes
    ----------
    state : str
        "new", "starting", "listening", "stalled", "recovering", "device_changed" or "stopped".
    audio_seconds : float
        The audio clock, gaps counted.
    events, dropped_samples : int
        Finished events; lost samples of the source.
    cycles : int or None
        Finished respiratory cycles; None where no model finds any.
    respiratory_rate : float or None
        Breaths per minute just now; None before it is known.
    emotions : int or None
        Emotion records; None where no model gives any.
    rtf : float
        Processing time over the duration of the processed audio.
    latency_ms : dict
        p50, p95 and max of the processing latency: from the moment when the newest sample of a chunk was
        there (by the smoothed capture clock, for a microphone) until the records of that chunk were handed
        to the dispatcher.
    level_db, peak_db : float
        RMS and peak of the newest chunk relative to full scale, -120 at least.
    callback_errors : int
        Calls of ``on_event`` and ``on_record`` that raised.
    overflow_flags : int
        Blocks that PortAudio flagged; not a count of losses.
    reopened : int
        How often the device was opened again.
    members_skipped : int
        How many members of an ensemble are left out just now, because the processing fell behind.
    members_skipped_seconds : float
        For how much audio some were.
    pictures : PictureStats or None
        How those of a camera or video file are doing; None where there are none.
    has_picture : bool or None
        Whether a model that takes pictures has one just now; None where no model does.
    """

    state: SessionState
    audio_seconds: float
    events: int
    dropped_samples: int
    rtf: float
    latency_ms: dict[str, float]
    level_db: float
    peak_db: float
    callback_errors: int
    overflow_flags: int
    reopened: int
    members_skipped: int
    members_skipped_seconds: float
    cycles: int | None = None
    respiratory_rate: float | None = None
    emotions: int | None = None
    pictures: PictureStats | None = None
    has_picture: bool | None = None

    def summary(self, source: str) -> Summary:
        """Return the record that ends the session of ``source``."""
        return Summary(
            audio_seconds=round(self.audio_seconds, 6),
            events=self.events,
            dropped_samples=self.dropped_samples,
            rtf=round(self.rtf, 5),
            latency_ms=self.latency_ms,
            source=source,
            members_skipped_seconds=round(self.members_skipped_seconds, 3) or None,
            cycles=self.cycles,
            respiratory_rate=self.respiratory_rate,
            emotions=self.emotions,
            pictures=None if self.pictures is None else self.pictures.to_dict(),
        )
