"""Ensembles of which some members are left out for a while: what is heard meanwhile, before and afterwards."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import RATE, TRUTH, assert_truth, events_of, run
from tiny_models import scene, tiny_bundle

import streamsed
from streamsed.errors import ConfigError, StateError
from streamsed.evidence import join_frames
from streamsed.models import warm_up_frames
from streamsed.types import Event, Onset

# Left out is what these steps of 40 ms hold: from 1.2 s to 2.2 s, in the middle of the first event.
STEP = RATE // 25
FIRST, LAST = 30, 55
SOUND = np.concatenate([scene(), scene(seed=1)])
EVENTS = [*TRUTH, *((onset + 6, offset + 6, label) for onset, offset, label in TRUTH)]


@pytest.fixture(scope="module")
def detectors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundles")
    options = {
        "causal": {"confidence": True},
        "plain": {},
        "delayed": {"delay_frames": 6, "confidence": True},
        "windowed": {"windowed": True, "confidence": True},
    }
    return {
        name: streamsed.load(tiny_bundle(folder / name, members=3, name=name, **chosen).path)
        for name, chosen in options.items()
    }


KINDS = pytest.mark.parametrize("kind", ["causal", "plain", "delayed", "windowed"])


def frames_of(detector, members, gap=None):
    """Frames and records of two scenes with ``members(step)`` members; ``gap`` names a step that is lost."""
    collected = []
    stream = detector.stream(on_frames=collected.append)
    records = []
    for number, begin in enumerate(range(0, len(SOUND), STEP)):
        stream.set_members(members(number))
        chunk = SOUND[begin : begin + STEP]
        records += stream.gap(len(chunk), "overload") if number == gap else stream.process(chunk)
    records += stream.flush()
    return collected, records, stream


def left_out(number):
    return 1 if FIRST <= number < LAST else 3


@KINDS
def test_with_all_members_nothing_changes(detectors, kind):
    detector = detectors[kind]
    untouched = run(detector.stream(), SOUND, STEP)
    _, records, stream = frames_of(detector, lambda _: 3)
    assert records == untouched
    assert not any("members_skipped" in record.to_dict() for record in records)
    assert stream.stats.members_skipped_seconds == 0.0
    assert stream.member_count == stream.members == 3


@KINDS
def test_left_out_is_the_span_and_a_stated_time_after_it(detectors, kind):
    detector = detectors[kind]
    every, alone = (join_frames(frames_of(detector, lambda _, n=n: n)[0]) for n in (3, 1))
    found = join_frames(frames_of(detector, left_out)[0])
    assert len(found) == len(every)
    fewer = np.flatnonzero(found.members < 3)
    assert set(found.members) == {1, 3}
    assert np.array_equal(fewer, np.arange(fewer[0], fewer[-1] + 1)), "one span"
    np.testing.assert_array_equal(found.posteriors[: fewer[0]], every.posteriors[: fewer[0]])
    # The one that stays is not disturbed by the others.
    np.testing.assert_allclose(found.posteriors[fewer], alone.posteriors[fewer], rtol=0, atol=1e-6)
    assert np.abs(alone.posteriors[fewer] - every.posteriors[fewer]).max() > 1e-4
    rest = slice(fewer[-1] + 1, None)
    np.testing.assert_allclose(found.posteriors[rest], every.posteriors[rest], rtol=0, atol=1e-5)
    bundle = detector.bundle
    stride = bundle.time_stride
    warm_up = warm_up_frames(bundle) / stride
    grid = (bundle.streaming.hop_frames or stride) / stride
    returns = (LAST * STEP - 512) // 160 / stride
    assert returns + warm_up <= fewer[-1] + 1 <= returns + warm_up + grid + 1


@KINDS
def test_events_outside_are_those_of_all_members(detectors, kind):
    detector = detectors[kind]
    every = events_of(run(detector.stream(), SOUND, STEP))
    parts, records, stream = frames_of(detector, left_out)
    found = events_of(records)
    assert_truth(found, EVENTS)
    fewer = np.flatnonzero(join_frames(parts).members < 3)
    begin, end = (detector.bundle.clock.seconds(int(frame)) for frame in (fewer[0], fewer[-1] + 1))
    inside = [event.onset < end and event.offset > begin for event in found]
    assert any(inside) and not all(inside)
    assert [event.members_skipped for event in found] == [2 if is_inside else None for is_inside in inside]
    for event, expected, is_inside in zip(found, every, inside, strict=True):
        assert is_inside or event.to_dict() == expected.to_dict()
    assert stream.stats.members_skipped_seconds == pytest.approx(end - begin)
    # Windowed members come back at the next hop, and leave what was still to be averaged to the others.
    warm_up = warm_up_frames(detector.bundle) * 0.01
    assert 1.0 + warm_up - 0.1 < end - begin < 1.0 + warm_up + 0.4


def test_onsets_say_how_many_had_no_say(detectors):
    _, records, _ = frames_of(detectors["causal"], lambda number: 2 if number >= FIRST else 3)
    onsets = [record.members_skipped for record in records if isinstance(record, Onset)]
    assert onsets == [None, *5 * [1]]
    lines = [record.to_dict() for record in records if isinstance(record, (Onset, Event))]
    assert [line.get("members_skipped") for line in lines if line["type"] == "event"] == 6 * [1]


@KINDS
def test_a_hole_while_members_are_left_out(detectors, kind):
    detector = detectors[kind]
    every = join_frames(frames_of(detector, lambda _: 3, gap=40)[0])
    parts, _, _ = frames_of(detector, left_out, gap=40)
    assert len(join_frames(parts)) == len(every)
    np.testing.assert_allclose(join_frames(parts).posteriors[-40:], every.posteriors[-40:], rtol=0, atol=1e-5)


def test_a_windowed_member_that_comes_back_behind_a_hole_has_missed_nothing(detectors):
    detector = detectors["windowed"]
    parts, _, _ = frames_of(detector, lambda number: 3 if number >= 40 or number < 39 else 1, gap=40)
    begins = [part.first for part in parts]
    lost = next(
        number for number, part in enumerate(parts) if part.first > begins[0] + sum(map(len, parts[:number]))
    )
    assert set(np.concatenate([part.members for part in parts[lost:]])) == {3}


def test_the_largest_weights_stay(detectors, tmp_path):
    bundle = detectors["plain"].bundle
    weighted = dataclasses.replace(bundle, fusion=dataclasses.replace(bundle.fusion, weights=(0.2, 0.5, 0.3)))
    second = dataclasses.replace(bundle, fusion=dataclasses.replace(bundle.fusion, weights=(0.0, 1.0, 0.0)))
    found = join_frames(frames_of(streamsed.Detector(weighted), lambda _: 1)[0])
    expected = streamsed.Detector(second).posteriors(SOUND, latency="balanced")
    np.testing.assert_allclose(found.posteriors, expected, rtol=0, atol=1e-6)


def test_what_cannot_be_asked_for(detectors, detector):
    stream = detectors["causal"].stream()
    for count in (0, 4):
        with pytest.raises(ConfigError, match=f"members: expected from 1 to 3, got {count}"):
            stream.set_members(count)
    stream.set_members(1)
    stream.reset()
    assert stream.members == 3
    stream.flush()
    with pytest.raises(StateError, match="set_members"):
        stream.set_members(2)
    with pytest.raises(ConfigError, match="members: expected from 1 to 1, got 2"):
        detector.stream().set_members(2)


@settings(max_examples=25)
@given(
    kind=st.sampled_from(["causal", "delayed", "windowed"]),
    plan=st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3000), st.booleans()), max_size=25),
)
def test_whatever_the_order_every_frame_comes_once(detectors, kind, plan):
    detector = detectors[kind]
    collected = {True: [], False: []}
    stats = {}
    for skips, parts in collected.items():
        stream = detector.stream(on_frames=parts.append, latency="low")
        position = 0
        for count, length, lost in plan:
            if skips:
                stream.set_members(count)
            chunk = scene()[position : position + length]
            position += length
            if lost:
                stream.gap(len(chunk), "overflow")
            else:
                stream.process(chunk)
        stream.flush()
        stats[skips] = stream.stats
    numbers = {
        skips: [part.first + row for part in parts for row in range(len(part))]
        for skips, parts in collected.items()
    }
    assert numbers[True] == numbers[False]
    for part in collected[True]:
        assert np.isfinite(part.posteriors).all()
        assert 0.0 <= part.posteriors.min() <= part.posteriors.max() <= 1.0
        assert part.confidence.shape == part.disagreement.shape == part.members.shape == (len(part),)
        assert set(part.members) <= {1, 2, 3}
    assert stats[True].audio_seconds == stats[False].audio_seconds
