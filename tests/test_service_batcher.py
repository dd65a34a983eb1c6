"""Threads that share runs of networks: what they get, whom they wait for, and how errors and Ctrl-C end."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
from tiny_models import scene
from toy_lanes import Adder, lane

from streamsed.errors import BundleError, ConfigError, StateError
from streamsed.models import run_alone
from streamsed.models.steps import NetworkCall
from streamsed.service.batcher import MicroBatcher

RATE = 16000
LONG = 1.0


def in_threads(*actions):
    """Run every action in a thread of its own, begun at once; return their results, or what they raised."""
    results = [None] * len(actions)
    barrier = threading.Barrier(len(actions))

    def work(number):
        barrier.wait(10.0)
        try:
            results[number] = actions[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(actions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive()
    return results


class Gate(Adder):
    """Runs only when let in, and says when somebody is at the gate."""

    def __init__(self, **options):
        super().__init__(**options)
        self.arrived = threading.Semaphore(0)
        self.open = threading.Semaphore(0)

    def run(self, frames, state):
        self.arrived.release()
        assert self.open.acquire(timeout=10.0)
        return super().run(frames, state)


def waiting_for(batcher, count):
    deadline = time.monotonic() + 10.0
    while len(batcher._waiting) != count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_single_lane_gives_what_it_gives_alone():
    network = Adder()
    assert MicroBatcher().run(lane(network, [1, 2, 3])) == 6
    assert network.batches == [1, 1, 1]


def test_one_that_is_alone_does_not_wait():
    batcher = MicroBatcher(max_wait_seconds=LONG)
    begin = time.monotonic()
    for _ in range(20):
        batcher.run(lane(Adder(), [1]))
    assert time.monotonic() - begin < 20 * LONG / 2


@pytest.mark.parametrize("most", [None, 1, 2, 5])
def test_many_threads_get_what_they_get_alone(most):
    network = Adder()
    batcher = MicroBatcher(max_batch=most)
    scripts = [[(number * 7 + place) % 11 for place in range(number % 5 + 3)] for number in range(16)]
    found = in_threads(*(lambda script=script: batcher.run(lane(network, script)) for script in scripts))
    assert found == [sum(script) for script in scripts]
    assert sum(network.batches) == sum(map(len, scripts))
    assert max(network.batches) <= (most or 16)


def test_lanes_that_ask_at_the_same_time_share_a_run():
    network = Adder()
    batcher = MicroBatcher(max_wait_seconds=LONG)
    inside = threading.Barrier(6)

    def begun(values):
        inside.wait(10.0)
        return (yield from lane(network, values))

    assert in_threads(*(lambda: batcher.run(begun([1, 2, 3, 4])) for _ in range(6))) == [10] * 6
    assert network.batches == [6, 6, 6, 6]


def test_what_is_asked_for_during_a_run_is_in_the_next_one_and_first_come_first_served():
    network, order = Gate(), []

    def noted(number):
        (answer,) = yield (
            NetworkCall(network, np.full((1, 1, 1), number, np.float32), (np.zeros((1, 1), np.float32),)),
        )
        order.append(number)
        return answer.state[0][0, 0]

    batcher = MicroBatcher(max_wait_seconds=0.0, max_batch=2)
    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=lambda number=number: batcher.run(noted(number)), daemon=True))
        threads[-1].start()
        if number == 0:
            assert network.arrived.acquire(timeout=10.0)
        else:
            waiting_for(batcher, number)
    for _ in range(4):
        network.open.release()
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()
    assert network.batches == [1, 2, 2, 1]
    assert order[0] == 0
    assert sorted(order) == list(range(6))


def test_a_lane_that_computes_for_long_is_not_waited_for():
    network = Adder()
    batcher = MicroBatcher(max_wait_seconds=0.01)
    entered, done = threading.Event(), threading.Event()

    def slow():
        entered.set()
        done.wait(10.0)
        return (yield from lane(network, [5]))

    def quick():
        entered.wait(10.0)
        found = [batcher.run(lane(network, [1, 1])) for _ in range(5)]
        assert not done.is_set()
        done.set()
        return found

    assert in_threads(lambda: batcher.run(slow()), quick) == [5, [2] * 5]


def test_an_error_of_a_network_reaches_its_own_caller_only():
    network = Adder(poison=13)
    batcher = MicroBatcher(max_wait_seconds=LONG)
    found = in_threads(
        lambda: batcher.run(lane(network, [1, 2])),
        lambda: batcher.run(lane(network, [1, 13, 4])),
        lambda: batcher.run(lane(network, [3, 3])),
    )
    assert found[0] == 3
    assert isinstance(found[1], BundleError)
    assert found[2] == 6
    assert batcher.run(lane(network, [4])) == 4


def test_an_error_of_the_lane_itself_keeps_nobody_waiting():
    batcher = MicroBatcher(max_wait_seconds=LONG)
    inside = threading.Barrier(2)

    def broken():
        inside.wait(10.0)
        yield from ()
        raise ValueError("mine")

    def good():
        inside.wait(10.0)
        return (yield from lane(Adder(), [1, 2]))

    begin = time.monotonic()
    found = in_threads(lambda: batcher.run(broken()), lambda: batcher.run(good()))
    assert isinstance(found[0], ValueError)
    assert found[1] == 3
    assert time.monotonic() - begin < LONG


def interrupted(network, needed):
    """Interrupt the main thread while it computes for two others; return what those got.

    ``needed(network, value)`` is what a lane yields first.
    """
    batcher = MicroBatcher(max_wait_seconds=LONG)
    inside = threading.Barrier(3)
    found = []

    def lane_of(value):
        inside.wait(10.0)
        if value == 0:
            # The last one to ask is the one who computes.
            waiting_for(batcher, 2)
        (answer,) = yield (needed(network, value),)
        return answer.state[0][0, 0]

    def other(value):
        try:
            found.append(batcher.run(lane_of(value)))
        except StateError as error:
            found.append(str(error))

    threads = [threading.Thread(target=other, args=(value,), daemon=True) for value in (5, 7)]
    for thread in threads:
        thread.start()
    with pytest.raises(KeyboardInterrupt):
        batcher.run(lane_of(0))
    for thread in threads:
        thread.join(10.0)
        assert not thread.is_alive()
    assert batcher._computing == 0
    assert not batcher._waiting
    return sorted(found)


class Interrupting(Adder):
    """Is run for the main thread until Ctrl-C comes."""

    def run(self, frames, state):
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGINT)
        return super().run(frames, state)


def pure_call(network, value):
    return NetworkCall(network, np.full((1, 1, 1), value, np.float32), (np.zeros((1, 1), np.float32),))


class CallWithState:
    """As the front-end on a GPU, which keeps the state of its lanes: a second answer would be another one."""

    group = "one for all"

    def __init__(self, network, value):
        self._call = pure_call(network, value)

    def answer(self):
        return self._call.answer()

    def answer_group(self, calls, max_batch):
        return [call.answer() for call in calls]


def test_ctrl_c_in_the_thread_that_computes_for_others():
    """Its own lane ends; what it computed for the others, another one of them does."""
    assert interrupted(Interrupting(), pure_call) == [5, 7]


def test_ctrl_c_while_state_is_changed():
    """Nobody knows how far it got: the others are told so, and nothing is done twice."""
    network = Interrupting()
    text = "the thread that computed for all lanes was interrupted"
    assert interrupted(network, CallWithState) == [text, text]
    assert network.batches == []


def test_more_lanes_than_a_batch_takes():
    network = Adder()
    batcher = MicroBatcher(max_wait_seconds=LONG)
    inside = threading.Barrier(100)

    def begun(value):
        inside.wait(10.0)
        return (yield from lane(network, [value, 1]))

    found = in_threads(*(lambda value=value: batcher.run(begun(value)) for value in range(100)))
    assert found == [value + 1 for value in range(100)]
    assert 36 <= max(network.batches) <= 64


@pytest.mark.parametrize("kind", ["detector", "ensemble", "windowed"])
def test_streams_in_threads_give_what_they_give_alone(kind, request):
    loaded = request.getfixturevalue(kind)
    batcher = MicroBatcher()

    def listen(number, run):
        sound = np.roll(scene(seed=number), 2000 * number)
        stream = loaded.stream(RATE, 1, top_k=2, latency="low")
        records = []
        for begin in range(0, len(sound), 1000 + 300 * number):
            records += run(stream.process_steps(sound[begin : begin + 1000 + 300 * number]))
            if begin == 0:
                records += run(stream.gap_steps(500 * number, "overload"))
        return records + run(stream.flush_steps())

    alone = [listen(number, run_alone) for number in range(6)]
    together = in_threads(*(lambda number=number: listen(number, batcher.run) for number in range(6)))
    assert together == alone
    assert any(record.type == "event" for record in alone[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [({"max_wait_seconds": -1.0}, "max_wait_seconds: expected"), ({"max_batch": 0}, "max_batch: expected")],
)
def test_bad_parameters_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        MicroBatcher(**options)
