"""The live view of ``listen`` to several sources: below the log of events, a line for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from streamsed.cli.view import GOOD_STATES, View, level_bar, level_text
from streamsed.sinks.fields import clock, emotion_levels, one_cell
from streamsed.sinks.human import HumanText
from streamsed.types import (
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
    Tags,
)

if TYPE_CHECKING:
    from streamsed.service import SessionStats

_HEALTH_SECONDS = 5.0
_EMOTION_SECONDS = 2.0
_MOST_NAME_CELLS = 24
_MOST_BAR_CELLS = 24
# Beside the bar there is to be room for two classes.
_CLASS_CELLS = 36
_LEAST_BAR_CELLS = 8


class _SourceLine:
    """What one source's line shows."""

    def __init__(self, name: str) -> None:
        self.name = one_cell(name)
        self.start: Start | None = None
        self._state, self._detail = "starting", ""
        self._health: Health | None = None
        self._posteriors: dict[str, float] = {}
        self._active: dict[str, str] = {}  # label of what sounds, by its id
        self._emotion: Emotion | None = None

    @property
    def state(self) -> str:
        """As its newest status says."""
        return self._state

    def take(self, record: Record) -> None:
        """Keep what the line shows."""
        if isinstance(record, Tags):
            self._posteriors = dict(record.posteriors)
        elif isinstance(record, Onset):
            self._active[record.event_id] = record.label
        elif isinstance(record, CycleOpen):
            self._active[record.cycle_id] = "breath"
        elif isinstance(record, (Event, Retract)):
            self._active.pop(record.event_id, None)
        elif isinstance(record, Cycle):
            self._active.pop(record.cycle_id, None)
        elif isinstance(record, Emotion):
            self._emotion = record
        elif isinstance(record, Start):
            self.start = record
        elif isinstance(record, Status):
            self._state, self._detail = record.state, record.detail
        elif isinstance(record, Health):
            self._health = record

    def draw(self, stats: SessionStats, name_width: int, width: int, ascii_only: bool) -> Text:
        """Return the line."""
        line = Text()
        sounding = sorted(set(self._active.values()))
        sign = (">" if ascii_only else "▶") if sounding else " "
        line.append(f"{sign} {self.name[:name_width]:<{name_width}} ", style="bold" if sounding else "")
        if self._state == "stopped":
            text = f"stopped at {clock(stats.audio_seconds)}, {_found(stats)}"
            line.append(text, style="dim")
            if self._detail:
                line.append(f"  {one_cell(self._detail)}", style="bold red")
            return line
        room = min(width - line.cell_len - _CLASS_CELLS, _MOST_BAR_CELLS)
        if room >= _LEAST_BAR_CELLS:
            line.append_text(level_bar(stats, room, ascii_only))
        line.append(f"{level_text(stats)}  ")
        if self._state not in GOOD_STATES:
            line.append(f"{self._state}", style="bold red")
            line.append(f": {one_cell(self._detail)}" if self._detail else "")
            return line
        self._append_health(line, stats)
        self._append_classes(line, sounding)
        if stats.respiratory_rate is not None:
            line.append(f"  {stats.respiratory_rate:.1f} breaths/min")
        if self._emotion is not None and stats.audio_seconds - self._emotion.offset < _EMOTION_SECONDS:
            line.append(f"  {emotion_levels(self._emotion, ' ')}")
        return line

    def _append_health(self, line: Text, stats: SessionStats) -> None:
        if stats.members_skipped:
            line.append(f"overload: {stats.members_skipped} members left out  ", style="bold yellow")
        if self._health is not None and stats.audio_seconds - self._health.onset < _HEALTH_SECONDS:
            line.append(f"! {self._health.condition.replace('_', ' ')}  ", style="bold yellow")

    def _append_classes(self, line: Text, sounding: Sequence[str]) -> None:
        """Say what sounds, then what else is strong."""
        parts = [(label, "bold green") for label in sounding]
        parts += [(label, "dim") for label in self._posteriors if label not in sounding]
        texts = []
        for label, style in parts:
            value = self._posteriors.get(label)
            texts.append(Text(one_cell(label) + ("" if value is None else f" {value:.2f}"), style=style))
        line.append_text(Text("  ").join(texts))


class GroupView(View):
    """The view of several sources.

    Parameters
    ----------
    console : rich.console.Console
    stats : callable
        Returns the current statistics of every source, by name.
    """

    def __init__(self, console: Console, stats: Callable[[], Mapping[str, SessionStats]]) -> None:
        super().__init__(console, HumanText(several=True))
        self._stats = stats
        self._sources = {name: _SourceLine(name) for name in stats()}
        self._owners: dict[str, _SourceLine] = {}  # of what may be retracted, which does not say whose it is

    def _take(self, record: Record) -> None:
        if isinstance(record, Retract):
            owner = self._owners.pop(record.event_id, None)
        else:
            owner = self._sources.get(record.source or "")
        if owner is None:
            return
        if isinstance(record, Onset):
            self._owners[record.event_id] = owner
        elif isinstance(record, CycleOpen):
            self._owners[record.cycle_id] = owner
        elif isinstance(record, Event):
            self._owners.pop(record.event_id, None)
        elif isinstance(record, Cycle):
            self._owners.pop(record.cycle_id, None)
        owner.take(record)

    def _lines(self, width: int, ascii_only: bool) -> Iterator[Text]:
        stats = self._stats()
        yield self._headline(stats)
        yield self._delays(stats)
        name_width = min(max(len(source.name) for source in self._sources.values()), _MOST_NAME_CELLS)
        for name, source in self._sources.items():
            yield source.draw(stats[name], name_width, width, ascii_only)

    def _headline(self, stats: Mapping[str, SessionStats]) -> Text:
        states = [source.state for source in self._sources.values()]
        bad = [state for state in states if state not in (*GOOD_STATES, "starting")]
        if all(state == "stopped" for state in states):
            text = "stopped"
        else:
            text = f"{states.count('listening')} of {len(states)} listening"
        line = Text()
        line.append(f" {text} ", style="reverse red" if bad else "reverse green")
        line.append(f" {clock(max(item.audio_seconds for item in stats.values()), 1)}")
        model = next((source.start.model for source in self._sources.values() if source.start), "")
        line.append(f"  {model}", style="bold")
        return line

    def _delays(self, stats: Mapping[str, SessionStats]) -> Text:
        parts = []
        starts = [source.start.latency_seconds for source in self._sources.values() if source.start]
        if starts:
            slowest = {name: max(start[name] for start in starts) for name in starts[0]}
            delays = " ".join(f"{name} {1000 * delay:.0f}" for name, delay in slowest.items())
            parts.append(f"latency {delays} ms")
        late = max(item.latency_ms["p95"] for item in stats.values())
        parts.append(f"+ processing p95 {late:.0f} ms")
        parts.append(f"RTF {sum(item.rtf for item in stats.values()):.3f}")
        parts.append(f"lost {sum(item.dropped_samples for item in stats.values())}")
        return Text("  ".join(parts), style="dim")


def _found(stats: SessionStats) -> str:
    parts = [
        *([f"{stats.events} events"] if stats.cycles is stats.emotions is None or stats.events else []),
        *([] if stats.cycles is None else [f"{stats.cycles} cycles"]),
        *([] if stats.emotions is None else [f"{stats.emotions} records of emotion"]),
    ]
    return ", ".join(parts)
