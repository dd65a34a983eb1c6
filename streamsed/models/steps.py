"""Streams as generators: what a step needs of its networks is asked for, so that many lanes can be answered at once.

A generator of type :data:`Steps` yields the runs of networks that it needs next, gets their answers, and returns
its result. :func:`run_alone` answers one lane, :func:`run_together` many lanes with one run for each network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np

from streamsed.models.base import Device, Floats, Network, Outputs, State

T = TypeVar("T")

_MOST_LANES = 64
# Frames, of all lanes together, from which on more of them make a run no cheaper a frame: so many fill a core's
# caches (measured with everyday); a GPU is far from busy with them.
_BATCH_FRAMES: dict[Device, int] = {"cpu": 256, "cuda": 65536}


class Answer(NamedTuple):
    """What was asked for, and the lane's share of the time that it took, in seconds.

    ``outputs`` of a network are :class:`~streamsed.models.base.Outputs`, and ``state`` is its next one, both (1, ...).
    """

    outputs: Any
    state: State
    seconds: float


class Call(Protocol):
    """Something that a lane needs and that many lanes may need at once."""

    @property
    def group(self) -> Hashable:
        """Calls of one group can be answered together."""

    def answer(self) -> Answer:
        """Answer this one alone."""

    def answer_group(self, calls: Sequence[Any], max_batch: int | None) -> list[Answer | Exception]:
        """Answer calls of this one's group, which is among them; an error belongs to its own lane."""


class NetworkCall(NamedTuple):
    """A run of a network: frames, shape (1, T, bands or samples), and the state before them."""

    network: Network
    frames: Floats
    state: State

    @property
    def group(self) -> Hashable:
        """Runs of the same network over the same number of frames."""
        return id(self.network), self.frames.shape[1:]

    def answer(self) -> Answer:
        """Run the network."""
        begin = time.perf_counter()
        outputs, state = self.network.run(self.frames, self.state)
        return Answer(outputs, state, time.perf_counter() - begin)

    def answer_group(self, calls: Sequence[NetworkCall], max_batch: int | None) -> list[Answer | Exception]:
        """Run the network for as many lanes at a time as are worth it; where that fails, for each lane alone."""
        size = self._lanes_of_a_run(max_batch)
        answers: list[Answer | Exception] = []
        for begin in range(0, len(calls), size):
            answers += _run(calls[begin : begin + size])
        return answers

    def _lanes_of_a_run(self, max_batch: int | None) -> int:
        if not self.network.takes_lanes:
            return 1
        if max_batch is not None:
            return max_batch
        frames: int = max(1, self.frames.shape[1])
        return max(1, min(_MOST_LANES, _BATCH_FRAMES[self.network.device] // frames))


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
    return drive(steps, lambda calls: [call.answer() for call in calls])


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
    for number, result in run_rolling(lanes, max(1, len(lanes)), max_batch):
        results[number] = result
    return results


def run_rolling(
    lanes: Iterable[Steps[T]], width: int, max_batch: int | None = None
) -> Iterator[tuple[int, T | Exception]]:
    """Run lanes, ``width`` of them at a time: when one ends, the next one begins beside the others.

    Parameters
    ----------
    lanes : iterable of Steps
        Taken one by one, when there is room for another.
    width : int
    max_batch : int, optional
        As in :func:`run_together`.

    Yields
    ------
    tuple
        When a lane ends: its number among ``lanes``, and its result or the exception that ended it.
    """
    coming = enumerate(lanes)
    running: list[tuple[int, Steps[T], Sequence[Call]]] = []
    is_over = False
    while True:
        while not is_over and len(running) < width:
            number, lane = next(coming, (0, None))
            if lane is None:
                is_over = True
                break
            state = _advance(lane, None)
            if isinstance(state, _End):
                yield number, state.result
            else:
                running.append((number, lane, state))
        if not running:
            return
        answers = answer_lanes([calls for _, _, calls in running], max_batch)
        asked, running = running, []
        for (number, lane, _), given in zip(asked, answers, strict=True):
            state = _advance(lane, given)
            if isinstance(state, _End):
                yield number, state.result
            else:
                running.append((number, lane, state))


class _End(NamedTuple):
    result: Any  # or the exception


def _advance(lane: Steps[T], answers: Sequence[Answer] | Exception | None) -> Sequence[Call] | _End:
    """Let a lane go on to what it asks for next."""
    try:
        if isinstance(answers, Exception):
            return lane.throw(answers)
        return next(lane) if answers is None else lane.send(answers)
    except StopIteration as end:
        return _End(end.value)
    except Exception as error:
        return _End(error)


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
    groups: dict[Hashable, list[tuple[int, int]]] = {}
    for lane, calls in enumerate(asked):
        for place, call in enumerate(calls):
            groups.setdefault(call.group, []).append((lane, place))
    found: list[list[Answer | None]] = [[None] * len(calls) for calls in asked]
    errors: dict[int, Exception] = {}
    for members in groups.values():
        of_group = [asked[lane][place] for lane, place in members]
        answers = of_group[0].answer_group(of_group, max_batch)
        for (lane, place), answer in zip(members, answers, strict=True):
            if isinstance(answer, Exception):
                errors.setdefault(lane, answer)
            else:
                found[lane][place] = answer
    return [errors.get(lane) or _complete(answers) for lane, answers in enumerate(found)]


def _complete(answers: Sequence[Answer | None]) -> Sequence[Answer]:
    return [answer for answer in answers if answer is not None]


def _run(calls: Sequence[NetworkCall]) -> list[Answer | Exception]:
    if len(calls) > 1:
        try:
            return [*_run_batch(calls)]
        except Exception:
            # Not lost: the lane whose fault it is raises it again now, and the others go on.
            pass
    answers: list[Answer | Exception] = []
    for call in calls:
        try:
            answers.append(call.answer())
        except Exception as error:
            answers.append(error)
    return answers


def _run_batch(calls: Sequence[NetworkCall]) -> list[Answer]:
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
