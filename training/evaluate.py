"""Measures a bundle on test scenes, through the detector that ships, and on sounds that hold no event."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from streamsed.config import LATENCY_PROFILES
from streamsed.detector import Detector, load
from streamsed.metrics import (
    Report,
    class_calibration,
    clip_metrics,
    clip_ranking,
    event_metrics,
    novelty,
    segment_metrics,
)
from streamsed.picture_feed import Pictures
from training.fusion.pictures import Seen, scene_pictures
from training.labelled import Events, LabelledScene
from training.recipe import Recipe
from training.source import scene_source
from training.targets import frame_targets

# Seconds; the shorter ones are a window of paper 000 and half of it.
SEGMENT_LENGTHS = (1.0, 0.128, 0.064)
# The profile of whole recordings, for which nobody waits.
OFFLINE = "high"


def evaluate(recipe: Recipe, bundle: Path, run: Path) -> dict[str, object]:
    """Print the tables, write ``metrics.json`` and the test scenes with their labels to the run.

    The scenes (``test_scenes``) are what `streamsed detect` and `streamsed evaluate` take, so that anyone can
    repeat the numbers. A model that takes pictures gets those of the recordings; ``without_pictures`` says what it does
    without any.
    """
    detector = load(bundle)
    source = scene_source(recipe, "test")
    seen = scene_pictures(recipe, source, detector)
    rate = recipe.front_end.sample_rate
    scenes = [source.make(index) for index in range(len(source))]
    write_scenes(run / "test_scenes", scenes, rate)
    reference = {str(i): list(scene.events) for i, scene in enumerate(scenes)}
    durations = {str(i): len(scene.samples) / rate for i, scene in enumerate(scenes)}

    start = time.perf_counter()
    estimated = {
        str(i): _events(detector, scene.samples, rate, pictures=seen(i)) for i, scene in enumerate(scenes)
    }
    rtf = (time.perf_counter() - start) / sum(durations.values())
    segments = segment_metrics(reference, estimated, labels=recipe.labels, durations=durations)
    matched = event_metrics(reference, estimated, labels=recipe.labels)
    print(table(segments, matched, recipe.labels))

    tagged = {str(i): detector.tags(scene.samples, rate, pictures=seen(i)) for i, scene in enumerate(scenes)}
    truth = {str(i): scene.tags for i, scene in enumerate(scenes)}
    clips = clip_metrics(
        truth, {name: record.tags or () for name, record in tagged.items()}, labels=recipe.labels
    )
    ranking = clip_ranking(truth, {name: record.posteriors for name, record in tagged.items()})
    print(f"clip F1: micro {clips.micro.f1:.3f}, macro {clips.macro.f1:.3f}; mAP {ranking.mean:.3f}")

    by_length = {}
    for length in SEGMENT_LENGTHS:
        report = segment_metrics(
            reference, estimated, labels=recipe.labels, durations=durations, segment_length=length
        )
        by_length[str(length)] = {"micro": _number(report.micro.f1), "macro": _number(report.macro.f1)}
    print("segment F1 by length in s:", by_length)

    frames = calibration_of(detector, scenes, seen)
    print("frames:", frames)

    gains = {"0": _number(segments.micro.f1)}
    for gain_db in (-10, -20, -30):
        quieter = {
            str(i): _events(
                detector, scene.samples * np.float32(10 ** (gain_db / 20)), rate, pictures=seen(i)
            )
            for i, scene in enumerate(scenes)
        }
        report = segment_metrics(reference, quieter, labels=recipe.labels, durations=durations)
        gains[str(gain_db)] = _number(report.micro.f1)
    print("segment F1 (micro) by gain in dB:", gains)

    by_latency = {}
    for profile in LATENCY_PROFILES:
        coarse, fine = segments, matched
        if profile != OFFLINE:
            found = {
                str(i): _events(detector, scene.samples, rate, profile, seen(i))
                for i, scene in enumerate(scenes)
            }
            coarse = segment_metrics(reference, found, labels=recipe.labels, durations=durations)
            fine = event_metrics(reference, found, labels=recipe.labels)
        by_latency[profile] = {
            "segment_f1_micro": _number(coarse.micro.f1),
            "event_f1_micro": _number(fine.micro.f1),
        }
    print("by latency profile:", by_latency)

    false_alarms = {name: len(_events(detector, samples, rate)) for name, samples in eventless(rate)}
    print("events in a minute of nothing:", false_alarms)
    metrics: dict[str, object] = {
        "data": f"{len(scenes)} {source.describe()}",
        "clip_f1_micro": _number(clips.micro.f1),
        "clip_f1_macro": _number(clips.macro.f1),
        "clip_map": _number(ranking.mean),
        "segment_f1_micro": _number(segments.micro.f1),
        "segment_f1_macro": _number(segments.macro.f1),
        "event_f1_micro": _number(matched.micro.f1),
        "event_f1_macro": _number(matched.macro.f1),
        "segment_f1_by_length": by_length,
        "frames": frames,
        "by_latency": by_latency,
        "segment_f1_micro_by_gain_db": gains,
        "false_alarms_per_minute": false_alarms,
        "rtf_detect": round(rtf, 5),
    }
    if detector.image_encoder is not None:
        blind = {str(i): _events(detector, scene.samples, rate) for i, scene in enumerate(scenes)}
        coarse = segment_metrics(reference, blind, labels=recipe.labels, durations=durations)
        fine = event_metrics(reference, blind, labels=recipe.labels)
        metrics["without_pictures"] = {
            "segment_f1_micro": _number(coarse.micro.f1),
            "event_f1_micro": _number(fine.micro.f1),
        }
        print("without pictures:", metrics["without_pictures"])
    (run / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    return metrics


def calibration_of(
    detector: Detector, scenes: Sequence[LabelledScene], seen: Seen
) -> dict[str, float | None]:
    """Judge the fused posteriors as probabilities, frame by frame.

    Parameters
    ----------
    detector : Detector
    scenes : sequence of LabelledScene
    seen : callable
        The number of a scene to its pictures, see :func:`training.fusion.pictures.scene_pictures`.

    Returns
    -------
    dict
        ``ece`` and ``brier`` of all labels' posteriors in one table (10 bins of equal width), ``class_ece`` the mean of
        the labels' own; ``auroc_errors``: how well the frame's uncertainty tells frames with a wrong decision (at 0.5)
        from those without.
    """
    clock = detector.bundle.clock
    posteriors, targets, uncertainties = [], [], []
    for i, scene in enumerate(scenes):
        found = detector.frames(scene.samples, detector.sample_rate, pictures=seen(i))
        posteriors.append(found.posteriors)
        uncertainties.append(found.uncertainty)
        targets.append(frame_targets(scene.events, detector.labels, len(found), clock) > 0.5)
    said, truth = np.concatenate(posteriors), np.concatenate(targets)
    both = class_calibration(said, truth, detector.labels)
    wrong = ((said >= 0.5) != truth).any(axis=1)
    auroc = novelty(np.concatenate(uncertainties), wrong).auroc if 0 < wrong.sum() < len(wrong) else math.nan
    return {
        "ece": _number(both.pooled.expected_error),
        "class_ece": _number(both.expected_error),
        "brier": _number(both.pooled.brier),
        "auroc_errors": _number(auroc),
    }


def eventless(rate: int, seconds: float = 60.0) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """A minute each of digital silence, white, pink and brown noise at two levels, and mains hum."""
    rng = np.random.default_rng(0)
    n = int(seconds * rate)
    yield "digital silence", np.zeros(n, np.float32)
    frequencies = np.maximum(np.fft.rfftfreq(n, 1 / rate), 20.0)
    for name, slope in (("white", 0.0), ("pink", -0.5), ("brown", -1.0)):
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * frequencies**slope, n)
        for level_db in (-60, -30):
            yield (
                f"{name} noise {level_db} dB",
                (noise / noise.std() * 10 ** (level_db / 20)).astype(np.float32),
            )
    t = np.arange(n) / rate
    hum = sum(np.sin(2 * np.pi * 50 * k * t) / k for k in (1, 2, 3, 5))
    yield "hum", (0.02 * hum + 1e-4 * rng.standard_normal(n)).astype(np.float32)


def table(segments: Report, matched: Report, labels: tuple[str, ...]) -> str:
    """Markdown table of both metrics by label."""
    lines = ["| label | segment F1 (1 s) | event F1 (200 ms, 20 %) |", "|---|---|---|"]
    lines += [
        f"| {label} | {segments.per_class[label].f1:.3f} | {matched.per_class[label].f1:.3f} |"
        for label in labels
    ]
    lines.append(f"| macro | {segments.macro.f1:.3f} | {matched.macro.f1:.3f} |")
    lines.append(f"| micro | {segments.micro.f1:.3f} | {matched.micro.f1:.3f} |")
    return "\n".join(lines)


def write_scenes(folder: Path, scenes: Sequence[LabelledScene], rate: int) -> None:
    """Write scenes as FLAC with one DCASE TSV."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = ["filename\tonset\toffset\tevent_label"]
    for i, scene in enumerate(scenes):
        name = f"scene{i:04d}.flac"
        soundfile.write(folder / name, scene.samples, rate, subtype="PCM_16")
        rows += [f"{name}\t{onset:.3f}\t{offset:.3f}\t{label}" for onset, offset, label in scene.events]
        if not scene.events:
            rows.append(f"{name}\t\t\t")
    (folder / "scenes.tsv").write_text("\n".join(rows) + "\n")


def _events(
    detector: Detector,
    samples: npt.NDArray[np.float32],
    rate: int,
    latency: str = "high",
    pictures: Pictures | None = None,
) -> Events:
    found = detector.detect(samples, rate, latency=latency, pictures=pictures)
    return [(item.onset, item.offset, item.label) for item in found]


def _number(value: float) -> float | None:
    """Four digits; None for what is undefined, which JSON has no number for."""
    return None if math.isnan(value) else round(value, 4)
