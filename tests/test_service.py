"""Sessions on files, pipes and iterables: order of records, pacing, back-pressure, and every way to end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import scene, tone

import streamsed
from streamsed._core import RingBuffer
from streamsed.errors import ConfigError, FormatError, Overload, StateError
from streamsed.service import Session
from streamsed.service.delays import DelayStatistics
from streamsed.service.dispatcher import RecordQueue
from streamsed.service.readers import LiveReader
from streamsed.service.snippets import SnippetWriter
from streamsed.sources import IterableSource, PcmSource
from streamsed.types import Event, Gap, Onset, Record, Retract, Start, Status, Summary

RATE = 16000


@pytest.fixture(scope="module")
def detector(tiny_path: Path) -> streamsed.Detector:
    return streamsed.load(tiny_path)


@pytest.fixture(scope="module")
def scene_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "scene.wav"
    soundfile.write(path, scene(), RATE, "FLOAT")
    return path


def events(records: list[Record]) -> list[tuple[str, float, float]]:
    return [(record.label, record.onset, record.offset) for record in records if isinstance(record, Event)]


def endless(chunk: np.ndarray | None = None) -> Iterator[np.ndarray]:
    """Sound that never ends, at the speed at which it is taken."""
    chunk = np.zeros(1600, np.float32) if chunk is None else chunk
    while True:
        time.sleep(0.001)
        yield chunk


def test_file_gives_what_detect_gives(detector: streamsed.Detector, scene_path: Path) -> None:
    with streamsed.listen(input=scene_path, model=detector) as session:
        records = list(session)
    expected = detector.detect(scene_path)
    assert events(records) == [(event.label, event.onset, event.offset) for event in expected]
    assert len(expected) >= 3
    assert isinstance(records[0], Start)
    assert records[0].sample_rate == RATE
    assert records[0].latency_seconds == session.latency
    assert records[0].time_utc is None, "a recording says nothing about when it was made"
    assert records[1] == Status("listening", "scene.wav", "scene.wav")
    assert records[-2] == Status("stopped", "", "scene.wav")
    summary = records[-1]
    assert isinstance(summary, Summary)
    assert summary == session.summary
    assert summary.audio_seconds == 6.0
    assert summary.events == len(expected)
    assert summary.dropped_samples == 0
    assert 0.0 < summary.rtf < 1.0
    assert set(summary.latency_ms) == {"p50", "p95", "max"}


def test_every_onset_is_resolved_once(detector: streamsed.Detector, scene_path: Path) -> None:
    records = list(streamsed.listen(input=scene_path, model=detector))
    begun = [record.event_id for record in records if isinstance(record, Onset)]
    ended = [record.event_id for record in records if isinstance(record, (Event, Retract))]
    assert len(set(begun)) == len(begun)
    assert sorted(begun) == sorted(ended)


def test_iterable_of_chunks(detector: streamsed.Detector) -> None:
    chunks = np.array_split(scene(), 97)
    records = list(streamsed.listen(input=chunks, model=detector, sample_rate=RATE))
    assert {label for label, _, _ in events(records)} >= {"low", "high"}


def test_pipe(detector: streamsed.Detector) -> None:
    reading, writing = os.pipe()
    pcm = (scene() * 32767).astype("<i2").tobytes()

    def write() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(pcm)

    threading.Thread(target=write).start()
    with os.fdopen(reading, "rb") as stream:
        source = PcmSource(stream, RATE)
        records = list(streamsed.listen(input=source, model=detector, source_name="pipe"))
    assert {label for label, _, _ in events(records)} >= {"low", "high"}
    assert all(record.source == "pipe" for record in records if isinstance(record, Event))


def test_silent_pipe_can_be_stopped(detector: streamsed.Detector) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb"):
        session = streamsed.listen(input=PcmSource(stream, RATE), model=detector)
        session.start()
        begin = time.monotonic()
        session.close()
        assert time.monotonic() - begin < 1.0
    assert [type(record) for record in session] == [Start, Status, Summary]


def test_several_models_share_the_source(
    detector: streamsed.Detector, tiny_windowed_path: Path, scene_path: Path
) -> None:
    with streamsed.listen(input=scene_path, model=[detector, tiny_windowed_path]) as session:
        records = list(session)
    assert isinstance(records[0], Start)
    assert records[0].model == "tiny+windowed"
    ids = [record.event_id for record in records if isinstance(record, Event)]
    assert len(set(ids)) == len(ids)
    assert {identifier.rsplit("-", 1)[0] for identifier in ids} == {"scene.wav-tiny", "scene.wav-windowed"}


def test_callbacks_run_in_order_and_a_failing_one_does_no_harm(
    detector: streamsed.Detector, scene_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Record] = []
    found: list[Event] = []

    def on_record(record: Record) -> None:
        heard.append(record)
        if record.type == "onset":
            raise RuntimeError("no onsets please")

    session = streamsed.listen(input=scene_path, model=detector, on_record=on_record, on_event=found.append)
    summary = session.run()
    assert heard[-1] is summary
    assert isinstance(heard[0], Start)
    assert found == [record for record in heard if isinstance(record, Event)]
    onsets = sum(isinstance(record, Onset) for record in heard)
    assert session.stats.callback_errors == onsets > 0
    assert "no onsets please" in caplog.text


def test_callback_may_stop_the_session(detector: streamsed.Detector) -> None:
    chunk = tone(0.1, 300.0)
    session: Session | None = None

    def on_record(record: Record) -> None:
        if isinstance(record, Onset):
            assert session is not None
            session.close()

    session = streamsed.listen(input=endless(chunk), model=detector, sample_rate=RATE, on_record=on_record)
    summary = session.run()
    assert summary is not None
    assert summary.events == 1, "the open event was closed"


def test_callback_far_behind_may_close(detector: streamsed.Detector) -> None:
    """The worker waits for room among the records, the callback for the worker: neither may wait for ever."""
    session: Session | None = None
    called = threading.Event()

    def on_record(record: Record) -> None:
        if isinstance(record, Start):
            assert session is not None
            called.wait(10.0)
            session.close()

    session = streamsed.listen(input=endless(), model=detector, sample_rate=RATE, on_record=on_record)
    session._dispatcher._capacity = 1
    session.start()
    time.sleep(0.2)
    called.set()
    assert session.run() is not None


def test_once(detector: streamsed.Detector) -> None:
    rounds = (scene(seed=number) for number in range(1000))
    records = list(streamsed.listen(input=rounds, model=detector, sample_rate=RATE, once="high"))
    assert [record.label for record in records if isinstance(record, Event)].count("high") == 1
    assert isinstance(records[-1], Summary)
    assert records[-1].audio_seconds < 60.0


def test_duration_is_exact(detector: streamsed.Detector) -> None:
    records = list(streamsed.listen(input=endless(), model=detector, sample_rate=RATE, duration=2.34567))
    assert isinstance(records[-1], Summary)
    assert records[-1].audio_seconds == pytest.approx(round(2.34567 * RATE) / RATE, abs=1e-6)


def test_paced_file_comes_as_if_live(detector: streamsed.Detector, scene_path: Path) -> None:
    begin = time.monotonic()
    times: dict[str, float] = {}
    session = streamsed.listen(
        input=scene_path, model=detector, realtime=True, duration=2.6, latency="low", strict_realtime=True
    )
    for record in session:
        if isinstance(record, Start):
            assert record.time_utc is not None
        if isinstance(record, (Onset, Event)) and record.label == "low":
            times.setdefault(record.type, time.monotonic() - begin)
            assert record.time_utc is not None
    assert session.summary is not None
    assert session.summary.dropped_samples == 0
    # "low" sounds from 1 to 2 s.
    assert 1.0 < times["onset"] < 1.5
    assert 2.0 < times["event"] < 2.6
    assert 2.5 < time.monotonic() - begin < 4.0
    assert session.summary.latency_ms["p50"] < 50.0


def burst(seconds: float) -> IterableSource:
    """A live source that has fallen far behind and now delivers everything at once."""
    tick = np.zeros(RATE // 25, np.float32)
    return IterableSource((tick for _ in range(round(25 * seconds))), RATE, live=True)


def test_live_source_drops_the_oldest_when_processing_falls_behind(detector: streamsed.Detector) -> None:
    records = list(streamsed.listen(input=burst(600.0), model=detector))
    gaps = [record for record in records if isinstance(record, Gap)]
    assert gaps
    assert {gap.cause for gap in gaps} == {"overload"}
    position = 0
    for gap in gaps:
        assert gap.start_sample >= position
        position = gap.start_sample + gap.missing_samples
    summary = records[-1]
    assert isinstance(summary, Summary)
    assert summary.dropped_samples == sum(gap.missing_samples for gap in gaps)
    assert summary.audio_seconds == 600.0, "every sample is accounted for"


def test_strict_realtime_ends_with_overload(detector: streamsed.Detector) -> None:
    session = streamsed.listen(input=burst(600.0), model=detector, strict_realtime=True)
    records: list[Record] = []
    with pytest.raises(Overload, match="strict_realtime: processing fell behind the sound"):
        records.extend(session)
    assert isinstance(session.summary, Summary)
    assert isinstance(session.error, Overload)
    session.close()


def test_file_waits_for_a_slow_consumer(detector: streamsed.Detector, scene_path: Path) -> None:
    records = []
    for record in streamsed.listen(input=scene_path, model=detector, strict_realtime=True):
        records.append(record)
        time.sleep(0.05)
    assert isinstance(records[-1], Summary)
    assert records[-1].dropped_samples == 0


def test_cut_off_file_is_reported_after_all_of_it(
    detector: streamsed.Detector, scene_path: Path, tmp_path: Path
) -> None:
    path = tmp_path / "cut.wav"
    path.write_bytes(scene_path.read_bytes()[: 3 * RATE * 4])
    records: list[Record] = []
    session = streamsed.listen(input=path, model=detector)
    with pytest.raises(FormatError, match="cut"):
        for record in session:
            records.append(record)  # noqa: PERF402 - an extend would lose all of it
    assert isinstance(records[-1], Summary)
    assert records[-1].audio_seconds == pytest.approx(3.0, abs=0.01)
    assert records[-2].type == "status"
    assert "cut" in records[-2].detail  # type: ignore[union-attr]


def test_failing_iterable_ends_the_session_with_its_error(detector: streamsed.Detector) -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield np.zeros(RATE, np.float32)
        raise ZeroDivisionError("the generator's own")

    with (
        pytest.raises(ZeroDivisionError, match="the generator's own"),
        streamsed.listen(input=chunks(), model=detector, sample_rate=RATE) as session,
    ):
        list(session)
    assert session.summary is not None
    assert session.summary.audio_seconds == 1.0


def test_leaving_the_context_raises_what_nobody_saw(detector: streamsed.Detector) -> None:
    def chunks() -> Iterator[np.ndarray]:
        yield np.zeros(RATE, np.float32)
        raise ZeroDivisionError

    heard: list[Record] = []
    with (
        pytest.raises(ZeroDivisionError),
        streamsed.listen(input=chunks(), model=detector, sample_rate=RATE, on_record=heard.append),
    ):
        while not any(isinstance(record, Summary) for record in heard):
            time.sleep(0.01)


def test_interrupt_in_the_consumer_closes_open_events(detector: streamsed.Detector) -> None:
    session = streamsed.listen(input=endless(tone(0.1, 300.0)), model=detector, sample_rate=RATE)
    with pytest.raises(KeyboardInterrupt), session:
        for record in session:
            if isinstance(record, Onset):
                raise KeyboardInterrupt
    left = list(session)
    assert [type(record) for record in left if isinstance(record, Event)] == [Event]
    assert isinstance(left[-1], Summary)
    assert left[-1] == session.summary


SCRIPT = """
import sys, time
import numpy as np, streamsed

def sound():
    t = np.arange(1600) / 16000
    while True:
        time.sleep(0.01)
        yield (0.3 * np.sin(2 * np.pi * 300 * t)).astype(np.float32)

session = streamsed.listen(input=sound(), model=sys.argv[1], sample_rate=16000)
try:
    with session:
        for record in session:
            print(record.type, flush=True)
except KeyboardInterrupt:
    for record in session:
        print("left", record.type, flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3])
def test_ctrl_c_at_any_moment(tiny_path: Path, delay: float) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tiny_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "start\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10.0)
    assert process.returncode == 0, errors
    assert output.endswith("left summary\n")
    assert "Traceback" not in errors


def test_asynchronous_iteration(detector: streamsed.Detector, scene_path: Path) -> None:
    async def listen() -> list[Record]:
        turns = 0

        async def tick() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0.001)

        other = asyncio.create_task(tick())
        session = streamsed.listen(input=scene_path, model=detector, realtime=True, duration=1.5)
        async with session:
            records = [record async for record in session]
        other.cancel()
        assert turns > 100, "the loop went on turning"
        return records

    records = asyncio.run(listen())
    assert isinstance(records[0], Start)
    assert isinstance(records[-1], Summary)
    assert any(isinstance(record, Onset) for record in records)


def test_asynchronous_iteration_raises_too(detector: streamsed.Detector) -> None:
    async def listen() -> None:
        async for _ in streamsed.listen(input=burst(600.0), model=detector, strict_realtime=True):
            pass

    with pytest.raises(Overload):
        asyncio.run(listen())


def test_lifetime(detector: streamsed.Detector, scene_path: Path) -> None:
    session = streamsed.listen(input=scene_path, model=detector)
    assert session.stats.state == "new"
    assert session.start() is session
    assert session.start() is session
    session.close()
    session.close()
    assert session.stats.state == "stopped"
    with pytest.raises(StateError, match="start: expected a new session, got one that has ended"):
        session.start()
    never = streamsed.listen(input=scene_path, model=detector)
    never.close()
    assert list(never) == []


def test_missing_file_is_told_at_the_start(detector: streamsed.Detector, tmp_path: Path) -> None:
    session = streamsed.listen(input=tmp_path / "none.wav", model=detector)
    with pytest.raises(FormatError, match="no such file"):
        session.start()
    assert session.stats.state == "stopped"


def test_stats_follow_the_level(detector: streamsed.Detector) -> None:
    chunk = tone(0.1, 500.0, level=0.5)
    session = streamsed.listen(input=endless(chunk), model=detector, sample_rate=RATE)
    with session:
        for record in session:
            if isinstance(record, Onset):
                break
        time.sleep(0.1)
        stats = session.stats
    assert stats.state == "listening"
    assert stats.peak_db == pytest.approx(20 * np.log10(np.abs(chunk).max()), abs=0.1)
    assert stats.level_db == pytest.approx(10 * np.log10(np.mean(chunk**2)), abs=0.1)
    assert stats.audio_seconds > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": 0, "input": "x.wav"}, "input: expected no device beside it, got 0"),
        ({"input": [np.zeros(4)]}, "sample_rate: expected the rate of list in Hz, got None"),
        ({"input": 5}, "input: expected a path, '-', a Source or an iterable of chunks, got 5"),
        ({"input": "x.wav", "once": "whale"}, r"once: expected one of \['high', 'low'\], got 'whale'"),
        ({"input": "x.wav", "duration": 0.0}, "duration: expected seconds above 0, got 0.0"),
        ({"input": "x.wav", "latency": "none"}, "latency: expected one of"),
        ({"input": "x.wav", "thresholds": {"whale": 0.5}}, "whale"),
        ({"input": "x.wav", "top_k": 99}, "top_k: expected"),
        ({"input": "x.wav", "pre_roll": -1.0, "save_audio": "x"}, "pre_roll: expected"),
    ],
)
def test_bad_parameters_are_named(
    detector: streamsed.Detector, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        streamsed.listen(model=detector, **options)  # type: ignore[arg-type]


def test_no_model(scene_path: Path) -> None:
    with pytest.raises(ConfigError, match="model: expected at least one"):
        streamsed.listen(input=scene_path, model=[])


# ---- sound of events
# ----------------------------------------------------------------------------------------------


def test_saves_the_sound_of_events(detector: streamsed.Detector, scene_path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "events"
    session = streamsed.listen(input=scene_path, model=detector, save_audio=folder, pre_roll=0.25)
    found = [record for record in session if isinstance(record, Event)]
    sound = scene()
    assert len(list(folder.iterdir())) == len(found) > 0
    for event in found:
        saved, rate = soundfile.read(folder / f"{event.event_id}_{event.label}.wav", dtype="float32")
        assert rate == RATE
        begin = max(0, round((event.onset - 0.25) * RATE))
        expected = sound[begin : round(event.offset * RATE)]
        assert len(saved) == len(expected)
        np.testing.assert_allclose(saved, expected, atol=1.01 / 32768)


def onset(event_id: str, seconds: float) -> Onset:
    return Onset(event_id, "mic0", "low", seconds, 0.9)


def event(event_id: str, begin: float, end: float) -> Event:
    return Event(event_id, "mic0", "low", begin, end, 0.9, 0.1)


def test_snippets_of_long_events_gaps_and_retracts(tmp_path: Path) -> None:
    writer = SnippetWriter(tmp_path, 1000, 1, pre_roll=1.0)
    ramp = np.linspace(-0.9, 0.9, 100_000, dtype=np.float32)[:, np.newaxis]
    position = 0
    for begin in range(0, 50_000, 100):
        writer.add(position, ramp[begin : begin + 100])
        position += 100
        if begin == 3000:
            writer.record(onset("a", 2.5))
            writer.record(onset("b", 2.5))
        if begin == 5000:
            writer.record(Retract("b"))
        if begin == 40_000:
            position += 7000  # lost
    writer.record(event("a", 2.5, 50.0))
    writer.record(event("late", 45.0, 46.0))
    writer.record(onset("open", 50.0))
    writer.close()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"a_low.wav", "late_low.wav", "open_low.wav"}
    saved, _ = soundfile.read(tmp_path / "a_low.wav", dtype="float32")
    assert len(saved) == 50_000 - 1500
    np.testing.assert_allclose(saved[: 40_000 - 1500], ramp[1500:40_000, 0], atol=1 / 32768)
    hole = saved[40_100 - 1500 : 47_100 - 1500]
    assert not hole.any()
    np.testing.assert_allclose(saved[47_100 - 1500 :], ramp[40_100:43_000, 0], atol=1 / 32768)
    assert sum(len(part) for _, part in writer._kept) < 30_000, "memory stays bounded"


def test_snippets_never_replace_a_file(tmp_path: Path) -> None:
    for _ in range(2):
        writer = SnippetWriter(tmp_path, 1000, 2, pre_roll=0.0)
        writer.add(0, np.zeros((1000, 2), np.float32))
        writer.record(event("mic0-1", 0.1, 0.5))
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mic0-1_low.wav", "mic0-1_low_2.wav"]
    assert soundfile.info(tmp_path / "mic0-1_low.wav").frames == 400


def test_full_disk_for_snippets_does_not_end_listening(
    detector: streamsed.Detector, scene_path: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "gone"
    session = streamsed.listen(input=scene_path, model=detector, save_audio=folder)
    session.start()
    folder.rmdir()
    records = list(session)
    assert isinstance(records[-1], Summary)
    assert records[-1].events > 0
    assert session.stats.callback_errors > 0


def test_folder_that_cannot_be_made(detector: streamsed.Detector, scene_path: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    session = streamsed.listen(input=scene_path, model=detector, save_audio=tmp_path / "file" / "x")
    with pytest.raises(ConfigError, match="save_audio:"):
        session.start()


# ---- parts
# --------------------------------------------------------------------------------------------------------


def test_delay_statistics() -> None:
    delays = DelayStatistics()
    assert delays.to_milliseconds() == {"p50": 0.0, "p95": 0.0, "max": 0.0}
    values = np.random.default_rng(0).lognormal(np.log(0.02), 1.0, 20_000)
    for value in values:
        delays.add(float(value))
    assert delays.count == 20_000
    assert delays.percentile(50) == pytest.approx(np.percentile(values, 50), rel=0.03)
    assert delays.percentile(95) == pytest.approx(np.percentile(values, 95), rel=0.03)
    assert delays.to_milliseconds()["max"] == pytest.approx(1e3 * values.max(), abs=0.01)
    delays.add(-1.0)
    delays.add(1e9)
    assert delays.percentile(100) <= 1e9


def test_delays_of_several_streams_are_counted_together():
    values = np.random.default_rng(0).lognormal(np.log(0.02), 1.0, 3000)
    parts, whole, together = [DelayStatistics() for _ in range(3)], DelayStatistics(), DelayStatistics()
    for number, value in enumerate(values):
        parts[number % 3].add(float(value))
        whole.add(float(value))
    for part in parts:
        together.include(part)
    assert together.count == 3000
    assert together.to_milliseconds() == whole.to_milliseconds()
    assert together.percentile(99) == whole.percentile(99)


def test_record_queue_makes_the_producer_wait() -> None:
    queue = RecordQueue(capacity=3)
    produced: list[int] = []

    def produce() -> None:
        for number in range(10):
            queue.put(Status("listening", str(number)))
            produced.append(number)
        queue.close()

    thread = threading.Thread(target=produce)
    thread.start()
    time.sleep(0.1)
    assert len(produced) == 3
    assert [record.detail for record in queue] == [str(number) for number in range(10)]  # type: ignore[union-attr]
    thread.join(1.0)
    assert not thread.is_alive()


def test_the_last_block_is_not_lost_between_an_empty_read_and_the_end():
    source = IterableSource(iter([np.ones(160, np.float32)]), 16000)
    source.open()
    reader = LiveReader(source, 160, paced=False)
    reader._thread.join()

    class EndsBehindTheRead:
        """The ring of a source whose last block and end come right after a read that timed out."""

        def __init__(self) -> None:
            self.ring = RingBuffer(1000, 1)

        @property
        def closed(self) -> bool:
            return self.ring.closed

        def read(self, *arguments: object) -> object:
            result = self.ring.read(*arguments)
            if not self.ring.closed:
                self.ring.write(np.ones((160, 1), np.float32))
                self.ring.close()
            return result

        def close(self) -> None:
            self.ring.close()

    reader._ring = EndsBehindTheRead()
    assert reader.poll(160, 0.0) is None
    block = reader.poll(160, 0.0)
    assert block is not None and len(block.samples) == 160
    with pytest.raises(EOFError):
        reader.poll(160, 0.0)
    reader.close()
