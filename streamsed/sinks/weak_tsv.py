"""The weak labels of the DCASE challenges: which sounds a recording has, without times."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import one_cell
from streamsed.types import Record, Tags


class WeakTsv:
    """``filename event_labels``, tab-separated, the labels with commas between; tags of whole recordings only."""

    extension: ClassVar[str] = "tsv"
    header: ClassVar[str] = "filename\tevent_labels\n"
    names_source: ClassVar[bool] = True

    def render(self, record: Record) -> str:
        """Return the row of a recording."""
        if not (isinstance(record, Tags) and record.is_whole):
            return ""
        labels = ",".join(one_cell(label) for label in record.tags or ())
        return f"{one_cell(record.source or '')}\t{labels}\n"
