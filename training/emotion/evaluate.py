"""Tables of concordance and error: the shape of Table 1 of the paper."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from streamsed.metrics import EmotionIntervals, Interval
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.analysis import rater_moments
from training.emotion.material import Material
from training.emotion.predictions import Predictions
from training.emotion.recipe import EmotionRecipe
from training.emotion.train import Case, train
from training.studies.report import markdown, with_interval

_NAMES = (*EMOTION_DIMENSIONS, "mean")
_COLUMNS = (*(f"{name} {what}" for name in EMOTION_DIMENSIONS for what in ("CCC", "RMSE")), "mean CCC")


class Evaluation(NamedTuple):
    """Tables as Markdown, and what they were made from."""

    text: str
    found: dict[Case, Predictions | str]


def evaluate(recipe: EmotionRecipe, run: Path, material: Material | None = None) -> Evaluation:
    """Score all cases, print the tables, and write ``metrics.json`` and ``tables.md`` to the run.

    Cases that were not trained yet are.

    Parameters
    ----------
    recipe : EmotionRecipe
    run : Path
    material : Material, optional
        Of the recipe, where it is read already.

    Raises
    ------
    StreamsedError
        As :func:`training.emotion.train.train`.
    """
    material = material or Material(recipe)
    found = train(recipe, run, material=material)
    intervals = {
        case: predictions.moments().intervals(resamples=recipe.study.resamples)
        for case, predictions in found.items()
        if not isinstance(predictions, str)
    }
    text = table_one(recipe, found, intervals) + _raters(material)
    run.mkdir(parents=True, exist_ok=True)
    (run / "tables.md").write_text(text)
    metrics = [
        {
            **case._asdict(),
            "scores": dataclasses.asdict(scores),
            "count": len(_predictions(found, case).files),
        }
        for case, scores in intervals.items()
    ]
    (run / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
    print(text)
    return Evaluation(text, found)


def table_one(
    recipe: EmotionRecipe,
    found: Mapping[Case, Predictions | str],
    intervals: Mapping[Case, EmotionIntervals],
) -> str:
    """Return a table for each condition and preset, its rows features and fusions."""
    texts, missing = [], {}
    for condition in recipe.study.conditions:
        for preset in recipe.study.presets:
            lines = []
            for case, item in sorted(found.items(), key=lambda pair: recipe.study.rows.index(pair[0].row)):
                if case.condition != condition or case.preset not in (preset, "none"):
                    continue
                if isinstance(item, str):
                    missing[case.row] = item
                    lines.append([case.label, *["-"] * (2 * len(EMOTION_DIMENSIONS) + 1)])
                else:
                    lines.append([case.label, *score_cells(intervals[case])])
            counts = {len(item.files) for case, item in found.items() if _is(case, condition, item)}
            title = f"## {condition_text(condition)}, preset {preset}, {max(counts, default=0)} utterances"
            texts.append(f"{title}\n\n{markdown(['features', *_COLUMNS], lines)}\n")
    reasons = "".join(f"\n- `{row}` is empty: {reason}" for row, reason in missing.items())
    return "\n".join(texts) + reasons + ("\n" if reasons else "")


def _raters(material: Material) -> str:
    moments = rater_moments(material.utterances)
    if moments is None:
        return ""
    cells = score_cells(moments.intervals(resamples=material.recipe.study.resamples))
    table = markdown(["people", *_COLUMNS], [["a rater against the mean of the others", *cells]])
    return f"\n## How well the raters agree\n\n{table}\n"


def score_cells(intervals: EmotionIntervals) -> list[str]:
    """Return CCC with its interval and RMSE of each dimension, and the mean CCC with its interval."""
    cells = []
    for name in EMOTION_DIMENSIONS:
        cells += [with_interval(intervals.ccc[name]), f"{intervals.rmse[name].value:.3f}"]
    return [*cells, with_interval(intervals.ccc["mean"])]


def ccc_cells(intervals: Mapping[str, Interval]) -> list[str]:
    """Return the CCC of each dimension and their mean, with intervals."""
    return [with_interval(intervals[name]) for name in _NAMES]


def condition_text(condition: str) -> str:
    """Return what titles call a condition."""
    if condition == "all":
        return "All languages"
    train, _, test = condition.partition(">")
    return f"Trained on {train}, tested on {test}" if test else f"{train}, both sides"


def _is(case: Case, condition: str, item: Any) -> bool:
    return case.condition == condition and not isinstance(item, str)


def _predictions(found: Mapping[Case, Predictions | str], case: Case) -> Predictions:
    predictions = found[case]
    assert not isinstance(predictions, str)
    return predictions


def rows_of(found: Mapping[Case, Predictions | str], wanted: Sequence[str]) -> dict[Case, Predictions]:
    """Return the predictions of these rows under the condition "all"."""
    return {
        case: item
        for case, item in found.items()
        if case.row in wanted and case.condition == "all" and not isinstance(item, str)
    }
