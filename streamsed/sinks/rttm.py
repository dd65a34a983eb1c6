"""Rich Transcription Time Marked files (NIST, RT-09 evaluation plan, appendix A)."""

from __future__ import annotations

from pathlib import PurePath
from typing import ClassVar

from streamsed.sinks.fields import labelled_span, one_word
from streamsed.types import Record


class Rttm:
    """``SPEAKER file channel onset duration <NA> <NA> label confidence <NA>``; final events, cycles and emotions only.

    The file field is the source without its extension; white space in names becomes an underscore.
    """

    extension: ClassVar[str] = "rttm"
    header: ClassVar[str] = ""
    names_source: ClassVar[bool] = True

    def render(self, record: Record) -> str:
        """Return the line of a record with a labelled span."""
        span = labelled_span(record)
        if span is None:
            return ""
        file = one_word(str(PurePath(span.source).with_suffix("")) if span.source else "")
        return (
            f"SPEAKER {file} 1 {span.onset:.3f} {span.offset - span.onset:.3f} <NA> <NA> "
            f"{one_word(span.label)} {span.confidence:.3f} <NA>\n"
        )
