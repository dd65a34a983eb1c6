"""What the live views of ``listen`` share: a log of events that scrolls, and below it lines that are drawn anew."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from streamsed.sinks.human import HumanText
from streamsed.sinks.text_sink import ReaderGone
from streamsed.types import Cycle, Event, Gap, Record, Status, Summary

if TYPE_CHECKING:
    from types import TracebackType

    from streamsed.service import SessionStats

Self = TypeVar("Self", bound="View")

_FRAMES_PER_SECOND = 8
_FLOOR_DB = -60.0
_SILENT_DB = -119.0
GOOD_STATES = ("listening", "stopped")


class View(ABC):
    """A sink that draws. Finished events go into the terminal's scroll-back: no window is too small for them.

    Every state is said in words or signs as well as in colour.

    Parameters
    ----------
    console : rich.console.Console
    text : HumanText
        How lines of the log look.
    """

    def __init__(self, console: Console, text: HumanText) -> None:
        self._console = console
        self._text = text
        self._lock = threading.Lock()
        self._live = Live(
            self,
            console=console,
            refresh_per_second=_FRAMES_PER_SECOND,
            redirect_stdout=False,
            redirect_stderr=True,
        )

    @abstractmethod
    def _take(self, record: Record) -> None:
        """Keep what the lines show."""

    @abstractmethod
    def _lines(self, width: int, ascii_only: bool) -> Iterator[Text]:
        """Draw; those at the end are left out where the window is too low."""

    def __enter__(self: Self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, record: Record) -> None:
        """Take one record."""
        with self._lock:
            self._take(record)
        try:
            self._log(record)
        except OSError as error:
            # The window is gone; what goes into files goes on.
            raise ReaderGone("terminal") from error

    def _log(self, record: Record) -> None:
        trouble = isinstance(record, Status) and record.state not in GOOD_STATES
        if isinstance(record, (Event, Cycle, Gap, Summary)) or trouble:
            line = self._text.render(record).rstrip("\n")
            if len(line) > self._console.width:
                line = " ".join(line.split())
            self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Leave the last picture on the screen and give the terminal back."""
        with contextlib.suppress(OSError):
            self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        height = max(console.size.height - 1, 1)
        with self._lock:
            lines = list(self._lines(width, options.ascii_only))
        # In a small window what is at the end goes first.
        for line in lines[:height]:
            line.truncate(width, overflow="ellipsis")
            yield line


class LevelLines:
    """A line with the level of each source, for when the records go elsewhere.

    Parameters
    ----------
    console : rich.console.Console
    stats : callable
        Returns names and current statistics of the sources; a single one needs no name.
    """

    def __init__(self, console: Console, stats: Callable[[], Iterable[tuple[str, SessionStats]]]) -> None:
        self._stats = stats
        self._live = Live(self, console=console, refresh_per_second=_FRAMES_PER_SECOND, transient=True)

    def __enter__(self) -> LevelLines:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, record: Record) -> None:
        """Ignore the record."""

    def close(self) -> None:
        """Remove the lines."""
        self._live.stop()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        named = list(self._stats())
        name_width = min(max(len(name) for name, _ in named), 20)
        for name, stats in named[: max(console.size.height - 1, 1)]:
            line = Text(f"{name[:name_width]:<{name_width}} " if name else "")
            line.append_text(meter(stats, options.max_width - line.cell_len, options.ascii_only))
            line.truncate(options.max_width, overflow="ellipsis")
            yield line


def meter(stats: SessionStats, width: int, ascii_only: bool) -> Text:
    """Return a line of at most ``width`` cells with level and peak."""
    text = level_text(stats)
    if stats.level_db > _SILENT_DB:
        text += f"  peak {stats.peak_db:6.1f}"
    line = Text("level ")
    room = min(width - len(line) - len(text), 60)
    if room >= 8:
        line.append_text(level_bar(stats, room, ascii_only))
    line.append(text)
    return line


def level_text(stats: SessionStats) -> str:
    """Return the level in words, of one width."""
    return "  silent    " if stats.level_db <= _SILENT_DB else f" {stats.level_db:6.1f} dBFS"


def level_bar(stats: SessionStats, cells: int, ascii_only: bool) -> Text:
    """Return a bar of the level from -60 dB to full scale, with a line at the peak; red where it clips."""
    level, peak = stats.level_db, stats.peak_db
    mark = None if level <= _SILENT_DB else 1 - peak / _FLOOR_DB
    return scale(1 - level / _FLOOR_DB, cells, mark, "red" if peak > -0.5 else "green", ascii_only)


def scale(share: float, cells: int, mark: float | None, style: str, ascii_only: bool) -> Text:
    """Return a bar of ``cells`` characters filled to ``share``, with a line at ``mark``."""
    full, empty, tick = ("#", ".", "|") if ascii_only else ("█", "·", "┃")
    filled = round(min(max(share, 0.0), 1.0) * cells)
    characters = [full] * filled + [empty] * (cells - filled)
    bar = Text()
    at = None if mark is None else min(int(min(max(mark, 0.0), 1.0) * cells), cells - 1)
    for index, character in enumerate(characters):
        if index == at:
            bar.append(tick, style="bold")
        else:
            bar.append(character, style=style if index < filled else "dim")
    return bar
