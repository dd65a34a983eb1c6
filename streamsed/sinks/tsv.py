"""The tab-separated event lists of the DCASE challenges."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import labelled_span, one_cell
from streamsed.types import Record


class DcaseTsv:
    """``filename onset offset event_label``, times in seconds; final events, cycles and emotions only."""

    extension: ClassVar[str] = "tsv"
    header: ClassVar[str] = "filename\tonset\toffset\tevent_label\n"
    names_source: ClassVar[bool] = True

    def render(self, record: Record) -> str:
        """Return the row of a record with a labelled span."""
        span = labelled_span(record)
        if span is None:
            return ""
        cells = one_cell(span.source), f"{span.onset:.3f}", f"{span.offset:.3f}", one_cell(span.label)
        return "\t".join(cells) + "\n"
