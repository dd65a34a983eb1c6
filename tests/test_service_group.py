"""Several sources at once: each gives what it gives alone, and ends alone."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from tiny_models import scene

import streamsed
from streamsed.errors import ConfigError, FormatError, Overload, StateError
from streamsed.service import Session, SessionGroup
from streamsed.sources import IterableSource, PcmSource
from streamsed.types import Event, Onset, Record, Retract, Start, Status, Summary

RATE = 16000


def write(path: Path, number: int = 0, rate: int = RATE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.roll(scene(rate, seed=number), number * rate // 7), rate, "FLOAT")
    return path


def cut(path: Path, seconds: float) -> Path:
    """Cut a mono recording of 32-bit samples off, so that its header promises more than there is."""
    path.write_bytes(path.read_bytes()[: round(seconds * RATE) * 4])
    return path


def source_of(record: Record) -> str:
    """Which source a record is of; of a retraction its id says so."""
    if isinstance(record, Retract):
        return record.event_id.rpartition("-")[0]
    assert record.source is not None
    return record.source


def of_source(records: Sequence[Record], name: str) -> list[Record]:
    return [record for record in records if source_of(record) == name]


def timeless(records: Sequence[Record]) -> list[Record]:
    """Leave out what depends on how fast the machine is and what time it is."""
    out: list[Record] = []
    for record in records:
        if isinstance(record, Summary):
            record = dataclasses.replace(record, rtf=0.0, latency_ms={})
        elif hasattr(record, "time_utc"):
            record = dataclasses.replace(record, time_utc=None)
        out.append(record)
    return out


def endless(hz: float = 300.0) -> Iterator[np.ndarray]:
    # Whole periods: one tone without a seam. In silence without any noise the model takes it for nothing.
    noise = np.random.default_rng(0).normal(0, 1e-4, RATE // 10)
    chunk = (0.3 * np.sin(2 * np.pi * hz * np.arange(RATE // 10) / RATE) + noise).astype(np.float32)
    while True:
        time.sleep(0.001)
        yield chunk


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("several")
    return [
        write(folder / f"{rate}_{number}.wav", number, rate)
        for number, rate in enumerate((16000, 44100, 48000))
    ]


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
def test_each_file_gives_what_it_gives_alone(
    kind: str, count: int, recordings: list[Path], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(kind)
    paths = recordings[:count]
    with streamsed.listen(input=paths, model=model, top_k=2) as group:
        records = list(group)
    assert isinstance(group, SessionGroup)
    for path in paths:
        alone = list(streamsed.listen(input=path, model=model, top_k=2))
        assert timeless(of_source(records, path.name)) == timeless(alone)
        assert sum(isinstance(record, Event) for record in alone) >= 3
        assert group.summaries[path.name] in records
    assert {source_of(record) for record in records} == {path.name for path in paths}


def test_several_models_and_profiles(
    detector: streamsed.Detector, windowed: streamsed.Detector, recordings: list[Path]
) -> None:
    options: dict[str, Any] = {"model": [detector, windowed], "latency": "low", "thresholds": {"low": 0.6}}
    records = list(streamsed.listen(input=recordings, **options))
    for path in recordings:
        alone = list(streamsed.listen(input=path, **options))
        assert timeless(of_source(records, path.name)) == timeless(alone)


def test_twenty_files_and_a_broken_one_among_them(detector: streamsed.Detector, tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{number}.wav", number) for number in range(20)]
    cut(paths[7], 2.5)
    group = streamsed.listen(input=paths, model=detector)
    records: list[Record] = []
    with pytest.raises(FormatError, match=r"7\.wav.*cut"):
        for record in group:
            records.append(record)  # noqa: PERF402 - an extend would lose all of it
    for path in paths:
        own = of_source(records, path.name)
        assert isinstance(own[0], Start)
        assert isinstance(own[-1], Summary)
        stopped = own[-2]
        assert isinstance(stopped, Status)
        assert stopped.state == "stopped"
        if path == paths[7]:
            assert "cut" in stopped.detail
            assert own[-1].audio_seconds == pytest.approx(2.5, abs=0.01)
        else:
            assert stopped.detail == ""
            assert timeless(own) == timeless(list(streamsed.listen(input=path, model=detector)))
    assert isinstance(group.error, FormatError)
    assert len(group.summaries) == 20


def test_a_pipe_that_ends_early_ends_alone(detector: streamsed.Detector, recordings: list[Path]) -> None:
    reading, writing = os.pipe()
    pcm = (scene()[: 2 * RATE + RATE // 2] * 32767).astype("<i2").tobytes()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb") as stream:
        sources = [PcmSource(pipe, RATE), recordings[0]]
        group = streamsed.listen(input=sources, model=detector, realtime=True, duration=4.0)
        records: list[Record] = []
        for record in group:
            if isinstance(record, Start) and not records:
                stream.write(pcm)
                stream.close()
            records.append(record)
    first, second = group.source_names
    assert group.summaries[first].audio_seconds == 2.5
    assert group.summaries[second].audio_seconds == 4.0
    assert [record.label for record in of_source(records, first) if isinstance(record, Event)] == ["low"]
    labels = [record.label for record in of_source(records, second) if isinstance(record, Event)]
    assert labels == ["low", "high"]
    assert source_of(records[-1]) == second, "the file went on"
    assert group.error is None


def test_nothing_begins_if_one_source_cannot_be_opened(
    detector: streamsed.Detector, recordings: list[Path], tmp_path: Path
) -> None:
    heard: list[Record] = []
    before = open_files()
    group = streamsed.listen(
        input=[*recordings, tmp_path / "nowhere.wav"], model=detector, on_record=heard.append
    )
    with pytest.raises(FormatError, match="nowhere"):
        group.start()
    assert heard == []
    assert list(group) == []
    deadline = time.monotonic() + 5.0
    while open_files() > before:
        assert time.monotonic() < deadline, "what was opened is closed"
        time.sleep(0.01)
    assert {stats.state for stats in group.stats.values()} == {"stopped"}
    with pytest.raises(StateError, match="start: expected a new group"):
        group.start()


def failing(seconds: float, error: Exception, delay: float) -> IterableSource:
    def chunks() -> Iterator[np.ndarray]:
        yield np.zeros(round(seconds * RATE), np.float32)
        time.sleep(delay)
        raise error

    return IterableSource(chunks(), RATE, name="failing")


def test_the_first_error_is_raised_after_all_have_ended(
    detector: streamsed.Detector, recordings: list[Path]
) -> None:
    late, early = failing(1.0, ZeroDivisionError("late"), 0.6), failing(2.0, KeyError("early"), 0.1)
    records: list[Record] = []
    with (
        pytest.raises(KeyError, match="early"),
        streamsed.listen(input=[late, early, recordings[0]], model=detector) as group,
    ):
        records.extend(group)
    assert [summary.audio_seconds for summary in group.summaries.values()] == [1.0, 2.0, 6.0]
    # Two of the same name and no path are numbered.
    assert group.source_names == ("failing", "failing-2", recordings[0].as_posix())
    assert isinstance(group.sessions[0].error, ZeroDivisionError)


def test_once_ends_all(detector: streamsed.Detector) -> None:
    rounds = (scene(seed=number) for number in range(1000))
    sources = [
        IterableSource(endless(), RATE, name="endless"),
        IterableSource(rounds, RATE, name="rounds"),
    ]
    records = list(streamsed.listen(input=sources, model=detector, once="high"))
    found = [source_of(record) for record in records if isinstance(record, Event) and record.label == "high"]
    assert found == ["rounds"]
    assert sum(isinstance(record, Summary) for record in records) == 2
    # The open event of the other one was closed.
    assert [record.label for record in of_source(records, "endless") if isinstance(record, Event)] == ["low"]


def test_duration_holds_for_each(detector: streamsed.Detector, recordings: list[Path]) -> None:
    sources = [IterableSource(endless(), RATE, name="endless"), *recordings[1:]]
    with streamsed.listen(input=sources, model=detector, duration=2.34567) as group:
        group.run()
    for name, summary in group.summaries.items():
        rate = {"endless": 16000, "44100_1.wav": 44100, "48000_2.wav": 48000}[name]
        assert summary.audio_seconds == pytest.approx(round(2.34567 * rate) / rate, abs=1e-6)


def test_strict_realtime_ends_all(detector: streamsed.Detector) -> None:
    tick = np.zeros(RATE // 25, np.float32)
    burst = IterableSource((tick for _ in range(25 * 600)), RATE, live=True, name="burst")
    group = streamsed.listen(
        input=[burst, IterableSource(endless(), RATE, name="endless")], model=detector, strict_realtime=True
    )
    with pytest.raises(Overload, match="strict_realtime: processing fell behind"):
        list(group)
    assert isinstance(group.sessions[0].error, Overload)
    assert group.sessions[1].error is None
    assert len(group.summaries) == 2


def test_a_slow_consumer_holds_files_up(detector: streamsed.Detector, recordings: list[Path]) -> None:
    group = streamsed.listen(input=recordings, model=detector, strict_realtime=True, top_k=2)
    group._queue._capacity = 2
    group._dispatcher._capacity = 2
    records = []
    for record in group:
        assert len(group._queue._records) <= 2
        assert len(group._dispatcher._items) <= 2
        records.append(record)
        time.sleep(0.001)
    assert [summary.dropped_samples for summary in group.summaries.values()] == [0, 0, 0]
    assert sum(isinstance(record, Summary) for record in records) == 3


def test_callbacks_run_in_one_thread_and_failing_ones_do_no_harm(
    detector: streamsed.Detector, recordings: list[Path]
) -> None:
    threads: set[int] = set()
    found: list[Event] = []

    def on_record(record: Record) -> None:
        threads.add(threading.get_ident())
        if record.type == "onset":
            raise RuntimeError("no onsets please")

    group = streamsed.listen(input=recordings, model=detector, on_record=on_record, on_event=found.append)
    summaries = group.run()
    assert len(threads) == 1
    assert set(summaries) == set(group.source_names)
    assert sum(summary.events for summary in summaries.values()) == len(found) > 6
    assert group.callback_errors >= len(found)


def test_a_callback_far_behind_may_close(detector: streamsed.Detector) -> None:
    """Workers wait for room among the records, the callback for the workers: neither may wait for ever."""
    group: SessionGroup | None = None
    called = threading.Event()
    seen: list[Record] = []

    def on_record(record: Record) -> None:
        seen.append(record)
        if len(seen) == 1:
            assert group is not None
            called.wait(10.0)
            group.close()

    sources = [IterableSource(endless(), RATE, name=f"endless{number}") for number in range(3)]
    group = streamsed.listen(input=sources, model=detector, on_record=on_record, top_k=2)
    group._dispatcher._capacity = 1
    for session in group.sessions:
        session._dispatcher._capacity = 1
    group.start()
    time.sleep(0.3)
    called.set()
    group.run()
    assert sum(isinstance(record, Summary) for record in seen) == 3


def test_interrupt_in_the_consumer_closes_open_events(detector: streamsed.Detector) -> None:
    sources = [
        IterableSource(endless(), RATE, name="low"),
        IterableSource(endless(5000.0), RATE, name="high"),
    ]
    group = streamsed.listen(input=sources, model=detector)
    open_labels: set[str] = set()
    with pytest.raises(KeyboardInterrupt), group:
        for record in group:
            if isinstance(record, Onset):
                open_labels.add(record.label)
            if open_labels == {"low", "high"}:
                raise KeyboardInterrupt
    left = list(group)
    ended = {record.source: record.label for record in left if isinstance(record, Event)}
    assert ended == {"low": "low", "high": "high"}
    assert sum(isinstance(record, Summary) for record in left) == 2


def test_asynchronous_iteration(detector: streamsed.Detector, recordings: list[Path]) -> None:
    async def listen() -> list[Record]:
        async with streamsed.listen(input=recordings, model=detector) as group:
            return [record async for record in group]

    records = asyncio.run(listen())
    assert sum(isinstance(record, Summary) for record in records) == 3


def test_asynchronous_iteration_raises_too(detector: streamsed.Detector, tmp_path: Path) -> None:
    async def listen() -> None:
        paths = [write(tmp_path / "good.wav"), cut(write(tmp_path / "bad.wav"), 3.0)]
        async for _ in streamsed.listen(input=paths, model=detector):
            pass

    with pytest.raises(FormatError, match=r"bad\.wav"):
        asyncio.run(listen())


def test_lifetime(detector: streamsed.Detector, recordings: list[Path]) -> None:
    group = streamsed.listen(input=recordings, model=detector)
    assert {stats.state for stats in group.stats.values()} == {"new"}
    assert group.start() is group
    assert group.start() is group
    group.close()
    group.close()
    assert {stats.state for stats in group.stats.values()} == {"stopped"}
    with pytest.raises(StateError, match="start: expected a new group"):
        group.start()
    never = streamsed.listen(input=recordings, model=detector)
    never.close()
    assert list(never) == []
    assert never.summaries == {}


def test_files_of_one_name_are_called_by_their_paths(detector: streamsed.Detector, tmp_path: Path) -> None:
    paths = [write(tmp_path / name) for name in ("a/scene.wav", "b/scene.wav", "b/other.wav")]
    group = streamsed.listen(input=[*paths, paths[0]], model=detector)
    expected = [path.as_posix() for path in paths]
    assert group.source_names == (*expected, f"{expected[0]}-2")
    records = list(group)
    ids = [record.event_id for record in records if isinstance(record, Event)]
    assert len(set(ids)) == len(ids) == 12


def test_names_may_be_given(detector: streamsed.Detector, recordings: list[Path]) -> None:
    group = streamsed.listen(input=recordings, model=detector, source_name=("x", "y", "z"))
    assert group.source_names == ("x", "y", "z")
    assert {source_of(record) for record in group} == {"x", "y", "z"}


def test_sounds_of_all_sources_are_saved(detector: streamsed.Detector, tmp_path: Path) -> None:
    paths = [write(tmp_path / name / "scene.wav", number) for number, name in enumerate(("a", "b"))]
    # A name that becomes the same as another one's, as a file's name.
    names = [["a/b", "a_b"], ["0", "1"]]
    for number, given in enumerate(names):
        folder = tmp_path / f"clips{number}"
        group = streamsed.listen(
            input=paths, model=detector, save_audio=folder, pre_roll=0.25, source_name=given
        )
        found = [record for record in group if isinstance(record, Event)]
        saved = sorted(soundfile.info(path).frames for path in folder.iterdir())
        expected = sorted(
            round(event.offset * RATE) - max(0, round((event.onset - 0.25) * RATE)) for event in found
        )
        assert saved == expected
        assert len(saved) > 5


def test_a_device_beside_inputs_is_one_of_several(
    detector: streamsed.Detector, recordings: list[Path]
) -> None:
    assert isinstance(streamsed.listen(input=recordings[0], model=detector), Session)
    chunks = np.array_split(scene(), 5)
    assert isinstance(streamsed.listen(input=chunks, model=detector, sample_rate=RATE), Session)
    assert isinstance(streamsed.listen(input=recordings[:1], model=detector), SessionGroup)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": []}, "device: expected at least one device or input"),
        ({"input": ["x.wav", np.zeros(5)]}, "input: expected paths and Sources in a list of inputs"),
        ({"input": ["-", "x.wav", "-"]}, r"input: expected stdin \(-\) once"),
        ({"input": ["x.wav", "y.wav"], "video": "z.mp4"}, "video: expected a single source beside it"),
        ({"input": ["x.wav", "y.wav"], "source_name": ["x"]}, "source_name: expected 2, one for each source"),
        ({"input": ["x.wav", "y.wav"], "source_name": "x"}, "source_name: expected 2, one for each source"),
        ({"input": ["x.wav", "y.wav"], "source_name": ["x", "x"]}, "source_name: expected a different one"),
        ({"input": ["x.wav", "y.wav"], "once": "dog"}, "once: expected one of"),
        ({"input": ["x.wav", "y.wav"], "duration": 0.0}, "duration: expected"),
    ],
)
def test_bad_parameters_are_named(
    detector: streamsed.Detector, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        streamsed.listen(model=detector, **options)
