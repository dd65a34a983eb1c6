"""The tab-separated event lists of the DCASE challenges."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import one_cell
from streamsed.types import Cycle, Event, Record


class DcaseTsv:
    """``filename onset offset event_label``, times in seconds; final events and cycles only."""

    extension: ClassVar[str] = "tsv"
    header: ClassVar[str] = "filename\tonset\toffset\tevent_label\n"
    names_source: ClassVar[bool] = True

    def render(self, record: Record) -> str:
        """Return the row of a final event or cycle."""
        if not isinstance(record, (Event, Cycle)):
            return ""
        cells = one_cell(record.source), f"{record.onset:.3f}", f"{record.offset:.3f}", one_cell(record.label)
        return "\t".join(cells) + "\n"
