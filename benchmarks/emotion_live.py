"""Recordings of voices at real pace through the microphone path: `python benchmarks/emotion_live.py FILE...`.

Each recording is played into a PulseAudio server of its own; `streamsed.listen` hears it through PulseAudio, ALSA and
PortAudio. Printed for every recording: records of the file itself (`detect`) and of listening, the mean level of
arousal of both, the delay from the moment at which a window's end was heard (by the session's wall clock, which follows
the capture clock) to the call of `on_record` with its record, RTF and lost samples.

The exit status is 1 if sound was lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from live_path import listen, use
from pulse import Pulse, missing_packages

import streamsed
from streamsed.types import Emotion


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recordings", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--model", default="voice-emotion", help="shipped bundle or path")
    parser.add_argument("--beside", action="append", default=[], metavar="MODEL", help="on the same capture")
    arguments = parser.parse_args()
    absent = missing_packages()
    if absent:
        parser.error(absent)
    model = streamsed.load(arguments.model)
    if not isinstance(model, streamsed.EmotionDetector):
        parser.error(f"--model: expected a model of dimensional emotion, got {model.name}")
    models = [*(streamsed.load(name) for name in arguments.beside), model]
    print(f"{'recording':<24} file live  arousal file live  delay p50   p95   max    RTF   lost")
    delays: list[float] = []
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        pulse = Pulse(Path(folder))
        pulse.start()
        try:
            use(pulse)
            for path in arguments.recordings:
                listener, summary = listen(pulse, models, path, Emotion)
                file = model.detect(path)
                # The last one was cut off by the end of listening and came when that was over.
                live = listener.found[:-1]
                late = [delay for _, delay in live]
                levels = [
                    np.mean([item.arousal for item in side] or [np.nan])
                    for side in (file, [item for item, _ in live])
                ]
                p50, p95, most = np.percentile(late or [0.0], [50, 95, 100])
                print(
                    f"{path.stem[:24]:<24} {len(file):>4} {len(live):>4} {levels[0]:>13.2f} {levels[1]:>4.2f}"
                    f"  {p50:>9.3f} {p95:>5.3f} {most:>5.3f} {summary.rtf:>6.4f} {summary.dropped_samples:>6}",
                    flush=True,
                )
                delays += late
                lost += summary.dropped_samples
        finally:
            pulse.stop()
    p50, p95, most = np.percentile(delays or [0.0], [50, 95, 100])
    print(
        f"together: {len(delays)} records, delay p50 {p50:.3f} s, p95 {p95:.3f} s, max {most:.3f} s, "
        f"{lost} samples lost"
    )
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
