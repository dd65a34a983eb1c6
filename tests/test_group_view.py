"""The view of several sources, drawn without a terminal."""

from __future__ import annotations

import dataclasses
import io

from rich.console import Console

from streamsed.cli.group_view import GroupView
from streamsed.service import SessionStats
from streamsed.types import (
    Cycle,
    CycleOpen,
    Emotion,
    Event,
    Health,
    Onset,
    Retract,
    Start,
    Status,
    Summary,
    Tags,
)

STATS = SessionStats(
    state="listening",
    audio_seconds=12.0,
    events=3,
    dropped_samples=5,
    rtf=0.01,
    latency_ms={"p50": 1.0, "p95": 2.0, "max": 3.0},
    level_db=-30.0,
    peak_db=-12.0,
    callback_errors=0,
    overflow_flags=0,
    reopened=0,
    members_skipped=0,
    members_skipped_seconds=0.0,
)


class Drawn:
    """A view with the statistics of its sources, and the lines that it draws of them."""

    def __init__(self, width: int = 100, ascii_only: bool = False, **stats: SessionStats) -> None:
        self.stats = stats
        self.width, self.ascii_only = width, ascii_only
        self.view = GroupView(Console(file=io.StringIO(), width=width), lambda: self.stats)
        for name in stats:
            self.take(Start(name, "tiny", 16000, {"provisional": 0.06, "final": 0.15}))
            self.take(Status("listening", "", name))

    def take(self, *records: object) -> None:
        for record in records:
            self.view._take(record)  # type: ignore[arg-type]

    def lines(self) -> list[str]:
        return [line.plain for line in self.view._lines(self.width, self.ascii_only)]


def test_a_line_says_what_sounds_and_what_else_is_strong():
    drawn = Drawn(mic0=STATS, mic1=STATS)
    drawn.take(
        Onset("mic0-1", "mic0", "dog_bark", 1.0, 0.9),
        Tags(12.0, {"rain": 0.25, "dog_bark": 0.8}, "mic0"),
        Tags(12.0, {"speech": 0.125}, "mic1"),
    )
    head, delays, first, second = drawn.lines()
    assert head == " 2 of 2 listening  0:12.0  tiny"
    assert delays == "latency provisional 60 final 150 ms  + processing p95 2 ms  RTF 0.020  lost 10"
    assert first == "▶ mic0 ████████████·······┃····  -30.0 dBFS  dog_bark 0.80  rain 0.25"
    assert second == "  mic1 ████████████·······┃····  -30.0 dBFS  speech 0.12"
    drawn.take(Retract("mic0-1"))
    assert drawn.lines()[2].startswith("  mic0 ")


def test_what_has_ended_sounds_no_longer():
    drawn = Drawn(mic0=STATS)
    drawn.take(
        Onset("mic0-1", "mic0", "dog_bark", 1.0, 0.9),
        Event("mic0-1", "mic0", "dog_bark", 1.0, 2.0, 0.9, 0.1),
        CycleOpen("mic0-2", "mic0", 1.0),
    )
    assert drawn.lines()[2].endswith("dBFS  breath")
    drawn.take(Cycle("mic0-2", "mic0", 1.0, 3.0, "normal", {}, 0.9, 0.1))
    assert drawn.lines()[2].endswith("dBFS  ")
    drawn.take(Retract("of nobody"))


def test_trouble_is_said_in_words():
    drawn = Drawn(mic0=STATS, mic1=STATS, mic2=STATS)
    drawn.take(
        Status("recovering", "no audio for 0.8 s", "mic1"),
        Health("clipping", 11.0, "mic0"),
        Status("stopped", "device 'x' did not come back", "mic2"),
    )
    drawn.stats["mic0"] = dataclasses.replace(STATS, members_skipped=2)
    head, _, first, second, third = drawn.lines()
    assert head.startswith(" 1 of 3 listening ")
    assert "overload: 2 members left out" in first
    assert "! clipping" in first
    assert second.endswith("-30.0 dBFS  recovering: no audio for 0.8 s")
    assert third == "  mic2 stopped at 0:12.00, 3 events  device 'x' did not come back"
    drawn.stats["mic0"] = dataclasses.replace(STATS, audio_seconds=20.0)
    assert "clipping" not in drawn.lines()[2], "it was a while ago"


def test_the_end():
    drawn = Drawn(**{"a.wav": dataclasses.replace(STATS, cycles=4, events=0), "b.wav": STATS})
    for name in drawn.stats:
        drawn.take(Status("stopped", "", name), Summary(12.0, 3, 0, 0.01, {}, name))
    head, _, first, second = drawn.lines()
    assert head.startswith(" stopped ")
    assert first == "  a.wav stopped at 0:12.00, 4 cycles"
    assert second == "  b.wav stopped at 0:12.00, 3 events"


def test_breathing_and_emotion():
    breathing = dataclasses.replace(STATS, cycles=4, respiratory_rate=15.25)
    drawn = Drawn(chest=breathing, voice=dataclasses.replace(STATS, emotions=2))
    spread = {"valence": 0.1, "arousal": 0.1, "dominance": 0.1}
    drawn.take(Emotion(9.0, 11.0, 0.25, 0.5, 0.75, spread, 0.9, "voice"))
    _, _, first, second = drawn.lines()
    assert first.endswith("  15.2 breaths/min")
    assert second.endswith("valence 0.25 arousal 0.50 dominance 0.75")
    drawn.stats["voice"] = dataclasses.replace(drawn.stats["voice"], audio_seconds=14.0)
    assert "valence" not in drawn.lines()[3], "nobody has spoken for a while"


def test_plain_signs_and_little_room():
    drawn = Drawn(
        width=40, ascii_only=True, **{"a" * 40: STATS, "silent": dataclasses.replace(STATS, level_db=-120.0)}
    )
    drawn.take(Onset("1", "a" * 40, "dog_bark", 1.0, 0.9))
    _, _, first, second = drawn.lines()
    assert first == "> " + "a" * 24 + "   -30.0 dBFS  dog_bark"
    assert second == "  silent" + 18 * " " + "   silent      "
    assert all(line.isascii() for line in drawn.lines())
