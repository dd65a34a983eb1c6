"""The live view of ``listen``: below the log of events, what is going on right now at one source."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from streamsed.cli.view import GOOD_STATES, View, meter, scale
from streamsed.sinks.fields import clock, one_cell
from streamsed.sinks.human import HumanText
from streamsed.types import (
    EMOTION_DIMENSIONS,
    Cycle,
    CycleOpen,
    Emotion,
    Event,
    Health,
    Onset,
    Record,
    Retract,
    Start,
    Status,
    Summary,
    Tags,
)

if TYPE_CHECKING:
    from streamsed.service import SessionStats

# How fast a label leaves the list of the strongest ones, per second.
_FADE = 0.5
_MOST_LABELS = 12
_HEALTH_SECONDS = 5.0
# How far back the curves of emotion go: 24 s of records at a hop of half a second.
_CURVE_POINTS = 48


class LiveView(View):
    """The view of a single source.

    Parameters
    ----------
    console : rich.console.Console
    stats : callable
        Returns the session's current statistics.
    thresholds : mapping of str to float
        Decision threshold of every label.
    """

    def __init__(
        self, console: Console, stats: Callable[[], SessionStats], thresholds: Mapping[str, float]
    ) -> None:
        super().__init__(console, HumanText())
        self._stats = stats
        self._thresholds = thresholds
        self._start: Start | None = None
        self._state = "starting"
        self._detail = ""
        self._health: Health | None = None
        self._posteriors: dict[str, float] = {}
        self._strength: dict[str, float] = {}
        self._tags_time = 0.0
        self._clip: Tags | None = None  # the newest one with tags
        self._active: dict[str, Onset] = {}
        self._cycle: CycleOpen | None = None
        self._emotions: deque[Emotion] = deque(maxlen=_CURVE_POINTS)

    def _take(self, record: Record) -> None:
        if isinstance(record, Tags):
            elapsed = max(record.time - self._tags_time, 0.0)
            fade = math.exp(-_FADE * elapsed)
            self._tags_time = record.time
            self._strength = {label: value * fade for label, value in self._strength.items()}
            self._posteriors = dict(record.posteriors)
            for label, value in record.posteriors.items():
                self._strength[label] = max(value, self._strength.get(label, 0.0))
            if record.tags is not None:
                self._clip = record
        elif isinstance(record, Onset):
            self._active[record.event_id] = record
        elif isinstance(record, CycleOpen):
            self._cycle = record
        elif isinstance(record, (Event, Retract)):
            self._active.pop(record.event_id, None)
            if self._cycle is not None and record.event_id == self._cycle.cycle_id:
                self._cycle = None
        elif isinstance(record, Cycle):
            if self._cycle is not None and record.cycle_id == self._cycle.cycle_id:
                self._cycle = None
        elif isinstance(record, Emotion):
            self._emotions.append(record)
        elif isinstance(record, Start):
            self._start = record
        elif isinstance(record, Status):
            self._state, self._detail = record.state, record.detail
        elif isinstance(record, Health):
            self._health = record
        elif isinstance(record, Summary):
            self._state, self._detail = "stopped", ""

    def _lines(self, width: int, ascii_only: bool) -> Iterator[Text]:
        stats = self._stats()
        yield self._headline(stats)
        yield meter(stats, width, ascii_only)
        yield self._delays(stats)
        names = [*self._thresholds, *self._strength]
        if stats.emotions is not None:
            names += EMOTION_DIMENSIONS
        name_width = min(max((len(label) for label in names), default=8), 20)
        if stats.cycles is not None:
            yield from self._breathing(stats, name_width, width, ascii_only)
        if stats.emotions is not None:
            yield from self._curves(stats, name_width, width, ascii_only)
        if self._clip is not None:
            yield _clip_line(self._clip)
        labels = sorted(self._strength, key=lambda label: -self._strength[label])[:_MOST_LABELS]
        sounding = {onset.label for onset in self._active.values()}
        for label in sorted(labels):
            yield self._bar(label, label in sounding, name_width, width, ascii_only)

    def _headline(self, stats: SessionStats) -> Text:
        good = self._state in GOOD_STATES
        line = Text()
        line.append(f" {self._state} ", style="reverse green" if good else "reverse red")
        line.append(f" {clock(stats.audio_seconds, 1)}")
        if self._start is not None:
            line.append(f"  {one_cell(self._start.source)}  {self._start.model}", style="bold")
            line.append(f"  {self._start.sample_rate} Hz")
        if stats.has_picture is not None:
            text, style = (
                ("hears and sees", "") if stats.has_picture else ("hears, no picture", "bold yellow")
            )
            line.append(f"  {text}", style=style)
        if self._detail and not good:
            line.append(f"  {one_cell(self._detail)}")
        return line

    def _delays(self, stats: SessionStats) -> Text:
        parts = []
        if self._start is not None:
            delays = self._start.latency_seconds.items()
            parts.append(
                "latency " + " ".join(f"{name} {1000 * delay:.0f}" for name, delay in delays) + " ms"
            )
        measured = stats.latency_ms
        if measured:
            values = " ".join(f"{name} {value:.0f}" for name, value in measured.items())
            parts.append(f"+ processing {values} ms")
        parts.append(f"RTF {stats.rtf:.3f}")
        parts.append(f"lost {stats.dropped_samples}")
        line = Text("  ".join(parts), style="dim")
        if stats.members_skipped:
            line.append(f"  overload: {stats.members_skipped} members left out", style="not dim bold yellow")
        if self._health is not None and stats.audio_seconds - self._health.onset < _HEALTH_SECONDS:
            line.append(f"  ! {self._health.condition.replace('_', ' ')}", style="not dim bold yellow")
        return line

    def _breathing(
        self, stats: SessionStats, name_width: int, width: int, ascii_only: bool
    ) -> Iterator[Text]:
        """What is known of the open cycle, and how fast breathing is."""
        cycle, rate = self._cycle, stats.respiratory_rate
        line = Text()
        line.append(f"{stats.cycles} cycles  ")
        line.append("rate ?" if rate is None else f"{rate:.1f} breaths/min", style="bold")
        if cycle is None:
            line.append("  no cycle", style="dim")
        else:
            heard = max(0.0, stats.audio_seconds - cycle.onset)
            line.append(f"  cycle since {clock(cycle.onset, 1)} ({heard:.1f} s)")
        yield line
        posteriors = cycle.posteriors if cycle is not None else None
        for label, value in (posteriors or {}).items():
            row = Text(f"  {one_cell(label)[:name_width]:<{name_width}} {value:4.2f} ")
            room = min(width - row.cell_len, 60)
            if room >= 8:
                row.append_text(scale(value, room, None, "magenta", ascii_only))
            yield row

    def _curves(self, stats: SessionStats, name_width: int, width: int, ascii_only: bool) -> Iterator[Text]:
        """The levels of the last records, one line a dimension; a pause where nobody spoke."""
        newest = self._emotions[-1] if self._emotions else None
        hop = _usual_hop(self._emotions)
        speaks = newest is not None and stats.audio_seconds - newest.offset < 2 * hop + 1.0
        line = Text(f"{stats.emotions} records of emotion  ")
        line.append("voice" if speaks else "no voice", style="bold" if speaks else "dim")
        yield line
        for name in EMOTION_DIMENSIONS:
            value = getattr(newest, name) if newest is not None and speaks else None
            text = "   ?" if value is None else f"{value:4.2f}"
            row = Text(f"  {name[:name_width]:<{name_width}} {text} ")
            room = min(width - row.cell_len, _CURVE_POINTS)
            if room >= 8:
                row.append(_curve(self._emotions, name, hop, stats.audio_seconds, room, ascii_only), "cyan")
            yield row

    def _bar(self, label: str, active: bool, name_width: int, width: int, ascii_only: bool) -> Text:
        value = self._posteriors.get(label, 0.0)
        sign = (">" if ascii_only else "▶") if active else " "
        line = Text()
        line.append(
            f"{sign} {one_cell(label)[:name_width]:<{name_width}} {value:4.2f} ",
            style="bold" if active else "",
        )
        room = min(width - line.cell_len, 60)
        if room >= 8:
            line.append_text(
                scale(value, room, self._thresholds.get(label), "green" if active else "cyan", ascii_only)
            )
        return line


def _clip_line(record: Tags) -> Text:
    """What was heard over the window of the tags, however long ago in it."""
    line = Text(f"last {record.time - (record.onset or 0.0):.0f} s  ")
    posteriors = record.clip_posteriors or {}
    tags = [
        f"{one_cell(tag)} {posteriors[tag]:.2f}" if tag in posteriors else one_cell(tag)
        for tag in record.tags or ()
    ]
    line.append("  ".join(tags) or "no tags", style="bold" if tags else "dim")
    return line


def _usual_hop(emotions: Sequence[Emotion]) -> float:
    """Return the usual time between records, half a second before there are two."""
    steps = [after.offset - before.offset for before, after in itertools.pairwise(emotions)]
    return max(statistics.median(steps), 0.1) if steps else 0.5


def _curve(
    emotions: Sequence[Emotion], name: str, hop: float, now: float, cells: int, ascii_only: bool
) -> str:
    """Return one character per hop up to now, the higher the level the higher its sign; a blank without a record."""
    signs = "_.-=^" if ascii_only else "▁▂▃▄▅▆▇█"
    characters = [" "] * cells
    for record in emotions:
        place = cells - 1 - round((now - record.offset) / hop)
        if 0 <= place < cells:
            level = min(max(getattr(record, name), 0.0), 1.0)
            characters[place] = signs[min(int(level * len(signs)), len(signs) - 1)]
    return "".join(characters)
