"""Audacity label tracks (File > Import > Labels)."""

from __future__ import annotations

from typing import ClassVar

from streamsed.sinks.fields import labelled_span, one_cell
from streamsed.types import Record


class Audacity:
    """``onset offset label`` separated by tabs, times in seconds; final events, cycles and emotions only."""

    extension: ClassVar[str] = "txt"
    header: ClassVar[str] = ""
    names_source: ClassVar[bool] = False

    def render(self, record: Record) -> str:
        """Return the row of a record with a labelled span."""
        span = labelled_span(record)
        return "" if span is None else f"{span.onset:.6f}\t{span.offset:.6f}\t{one_cell(span.label)}\n"
