"""Streams whose front-end is a lane among others: the same frames, the same records."""

from __future__ import annotations

import gc

import contracts
import numpy as np
import pytest
from tiny_models import FRONT_END, scene

from streamsed import DetectorPool, _core
from streamsed.errors import ConfigError, GpuError, StateError
from streamsed.front_end_lanes import FrontEndLanes, gpu_lanes
from streamsed.frontend import LogMel, OnlineLogMel
from streamsed.lanes import LaneInputError
from streamsed.models import run_alone, run_together
from streamsed.types import Event

RATE = 16000
needs_gpu = pytest.mark.skipif(_core.cuda_device_count() == 0, reason=f"needs a GPU: {_core.cuda_describe()}")


class Alone:
    """A lane with the verbs of the stage contract."""

    def __init__(self, lanes):
        self._lane = lanes.lane()
        self.latency_samples = FRONT_END.window_length - 1

    def process(self, samples):
        return run_alone(self._lane.process_steps(samples))

    def flush(self):
        return self._lane.flush()

    def reset(self):
        self._lane.reset()


@pytest.fixture(scope="module")
def log_mel():
    return LogMel(FRONT_END)


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
def test_stage_contract(log_mel, check):
    lanes = FrontEndLanes(log_mel, "cpu")
    noise = np.random.default_rng(0).normal(0, 0.1, RATE // 2).astype(np.float32)
    check(
        contracts.StageCase(
            make=lambda: Alone(lanes),
            data=noise,
            join=np.concatenate,
            bad_inputs=(np.zeros((4, 2), np.float32), np.full(4, np.nan, np.float32)),
            long_data=np.tile(noise, 4),
        )
    )


def test_lanes_have_the_bits_of_their_lone_front_ends(log_mel):
    lanes = FrontEndLanes(log_mel, "cpu")
    # More than one block has.
    count = 70
    rng = np.random.default_rng(0)
    sounds = [rng.normal(0, 0.1, 4000 + 37 * number).astype(np.float32) for number in range(count)]
    own = [lanes.lane() for _ in range(count)]
    first = run_together([lane.process_steps(x[:1500]) for lane, x in zip(own, sounds, strict=True)])
    second = run_together([lane.process_steps(x[1500:]) for lane, x in zip(own, sounds, strict=True)])
    for a, b, sound in zip(first, second, sounds, strict=True):
        np.testing.assert_array_equal(np.concatenate([a, b]), log_mel(sound))


def test_bad_samples_are_their_own_lanes_error(log_mel):
    lanes = FrontEndLanes(log_mel, "cpu")
    good, bad = lanes.lane(), lanes.lane()
    sound = scene()[:3000]
    broken = sound.copy()
    broken[1000] = np.inf
    found = run_together([good.process_steps(sound), bad.process_steps(broken)])
    np.testing.assert_array_equal(found[0], log_mel(sound))
    assert isinstance(found[1], LaneInputError)
    # It is as it was.
    np.testing.assert_array_equal(run_alone(bad.process_steps(sound)), log_mel(sound))


def test_a_failing_gpu_ends_all_that_need_it_and_says_why(log_mel):
    lanes = FrontEndLanes(log_mel, "cpu")
    own = [lanes.lane() for _ in range(3)]
    for lane in own:
        lane._block.lanes = Failing()
    found = run_together([lane.process_steps(scene()[:1000]) for lane in own])
    assert [str(error) for error in found] == ["cudaMemcpyAsync: unspecified launch failure"] * 3
    with pytest.raises(GpuError, match="cudaMemcpyAsync"):
        run_alone(own[0].process_steps(scene()[:1000]))


class Failing:
    """What is left of a GPU."""

    def process(self, chunks, numbers):
        raise GpuError("cudaMemcpyAsync: unspecified launch failure")


def test_holes(log_mel):
    lanes = FrontEndLanes(log_mel, "cpu")
    lane, alone = lanes.lane(), OnlineLogMel(log_mel)
    sound = scene()[:6000]
    for part in (sound[:2000], sound[2000:]):
        np.testing.assert_array_equal(run_alone(lane.process_steps(part)), alone.process(part))
        assert lane.skip(777) == alone.skip(777)
        assert lane.position_samples == alone.position_samples
    lane.flush()
    with pytest.raises(StateError):
        run_alone(lane.process_steps(sound))


def test_a_lane_that_nobody_has_is_given_to_the_next(log_mel):
    lanes = FrontEndLanes(log_mel, "cpu")
    free = len(lanes._free)
    lane = lanes.lane()
    run_alone(lane.process_steps(scene()[:1000]))
    lane.flush()
    assert len(lanes._free) == free - 1
    del lane
    gc.collect()
    assert len(lanes._free) == free
    again = lanes.lane()
    np.testing.assert_array_equal(run_alone(again.process_steps(scene()[:3000])), log_mel(scene()[:3000]))


def test_streams_with_lanes_give_the_same_records(detector, monkeypatch):
    expected = []
    sounds = [np.roll(scene(seed=number), 900 * number) for number in range(5)]
    for sound in sounds:
        stream = detector.stream(RATE, 1, top_k=1)
        records = [
            *stream.process(sound[:40_000]),
            *stream.gap(500, "device"),
            *stream.process(sound[40_500:]),
        ]
        expected.append([*records, *stream.flush()])
    monkeypatch.setattr(detector, "_lanes", FrontEndLanes(detector._log_mel, "cpu"))
    streams = [detector.stream(RATE, 1, top_k=1) for _ in sounds]
    found = [[] for _ in sounds]
    for verb in (
        lambda stream, sound: stream.process_steps(sound[:40_000]),
        lambda stream, sound: stream.gap_steps(500, "device"),
        lambda stream, sound: stream.process_steps(sound[40_500:]),
        lambda stream, sound: stream.flush_steps(),
    ):
        new = run_together([verb(stream, sound) for stream, sound in zip(streams, sounds, strict=True)])
        for records, more in zip(found, new, strict=True):
            records += more
    assert found == expected


@needs_gpu
def test_events_are_those_of_the_cpu(detector, monkeypatch):
    """Streams and a pool whose front-end is on a GPU: the same events, to the rounding of their confidence."""

    def told(records):
        events = [record for record in records if isinstance(record, Event)]
        assert events
        return [(item.source, item.label, item.onset, item.offset) for item in events], [
            item.confidence for item in events
        ]

    sounds = [np.roll(scene(seed=number), 900 * number)[: 3 * RATE] for number in range(3)]
    expected = []
    for number, sound in enumerate(sounds):
        stream = detector.stream(RATE, 1, source=str(number))
        expected += [*stream.process(sound), *stream.flush()]
    monkeypatch.setattr(detector, "_lanes", FrontEndLanes(detector._log_mel, "cuda"))
    found = []
    for number, sound in enumerate(sounds):
        stream = detector.stream(RATE, 1, source=str(number))
        found += [*stream.process(sound), *stream.flush()]
    assert told(found)[0] == told(expected)[0]
    np.testing.assert_allclose(told(found)[1], told(expected)[1], atol=1e-3)
    with DetectorPool(detector, inbox_seconds=60.0, overload="drop") as pool:
        for number, sound in enumerate(sounds):
            pool.join(str(number)).push(sound)
        pool.close()
        pooled = sorted(pool, key=lambda record: getattr(record, "source", None) or "")
    assert told(pooled)[0] == told(expected)[0]


def test_the_cpu_needs_no_lanes(log_mel):
    assert gpu_lanes(log_mel, "cpu") is None


def test_an_unknown_provider(log_mel):
    with pytest.raises(ConfigError, match="provider: expected cpu, cuda or auto"):
        gpu_lanes(log_mel, "tpu")
