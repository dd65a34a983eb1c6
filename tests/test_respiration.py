"""Respiratory cycles through the library: what is found, in what rate and shape the sound may come, what is refused."""

from __future__ import annotations

import itertools
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import contracts
import numpy as np
import pytest
import soundfile
from streams import run
from tiny_cycles import PERIOD, RATE, breathing, tiny_cycles, tone

import streamsed
from streamsed.config import CycleConfig
from streamsed.cycle_stream import decide, normalised_entropy
from streamsed.errors import ConfigError, StateError
from streamsed.types import Cycle, CycleOpen, Gap, Health, Retract, Tags

# Boundaries of the tiny model come so much after the breath's true beginning.
LATE = 0.35


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cycles(tmp_path_factory.mktemp("cycles") / "tiny").path


@pytest.fixture(scope="module")
def lung(path) -> streamsed.CycleDetector:
    return streamsed.load(path)


def of(kind, records):
    return [record for record in records if isinstance(record, kind)]


def times(records):
    return [(cycle.onset, cycle.offset) for cycle in of(Cycle, records)]


def assert_breaths(cycles, count, tolerance=0.15):
    """Assert breaths of 4 s that follow each other without a hole, the first and last cut off."""
    assert len(cycles) == count
    assert cycles[0].onset == 0.0
    for number, cycle in enumerate(cycles[1:], 1):
        assert cycle.onset == cycles[number - 1].offset
        assert cycle.onset == pytest.approx(PERIOD * number + LATE, abs=tolerance)
    assert [cycle.truncated for cycle in cycles] == [True, *[False] * (count - 2), True]


def test_breaths_become_cycles_with_labels_and_a_rate(lung):
    records = run(lung.stream(source="chest"), breathing(24.0, wheeze=(2, 4)))
    cycles = of(Cycle, records)
    assert_breaths(cycles, 6)
    assert [cycle.label for cycle in cycles] == ["normal", "normal", "wheeze", "normal", "wheeze", "normal"]
    for cycle in cycles:
        assert cycle.source == "chest"
        assert tuple(cycle.posteriors) == lung.labels
        assert sum(cycle.posteriors.values()) == pytest.approx(1.0, abs=1e-3)
        assert cycle.confidence == cycle.posteriors[cycle.label]
        assert 0.0 <= cycle.uncertainty <= 1.0
        assert not (cycle.forced or cycle.spans_gap)
    # Three whole breaths make a rate; the first cycle was cut off.
    assert [cycle.respiratory_rate for cycle in cycles[:3]] == [None, None, None]
    assert cycles[3].respiratory_rate == pytest.approx(15.0, abs=0.5)


def test_every_cycle_is_announced_then_shown_and_reported_in_time(lung):
    stream = lung.stream()
    records = run(stream, breathing(24.0))
    assert stream.latency.final <= 0.5
    for cycle in of(Cycle, records):
        shown = [item for item in of(CycleOpen, records) if item.cycle_id == cycle.cycle_id]
        assert shown[0].posteriors is None
        assert [item.onset for item in shown] == [cycle.onset] * len(shown)
        evidence = [item.emitted_seconds - cycle.onset for item in shown[1:]]
        # The end is known a moment after it was heard.
        assert len(evidence) == (3 if cycle.offset == 24.0 else 4)
        assert evidence == pytest.approx([1.0, 2.0, 3.0, 4.0][: len(evidence)], abs=0.05)
        assert all(set(item.posteriors) == set(lung.labels) for item in shown[1:])
        assert records.index(shown[-1]) < records.index(cycle)
        assert 0.0 <= cycle.emitted_seconds - cycle.offset <= stream.latency.final + 1e-9
    stats = stream.stats
    assert (stats.cycles, stats.onsets, stats.retracts, stats.events) == (6, 6, 0, 0)
    assert stats.respiratory_rate == pytest.approx(15.0, abs=0.5)


@pytest.mark.parametrize("latency", ["low", "balanced", "high"])
def test_records_do_not_depend_on_the_chunks(lung, latency):
    samples = np.concatenate([breathing(5.0), tone(2.0, 1700.0), breathing(5.0, wheeze=(0,))])
    case = contracts.StageCase(
        make=lambda: lung.stream(latency=latency, top_k=2),
        data=samples,
        join=contracts.concatenate_lists,
    )
    for size in (1, 7, 160, 16001):
        if size > 1 or latency == "balanced":
            sizes = [size] * (len(samples) // size)
            contracts.check_partition(case, sizes)


def test_the_stage_contract(lung):
    case = contracts.StageCase(
        make=lambda: lung.stream(latency="low"),
        data=breathing(4.5),
        join=contracts.concatenate_lists,
        bad_inputs=(np.zeros((4, 2), np.float32), np.zeros(4, np.int32), np.zeros((1, 2, 3), np.float32)),
        long_data=breathing(60.0),
    )
    for check in (
        contracts.check_latency,
        contracts.check_causality,
        contracts.check_flush,
        contracts.check_reset,
        contracts.check_empty,
        contracts.check_wrong_input,
        contracts.check_second_thread,
    ):
        check(case)


@pytest.mark.parametrize("rate", [4000, 8000, 10000, 22050, 44100, 48000])
def test_any_rate_and_stereo(lung, rate):
    samples = breathing(16.0, rate, wheeze=(1,))
    expected = lung.detect(breathing(16.0, wheeze=(1,)))
    for sound in (samples, np.stack([samples, samples], axis=1), (32767 * samples).astype(np.int16)):
        cycles = lung.detect(sound, rate)
        assert [cycle.label for cycle in cycles] == [cycle.label for cycle in expected]
        assert_breaths(cycles, 4)
    assert lung.stream(rate, latency="balanced").latency.final <= 0.5


def test_one_channel_of_a_stereo_stethoscope(lung):
    chest, room = breathing(16.0, wheeze=(1,)), np.zeros(16 * RATE, np.float32)
    stereo = np.stack([room, chest], axis=1)
    assert [cycle.label for cycle in lung.detect(stereo, channel=1)][1] == "wheeze"
    assert lung.detect(stereo, channel=0) == []


def test_a_file_is_as_its_samples(lung, tmp_path):
    samples = breathing(16.0, 8000, wheeze=(1,))
    soundfile.write(tmp_path / "chest.wav", samples, 8000, subtype="FLOAT")
    from_file, from_array = lung.detect(tmp_path / "chest.wav"), lung.detect(samples, 8000)
    assert {cycle.source for cycle in from_file} == {"chest"}
    assert [cycle.posteriors for cycle in from_file] == [cycle.posteriors for cycle in from_array]
    assert times(from_file) == times(from_array)
    with pytest.raises(ConfigError, match="sample_rate: expected None for a file"):
        lung.detect(tmp_path / "chest.wav", 8000)


@pytest.mark.parametrize("rate", [RATE, 22050])
def test_look_ahead_delays_records_and_changes_nothing_else(lung, tmp_path, rate):
    patient = streamsed.load(tiny_cycles(tmp_path / "patient", look_ahead=12).path)
    assert patient.latency().final == pytest.approx(lung.latency().final + 0.12)
    sound = np.concatenate(
        [breathing(9.0, rate), tone(3.0, 1700.0, rate), breathing(10.0, rate, wheeze=(1,))]
    )

    def through(model):
        stream = model.stream(rate)
        records = stream.process(sound[: 15 * rate]) + stream.gap(rate, "overflow")
        return of((Cycle, Health), records + run(stream, sound[15 * rate :]))

    expected, found = through(lung), through(patient)
    assert len(expected) >= 5
    for early, late in zip(expected, found, strict=True):
        if isinstance(early, Health):
            assert early == late
        else:
            assert 0.0 <= late.emitted_seconds - early.emitted_seconds <= 0.13
            assert replace(late, cycle_id="", emitted_seconds=None) == replace(
                early, cycle_id="", emitted_seconds=None
            )


class TestWhatIsNoLungSound:
    @pytest.mark.parametrize(("hz", "condition"), [(1700.0, "speech"), (60.0, "contact_noise")])
    def test_noise_stops_the_cycles_until_it_is_over(self, lung, hz, condition):
        samples = np.concatenate([breathing(6.0), tone(4.0, hz), breathing(9.0)])
        records = run(lung.stream(), samples)
        (health,) = of(Health, records)
        assert health.condition == condition
        assert health.onset == pytest.approx(6.0, abs=0.3)
        opened = {item.cycle_id for item in of(CycleOpen, records)}
        finished = {cycle.cycle_id for cycle in of(Cycle, records)}
        retracted = {item.event_id for item in of(Retract, records)}
        # The cycle during which it began comes to nothing.
        assert len(retracted) == 1
        assert opened == finished | retracted
        assert not finished & retracted
        at = records.index(of(Retract, records)[0])
        assert records.index(health) == at - 1
        assert all(cycle.offset <= 6.0 or cycle.onset >= 9.8 for cycle in of(Cycle, records))
        assert any(cycle.onset >= 9.8 for cycle in of(Cycle, records))

    def test_silence_is_no_breathing(self, lung):
        records = run(lung.stream(), np.zeros(20 * RATE, np.float32))
        conditions = {health.condition for health in of(Health, records)}
        assert conditions == {"digital_silence", "not_lung_sound"}
        assert of(Cycle, records) == []
        assert len(of(Retract, records)) == len({item.cycle_id for item in of(CycleOpen, records)}) == 1

    def test_no_record_of_what_was_retracted_without_announcements(self, lung):
        records = run(lung.stream(provisional=False), np.zeros(8 * RATE, np.float32))
        assert {type(record) for record in records} == {Health}

    def test_clipping_and_nan_are_told_and_survived(self, lung):
        loud = np.clip(20 * breathing(16.0), -1, 1)
        records = run(lung.stream(), loud)
        assert {health.condition for health in of(Health, records)} == {"clipping"}
        assert len(of(Cycle, records)) >= 3
        broken = breathing(16.0)
        broken[5000:5100] = np.nan
        broken[6000] = np.inf
        stream = lung.stream()
        records = run(stream, broken)
        assert {health.condition for health in of(Health, records)} == {"non_finite"}
        assert stream.stats.non_finite_samples == 101
        assert all(np.isfinite(list(cycle.posteriors.values())).all() for cycle in of(Cycle, records))
        assert len(of(Cycle, records)) == 4

    def test_noise_that_never_pauses_is_closed_by_force(self, lung):
        steady = np.random.default_rng(1).normal(0, 0.05, 30 * RATE).astype(np.float32)
        stream = lung.stream(RATE)
        records = [*stream.process(steady), *stream.flush()]
        (cycle,) = of(Cycle, records)
        assert cycle.forced
        assert cycle.respiratory_rate is None
        longest = lung.bundle.cycles.decoder.max_seconds
        assert cycle.offset - cycle.onset == pytest.approx(longest, abs=0.1)
        # Another one without a breath in it is none.
        (health,) = of(Health, records)
        assert health.condition == "no_breathing"
        assert health.onset == cycle.offset
        assert len(of(Retract, records)) == 1


class TestHoles:
    def test_a_cycle_goes_on_over_a_short_hole(self, lung):
        samples, stream = breathing(16.0), lung.stream()
        at, missing = round(6.0 * RATE), round(0.3 * RATE)
        records = stream.process(samples[:at]) + stream.gap(missing, "overflow")
        records += run(stream, samples[at + missing :])
        cycles = of(Cycle, records)
        assert_breaths(cycles, 4)
        assert [cycle.spans_gap for cycle in cycles] == [False, True, False, False]
        (gap,) = of(Gap, records)
        assert (gap.start_sample, gap.missing_samples) == (at, missing)
        assert stream.stats.dropped_samples == missing

    def test_a_long_hole_ends_the_cycle_and_later_times_are_exact(self, lung):
        rate = 44100
        samples, stream = breathing(28.0, rate), lung.stream(rate)
        at, missing = round(6.0 * rate), round(6.5 * rate)
        records = stream.process(samples[:at]) + stream.gap(missing, "device")
        records += run(stream, samples[at + missing :])
        cycles = of(Cycle, records)
        assert [cycle.truncated for cycle in cycles] == [True, True, True, False, False, True]
        assert cycles[1].offset == pytest.approx(6.0, abs=1e-6)
        assert cycles[2].onset == pytest.approx(12.5, abs=0.1)
        begins = [cycle.onset for cycle in cycles[3:]]
        assert begins == pytest.approx([16.3, 20.3, 24.3], abs=0.15)
        assert cycles[-1].offset == pytest.approx(28.0, abs=1e-6)

    def test_a_hole_that_grows_is_one_hole(self, lung):
        samples = breathing(6.0)
        stream = lung.stream()
        stream.process(samples)
        told = [stream.gap(RATE // 4, "device") for _ in range(8)]
        ended = [cycle for records in told for cycle in of(Cycle, records)]
        assert len(ended) == 1
        assert (ended[0].offset, ended[0].truncated) == (6.0, True)
        # It was short at first, and nothing was heard after it that could span it.
        assert not ended[0].spans_gap
        assert [item for records in told for item in of(CycleOpen, records)] == []
        after = run(stream, breathing(6.0))
        assert of(CycleOpen, after)[0].onset == pytest.approx(8.0, abs=0.1)

    def test_the_end_closes_the_cycle(self, lung):
        stream = lung.stream()
        stream.process(breathing(5.5))
        (cycle,) = of(Cycle, stream.flush())
        assert (cycle.offset, cycle.truncated) == (5.5, True)
        with pytest.raises(StateError, match="flush"):
            stream.process(breathing(1.0))
        stream.reset()
        assert times(run(stream, breathing(9.0))) == times(run(lung.stream(), breathing(9.0)))

    def test_a_stub_is_no_cycle(self, lung):
        records = run(lung.stream(), breathing(0.15))
        assert of(Cycle, records) == []
        assert len(of(CycleOpen, records)) == len(of(Retract, records))


class TestOptions:
    def test_thresholds_are_the_least_posterior_of_what_is_not_normal(self, lung):
        samples = breathing(12.0, wheeze=(1,))
        assert lung.detect(samples)[1].label == "wheeze"
        for thresholds in (0.999, {"wheeze": 0.999}):
            cycle = lung.detect(samples, thresholds=thresholds)[1]
            assert cycle.label == "normal"
            assert cycle.confidence == cycle.posteriors["normal"]
        assert lung.detect(samples, thresholds={"crackle": 0.999})[1].label == "wheeze"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"thresholds": {"normal": 0.5}}, r"thresholds: expected labels among .*normal is what is left"),
            ({"thresholds": {"dog": 0.5}}, r"thresholds: .*\['dog'\]"),
            ({"thresholds": {"wheeze": 1.5}}, r"thresholds\[wheeze\]: expected in \(0, 1\]"),
            ({"top_k": 5}, r"top_k: expected in \[0, 4\]"),
            ({"latency": "none"}, "latency"),
            ({"time_origin": datetime(2026, 1, 1)}, "time_origin"),
        ],
    )
    def test_what_cannot_be_used_is_named(self, lung, options, message):
        with pytest.raises(ConfigError, match=message):
            lung.stream(**options)

    def test_tags_are_of_the_segmenter(self, lung):
        tags = of(Tags, run(lung.stream(top_k=2), breathing(3.0)))
        assert len(tags) > 20
        assert all(len(item.posteriors) == 2 for item in tags)
        assert all("lung_sound" in item.posteriors for item in tags[5:])

    def test_wall_clock_and_ids(self, lung):
        origin = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
        records = run(lung.stream(time_origin=origin, event_id_prefix="a"), breathing(9.0))
        second = of(Cycle, records)[1]
        assert second.cycle_id == "a-2"
        assert second.time_utc.startswith("2026-11-21T12:00:04.")

    def test_segmenters(self, path):
        samples = breathing(24.0)
        grid = streamsed.load(path, segmenter="grid")
        onsets = [cycle.onset for cycle in grid.detect(samples)]
        assert np.diff(onsets)[1:] == pytest.approx([4.0] * (len(onsets) - 2))
        envelope = streamsed.load(path, segmenter="envelope")
        cycles = envelope.detect(samples)
        assert cycles[-1].offset == 24.0
        assert all(a.offset == b.onset for a, b in itertools.pairwise(cycles))
        stream = envelope.stream()
        records = stream.process(samples[: 6 * RATE]) + stream.gap(RATE // 4, "overflow")
        records += run(stream, samples[6 * RATE + RATE // 4 :])
        # It cannot go on over a hole.
        assert any(cycle.offset == 6.0 and cycle.truncated for cycle in of(Cycle, records))
        with pytest.raises(ConfigError, match="segmenter: expected one of crnn, envelope, grid"):
            streamsed.load(path, segmenter="other")

    def test_a_segmenter_is_refused_for_sound_events(self, tiny_path):
        with pytest.raises(ConfigError, match="segmenter: expected none for a model of sound_events"):
            streamsed.load(tiny_path, segmenter="grid")


class TestMembers:
    def test_those_left_out_are_told(self, lung):
        stream = lung.stream()
        assert (stream.member_count, stream.members) == (3, 3)
        stream.set_members(1)
        cycles = of(Cycle, run(stream, breathing(9.0)))
        assert {cycle.members_skipped for cycle in cycles} == {2}
        assert stream.stats.members_skipped_seconds == pytest.approx(9.0, abs=0.01)
        stream.reset()
        assert stream.members == 3
        assert of(Cycle, run(stream, breathing(9.0)))[0].members_skipped is None

    @pytest.mark.parametrize("count", [0, 4])
    def test_other_numbers_are_refused(self, lung, count):
        with pytest.raises(ConfigError, match="members: expected from 1 to 3"):
            lung.stream().set_members(count)

    def test_the_classifier_averages_them(self, lung):
        cycle = breathing(4.0)
        one, three = lung.classifier(cycle, 1), lung.classifier(cycle)
        assert not np.array_equal(one, three)
        assert three.sum() == pytest.approx(1.0)
        with pytest.raises(ConfigError, match="members: expected from 1 to 3"):
            lung.classifier(cycle, 4)

    @pytest.mark.parametrize("seconds", [0.01, 0.2, 4.0, 16.2])
    def test_cycles_of_any_length_are_classified(self, lung, seconds):
        posteriors = lung.classifier(tone(seconds, 1200.0))
        assert lung.labels[int(posteriors.argmax())] == "wheeze"


def test_threads_share_a_detector(lung):
    samples = breathing(16.0, wheeze=(2,))
    expected = run(lung.stream(), samples)
    found: list[list] = []
    threads = [threading.Thread(target=lambda: found.append(run(lung.stream(), samples))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 3


def test_decisions():
    labels = ("normal", "crackle", "wheeze", "both")
    p = np.array([0.5, 0.3, 0.15, 0.05], np.float32)
    assert decide(p, labels, (1, 1, 1, 1), {}) == "normal"
    assert decide(p, labels, (1, 2, 1, 1), {}) == "crackle"
    assert decide(p, labels, (1, 2, 1, 1), {"crackle": 0.4}) == "normal"
    assert normalised_entropy(np.full(4, 0.25, np.float32)) == 1.0
    assert normalised_entropy(np.array([1, 0, 0, 0], np.float32)) == 0.0
    with pytest.raises(ConfigError, match="class_weights"):
        CycleConfig(class_weights=(1.0, 0.0, 1.0, 1.0))
