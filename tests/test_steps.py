"""Many lanes through one run of a network: each gives what it gives alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_models import scene
from toy_lanes import Adder, lane

from streamsed.errors import BundleError, ConfigError, StateError
from streamsed.models import answer_lanes, run_alone, run_together, side_by_side
from streamsed.models.steps import NetworkCall, run_rolling

RATE = 16000


@given(
    lanes=st.lists(st.lists(st.integers(-5, 5), max_size=6), max_size=9),
    most=st.one_of(st.none(), st.integers(1, 4)),
)
def test_every_lane_gives_what_it_gives_alone(lanes, most):
    network = Adder()
    together = run_together([lane(network, values) for values in lanes], most)
    assert together == [run_alone(lane(Adder(), values)) for values in lanes]
    if most is not None:
        assert max(network.batches, default=0) <= most


def test_lanes_share_a_run():
    network = Adder()
    run_together([lane(network, [1, 2, 3]) for _ in range(7)])
    assert network.batches == [7, 7, 7]


def test_a_network_that_takes_one_signal_gets_one():
    network = Adder(takes_lanes=False)
    assert run_together([lane(network, [1, 2]), lane(network, [3])]) == [3, 3]
    assert network.batches == [1, 1, 1]


def test_lanes_of_several_networks_and_lengths_go_apart():
    networks = Adder(), Adder()

    def wide(network):
        (answer,) = yield (
            NetworkCall(network, np.ones((1, 4, 1), np.float32), (np.zeros((1, 1), np.float32),)),
        )
        return answer.outputs.posteriors[0, -1, 0]

    lanes = [lane(networks[0], [1]), wide(networks[0]), lane(networks[1], [2]), lane(networks[0], [5])]
    assert run_together(lanes) == [1, 4, 2, 5]
    assert networks[0].batches == [2, 1]
    assert networks[1].batches == [1]


def test_an_error_stays_with_its_lane():
    network = Adder(poison=13)
    found = run_together([lane(network, [1, 2]), lane(network, [1, 13, 4]), lane(network, [3, 3])])
    assert found[0] == 3
    assert found[2] == 6
    assert isinstance(found[1], BundleError)


def test_an_error_of_the_lane_itself_stays_there():
    def broken():
        yield from ()
        raise ValueError("mine")

    network = Adder()
    found = run_together([broken(), lane(network, [4])])
    assert isinstance(found[0], ValueError)
    assert found[1] == 4


def test_alone_an_error_is_raised_where_the_network_was_called():
    seen = []

    def careful(network):
        try:
            yield from lane(network, [13])
        except BundleError:
            seen.append("closed")
            raise

    with pytest.raises(BundleError, match="poison"):
        run_alone(careful(Adder(poison=13)))
    assert seen == ["closed"]


def test_the_answers_of_each_lane_are_its_own():
    network = Adder(poison=13)
    state = (np.zeros((1, 1), np.float32),)
    calls = [NetworkCall(network, np.full((1, 1, 1), value, np.float32), state) for value in (1, 2, 13, 4)]
    found = answer_lanes([calls[:2], [calls[2]], [], [calls[3]]])
    assert [answer.state[0][0, 0] for answer in found[0]] == [1, 2]
    assert isinstance(found[1], BundleError)
    assert list(found[2]) == []
    assert found[3][0].state[0][0, 0] == 4


@given(lanes=st.lists(st.lists(st.integers(-5, 5), max_size=6), max_size=12), width=st.integers(1, 4))
def test_rolling_lanes_give_the_same_and_only_so_many_run(lanes, width):
    network = Adder()
    taken = []

    def coming():
        for number, values in enumerate(lanes):
            taken.append(number)
            yield lane(network, values)

    found = {}
    for number, result in run_rolling(coming(), width):
        assert len(taken) - len(found) <= width
        found[number] = result
    assert found == {number: run_alone(lane(Adder(), values)) for number, values in enumerate(lanes)}
    assert max(network.batches, default=0) <= width


def test_rolling_lanes_go_on_after_an_error():
    network = Adder(poison=13)
    found = dict(run_rolling([lane(network, [1]), lane(network, [13]), lane(network, [2, 2])], 2))
    assert found[0] == 1
    assert isinstance(found[1], BundleError)
    assert found[2] == 4


def test_side_by_side_asks_for_all_networks_at_once():
    networks = [Adder(), Adder(), Adder()]
    steps = side_by_side([lane(network, [1] * (number + 1)) for number, network in enumerate(networks)])
    assert len(next(steps)) == 3
    steps.close()
    joined = side_by_side([lane(network, [1] * (number + 1)) for number, network in enumerate(networks)])
    assert run_alone(joined) == [1, 2, 3]


def chunks(samples, size):
    return [samples[begin : begin + size] for begin in range(0, len(samples), size)]


@pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
def test_streams_give_together_what_they_give_alone(kind, request):
    loaded = request.getfixturevalue(kind)
    sounds = [np.roll(scene(seed=number), 2000 * number) for number in range(6)]
    alone = []
    for sound in sounds:
        stream = loaded.stream(RATE, 1, top_k=2, latency="low")
        alone.append([*stream.process(sound), *stream.flush()])
    streams = [loaded.stream(RATE, 1, top_k=2, latency="low") for _ in sounds]
    together = [[] for _ in sounds]
    for parts in zip(*(chunks(sound, 1600) for sound in sounds), strict=True):
        lanes = [stream.process_steps(part) for stream, part in zip(streams, parts, strict=True)]
        for records, new in zip(together, run_together(lanes), strict=True):
            records += new
    for records, new in zip(
        together, run_together([stream.flush_steps() for stream in streams]), strict=True
    ):
        records += new
    assert together == alone
    assert any(record.type == "event" for record in together[0])


@settings(max_examples=15)
@given(data=st.data())
def test_lanes_of_any_chunks_with_gaps_are_independent(data, detector):
    """Lanes at different places, some with nothing to do, some with a hole."""
    count = data.draw(st.integers(2, 4))
    sizes = [data.draw(st.lists(st.integers(0, 9000), min_size=3, max_size=8)) for _ in range(count)]
    gaps = [data.draw(st.integers(0, 5000)) for _ in range(count)]
    sounds = [scene(seed=number)[2000 * number :] for number in range(count)]

    def verbs(number):
        begin = 0
        for place, size in enumerate(sizes[number]):
            yield "process_steps", (sounds[number][begin : begin + size],)
            begin += size
            if place == 1:
                yield "gap_steps", (gaps[number], "overload")
        yield "flush_steps", ()

    alone = []
    for number in range(count):
        stream = detector.stream(RATE, 1)
        records = [run_alone(getattr(stream, verb)(*given)) for verb, given in verbs(number)]
        alone.append(records)
    streams = [detector.stream(RATE, 1) for _ in range(count)]
    scripts = [list(verbs(number)) for number in range(count)]
    together = [[] for _ in range(count)]
    for turn in range(max(map(len, scripts))):
        present = [number for number in range(count) if turn < len(scripts[number])]
        lanes = [
            getattr(streams[number], scripts[number][turn][0])(*scripts[number][turn][1])
            for number in present
        ]
        for number, records in zip(present, run_together(lanes), strict=True):
            together[number].append(records)
    assert together == alone


def test_a_stream_that_is_inside_a_step_is_not_entered_again(detector):
    stream = detector.stream(RATE, 1)
    steps = stream.process_steps(scene())
    next(steps)
    with pytest.raises(StateError, match="second one inside"):
        stream.process(scene())
    steps.close()
    stream.reset()
    assert stream.process(scene()[:100]) == []


def test_bad_chunks_concern_their_lane_only(detector):
    streams = [detector.stream(RATE, 1) for _ in range(2)]
    good, bad = run_together(
        [streams[0].process_steps(scene()), streams[1].process_steps(np.zeros((5, 2), np.float32))]
    )
    assert any(record.type == "event" for record in good)
    assert isinstance(bad, ConfigError)


def test_time_in_networks_is_shared_out(ensemble):
    streams = [ensemble.stream(RATE, 1) for _ in range(4)]
    run_together([stream.process_steps(scene()) for stream in streams])
    spent = [stream.stats.processing_seconds for stream in streams]
    assert min(spent) > 0
    assert all(stream.stats.rtf > 0 for stream in streams)
