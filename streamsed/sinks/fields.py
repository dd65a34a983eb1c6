"""Field values that fit into line- and column-oriented text."""

from __future__ import annotations

from typing import NamedTuple

from streamsed.types import EMOTION_DIMENSIONS, Cycle, Emotion, Event, Record


class Span(NamedTuple):
    """What formats of labelled spans of time show of a record."""

    source: str
    onset: float
    offset: float
    label: str
    confidence: float


def labelled_span(record: Record) -> Span | None:
    """Return the span of a final event, cycle or window of emotion; None of any other record.

    The label of an emotion is its levels, its confidence how sure it is that somebody speaks.
    """
    if isinstance(record, (Event, Cycle)):
        return Span(record.source, record.onset, record.offset, record.label, record.confidence)
    if isinstance(record, Emotion):
        return Span(record.source, record.onset, record.offset, emotion_levels(record, "="), record.speech)
    return None


def emotion_levels(record: Emotion, separator: str) -> str:
    """Return names and values of the three levels in one line."""
    return " ".join(f"{name}{separator}{getattr(record, name):.2f}" for name in EMOTION_DIMENSIONS)


def one_cell(text: str) -> str:
    """Replace tabs and line breaks, which would break a table, by spaces."""
    return " ".join(text.split()) if any(c in text for c in "\t\r\n\v\f") else text


def one_word(text: str) -> str:
    """Replace white space by underscores; an empty text becomes ``<NA>`` as in RTTM."""
    return "_".join(text.split()) or "<NA>"


def clock(seconds: float, decimals: int = 2) -> str:
    """Return h:mm:ss.ss, without the hours below one hour."""
    scale = 10**decimals
    ticks = round(seconds * scale)
    minutes, ticks = divmod(ticks, 60 * scale)
    hours, minutes = divmod(minutes, 60)
    rest = f"{ticks // scale:02d}.{ticks % scale:0{decimals}d}"
    return f"{hours}:{minutes:02d}:{rest}" if hours else f"{minutes}:{rest}"
