"""Hysteresis against segments of constant level: what they find, and what they cost.

`python benchmarks/bench_events.py --data FOLDER` prints, for validation scenes of a recipe and the posteriors of
a bundle: macro F1 with settings chosen per label on one half of the scenes and measured on the other; PSDS of
frame scores as they are, after a median, and of segment means; ns per posterior of the decoders. Needs the
extra `train`.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt
from timing import interleaved

from streamsed.config import ClassPost, PostConfig
from streamsed.detector import Detector, load
from streamsed.metrics import FrameScores, psds
from streamsed.postprocess import EventDecoder, median_filter
from training.recipe import TuneSettings, load_recipe
from training.scenes import scene_maker, scene_samples
from training.tune import Events, candidates, choose, f1_of

FloatArray = npt.NDArray[np.float32]
CHANGE = ClassPost(method="change")


def segment_means(detector: Detector, posteriors: FloatArray, post: ClassPost) -> FloatArray:
    """Every posterior replaced by the mean of its segment."""
    clock = detector.bundle.clock
    least = ClassPost(2.0**-23, None, 0.0, 0.0, 0.0, "change", *_merging(post))
    stage = EventDecoder(detector.labels, clock, PostConfig(least))
    means = np.zeros_like(posteriors)
    for item in (*stage.process(posteriors), *stage.flush()):
        if item.offset is not None:
            edges = ((t - clock.shift_seconds) / clock.frame_seconds for t in (item.onset, item.offset))
            first, last = (max(0, round(edge)) for edge in edges)
            means[first:last, detector.labels.index(item.label)] = item.confidence
    return means


def _merging(post: ClassPost) -> tuple[float, float, float]:
    return post.step_seconds, post.merge_absolute, post.merge_relative


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--bundle", default="everyday")
    parser.add_argument("--recipe", default="everyday_start")
    parser.add_argument("--scenes", type=int, default=150)
    arguments = parser.parse_args()
    recipe = load_recipe(arguments.recipe, [f"data.root={arguments.data}"])
    rate = recipe.front_end.sample_rate
    detector = load(arguments.bundle)
    maker = scene_maker(recipe, "validation")
    posteriors: dict[str, FloatArray] = {}
    reference: dict[str, Events] = {}
    for index in range(arguments.scenes):
        scene = maker.make(index)
        posteriors[str(index)] = detector.posteriors(scene.samples, rate)
        reference[str(index)] = list(scene.events)
    durations = dict.fromkeys(posteriors, scene_samples(recipe) / rate)

    halves = [{name: values for name, values in posteriors.items() if int(name) % 2 == i} for i in (0, 1)]
    truths = [{name: reference[name] for name in half} for half in halves]
    print("| method | settings | segment F1 | event F1 |\n|---|---|---|---|")
    start = time.perf_counter()
    settings = candidates("both")
    f1 = [f1_of(detector, settings, *pair, durations) for pair in zip(halves, truths, strict=True)]
    seconds = time.perf_counter() - start
    columns = np.arange(len(detector.labels))
    for method in ("hysteresis", "change", "both"):
        tried = [i for i, post in enumerate(settings) if method in ("both", post.method)]
        found = [
            f1[1 - i][tried][choose(f1[i][tried].mean(axis=2), TuneSettings().shared_weight), columns]
            for i in (0, 1)
        ]
        segment, event = np.mean(found, axis=(0, 1))
        print(f"| {method} | {len(tried)} | {segment:.3f} | {event:.3f} |", flush=True)
    print(f"\n{1e3 * seconds / len(settings) / len(posteriors):.2f} ms for a setting and a scene")

    print("\n| frame scores | PSDS1 | PSDS2 |\n|---|---|---|")
    curves = {
        "posteriors": posteriors,
        "median 0.3 s": {name: median_filter(values, 15) for name, values in posteriors.items()},
        "segment means": {name: segment_means(detector, p, CHANGE) for name, p in posteriors.items()},
    }
    for title, curve in curves.items():
        scores = {
            name: FrameScores.of_posteriors(values, detector.labels, detector.bundle.clock)
            for name, values in curve.items()
        }
        result = psds(scores, reference, durations)
        print(f"| {title} | {result['PSDS1']:.3f} | {result['PSDS2']:.3f} |", flush=True)

    whole = np.concatenate(list(posteriors.values()))
    print("\n| decoder | ns per posterior |\n|---|---|")
    stages = {
        title: EventDecoder(detector.labels, detector.bundle.clock, PostConfig(post))
        for title, post in (("hysteresis", ClassPost(0.5, 0.3, 0.0, 0.06, 0.1)), ("change", CHANGE))
    }

    def decoded(stage: EventDecoder) -> None:
        stage.reset()
        stage.process(whole)

    times = interleaved({title: lambda s=stage: decoded(s) for title, stage in stages.items()})
    for title, seconds in times.items():
        print(f"| {title} | {seconds / whole.size * 1e9:.1f} |")


if __name__ == "__main__":
    main()
