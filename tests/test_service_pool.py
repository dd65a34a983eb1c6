"""DetectorPool: many streams through one model, each as if it were alone."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tiny_models import scene

from streamsed import DetectorPool, listen, load
from streamsed.detector import Detector
from streamsed.errors import BundleError, ConfigError, Overload, StateError
from streamsed.models.base import Outputs
from streamsed.types import Event, Gap, Health, Retract, Start, Status, Summary

RATE = 16000


def by_source(records, source):
    return [record for record in records if getattr(record, "source", None) == source]


def heard(records):
    """What a stream says by itself, without what a pool adds and what does not say whose it is."""
    return [record for record in records if not isinstance(record, (Start, Status, Summary, Retract))]


def alone(model, sound, rate=RATE, **options):
    stream = model.stream(rate, sound.shape[1] if sound.ndim == 2 else 1, **options)
    return heard([*stream.process(sound), *stream.flush()])


def pushed(pool, lane, sound, size):
    for begin in range(0, len(sound), size):
        lane.push(sound[begin : begin + size])


def test_lanes_of_other_rates_profiles_and_channels_equal_their_lone_streams(ensemble):
    cases = {
        "a": (RATE, 1, "low", 700),
        "b": (44100, 1, "balanced", 4410),
        "c": (8000, 2, "high", 333),
        "d": (RATE, 1, "balanced", 16000),
    }
    sounds = {}
    for number, (name, (rate, channels, _, _)) in enumerate(cases.items()):
        mono = np.roll(scene(rate, seed=number), 300 * number)
        sounds[name] = mono if channels == 1 else np.stack([mono, 0.5 * mono], axis=1)
    with DetectorPool(ensemble, inbox_seconds=60.0) as pool:
        lanes = {
            name: pool.join(name, rate, channels, latency=latency, top_k=1)
            for name, (rate, channels, latency, _) in cases.items()
        }
        threads = [
            threading.Thread(target=pushed, args=(pool, lanes[name], sounds[name], cases[name][3]))
            for name in cases
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for lane in lanes.values():
            lane.leave()
        pool.close()
        records = list(pool)
    for name, (rate, _, latency, _) in cases.items():
        own = by_source(records, name)
        expected = alone(ensemble, sounds[name], rate, source=name, latency=latency, top_k=1)
        assert isinstance(own[0], Start)
        assert isinstance(own[-1], Summary)
        found = heard(own)
        assert found == expected
        assert any(isinstance(record, Event) for record in found)


def test_a_streams_records_are_the_same_alone_and_among_a_thousand(detector):
    sound = scene(seed=3)[: 3 * RATE]
    expected = alone(detector, sound, source="mine")
    rng = np.random.default_rng(0)
    with DetectorPool(detector, inbox_seconds=60.0, max_wait=0.0) as pool:
        mine = pool.join("mine")
        others = [pool.join() for _ in range(999)]
        crowd = [rng.normal(0, 0.1, RATE // 2).astype(np.float32) for _ in range(7)]
        for number, lane in enumerate(others):
            lane.push(crowd[number % 7])
            if number % 20 == 0:
                mine.push(sound[number // 20 * 960 : (number // 20 + 1) * 960])
        assert mine.leave(timeout_seconds=60)
        assert pool.stats.streams == 1000 - 1
        pool.close()
        records = list(pool)
    assert heard(by_source(records, "mine")) == expected
    summaries = [record for record in records if isinstance(record, Summary)]
    assert len(summaries) == 1000
    assert len({record.source for record in summaries}) == 1000


def test_the_shipped_model_gives_alone_what_it_gives_in_a_crowd(everyday_detector):
    model = everyday_detector
    rng = np.random.default_rng(0)
    sound = np.concatenate([rng.normal(0, level, RATE) for level in (0.001, 0.2, 0.01)]).astype(np.float32)
    frames = []
    stream = model.stream(RATE, 1, on_frames=lambda item: frames.append(item.posteriors))
    stream.process(sound)
    stream.flush()
    expected = np.concatenate(frames)
    with DetectorPool(model, inbox_seconds=60.0) as pool:
        lanes = [pool.join() for _ in range(9)]
        found = []
        # The frames themselves, which are more telling than the few events of noise.
        lanes[4]._stream._on_frames = lambda item: found.append(item.posteriors)
        for number, lane in enumerate(lanes):
            lane.push(sound if number == 4 else rng.normal(0, 0.1, len(sound)).astype(np.float32))
    np.testing.assert_allclose(np.concatenate(found), expected, atol=2e-6)


@pytest.mark.parametrize("name", ["lung-cycles", "voice-emotion", "everyday-windowed"])
def test_models_of_every_task(name):
    model = load(name)
    scene_path = Path(__file__).parents[1] / "docs" / "demo" / "scene.flac"
    sound, rate = soundfile.read(scene_path, dtype="float32", frames=12 * RATE)
    expected = alone(model, sound, rate, source="1", latency="high")
    with DetectorPool(model, inbox_seconds=60.0, overload="drop") as pool:
        for number in range(3):
            pool.join(str(number), rate, latency="high").push(np.roll(sound, 5000 * (number - 1)))
        pool.close()
        records = list(pool)
    assert heard(by_source(records, "1")) == expected
    assert expected
    # As a session of one source has it: a count, be it 0, of what the model finds, and nothing of what it does not.
    with listen(input=scene_path, model=model, duration=2.0) as session:
        alone_summary = next(record for record in session if isinstance(record, Summary))
    for record in records:
        if isinstance(record, Summary):
            assert (record.cycles is None) == (alone_summary.cycles is None)
            assert (record.emotions is None) == (alone_summary.emotions is None)


@pytest.fixture(scope="module")
def everyday_detector():
    return load("everyday")


class TestCapacity:
    def test_more_streams_than_allowed_are_refused(self, detector):
        with DetectorPool(detector, max_streams=2) as pool:
            first = pool.join()
            pool.join()
            with pytest.raises(Overload, match="max_streams: expected at most 2 streams"):
                pool.join()
            assert pool.stats.refused_streams == 1
            assert first.leave(timeout_seconds=10)
            pool.join()

    def test_one_more_is_refused_by_load(self, detector):
        with DetectorPool(detector, max_load=0.5) as pool:
            pool.join()
            pool._load.load = 0.4
            with pytest.raises(Overload, match=r"max_load: .* at most 0.5, got 0.80 with one stream more"):
                pool.join()
            pool._load.load = 0.2
            pool.join()

    def test_a_full_inbox_drops_the_oldest_and_says_so(self, detector):
        pool = DetectorPool(detector, overload="drop", inbox_seconds=1.0)
        lane = pool.join("late")
        sound = scene()
        pushed(pool, lane, sound, 800)  # nobody serves the pool yet
        dropped = lane.stats.dropped_samples
        assert dropped >= 5 * RATE
        with pool:
            pass
        records = list(pool)
        gaps = [record for record in records if isinstance(record, Gap)]
        assert [(gap.start_sample, gap.missing_samples, gap.cause) for gap in gaps] == [
            (0, dropped, "overload")
        ]
        assert lane.summary.dropped_samples == dropped
        assert lane.summary.audio_seconds == pytest.approx(len(sound) / RATE)
        assert pool.stats.dropped_samples == dropped

    def test_a_full_inbox_refuses(self, detector):
        pool = DetectorPool(detector, overload="refuse", inbox_seconds=1.0)
        lane = pool.join("full")
        lane.push(np.zeros(RATE, np.float32))
        with pytest.raises(Overload, match=r"push: expected at most 1 s of sound to wait in full"):
            lane.push(np.zeros(1, np.float32))
        assert lane.stats.refused_samples == 1
        with pool:
            pass
        assert lane.summary.dropped_samples == 0

    def test_nobody_is_silently_late(self, detector):
        slow = SlowModel(detector, 0.06)
        with DetectorPool(slow, overload="drop", inbox_seconds=30.0, max_wait=0.0) as pool:
            lane = pool.join("busy", latency="low")
            lane.push(np.zeros(2 * RATE, np.float32))
            assert _eventually(lambda: lane.stats.latency_ms["max"] >= 1500.0)
            slow.seconds = 0.0
            assert _eventually(lambda: lane.stats.waiting_seconds < 0.02)
            lane.push(np.zeros(RATE // 10, np.float32))
        told = [record.detail for record in pool if isinstance(record, Status)]
        assert told == ["overload: 1.0 s behind the sound", "caught up with the sound", ""]

    def test_members_are_left_out_before_sound_is_lost(self, ensemble):
        slow = SlowModel(ensemble, 0.05)
        with DetectorPool(slow, inbox_seconds=30.0, max_wait=0.0) as pool:
            lane = pool.join("busy", latency="low")
            lane.push(scene())
            deadline = time.monotonic() + 30
            while lane.stats.members_skipped == 0 and time.monotonic() < deadline:
                time.sleep(0.01)
            slow.seconds = 0.0
        told = [record.detail for record in pool if isinstance(record, Status)]
        assert any("members of" in detail for detail in told)
        assert lane.summary.members_skipped_seconds > 0
        assert lane.summary.dropped_samples == 0


class SlowModel:
    """A loaded model whose streams take a while for every run of a network."""

    def __init__(self, model: Detector, seconds: float) -> None:
        self._model = model
        self.seconds = seconds
        self.name = "slow"
        self.sample_rate = model.sample_rate

    def latency(self, *given):
        return self._model.latency(*given)

    def stream(self, *given, **options):
        stream = self._model.stream(*given, **options)
        for member in stream._posteriors._members:
            member.stream._network = _SlowNetwork(member.stream._network, self)
        return stream


class _SlowNetwork:
    def __init__(self, network, model):
        self._network, self._model = network, model
        self.takes_lanes, self.device = network.takes_lanes, network.device

    def run(self, frames, state) -> tuple[Outputs, tuple]:
        time.sleep(self._model.seconds)
        return self._network.run(frames, state)


class _Poisoned:
    """Fails for as long as a lane's sound is loud."""

    takes_lanes = True
    device = "cpu"

    def __init__(self, network):
        self._network = network

    def run(self, frames, state):
        if frames.max() > 5.0:
            raise BundleError("network: expected a quiet lane, got a loud one")
        return self._network.run(frames, state)


class TestLanes:
    def test_nan_is_reported_by_its_lane_only(self, detector):
        sound = scene()
        broken = sound.copy()
        broken[5000:5100] = np.nan
        with DetectorPool(detector, inbox_seconds=60.0) as pool:
            lanes = [pool.join(name) for name in ("good", "bad")]
            lanes[0].push(sound)
            lanes[1].push(broken)
            pool.close()
            records = list(pool)
        assert heard(by_source(records, "good")) == alone(detector, sound, source="good")
        conditions = {record.condition for record in by_source(records, "bad") if isinstance(record, Health)}
        assert "non_finite" in conditions

    def test_one_that_fails_ends_and_the_others_go_on(self, detector):
        sound = scene()
        with DetectorPool(detector, inbox_seconds=60.0) as pool:
            good, bad = pool.join("good"), pool.join("bad")
            network = _Poisoned(bad._stream._posteriors._members[0].stream._network)
            for lane in (good, bad):
                lane._stream._posteriors._members[0].stream._network = network
            loud = np.random.default_rng(0).normal(0, 1e4, RATE).astype(np.float32)
            for begin in range(0, RATE, 800):
                good.push(sound[begin : begin + 800])
                bad.push(loud[begin : begin + 800]) if bad.error is None else None
                if begin == 1600:
                    assert _eventually(lambda: bad.error is not None)
            good.push(sound[RATE:])
            with pytest.raises(StateError, match=r"push: .* got bad, which has failed: network"):
                bad.push(loud)
            pool.close()
            records = list(pool)
        assert isinstance(bad.error, BundleError)
        assert bad.stats.state == "failed"
        assert any(
            record.detail.startswith("network")
            for record in by_source(records, "bad")
            if record.type == "status"
        )
        assert heard(by_source(records, "good")) == alone(detector, sound, source="good")

    def test_holes_are_told_by_the_pusher(self, detector):
        sound = scene()
        with DetectorPool(detector, inbox_seconds=60.0) as pool:
            lane = pool.join("radio")
            lane.push(sound[:20_000])
            lane.gap(4_000, "device")
            lane.push(sound[24_000:])
            pool.close()
            records = list(pool)
        stream = detector.stream(RATE, 1, source="radio")
        expected = [
            *stream.process(sound[:20_000]),
            *stream.gap(4_000, "device"),
            *stream.process(sound[24_000:]),
            *stream.flush(),
        ]
        assert heard(records) == heard(expected)

    def test_coming_and_going_while_others_listen(self, detector):
        sound = scene()
        with DetectorPool(detector, inbox_seconds=60.0) as pool:
            stays = pool.join("stays")
            for number in range(20):
                guest = pool.join(f"guest{number}")
                guest.push(sound[: 1000 * number])
                stays.push(sound[4800 * number : 4800 * (number + 1)])
                assert guest.leave(timeout_seconds=30)
                assert guest.summary.audio_seconds == pytest.approx(1000 * number / RATE)
            pool.close()
            records = list(pool)
        assert heard(by_source(records, "stays")) == alone(detector, sound, source="stays")

    def test_fewer_members_may_take_part(self, ensemble):
        sound = scene()
        with DetectorPool(ensemble, inbox_seconds=60.0) as pool:
            pool.join("one", members=1).push(sound)
            pool.join("all").push(sound)
            with pytest.raises(ConfigError, match="members: expected from 1 to 3, got 4"):
                pool.join("many", members=4)
            pool.close()
            records = list(pool)
        stream = ensemble.stream(RATE, 1, source="one")
        stream.set_members(1)
        assert heard(by_source(records, "one")) == heard([*stream.process(sound), *stream.flush()])
        assert heard(by_source(records, "all")) == alone(ensemble, sound, source="all")

    def test_everybody_has_a_turn(self, detector):
        """One with a long backlog does not keep the others waiting."""
        slow = SlowModel(detector, 0.002)
        with DetectorPool(slow, inbox_seconds=600.0, max_wait=0.0, overload="drop") as pool:
            greedy, modest = pool.join("greedy"), pool.join("modest")
            greedy.push(np.tile(scene(), 5))
            modest.push(scene()[:RATE])
            assert modest.leave(timeout_seconds=30)
            assert greedy.stats.waiting_seconds > 20
            slow.seconds = 0.0

    def test_the_memory_of_a_chunk_may_be_used_again(self, detector):
        sound = scene()
        buffer = np.empty(1000, np.float32)
        pool = DetectorPool(detector, inbox_seconds=60.0)
        lane = pool.join("mine")
        for begin in range(0, len(sound), 1000):
            buffer[:] = sound[begin : begin + 1000]
            lane.push(buffer)
        with pool:
            pass
        expected = alone(detector, sound, source="mine")
        assert heard(list(pool)) == expected


def _eventually(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class TestRecords:
    def test_callbacks(self, detector):
        events, everything = [], []
        with DetectorPool(
            detector, inbox_seconds=60.0, on_event=events.append, on_record=everything.append
        ) as pool:
            pool.join().push(scene())
        assert [record for record in everything if isinstance(record, Event)] == events
        assert len(events) == 3
        assert list(pool) == []

    def test_async_iteration(self, detector):
        async def collect():
            pool = DetectorPool(detector, inbox_seconds=60.0)
            with pool:
                pool.join("a").push(scene())
                asyncio.get_running_loop().call_later(
                    0.3, lambda: threading.Thread(target=pool.close).start()
                )
                return [record async for record in pool]

        records = asyncio.run(collect())
        assert isinstance(records[0], Start)
        assert isinstance(records[-1], Summary)

    def test_an_asynchronous_context(self, detector):
        async def run():
            async with DetectorPool(detector, inbox_seconds=60.0) as pool:
                pool.join("a").push(scene())
            return [record async for record in pool]

        records = asyncio.run(run())
        assert isinstance(records[0], Start)
        assert isinstance(records[-1], Summary)

    def test_a_worker_that_fails_is_told_when_the_context_is_left(self, detector, monkeypatch):
        def fail(lanes):
            raise RuntimeError("worker")

        pool = DetectorPool(detector)
        monkeypatch.setattr(pool, "_serve", fail)
        with pytest.raises(RuntimeError, match="worker"), pool:
            lane = pool.join("a")
            lane.push(scene())
            assert _eventually(lambda: lane.error is not None)
            with pytest.raises(StateError, match="join: expected an open pool"):
                pool.join("b")

    def test_a_pool_without_lanes_closes(self, detector):
        with DetectorPool(detector) as pool:
            pass
        assert list(pool) == []

    def test_close_without_start(self, detector):
        pool = DetectorPool(detector)
        pool.close()
        with pytest.raises(StateError, match="start: expected a new pool"):
            pool.start()

    def test_steps_wait_for_company_no_longer_than_told(self, detector):
        with DetectorPool(detector, max_wait=0.2) as pool:
            hurried, idle = pool.join("hurried", latency="low"), pool.join("idle")
            hurried.push(np.zeros(320, np.float32))
            assert _eventually(lambda: pool.stats.steps == 1)
            waited = pool.stats.latency_ms["max"]
            # Whole steps of everybody: nobody is left to be waited for.
            hurried.push(np.zeros(320, np.float32))
            idle.push(np.zeros(640, np.float32))
            assert _eventually(lambda: pool.stats.steps == 3)
        assert waited >= 199.0


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_wait": -1.0}, "max_wait: expected seconds in"),
            ({"max_batch": 0}, "max_batch: expected > 0"),
            ({"max_streams": 0}, "max_streams: expected > 0"),
            ({"max_load": 1.5}, "max_load: expected in"),
            ({"inbox_seconds": 0.1}, "inbox_seconds: expected seconds in"),
            ({"overload": "panic"}, "overload: expected degrade, drop or refuse"),
        ],
    )
    def test_pool(self, options, message, detector):
        with pytest.raises(ConfigError, match=message):
            DetectorPool(detector, **options)

    def test_no_such_model(self):
        with pytest.raises(BundleError):
            DetectorPool("no-such-model")

    def test_join(self, detector):
        with DetectorPool(detector) as pool:
            pool.join("a")
            with pytest.raises(ConfigError, match="source: expected a name that no other lane has"):
                pool.join("a")
            with pytest.raises(ConfigError, match="latency"):
                pool.join("b", latency="now")
            with pytest.raises(ConfigError, match="thresholds"):
                pool.join("c", thresholds={"cat": 0.5})
            with pytest.raises(ConfigError, match="sample_rate"):
                pool.join("d", sample_rate=-1)
            assert [lane.source for lane in pool.lanes] == ["a"]
        with pytest.raises(StateError, match="join: expected an open pool"):
            pool.join()

    def test_push(self, detector):
        with DetectorPool(detector) as pool:
            lane = pool.join("a")
            with pytest.raises(ConfigError, match="channels: expected 1"):
                lane.push(np.zeros((10, 2), np.float32))
            with pytest.raises(ConfigError):
                lane.push(np.zeros(10, np.int64))
            with pytest.raises(ConfigError, match="missing_samples"):
                lane.gap(-1)
            with pytest.raises(ConfigError, match="cause"):
                lane.gap(1, "rain")
            lane.push(np.zeros(0, np.float32))
            assert lane.leave(timeout_seconds=10)
            with pytest.raises(
                StateError, match="push: expected a stream that goes on, got a, which has left"
            ):
                lane.push(np.zeros(10, np.float32))


def test_stats_of_a_lane(detector):
    with DetectorPool(detector) as pool:
        lane = pool.join("a")
        lane.push(scene()[:RATE])
        assert _eventually(lambda: pool.stats.steps == 25)
        stats = lane.stats
        assert stats.state == "listening"
        assert set(stats.latency_ms) == {"p50", "p95", "max"}
        assert stats.stream.audio_seconds == pytest.approx(1.0)
        assert pool.stats.rounds <= 25
        assert 0.0 <= pool.stats.load <= 1.0
    assert lane.stats.state == "stopped"
    assert dataclasses.asdict(lane.stats)["refused_samples"] == 0
