"""Streams as generators: what a step needs of its networks is asked for, so that many lanes can be answered at once.

A generator of type :data:`Steps` yields the runs of networks that it needs next, gets their answers, and returns
its result. :func:`run_alone` answers one lane, :func:`run_together` many lanes with one run for each network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np

from streamsed.models.base import Floats, Network, Outputs, State

T = TypeVar("T")

# A run of so many frames altogether fills a core's caches; measured with everyday, longer ones are slower a frame.
_BATCH_FRAMES = 256
_MOST_LANES = 64


class Call(NamedTuple):
    """A run of a network that a lane needs: frames, shape (1, T, bands or samples), and the state before them."""

    network: Network
    frames: Floats
    state: State


class Answer(NamedTuple):
    """What the network gave, (1, ...), and the lane's share of the time that it took, in seconds."""

    outputs: Outputs
    state: State
    seconds: float


Steps: TypeAlias = Generator[Sequence[Call], Sequence[Answer], T]


def drive(steps: Steps[T], answer: Callable[[Sequence[Call]], Sequence[Answer]]) -> T:
    """Run one lane to its end; what ``answer`` raises is raised where the network was called."""
    try:
        calls = next(steps)
        while True:
            try:
                answers = answer(calls)
            except Exception as error:
                calls = steps.throw(error)
            else:
                calls = steps.send(answers)
    except StopIteration as end:
        result: T = end.value
        return result


def run_alone(steps: Steps[T]) -> T:
    """Run one lane to its end, one network after the other."""
    return drive(steps, lambda calls: [_answer(call) for call in calls])


def run_together(lanes: Sequence[Steps[T]], max_batch: int | None = None) -> list[T | Exception]:
    """Run several lanes to their ends, each network once for as many of them as need it at the same time.

    Lanes are independent: each gives what it would give alone, and an error stays with its lane.

    Parameters
    ----------
    lanes : sequence of Steps
    max_batch : int, optional
        Lanes that share a run, at most; by default as many as are worth it on a CPU.

    Returns
    -------
    list
        In the order of ``lanes``: the result, or the exception that ended the lane.
    """
    results: list[T | Exception] = [RuntimeError("unfinished")] * len(lanes)
    following: list[tuple[int, Sequence[Call]]] = []

    def advance(number: int, answers: Sequence[Answer] | Exception | None) -> None:
        lane = lanes[number]
        try:
            if isinstance(answers, Exception):
                calls = lane.throw(answers)
            else:
                calls = next(lane) if answers is None else lane.send(answers)
        except StopIteration as end:
            results[number] = end.value
        except Exception as error:
            results[number] = error
        else:
            following.append((number, calls))

    for number in range(len(lanes)):
        advance(number, None)
    while following:
        waiting, following = following, []
        answers = answer_lanes([calls for _, calls in waiting], max_batch)
        for (number, _), given in zip(waiting, answers, strict=True):
            advance(number, given)
    return results


def side_by_side(parts: Sequence[Steps[T]]) -> Steps[list[T]]:
    """Join the steps of several networks of one lane, so that they are asked for together."""
    if len(parts) == 1:
        return [(yield from parts[0])]
    results: list[T | None] = [None] * len(parts)
    asking: list[tuple[int, Sequence[Call]]] = []
    for number, part in enumerate(parts):
        try:
            asking.append((number, next(part)))
        except StopIteration as end:
            results[number] = end.value
    while asking:
        answers = yield [call for _, calls in asking for call in calls]
        begin, following = 0, []
        for number, calls in asking:
            end_of_own = begin + len(calls)
            try:
                following.append((number, parts[number].send(answers[begin:end_of_own])))
            except StopIteration as end:
                results[number] = end.value
            begin = end_of_own
        asking = following
    return results  # type: ignore[return-value]  # every part has ended


def _answer(call: Call) -> Answer:
    begin = time.perf_counter()
    outputs, state = call.network.run(call.frames, call.state)
    return Answer(outputs, state, time.perf_counter() - begin)


def answer_lanes(
    asked: Sequence[Sequence[Call]], max_batch: int | None = None
) -> list[Sequence[Answer] | Exception]:
    """Answer the calls of several lanes, each network once for as many of them as need it.

    Where a run fails, each of its lanes is tried alone to find whose fault it is.

    Parameters
    ----------
    asked : sequence of sequence of Call
        What each lane asks for.
    max_batch : int, optional
        As in :func:`run_together`.

    Returns
    -------
    list
        For each lane its answers, or the exception of its networks.
    """
    groups: dict[tuple[int, tuple[int, ...]], list[tuple[int, int]]] = {}
    for lane, calls in enumerate(asked):
        for place, call in enumerate(calls):
            groups.setdefault((id(call.network), call.frames.shape[1:]), []).append((lane, place))
    found: list[list[Answer | None]] = [[None] * len(calls) for calls in asked]
    errors: dict[int, Exception] = {}
    for (_, shape), members in groups.items():
        first = asked[members[0][0]][members[0][1]]
        size = _batch_size(first.network, shape[0], max_batch)
        for begin in range(0, len(members), size):
            batch = members[begin : begin + size]
            for (lane, place), answer in zip(batch, _run([asked[i][j] for i, j in batch]), strict=True):
                if isinstance(answer, Exception):
                    errors.setdefault(lane, answer)
                else:
                    found[lane][place] = answer
    return [errors.get(lane) or _complete(answers) for lane, answers in enumerate(found)]


def _complete(answers: Sequence[Answer | None]) -> Sequence[Answer]:
    return [answer for answer in answers if answer is not None]


def _batch_size(network: Network, frames: int, max_batch: int | None) -> int:
    if not network.takes_lanes:
        return 1
    if max_batch is not None:
        return max_batch
    return max(1, min(_MOST_LANES, _BATCH_FRAMES // max(1, frames)))


def _run(calls: Sequence[Call]) -> list[Answer | Exception]:
    if len(calls) > 1:
        try:
            return [*_run_batch(calls)]
        except Exception:
            # Not lost: the lane whose fault it is raises it again now, and the others go on.
            pass
    answers: list[Answer | Exception] = []
    for call in calls:
        try:
            answers.append(_answer(call))
        except Exception as error:
            answers.append(error)
    return answers


def _run_batch(calls: Sequence[Call]) -> list[Answer]:
    begin = time.perf_counter()
    frames = np.concatenate([call.frames for call in calls])
    states = tuple(np.concatenate(parts) for parts in zip(*(call.state for call in calls), strict=True))
    outputs, after = calls[0].network.run(frames, states)
    share = (time.perf_counter() - begin) / len(calls)
    posteriors, confidence = outputs
    answers = []
    for lane in range(len(calls)):
        own = slice(lane, lane + 1)
        # The state is copied, as a view would keep the batch for as long as any of its lanes is idle.
        answers.append(
            Answer(
                Outputs(posteriors[own], None if confidence is None else confidence[own]),
                tuple([array[own].copy() for array in after]),
                share,
            )
        )
    return answers
