"""Accuracy against latency: bundles side by side on the test scenes of a recipe.

    python -m training.studies.accuracy_latency --recipe everyday NAME=BUNDLE... [--set data.root=clips]

Prints a markdown table and writes it as JSON. Every scene is streamed in the chunks of the profile, as `listen` does;
what the microphone and the operating system add is measured elsewhere (benchmarks/).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from streamsed.config import latency_profile, require
from streamsed.detector import Detector, load
from streamsed.errors import StreamsedError
from streamsed.metrics import event_metrics, psds, segment_metrics
from streamsed.types import Event, Onset
from training.labelled import Events, LabelledScene
from training.recipe import load_recipe
from training.scores import frame_scores
from training.source import scene_source

PROFILES = ("low", "balanced", "high")
# An announcement belongs to a reference event of its label that begins this close to it.
_COLLAR = 0.2


def measure(
    detector: Detector, scenes: Sequence[LabelledScene], profile: str, with_psds: bool = False
) -> dict[str, Any]:
    """Stream the scenes through a detector.

    Parameters
    ----------
    detector : Detector
    scenes : sequence of LabelledScene
        At the detector's rate.
    profile : str
        Latency profile.
    with_psds : bool
        Also from the posteriors of the whole scenes.

    Returns
    -------
    dict
        ``segment_f1`` (1 s), ``event_f1`` (200 ms, 20 %), both micro; ``psds1``, ``psds2``; the delays that the budget
        allows, ``provisional_ms`` and ``final_ms``; ``onset_ms`` and ``offset_ms``, p50 and p95 of the time from a
        reference onset (offset) to the record about it, computing included; ``rtf``.
    """
    rate = detector.sample_rate
    chunk = max(1, round(latency_profile(profile).chunk_seconds * rate))
    reference = {str(i): scene.events for i, scene in enumerate(scenes)}
    durations = {str(i): len(scene.samples) / rate for i, scene in enumerate(scenes)}
    estimated: dict[str, Events] = {}
    onset_delays: list[float] = []
    offset_delays: list[float] = []
    busy = 0.0
    for i, scene in enumerate(scenes):
        samples, events = scene.samples, scene.events
        stream = detector.stream(sample_rate=rate, latency=profile)
        found: Events = []
        for begin in [*range(0, len(samples), chunk), None]:
            started = time.perf_counter()
            records = stream.flush() if begin is None else stream.process(samples[begin : begin + chunk])
            spent = time.perf_counter() - started
            busy += spent
            for record in records:
                if isinstance(record, Event):
                    found.append((record.onset, record.offset, record.label))
                # What only the end of the scene brought says nothing about delays.
                if begin is not None:
                    now = min(begin + chunk, len(samples)) / rate + spent
                    if isinstance(record, Onset):
                        onset_delays += _delay(now, record.onset, record.label, events, 0)
                    elif isinstance(record, Event):
                        offset_delays += _delay(now, record.offset, record.label, events, 1)
        estimated[str(i)] = found
    labels = detector.labels
    budget = detector.latency(profile)
    result: dict[str, Any] = {
        "profile": profile,
        "members": len(detector.bundle.members),
        "segment_f1": segment_metrics(reference, estimated, labels=labels, durations=durations).micro.f1,
        "event_f1": event_metrics(reference, estimated, labels=labels).micro.f1,
        "provisional_ms": 1000.0 * budget.provisional,
        "final_ms": 1000.0 * budget.final,
        "onset_ms": _percentiles(onset_delays),
        "offset_ms": _percentiles(offset_delays),
        "rtf": busy / sum(durations.values()),
    }
    if with_psds:
        posteriors = {str(i): detector.posteriors(scene.samples, rate) for i, scene in enumerate(scenes)}
        both = psds(frame_scores(posteriors, labels, detector.bundle.clock), reference, durations)
        result |= {"psds1": both["PSDS1"], "psds2": both["PSDS2"]}
    return result


def _delay(now: float, said: float, label: str, events: Events, side: int) -> list[float]:
    """Seconds from the boundary (0 onset, 1 offset) of the reference event meant to ``now``; none if none is near."""
    near = [event[side] for event in events if event[2] == label and abs(event[side] - said) <= _COLLAR]
    return [now - min(near, key=lambda boundary: abs(boundary - said))] if near else []


def _percentiles(delays: Sequence[float]) -> list[float] | None:
    """Return p50 and p95 in milliseconds, None of nothing."""
    return [round(1000.0 * float(np.percentile(delays, q)), 1) for q in (50, 95)] if delays else None


def table(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Markdown table of what :func:`measure` found, by name of the bundle."""
    lines = [
        "| bundle | members | profile | segment F1 | event F1 | PSDS1 | PSDS2 | budget: provisional, final (ms) "
        "| onset p50, p95 (ms) | offset p50, p95 (ms) | RTF |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, results in rows.items():
        for item in results:
            scores = [
                f"{item[key]:.3f}" if key in item else ""
                for key in ("segment_f1", "event_f1", "psds1", "psds2")
            ]
            delays = [
                "-" if item[key] is None else ", ".join(f"{value:.0f}" for value in item[key])
                for key in ("onset_ms", "offset_ms")
            ]
            cells = [
                name,
                str(item["members"]),
                item["profile"],
                *scores,
                f"{item['provisional_ms']:.0f}, {item['final_ms']:.0f}",
                *delays,
                f"{item['rtf']:.4f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.studies.accuracy_latency", description=__doc__)
    parser.add_argument("bundles", nargs="+", metavar="NAME=BUNDLE")
    parser.add_argument("--recipe", required=True, help="whose test scenes are streamed")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--profiles", nargs="+", default=list(PROFILES), choices=PROFILES)
    parser.add_argument("--output", type=Path, default=Path("runs/accuracy_latency.json"))
    arguments = parser.parse_args(argv)
    try:
        detectors = {}
        for item in arguments.bundles:
            name, separator, path = item.partition("=")
            require(bool(separator and name and path), "bundles", "NAME=BUNDLE", item)
            detectors[name] = load(path)
        recipe = load_recipe(arguments.recipe, arguments.set)
        source = scene_source(recipe, "test")
        scenes = [source.make(index) for index in range(len(source))]
        rows = {}
        for name, detector in detectors.items():
            # Scores of whole recordings are the same whatever the profile of a stream.
            rows[name] = [
                measure(detector, scenes, profile, with_psds=profile == arguments.profiles[-1])
                for profile in arguments.profiles
            ]
            print(table({name: rows[name]}), flush=True)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(json.dumps(rows, indent=2) + "\n")
        print(table(rows))
    except StreamsedError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
