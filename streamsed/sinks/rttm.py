"""Rich Transcription Time Marked files (NIST, RT-09 evaluation plan, appendix A)."""

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar

from streamsed.sinks.fields import one_word
from streamsed.types import Cycle, Event, Record


class Rttm:
    """``SPEAKER file channel onset duration <NA> <NA> label confidence <NA>``; final events and cycles only.

    The file field is the source without its extension; white space in names becomes an underscore.
    """

    extension: ClassVar[str] = "rttm"
    header: ClassVar[str] = ""
    names_source: ClassVar[bool] = True

    def render(self, record: Record) -> str:
        """Return the line of a final event or cycle."""
        if not isinstance(record, (Event, Cycle)):
            return ""
        file = one_word(str(PurePath(record.source).with_suffix("")) if record.source else "")
        return (
            f"SPEAKER {file} 1 {record.onset:.3f} {record.offset - record.onset:.3f} <NA> <NA> "
            f"{one_word(record.label)} {record.confidence:.3f} <NA>\n"
        )
