"""Whole stethoscope recordings at real pace through the microphone path: `python benchmarks/cycles_live.py FILE...`.

Each recording is played into a PulseAudio server of its own; `streamsed.listen` hears it through PulseAudio, ALSA and
PortAudio, as it would a stethoscope with a sound card. Printed for every recording:

* `file`: cycles that `detect` finds in the file itself;
* `live`: cycles that listening found while the recording sounded;
* `agree`: F1 of the two at an overlap (IoU) of 0.5, after their clocks were laid over each other: the player starts
  when it starts, so the shift is the one with which most boundaries meet;
* `label`: of the pairs, how many are called alike;
* `delay`: from the moment at which a cycle's end was heard (by the session's wall clock, which follows the capture
  clock) to the call of `on_record` with its record: median, 95th percentile and maximum.

The last line has all recordings together. The exit status is 1 if a record came later than `--limit` or sound was lost.
Research software, not a medical device.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from live_path import listen, use
from pulse import Pulse, missing_packages

import streamsed
from streamsed._metrics.cycle_segmentation import match_cycles
from streamsed.types import Cycle


def best_shift(file: Sequence[Cycle], live: Sequence[Cycle]) -> float:
    """Return the shift of the live clock with which most boundaries meet within 0.1 s."""
    ends = np.array([cycle.offset for cycle in file])
    heard = np.array([cycle.offset for cycle in live])
    if not len(ends) or not len(heard):
        return 0.0
    shifts = (heard[:, np.newaxis] - ends).reshape(-1)
    meets = [np.sum(np.abs(heard[:, np.newaxis] - ends - shift).min(axis=0) < 0.1) for shift in shifts]
    return float(shifts[int(np.argmax(meets))])


def times(cycles: Sequence[Cycle], shift: float = 0.0) -> list[tuple[float, float]]:
    return [(cycle.onset - shift, cycle.offset - shift) for cycle in cycles]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--model", default="lung-cycles", help="shipped bundle or path")
    parser.add_argument("--limit", type=float, default=0.5, help="latest record, in seconds (default: 0.5)")
    arguments = parser.parse_args()
    absent = missing_packages()
    if absent:
        parser.error(absent)
    model = streamsed.load(arguments.model)
    if not isinstance(model, streamsed.CycleDetector):
        parser.error(f"--model: expected a model of respiratory cycles, got {model.name}")
    print(f"{'recording':<28} file live agree label  delay p50   p95   max  RTF    lost")
    pairs = alike = in_files = in_live = lost = 0
    delays: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        pulse = Pulse(Path(folder))
        pulse.start()
        try:
            use(pulse)
            for path in arguments.recordings:
                listener, summary = listen(pulse, [model], path, Cycle)
                file, live = model.detect(path), [cycle for cycle, _ in listener.found]
                # What the end of listening cut off came when it was over, and says nothing about the delay.
                late = [delay for cycle, delay in listener.found if not cycle.truncated]
                matched = match_cycles(times(file), times(live, best_shift(file, live)), 0.5)
                same = sum(file[i].label == live[j].label for i, j in matched)
                pairs, alike = pairs + len(matched), alike + same
                in_files, in_live = in_files + len(file), in_live + len(live)
                lost += summary.dropped_samples
                delays += late
                row = path.stem, len(file), len(live), matched, same, late
                print(line(*row) + f" {summary.rtf:.4f} {summary.dropped_samples:>6}", flush=True)
        finally:
            pulse.stop()
    total = 2 * pairs / max(1, in_files + in_live)
    worst = max(delays, default=0.0)
    print(
        f"together: F1 {total:.3f}, {alike} of {pairs} labels alike, delay p50 {np.median(delays or [0]):.3f} s, "
        f"max {worst:.3f} s, {lost} samples lost"
    )
    return int(worst > arguments.limit or lost > 0)


def line(
    name: str, file: int, live: int, matched: Sequence[tuple[int, int]], same: int, late: Sequence[float]
) -> str:
    p50, p95, most = np.percentile(late or [0.0], [50, 95, 100])
    agree = 2 * len(matched) / max(1, file + live)
    return (
        f"{name[:28]:<28} {file:>4} {live:>4} {agree:>5.2f} {same:>3}/{len(matched):<3}"
        f" {p50:>6.3f} {p95:>5.3f} {most:>5.3f}"
    )


if __name__ == "__main__":
    sys.exit(main())
