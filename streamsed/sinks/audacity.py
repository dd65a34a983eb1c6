"""Audacity label tracks (File > Import > Labels)."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import one_cell
from streamsed.types import Cycle, Event, Record


class Audacity:
    """``onset offset label`` separated by tabs, times in seconds; final events and cycles only."""

    extension: ClassVar[str] = "txt"
    header: ClassVar[str] = ""
    names_source: ClassVar[bool] = False

    def render(self, record: Record) -> str:
        """Return the row of a final event or cycle."""
        if not isinstance(record, (Event, Cycle)):
            return ""
        return f"{record.onset:.6f}\t{record.offset:.6f}\t{one_cell(record.label)}\n"
