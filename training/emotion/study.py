"""Everything that a RESULTS.md of dimensional emotion says, from one command."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamsed.metrics import emotion_moments
from training.emotion.analysis import draw_concordance, feature_concordance, top_features, top_table
from training.emotion.evaluate import ccc_cells, evaluate, rows_of
from training.emotion.features import FeaturesUnavailable
from training.emotion.material import Material
from training.emotion.predictions import Predictions, read_predictions
from training.emotion.recipe import EmotionRecipe
from training.emotion.svr import label_array
from training.emotion.train import Case
from training.emotion.windows import window_rows
from training.studies.report import markdown, with_interval

_HEAD = ("valence CCC", "arousal CCC", "dominance CCC", "mean CCC")


def study(recipe: EmotionRecipe, run: Path) -> str:
    """Train and score all rows, look at features one by one, at windows, and at a model that ships.

    Writes ``tables.md``, ``study.md``, ``metrics.json`` and ``figures/*.png`` to the run.

    Raises
    ------
    StreamsedError
        As :func:`training.emotion.train.train`.
    """
    material = Material(recipe)
    evaluation = evaluate(recipe, run, material)
    texts = [evaluation.text]
    if recipe.study.analysis:
        texts.append(_analysis(material, run))
    if recipe.study.shipped:
        texts.append(_shipped(recipe, evaluation.found))
    if recipe.study.windows:
        texts.append(_windows(material, run))
    text = "\n".join(texts)
    (run / "study.md").write_text(text)
    for part in texts[1:]:
        print(part)
    return text


def _analysis(material: Material, run: Path) -> str:
    recipe = material.recipe
    labels = label_array(material.utterances)
    found, top, reasons = {}, {}, []
    for name in recipe.study.analysis:
        try:
            features = material.features(name)
        except FeaturesUnavailable as error:
            if recipe.study.unavailable == "refuse":
                raise
            reasons.append(f"- `{name}` is not there: {error}\n")
            continue
        found[name] = feature_concordance(features.values, labels)
        top[name] = top_features(features, labels)
    if not found:
        return "## Features one by one\n\n" + "".join(reasons)
    path = run / "figures" / "features.png"
    draw_concordance(found, f"{recipe.name}: concordance of single features", path)
    ranges = [
        [name, *(f"{low:.3f} to {high:.3f}" for low, high in zip(values.min(0), values.max(0), strict=True))]
        for name, values in found.items()
    ]
    return "\n".join(
        [
            "## Features one by one\n",
            markdown(*top_table(top)) + "\n",
            markdown(["lowest and highest CCC", "valence", "arousal", "dominance"], ranges) + "\n",
            *reasons,
        ]
    )


def _shipped(recipe: EmotionRecipe, found: Mapping[Case, Predictions | str]) -> str:
    settings = recipe.study
    shipped = read_predictions(Path(settings.shipped))
    lines = [[Path(settings.shipped).stem, *ccc_cells(_intervals(shipped, settings.resamples).ccc), ""]]
    for case, predictions in rows_of(found, settings.shipped_against).items():
        paired = shipped.of_files(predictions.files)
        difference = paired_difference(paired, predictions, settings.resamples)
        label = f"{case.label}, {case.preset}"
        scores = ccc_cells(_intervals(predictions, settings.resamples).ccc)
        lines.append([label, *scores, with_interval(difference)])
    head = ["model", *_HEAD, "mean CCC of the first row less that of this one"]
    return f"## Compared with {Path(settings.shipped).stem}\n\n{markdown(head, lines)}\n"


def paired_difference(first: Predictions, second: Predictions, resamples: int) -> Any:
    """Return by how much the mean CCC of the first is higher, with an interval from the same drawn speakers."""
    from streamsed.metrics import bootstrap_interval

    speakers = sorted(set(first.speakers))
    of = np.array(first.speakers)
    places = [np.flatnonzero(of == speaker) for speaker in speakers]

    def difference(drawn: list[Any]) -> float:
        rows = np.concatenate(drawn)
        means = [
            emotion_moments(item.truth[rows], item.estimate[rows]).scores().ccc["mean"]
            for item in (first, second)
        ]
        return means[0] - means[1]

    return bootstrap_interval(places, difference, resamples=resamples)


def _windows(material: Material, run: Path) -> str:
    recipe = material.recipe
    settings = dataclasses.replace(recipe.svr, preset="tuned" if "tuned" in recipe.study.presets else "paper")
    lines, values = [], []
    for row in window_rows(material, settings):
        truth = label_array(row.utterances)
        speakers = [item.speaker for item in row.utterances]
        moments = emotion_moments(truth, row.levels, speakers)
        intervals = moments.intervals(resamples=recipe.study.resamples).ccc
        length = f"{row.seconds:g} s" if row.seconds else "whole utterance"
        lines.append([length, row.trained_on, str(row.count), f"{row.shorter:.0%}", *ccc_cells(intervals)])
        values.append(
            {
                "seconds": row.seconds,
                "trained_on": row.trained_on,
                "ccc": moments.scores().ccc,
                "count": row.count,
            }
        )
    (run / "windows.json").write_text(json.dumps(values, indent=1) + "\n")
    head = ["window", "trained on", "windows", "utterances not longer", *_HEAD]
    return f"## Length of the window, {recipe.study.window_features}\n\n{markdown(head, lines)}\n"


def _intervals(predictions: Predictions, resamples: int) -> Any:
    return predictions.moments().intervals(resamples=resamples)
