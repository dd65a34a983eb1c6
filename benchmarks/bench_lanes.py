"""Lanes on the CPU against a loop over the stages of single streams: µs a lane and call, answers checked first.

``python benchmarks/bench_lanes.py``; on one thread.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from timing import interleaved

from streamsed.config import LogMelConfig
from streamsed.frontend import LogMel, OnlineLogMel
from streamsed.lanes import FusionLanes, LogMelLanes, MedianLanes
from streamsed.postprocess import OnlineMedianFilter, fuse

LANES, MEMBERS, CLASSES, WIDTH = 256, 5, 25, 7
Calls = dict[str, Callable[[], object]]


def checked(calls: Calls) -> Calls:
    answers = [call() for call in calls.values()]
    for other in answers[1:]:
        for ours, theirs in zip(answers[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    return calls


def log_mel(milliseconds: int) -> Calls:
    plan = LogMel(LogMelConfig())
    sound = (0.1 * np.random.default_rng(0).standard_normal((LANES, 16 * milliseconds))).astype(np.float32)
    chunks = list(sound)
    arrays, lists = LogMelLanes(plan, LANES), LogMelLanes(plan, LANES)
    stages = [OnlineLogMel(plan) for _ in range(LANES)]
    return checked(
        {
            "one array": lambda: arrays.process(sound),
            "a list": lambda: lists.process(chunks),
            "loop": lambda: [stage.process(chunk) for stage, chunk in zip(stages, chunks, strict=True)],
        }
    )


def median(rows: int) -> Calls:
    posteriors = np.random.default_rng(0).random((LANES, rows, CLASSES), dtype=np.float32)
    chunks = list(posteriors)
    arrays, lists = MedianLanes([WIDTH] * CLASSES, LANES), MedianLanes([WIDTH] * CLASSES, LANES)
    stages = [OnlineMedianFilter(CLASSES, WIDTH) for _ in range(LANES)]
    return checked(
        {
            "one array": lambda: arrays.process(posteriors),
            "a list": lambda: lists.process(chunks),
            "loop": lambda: [stage.process(chunk) for stage, chunk in zip(stages, chunks, strict=True)],
        }
    )


def fusion(rows: int) -> Calls:
    rng = np.random.default_rng(0)
    posteriors = rng.random((MEMBERS, LANES, rows, CLASSES), dtype=np.float32)
    confidences = rng.random((MEMBERS, LANES, rows), dtype=np.float32)
    apart = [np.array(one) for one in posteriors], [np.array(one) for one in confidences]
    # As a loop has them: each lane's own arrays.
    own = [(posteriors[:, i].copy(), confidences[:, i].copy()) for i in range(LANES)]
    stage = FusionLanes()
    return checked(
        {
            "one array": lambda: stage.process(posteriors, confidences),
            "a list": lambda: stage.process(*apart),
            "loop": lambda: [fuse(p, c) for p, c in own],
        }
    )


def main() -> None:
    cases = {f"log-mel, {ms} ms": log_mel(ms) for ms in (10, 40, 160)}
    cases |= {f"median, {n} rows of {CLASSES}": median(n) for n in (1, 4, 16)}
    cases |= {f"fusion, {n} rows of {CLASSES}": fusion(n) for n in (1, 4, 16)}
    print(f"µs a lane and call, {LANES} lanes\n")
    print("| case | one array | a list | loop | loop / one array |\n|---|---|---|---|---|")
    for name, calls in cases.items():
        seconds = interleaved(calls)
        cells = " | ".join(f"{1e6 * value / LANES:.3g}" for value in seconds.values())
        print(f"| {name} | {cells} | {seconds['loop'] / seconds['one array']:.2f} |")


if __name__ == "__main__":
    main()
