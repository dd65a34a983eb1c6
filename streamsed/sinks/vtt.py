"""WebVTT captions (W3C), to show events under a video."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import labelled_span, one_cell
from streamsed.types import Emotion, Record


class WebVtt:
    """One cue a final event, cycle or emotion, in the order in which they end, which players sort by themselves.

    Windows of emotion overlap: each is shown from where the one before ends.
    """

    extension: ClassVar[str] = "vtt"
    header: ClassVar[str] = "WEBVTT\n\n"
    names_source: ClassVar[bool] = False

    def __init__(self) -> None:
        self._emotion_end = 0.0

    def render(self, record: Record) -> str:
        """Return the cue of a record with a labelled span."""
        span = labelled_span(record)
        if span is None:
            return ""
        onset = span.onset
        if isinstance(record, Emotion):
            onset, self._emotion_end = max(onset, self._emotion_end), span.offset
        begin = round(1000 * onset)
        # A cue must end after it begins.
        end = max(round(1000 * span.offset), begin + 1)
        label = one_cell(span.label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"{_timestamp(begin)} --> {_timestamp(end)}\n{label} ({span.confidence:.0%})\n\n"


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
