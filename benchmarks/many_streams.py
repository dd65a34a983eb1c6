"""Many streams through one model on one core: `python benchmarks/many_streams.py`.

Three tables. How many streams a core can serve at all: sound that is there already, through lone streams one after the
other and through a `DetectorPool`, taking turns. How long a step takes from the push of its last sample to its records
while N microphones push chunks at their own pace: p50, p95 and p99. And what a stream costs in memory beside the model.

The process keeps to one core, with all its threads: those who push, the worker, and who takes the records. The sound
is the demo scene (or any recording), begun somewhere else in every stream. Before anything is timed, the records of a
lane are compared with those of the lone stream.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import gc
import heapq
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

import streamsed
from streamsed.config import LATENCY_PROFILES, LatencyProfile
from streamsed.types import Start, Status, Summary

ROOT = Path(__file__).resolve().parents[1]
Floats = npt.NDArray[np.float32]
TICK_SECONDS = 0.002


def profile_of(chunk_ms: float) -> LatencyProfile:
    """The profile "balanced" with steps of another length."""
    return dataclasses.replace(LATENCY_PROFILES["balanced"], chunk_seconds=chunk_ms / 1e3)


def read_sound(path: Path, rate: int) -> Floats:
    samples, found = soundfile.read(path, dtype="float32")
    if found != rate:
        raise SystemExit(f"--sound: expected a recording at {rate} Hz, got {found}")
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def rotated(sound: Floats, number: int) -> Floats:
    return np.roll(sound, -7919 * number)


def own(records: list[Any], source: str) -> list[Any]:
    added = (Start, Status, Summary)
    return [
        item for item in records if getattr(item, "source", None) == source and not isinstance(item, added)
    ]


def check(model: Any, sound: Floats, members: int) -> None:
    """Raise unless a lane among others gives the records of its lone stream."""
    with streamsed.DetectorPool(model, inbox_seconds=600.0, overload="drop") as pool:
        for number in range(5):
            pool.join(f"lane{number}", members=members).push(rotated(sound, number))
        pool.close()
        found = own(list(pool), "lane3")
    stream = model.stream(source="lane3")
    stream.set_members(members)
    expected = own([*stream.process(rotated(sound, 3)), *stream.flush()], "lane3")
    if found != expected or not found:
        raise SystemExit(f"a lane gave {len(found)} records, its lone stream {len(expected)}, or others")


def lone(model: Any, sounds: list[Floats], chunk_ms: float, members: int) -> float:
    """Seconds for all streams one after the other, step by step in turns as their sound would come."""
    streams = [model.stream(latency=profile_of(chunk_ms)) for _ in sounds]
    step = streams[0].step_samples
    for stream in streams:
        stream.set_members(members)
    begin = time.perf_counter()
    for first in range(0, len(sounds[0]), step):
        for stream, sound in zip(streams, sounds, strict=True):
            stream.process(sound[first : first + step])
    return time.perf_counter() - begin


def pooled(model: Any, sounds: list[Floats], chunk_ms: float, members: int) -> float:
    """Seconds for the same through a pool whose inboxes have it all."""
    pool = streamsed.DetectorPool(
        model, max_wait=0.0, inbox_seconds=600.0, overload="drop", on_record=lambda record: None
    )
    for number, sound in enumerate(sounds):
        lane = pool.join(f"lane{number}", latency=profile_of(chunk_ms), members=members)
        step = lane._stream.step_samples
        for first in range(0, len(sound), step):
            lane.push(sound[first : first + step])
    begin = time.perf_counter()
    pool.start()
    pool.close()
    return time.perf_counter() - begin


def capacity(model: Any, sound: Floats, arguments: argparse.Namespace) -> list[dict[str, float]]:
    rows = []
    seconds = arguments.capacity_seconds
    sounds = [rotated(sound, number)[: round(seconds * model.sample_rate)] for number in range(64)]
    for members in arguments.members:
        for chunk_ms in arguments.chunks:
            times: dict[str, list[float]] = {"lone": [], "pool": []}
            for _ in range(arguments.rounds):
                times["lone"].append(lone(model, sounds, chunk_ms, members))
                times["pool"].append(pooled(model, sounds, chunk_ms, members))
            per_core = {
                name: len(sounds) * seconds / statistics.median(values) for name, values in times.items()
            }
            rows.append({"members": members, "chunk_ms": chunk_ms, **per_core})
            print(
                f"| {members} | {chunk_ms:g} | {per_core['lone']:.0f} | {per_core['pool']:.0f} | "
                f"{per_core['pool'] / per_core['lone']:.2f} |",
                flush=True,
            )
    return rows


def live(
    model: Any, sound: Floats, count: int, chunk_ms: float, members: int, seconds: float, max_wait: float
) -> dict[str, Any]:
    """Push to ``count`` lanes at real pace, each at its own phase; return what the pool says of it."""
    rate = model.sample_rate
    chunk = round(chunk_ms * rate / 1e3)
    pool = streamsed.DetectorPool(model, max_wait=max_wait, overload="drop", on_record=lambda record: None)
    lanes = [
        pool.join(f"lane{number}", latency=profile_of(chunk_ms), members=members) for number in range(count)
    ]
    sounds = [rotated(sound, number) for number in range(count)]
    late = 0.0
    with pool:
        began = time.monotonic()
        busy = time.process_time()
        due = [(began + chunk_ms / 1e3 * number / count, number, 0) for number in range(count)]
        heapq.heapify(due)
        while due:
            moment, number, first = heapq.heappop(due)
            wait = moment - time.monotonic()
            if wait > 0:
                # All that becomes due within a tick is pushed together, as a server reads what its sockets have.
                time.sleep(max(wait, TICK_SECONDS))
            else:
                late = max(late, -wait)
            begin = first % (len(sound) - chunk)
            lanes[number].push(sounds[number][begin : begin + chunk])
            if moment - began + chunk_ms / 1e3 < seconds:
                heapq.heappush(due, (moment + chunk_ms / 1e3, number, first + chunk))
        elapsed = time.monotonic() - began
        busy = (time.process_time() - busy) / elapsed
        stats = pool.stats
    return {
        "streams": count,
        "chunk_ms": chunk_ms,
        "members": members,
        "cpu": busy,
        "dropped_samples": sum(lane.summary.dropped_samples for lane in lanes if lane.summary is not None),
        "mean_batch": stats.steps / max(1, stats.rounds),
        "pusher_late_ms": 1e3 * late,
        "latency_ms": stats.latency_ms,
    }


def latency(model: Any, sound: Floats, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for members in arguments.members:
        for count in arguments.streams:
            for chunk_ms in arguments.chunks:
                row = live(
                    model, sound, count, chunk_ms, members, arguments.seconds, arguments.max_wait_ms / 1e3
                )
                rows.append(row)
                times = row["latency_ms"]
                cells = f"{times['p50']:.1f} | {times['p95']:.1f} | {times['p99']:.1f} | {times['max']:.1f}"
                print(
                    f"| {members} | {count} | {chunk_ms:g} | {cells} | {row['cpu']:.2f} | {row['mean_batch']:.1f} | "
                    f"{row['dropped_samples']} |",
                    flush=True,
                )
    return rows


def resident_kb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def memory(model: Any, sound: Floats, members: list[int]) -> list[dict[str, float]]:
    rows = []
    for count in members:
        held = []
        with streamsed.DetectorPool(model, overload="drop", on_record=lambda record: None) as pool:
            # What the first lanes need once, such as the arena of a batch, is not theirs.
            for number in range(64):
                held.append(pool.join(f"warm{number}", members=count))
                held[-1].push(sound)
            wait_for(pool)
            gc.collect()
            before = resident_kb()
            for number in range(512):
                held.append(pool.join(f"lane{number}", members=count))
                held[-1].push(sound[: 4 * model.sample_rate])
                if number % 64 == 63:
                    wait_for(pool)
            gc.collect()
            per_stream = (resident_kb() - before) / 512
        rows.append({"members": count, "kb_per_stream": per_stream})
        print(f"| {count} | {per_stream:.0f} |", flush=True)
    return rows


def wait_for(pool: streamsed.DetectorPool) -> None:
    """Wait until what was pushed is done with."""
    while any(lane.stats.waiting_seconds > 0.05 for lane in pool.lanes):
        time.sleep(0.02)


@contextlib.contextmanager
def one_core(number: int | None) -> Iterator[None]:
    if number is not None:
        os.sched_setaffinity(0, {number})
    yield


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="everyday", help="shipped bundle or path")
    parser.add_argument("--sound", type=Path, default=ROOT / "docs" / "demo" / "scene.flac")
    parser.add_argument("--only", choices=["capacity", "latency", "memory"], action="append")
    parser.add_argument("--members", type=int, nargs="+", default=[1, 5], help="networks that take part")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16, 64, 256])
    parser.add_argument("--chunks", type=float, nargs="+", default=[10, 20, 40, 80, 160], metavar="MS")
    parser.add_argument("--seconds", type=float, default=8.0, help="of every row of the latency table")
    parser.add_argument("--capacity-seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--max-wait-ms", type=float, default=5.0)
    parser.add_argument("--core", type=int, default=0, help="that all threads keep to")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    wanted = arguments.only or ["capacity", "latency", "memory"]
    with one_core(arguments.core):
        model = streamsed.load(arguments.model)
        sound = read_sound(arguments.sound, model.sample_rate)
        for members in arguments.members:
            check(model, sound, members)
        found: dict[str, Any] = {}
        if "capacity" in wanted:
            print(
                "\n| members | step ms | lone streams a core | pool, streams a core | ratio |\n|---|---|---|---|---|"
            )
            found["capacity"] = capacity(model, sound, arguments)
        if "latency" in wanted:
            print(
                "\n| members | streams | step ms | p50 ms | p95 ms | p99 ms | max ms | CPU | lanes a round | dropped |"
                "\n|---|---|---|---|---|---|---|---|---|---|"
            )
            found["latency"] = latency(model, sound, arguments)
        if "memory" in wanted:
            print("\n| members | kB a stream |\n|---|---|")
            found["memory"] = memory(model, sound, arguments.members)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
