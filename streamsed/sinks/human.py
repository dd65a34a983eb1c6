"""Lines for people: every record that matters to a reader."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from streamsed.sinks.fields import clock, emotion_levels, one_cell
from streamsed.types import (
    Cycle,
    CycleOpen,
    Emotion,
    Event,
    Gap,
    Health,
    Onset,
    Record,
    Retract,
    Start,
    Status,
    Summary,
    Tags,
)

# Of the names of sources, so that labels stand below each other; longer names push them on.
_SOURCE_WIDTH = 12


class HumanText:
    """One line a record: when, what, how sure. Retractions name what they take back.

    Parameters
    ----------
    several : bool
        Say in every line of which source it is.
    """

    extension: ClassVar[str] = "txt"
    header: ClassVar[str] = ""
    names_source: ClassVar[bool] = True

    def __init__(self, several: bool = False) -> None:
        self._several = several
        self._pending: dict[str, tuple[str, float, str]] = {}  # label, onset and source

    def render(self, record: Record) -> str:
        """Return the line of ``record``."""
        return self._line(record) + "\n"

    def _line(self, record: Record) -> str:
        if isinstance(record, Retract):
            return self._retracted(record)
        if isinstance(record, Start):
            waits = ", ".join(
                f"{name} {1000 * seconds:.0f} ms" for name, seconds in record.latency_seconds.items()
            )
            return f"# {one_cell(record.source)}: {record.model}, {record.sample_rate} Hz, latency {waits}"
        source = one_cell(record.source or "")
        who = f"{source:<{_SOURCE_WIDTH}}  " if self._several else ""
        if isinstance(record, Event):
            self._pending.pop(record.event_id, None)
            span = _span(record.onset, clock(record.offset), record.label, record.confidence, who)
            return span + _remarks(record)
        if isinstance(record, Onset):
            self._pending[record.event_id] = record.label, record.onset, source
            return _span(record.onset, "...", record.label, record.confidence, who)
        if isinstance(record, Cycle):
            self._pending.pop(record.cycle_id, None)
            span = _span(record.onset, clock(record.offset), record.label, record.confidence, who)
            rate = record.respiratory_rate
            return span + ("" if rate is None else f"  {rate:4.1f}/min") + _remarks(record)
        if isinstance(record, CycleOpen):
            self._pending[record.cycle_id] = "cycle", record.onset, source
            return _open(record, who)
        if isinstance(record, Tags) and record.is_whole:
            tags = _strengths(record, record.tags or ()) or "none"
            return f"{_times(record.onset or 0.0, clock(record.time))}  {who}tags: {tags}"
        if isinstance(record, Emotion):
            return _emotion(record, who)
        return f"# {source + ': ' if self._several else ''}{_note(record)}"

    def _retracted(self, record: Retract) -> str:
        known = self._pending.pop(record.event_id, None)
        if known is None:
            return f"# not confirmed: {record.event_id}"
        label, onset, source = known
        return f"# {source + ': ' if self._several else ''}not confirmed: {one_cell(label)} at {clock(onset)}"


def _times(onset: float, until: str) -> str:
    return f"{clock(onset):>9} - {until:>9}"


def _span(onset: float, until: str, label: str, confidence: float, who: str) -> str:
    return f"{_times(onset, until)}  {who}{one_cell(label):<20} {confidence:4.2f}"


def _open(cycle: CycleOpen, who: str) -> str:
    if cycle.posteriors is None:
        return f"{_times(cycle.onset, '...')}  {who}cycle"
    label, value = max(cycle.posteriors.items(), key=lambda item: item[1])
    return _span(cycle.onset, "...", f"{label}?", value, who)


def _emotion(record: Emotion, who: str) -> str:
    spread = max(record.uncertainty.values())
    levels = emotion_levels(record, " ")
    missing = f"  (without {record.members_skipped} members)" if record.members_skipped else ""
    return f"{_times(record.onset, clock(record.offset))}  {who}{levels}  ±{spread:.2f}{missing}"


def _remarks(event: Event | Cycle) -> str:
    known = (
        (isinstance(event, Cycle) and event.forced, "too long for one breath"),
        (event.spans_gap, "spans a gap"),
        (event.truncated, "cut short"),
        (event.members_skipped, f"without {event.members_skipped} members"),
        (isinstance(event, Event) and event.modalities == ["audio"], "without pictures"),
    )
    remarks = [text for holds, text in known if holds]
    return f"  ({', '.join(remarks)})" if remarks else ""


def _strengths(record: Tags, labels: Iterable[str]) -> str:
    return "  ".join(f"{one_cell(label)} {record.posteriors[label]:.2f}" for label in labels)


def _note(record: Gap | Status | Health | Tags | Summary) -> str:
    if isinstance(record, Gap):
        lost = f"{record.missing_samples} samples lost from sample {record.start_sample} on"
        return f"gap: {lost} ({record.cause})"
    if isinstance(record, Status):
        return record.state + (f": {one_cell(record.detail)}" if record.detail else "")
    if isinstance(record, Health):
        return f"signal: {record.condition.replace('_', ' ')} from {clock(record.onset)} on"
    if isinstance(record, Tags):
        text = f"{clock(record.time)}  {_strengths(record, record.posteriors)}"
        if record.tags is None or record.onset is None:
            return text
        tags = ", ".join(one_cell(label) for label in record.tags) or "none"
        return f"{text}  tags of {record.time - record.onset:.1f} s: {tags}"
    parts = [
        f"{record.audio_seconds:.2f} s of audio",
        *([f"{record.events} events"] if record.cycles is record.emotions is None or record.events else []),
        *([] if record.cycles is None else [f"{record.cycles} cycles"]),
        *([] if record.emotions is None else [f"{record.emotions} records of emotion"]),
        *([f"{record.respiratory_rate:.1f} breaths/min"] if record.respiratory_rate else []),
        f"{record.dropped_samples} samples lost",
        f"RTF {record.rtf:.3f}",
    ]
    if record.members_skipped_seconds:
        parts.append(f"{record.members_skipped_seconds:.2f} s without all members")
    if record.pictures is not None:
        parts.append(f"{record.pictures['used']} pictures")
    if record.latency_ms:
        delays = ", ".join(f"{name} {value:.0f} ms" for name, value in record.latency_ms.items())
        parts.append(f"latency {delays}")
    return "summary: " + ", ".join(parts)
