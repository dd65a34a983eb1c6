"""Streams of a detector: from chunks of any kind to records."""

from __future__ import annotations

import dataclasses
import threading
import tracemalloc
from datetime import UTC, datetime

import contracts
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import RATE, TRUTH, assert_truth, events_of, run
from tiny_models import scene, tone

from streamsed.config import LATENCY_PROFILES
from streamsed.errors import ConfigError, StateError
from streamsed.types import Event, Gap, Onset, Retract, Tags


class Stream:
    """A DetectorStream as the contract sees it."""

    def __init__(self, stream):
        self._stream = stream
        self.latency = stream.latency

    def __getattr__(self, name):
        return getattr(self._stream, name)


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
@pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_stage_contract(kind, rate, check, request):
    loaded = request.getfixturevalue(kind)
    samples = np.concatenate(
        [scene(rate)[: rate // 4], tone(0.25, 300.0, rate), np.zeros(rate // 4, np.float32)]
    )
    check(
        contracts.StageCase(
            make=lambda: Stream(loaded.stream(rate, latency="low", top_k=1)),
            data=samples,
            join=contracts.concatenate_lists,
            bad_inputs=(np.zeros((4, 2), np.float32), np.zeros(4, np.int32), np.zeros((1, 2, 3), np.float32)),
            long_data=scene(rate),
        )
    )


@settings(max_examples=20)
@given(
    sizes=st.lists(st.integers(0, 20_000), max_size=15), latency=st.sampled_from(["low", "balanced", "high"])
)
def test_records_do_not_depend_on_the_chunks(sizes, latency, detector):
    case = contracts.StageCase(
        make=lambda: detector.stream(44100, latency=latency, top_k=2),
        data=scene(44100),
        join=contracts.concatenate_lists,
    )
    contracts.check_partition(case, sizes)


class TestRecords:
    def test_onset_then_event_with_one_id(self, detector):
        records = run(detector.stream(source="mic0"), scene())
        onsets = [record for record in records if isinstance(record, Onset)]
        events = events_of(records)
        assert {event.event_id for event in events} <= {onset.event_id for onset in onsets}
        assert len({event.event_id for event in events}) == len(events) == 3
        for event in events:
            (onset,) = (item for item in onsets if item.event_id == event.event_id)
            assert records.index(onset) < records.index(event)
            assert (onset.source, onset.label, onset.provisional) == ("mic0", event.label, True)
            assert event.event_id.startswith("mic0-")

    def test_every_onset_is_answered_once(self, detector):
        clicks = scene()
        clicks[3 * RATE // 4 :: RATE] += 0.9
        records = run(detector.stream(latency="high"), clicks)
        onsets = [record.event_id for record in records if isinstance(record, Onset)]
        answers = [record.event_id for record in records if isinstance(record, (Event, Retract))]
        assert sorted(onsets) == sorted(answers)
        assert len(set(onsets)) == len(onsets)

    def test_without_provisional_records(self, detector):
        records = run(detector.stream(provisional=False), scene())
        assert all(isinstance(record, Event) for record in records)
        assert_truth(records)

    @pytest.mark.parametrize("rate", [16000, 44100])
    @pytest.mark.parametrize("latency", ["low", "balanced", "high"])
    @pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
    def test_decided_within_the_stated_latency(self, kind, latency, rate, request):
        detector = request.getfixturevalue(kind)
        stream = detector.stream(rate, latency=latency)
        posteriors = detector.posteriors(scene(rate), rate, latency=latency)
        times = np.array([detector.bundle.clock.seconds(i) for i in range(len(posteriors))])
        # Short steps of the caller: a decision cannot be seen later than its step.
        records = run(stream, scene(rate), rate // 100)
        budget = stream.latency
        onsets = {record.event_id: record for record in records if isinstance(record, Onset)}
        slack = 1e-6
        for event in events_of(records):
            assert event.emitted_seconds - event.offset <= budget.final + slack
            onset = onsets[event.event_id]
            column = posteriors[:, detector.labels.index(event.label)]
            threshold = detector.bundle.post_processing.for_label(event.label).threshold_on
            crossing = times[(column >= threshold) & (times >= onset.onset - slack)][0]
            assert 0.0 < onset.emitted_seconds - crossing <= budget.provisional + slack
        assert budget.to_dict() == {
            "provisional": round(budget.provisional, 4),
            "final": round(budget.final, 4),
        }

    def test_latency_is_the_sum_of_its_stages(self, detector):
        budget = detector.latency("balanced", 48000)
        assert budget.resampling == pytest.approx(0.003)
        # 2 frames of 10 ms, and half of what a window of 32 ms is longer than a hop.
        assert budget.framing == pytest.approx(0.02 + 0.011)
        assert budget.look_ahead == 0.0
        assert budget.chunk == 0.04
        # A median of 3 frames waits for one; min_gap of 0.1 s is 5 frames of 20 ms.
        assert budget.median == pytest.approx(0.02)
        assert budget.min_gap == pytest.approx(0.1)
        assert budget.final == pytest.approx(0.003 + 0.031 + 0.04 + 0.02 + 0.1)
        assert detector.latency("balanced").resampling == 0.0
        low = detector.latency("low")
        assert (low.chunk, low.median, low.min_gap) == (0.02, 0.0, pytest.approx(0.02))

    def test_tags(self, detector):
        records = run(detector.stream(top_k=2, source="mic0"), scene(), 100)
        tags = [record for record in records if isinstance(record, Tags)]
        times = [record.time for record in tags]
        assert times == sorted(times)
        assert np.diff(times).min() >= 0.1 - 1e-9
        assert len(times) == pytest.approx(60, abs=10)
        during = next(record for record in tags if record.time > 1.5)
        assert list(during.posteriors) == ["low", "high"]
        assert during.posteriors["low"] > 0.9 > 0.1 > during.posteriors["high"]
        assert during.source == "mic0"

    def test_wall_clock(self, detector):
        origin = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        events = events_of(run(detector.stream(time_origin=origin), scene()))
        assert events[0].time_utc.startswith("2026-01-02T03:04:0")
        assert events[0].time_utc.endswith("Z")
        moment = datetime.fromisoformat(events[0].time_utc.replace("Z", "+00:00"))
        assert (moment - origin).total_seconds() == pytest.approx(events[0].onset, abs=1e-3)
        assert events_of(run(detector.stream(), scene()))[0].time_utc is None
        with pytest.raises(ConfigError, match="time_origin: expected a time with a time zone"):
            detector.stream(time_origin=datetime(2026, 1, 2))

    def test_id_prefix(self, detector):
        events = events_of(run(detector.stream(source="mic0", event_id_prefix="mic0-a"), scene()))
        assert all(event.event_id.startswith("mic0-a-") for event in events)


class TestChunks:
    @pytest.mark.parametrize("size", [1, 7, 319, 321, 100 * RATE])
    def test_sizes(self, detector, size):
        samples = scene()[: 2 * RATE + RATE // 4]
        expected = run(detector.stream(), samples, 640)
        assert run(detector.stream(), samples, size) == expected

    def test_a_chunk_of_100_seconds(self, detector):
        samples = np.tile(scene(), 17)[: 100 * RATE]
        stream = detector.stream()
        records = stream.process(samples) + stream.flush()
        assert len(events_of(records)) == 50
        assert stream.stats.audio_seconds == 100.0

    def test_the_chunk_may_be_used_again(self, detector):
        memory = np.empty(333, np.float32)
        stream = detector.stream()
        records = []
        samples = scene()
        for begin in range(0, len(samples) - 333, 333):
            memory[:] = samples[begin : begin + 333]
            records += stream.process(memory)
            memory[:] = 0.7
        assert_truth(events_of(records + stream.flush()))

    def test_rate_with_the_first_chunk(self, detector):
        stream = detector.stream()
        records = stream.process(scene(48000), sample_rate=48000) + stream.flush()
        assert_truth(events_of(records))
        assert stream.latency.resampling == pytest.approx(0.003)

    def test_rate_change_in_mid_stream(self, detector):
        stream = detector.stream(source="mic0")
        stream.process(scene()[:100], sample_rate=44100)
        message = "sample_rate: expected 44100 as at the beginning of stream mic0, got 48000"
        with pytest.raises(ConfigError, match=message):
            stream.process(scene()[:100], sample_rate=48000)
        stream.process(scene()[:100], sample_rate=44100)
        stream.process(scene()[:100])

    def test_channel_change_in_mid_stream(self, detector):
        stream = detector.stream(source="mic0")
        stream.process(np.zeros((100, 2), np.float32))
        with pytest.raises(
            ConfigError, match="channels: expected 2 as at the beginning of stream mic0, got 1"
        ):
            stream.process(np.zeros(100, np.float32))
        assert stream.stats.audio_seconds == 0.0

    def test_after_reset_rate_and_channels_are_free(self, detector):
        stream = detector.stream()
        stream.process(np.zeros((100, 2), np.float32), sample_rate=48000)
        stream.reset()
        assert_truth(events_of(run(stream, scene(8000), sample_rate=8000)))

    def test_after_flush(self, detector):
        stream = detector.stream(source="mic0")
        run(stream, scene())
        for call in (lambda: stream.process(scene()), stream.flush, lambda: stream.gap(5, "device")):
            with pytest.raises(
                StateError, match=r"expected a stream that was not flushed; reset\(\) mic0 first"
            ):
                call()

    def test_streams_of_one_detector_are_independent(self, detector):
        expected = run(detector.stream(source="a"), scene())
        results = {}

        def work(number):
            results[number] = run(detector.stream(source="a"), scene(), 500 + number)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(records == expected for records in results.values())
        assert len(results) == 4


class TestGap:
    def lossy(self, stream, samples, begin, end, size=1000):
        """Feed ``samples`` without [begin, end)."""
        records = []
        for at in range(0, begin, size):
            records += stream.process(samples[at : min(at + size, begin)])
        records += stream.gap(end - begin, "overflow")
        for at in range(end, len(samples), size):
            records += stream.process(samples[at : at + size])
        return records + stream.flush()

    @pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
    @pytest.mark.parametrize("rate", [16000, 44100])
    @pytest.mark.parametrize("begin", [2.2, 2.2137, 2.29999])
    def test_times_after_it_are_exact(self, kind, rate, begin, request):
        samples = scene(rate)
        first, last = round(begin * rate), round(2.4 * rate)
        stream = request.getfixturevalue(kind).stream(rate, source="mic0")
        records = self.lossy(stream, samples, first, last)
        (gap,) = (record for record in records if isinstance(record, Gap))
        assert gap == Gap(first, last - first, "overflow", "mic0")
        assert_truth(events_of(records))
        assert stream.stats.dropped_samples == last - first
        assert stream.stats.audio_seconds == pytest.approx(6.0)

    def test_a_long_one_ends_the_event(self, detector):
        records = self.lossy(detector.stream(), scene(), round(1.3 * RATE), round(1.7 * RATE))
        events = [event for event in events_of(records) if event.label == "low"]
        assert [event.truncated for event in events] == [True, False, False]
        assert events[0].offset == pytest.approx(1.3, abs=0.06)
        assert events[1].onset == pytest.approx(1.7, abs=0.06)

    def test_a_short_one_is_spanned(self, detector):
        records = self.lossy(detector.stream(), scene(), round(1.5 * RATE), round(1.53 * RATE))
        events = [event for event in events_of(records) if event.label == "low"]
        assert [event.spans_gap for event in events] == [True, False]
        assert_truth(sorted(events_of(records), key=lambda event: event.onset))

    def test_order_of_records(self, detector):
        records = self.lossy(detector.stream(), scene(), round(1.3 * RATE), round(1.7 * RATE))
        kinds = [type(record) for record in records]
        at = kinds.index(Gap)
        assert kinds[:at] == [Onset]
        assert kinds[at + 1] is Event

    def test_many_gaps_do_not_add_up(self, detector):
        rng = np.random.default_rng(0)
        samples = np.concatenate([rng.normal(0, 1e-4, 60 * 44100).astype(np.float32), scene(44100)])
        stream = detector.stream(44100)
        records, at = [], 0
        while at < 60 * 44100 - 10_000:
            size, lost = rng.integers(1, 3000, 2)
            records += stream.process(samples[at : at + size])
            records += stream.gap(int(lost), "device")
            at += size + lost
        records += stream.process(samples[at:]) + stream.flush()
        truth = [(onset + 60, offset + 60, label) for onset, offset, label in TRUTH]
        assert_truth(events_of(records), truth)
        assert stream.stats.audio_seconds == pytest.approx(66.0, abs=1e-9)
        lost = sum(record.missing_samples for record in records if isinstance(record, Gap))
        assert lost == stream.stats.dropped_samples > 0

    def test_before_the_first_sample_and_twice(self, detector):
        stream = detector.stream()
        records = stream.gap(8000, "device") + stream.gap(8000, "device")
        records += run(stream, scene())
        assert [r.start_sample for r in records if isinstance(r, Gap)] == [0, 8000]
        assert_truth(events_of(records), [(a + 1, b + 1, label) for a, b, label in TRUTH])

    def test_of_nothing(self, detector):
        assert detector.stream().gap(0, "device") == []

    @pytest.mark.parametrize(("missing", "cause"), [(-1, "device"), (5, "bad luck")])
    def test_wrong_arguments(self, detector, missing, cause):
        with pytest.raises(ConfigError, match=r"(missing_samples|cause): expected"):
            detector.stream().gap(missing, cause)

    def test_days_later(self, detector):
        """Positions beyond 2^31 and 2^32 samples, reached by gaps."""
        for days in (2, 4):
            lost = days * 86400 * RATE
            stream = detector.stream()
            records = stream.gap(lost, "device") + run(stream, scene())
            assert lost > 2**31 * (days // 2)
            seconds = days * 86400
            assert_truth(events_of(records), [(a + seconds, b + seconds, label) for a, b, label in TRUTH])


class TestStats:
    def test_counts(self, detector):
        stream = detector.stream(44100)
        records = run(stream, scene(44100))
        stats = stream.stats
        assert stats.audio_seconds == pytest.approx(6.0)
        assert stats.events == len(events_of(records)) == 3
        assert stats.onsets == stats.events + stats.retracts
        assert stats.dropped_samples == stats.non_finite_samples == 0
        assert 0.0 < stats.processing_seconds < 6.0
        assert stats.rtf == pytest.approx(stats.processing_seconds / 6.0)

    def test_reset_forgets_them(self, detector):
        stream = detector.stream()
        fresh = stream.stats
        run(stream, scene())
        stream.reset()
        assert stream.stats.events == fresh.events == 0
        assert stream.stats.audio_seconds == 0.0
        assert stream.stats.rtf == 0.0


def test_memory_of_a_long_stream_is_flat(detector):
    stream = detector.stream(44100)
    chunk = scene(44100)[44100 : 2 * 44100]
    for _ in range(20):
        stream.process(chunk)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(100):
        stream.process(chunk)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 50_000


def test_the_size_of_a_step_may_be_chosen(detector):
    """Longer steps cost less and say the same later."""
    mine = dataclasses.replace(LATENCY_PROFILES["balanced"], chunk_seconds=0.16)
    stream = detector.stream(RATE, latency=mine)
    assert stream.step_samples == 2560
    usual = detector.stream(RATE)
    found, expected = events_of(run(stream, scene())), events_of(run(usual, scene()))
    assert [(item.label, item.onset, item.offset) for item in found] == [
        (item.label, item.onset, item.offset) for item in expected
    ]
    assert stream.latency.chunk == pytest.approx(0.16)
    assert detector.latency(mine).final - detector.latency().final == pytest.approx(0.12)
