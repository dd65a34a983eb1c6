"""WebVTT captions (W3C), to show events under a video."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import one_cell
from streamsed.types import Cycle, Event, Record


class WebVtt:
    """One cue a final event or cycle. Cues come in the order in which events end, which players sort by themselves."""

    extension: ClassVar[str] = "vtt"
    header: ClassVar[str] = "WEBVTT\n\n"
    names_source: ClassVar[bool] = False

    def render(self, record: Record) -> str:
        """Return the cue of a final event or cycle."""
        if not isinstance(record, (Event, Cycle)):
            return ""
        begin = round(1000 * record.onset)
        # A cue must end after it begins.
        end = max(round(1000 * record.offset), begin + 1)
        label = one_cell(record.label).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"{_timestamp(begin)} --> {_timestamp(end)}\n{label} ({record.confidence:.0%})\n\n"


def _timestamp(milliseconds: int) -> str:
    seconds, milliseconds = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}.{milliseconds:03d}"
