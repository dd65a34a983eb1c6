"""``streamsed latency``: where the delay comes from, stage by stage, and what computing adds here."""

from __future__ import annotations

import dataclasses
import json
import time
from typing import TYPE_CHECKING, Any

from streamsed.cli.parser import add_command, add_model_options, count, seconds
from streamsed.cli.tables import pairs, table

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable

    from streamsed.detector import Detector
    from streamsed.emotion import EmotionDetector
    from streamsed.respiration import CycleDetector
    from streamsed.side_encoders import ImageEncoder

_STAGES = {
    "resampling": "half the filter",
    "framing": "one posterior frame and its window",
    "look_ahead": "what the model waits for",
    "chunk": "until a chunk is full",
    "median": "half the widest median filter",
    "min_gap": "the longest pause that is bridged",
    "decoder": "until a boundary is known to be one",
    "hop": "until the next window ends",
    "window": "half a window: its middle is what it is about",
}
_SUMS = {
    "sound_events": {
        "provisional": "from an onset to its provisional record",
        "final": "from an offset to its final record",
    },
    "respiratory_cycles": {
        "provisional": "from the beginning of a cycle to its first record",
        "final": "from the end of a cycle to its final record",
    },
    "dimensional_emotion": {
        "provisional": "from the end of a window to its record",
        "final": "from a change of the voice until half of a window has it",
    },
}
# Cycles of a usual length that the classifier is timed with.
_CYCLE_SECONDS = 2.4
_CALLS = 20
# Caches, memory and clock frequency settle within the first chunks.
_WARM_UP_CHUNKS = 20


def add_to(subparsers: Any) -> None:
    """Add the command."""
    parser = add_command(
        subparsers, "latency", "the delay budget, stage by stage, algorithmic and measured", run
    )
    add_model_options(parser)
    parser.add_argument("--rate", type=count, metavar="HZ", help="of the input (default: the model's)")
    parser.add_argument(
        "--seconds", type=seconds, default=10.0, metavar="S", help="of sound to measure with (default: 10)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(arguments: Namespace) -> int:
    """Print the budget and measure."""
    from streamsed.cli.model_choice import load_detectors, thresholds

    results = []
    for detector in load_detectors(arguments):
        rate = arguments.rate or detector.sample_rate
        budget = detector.latency(arguments.latency, rate)
        measured = measure(
            detector,
            rate,
            arguments.latency,
            arguments.seconds,
            thresholds(arguments.threshold, detector.labels),
        )
        results.append(
            {
                "model": detector.name,
                "task": detector.bundle.task,
                "latency": arguments.latency,
                "sample_rate": rate,
                "stages_seconds": dataclasses.asdict(budget),
                "algorithmic_seconds": budget.to_dict(),
                "measured": measured,
            }
        )
    if arguments.json:
        print(json.dumps(results[0] if len(results) == 1 else results))
    else:
        print("\n\n".join(_text(result) for result in results))
    return 0


def measure(
    detector: Detector | CycleDetector | EmotionDetector,
    rate: int,
    profile: str,
    audio_seconds: float,
    limits: float | dict[str, float] | None,
) -> dict[str, float]:
    """Time the handling of single chunks, as live listening does it: of noise, or of a synthetic voice or breaths.

    Returns
    -------
    dict
        ``chunk_ms`` of sound; ``p50_ms``, ``p95_ms``, ``max_ms`` of processing per chunk; ``rtf``, their
        mean over the duration of a chunk. Of a model of respiratory cycles also ``cycle_p50_ms``, what its
        classifier takes for a cycle of 2.4 s: part of the processing of the chunk with its end. Of a model that takes
        pictures also ``picture_p50_ms``, what its encoder takes for one, in a thread of its own.
    """
    import numpy as np

    from streamsed.config import latency_profile
    from streamsed.emotion import EmotionDetector
    from streamsed.golden import golden_breathing, golden_voice
    from streamsed.respiration import CycleDetector

    size = max(1, round(latency_profile(profile).chunk_seconds * rate))
    chunks = max(1, round(audio_seconds * rate / size))
    # Silence would be unfair: denormal numbers slow it down, and nothing is ever decided.
    count = size * (chunks + _WARM_UP_CHUNKS)
    if isinstance(detector, CycleDetector):
        # Without breaths there are no cycles, and nothing is classified.
        sound = golden_breathing(rate, count / rate)
    elif isinstance(detector, EmotionDetector):
        # Without a voice the gate stays closed, and no regressor is asked.
        sound = golden_voice(rate, count / rate)
    else:
        sound = np.random.default_rng(0).normal(0.0, 0.1, count).astype(np.float32)
    stream = detector.stream(rate, 1, latency=profile, thresholds=limits)
    encoder = detector.image_encoder
    times = []
    for begin in range(0, len(sound), size):
        if encoder is not None:
            stream.picture_embedding(np.zeros(encoder.features, np.float32), begin / rate)
        before = time.perf_counter()
        stream.process(sound[begin : begin + size])
        times.append(time.perf_counter() - before)
    taken = np.array(times[_WARM_UP_CHUNKS:])
    p50, p95 = np.percentile(taken, [50, 95])
    return {
        "chunk_ms": 1000 * size / rate,
        "p50_ms": 1000 * float(p50),
        "p95_ms": 1000 * float(p95),
        "max_ms": 1000 * float(taken.max()),
        "rtf": float(taken.mean()) * rate / size,
        **({"cycle_p50_ms": _cycle_ms(detector)} if isinstance(detector, CycleDetector) else {}),
        **({} if encoder is None else {"picture_p50_ms": _picture_ms(encoder)}),
    }


def _picture_ms(encoder: ImageEncoder) -> float:
    import numpy as np

    picture = np.random.default_rng(0).integers(0, 256, (*encoder.size, 3), np.uint8)
    return _median_ms(lambda: encoder(picture))


def _median_ms(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_CALLS):
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return 1000 * sorted(times)[_CALLS // 2]


def _cycle_ms(detector: CycleDetector) -> float:
    import numpy as np

    count = round(_CYCLE_SECONDS * detector.sample_rate)
    cycle = np.random.default_rng(0).normal(0.0, 0.1, count).astype(np.float32)
    return _median_ms(lambda: detector.classifier(cycle))


def _text(result: dict[str, Any]) -> str:
    stages, sums, measured = result["stages_seconds"], result["algorithmic_seconds"], result["measured"]
    rows = [[name.replace("_", "-"), _STAGES[name], f"{1000 * value:.1f}"] for name, value in stages.items()]
    rows += [[name, what, f"{1000 * sums[name]:.1f}"] for name, what in _SUMS[result["task"]].items()]
    title = f"{result['model']}, latency {result['latency']}, input at {result['sample_rate']} Hz"
    compute = pairs(
        [
            ("chunk", f"{measured['chunk_ms']:.1f} ms of sound"),
            (
                "processing",
                f"{measured['p50_ms']:.2f} ms (p50), {measured['p95_ms']:.2f} ms (p95), "
                f"{measured['max_ms']:.2f} ms (max) per chunk",
            ),
            *(
                [
                    (
                        "classifier",
                        f"{measured['cycle_p50_ms']:.2f} ms for a cycle of {_CYCLE_SECONDS:g} s, within that",
                    )
                ]
                if "cycle_p50_ms" in measured
                else []
            ),
            *(
                [
                    (
                        "picture",
                        f"{measured['picture_p50_ms']:.2f} ms for each, beside that in a thread of its own",
                    )
                ]
                if "picture_p50_ms" in measured
                else []
            ),
            ("RTF", f"{measured['rtf']:.4f} on one thread of this machine"),
        ]
    )
    return f"{title}\n\n{table(['algorithmic', '', 'ms'], rows, left=2)}\n\nmeasured\n{compute}"
