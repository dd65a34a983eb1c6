"""The regressors and the gate of a recipe, and how good they are with voices that they have not met."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamsed.metrics import emotion_moments
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.data import Utterance
from training.emotion.folds import make_folds
from training.emotion.predictions import make_predictions, write_predictions
from training.emotion.svr import Point, choose_points, label_array
from training.emotion.voice.material import Rows, VoiceMaterial
from training.emotion.voice.recipe import VoiceRecipe
from training.emotion.voice.regressors import fit_regressors, to_onnx
from training.files import whole_file
from training.fitting import PROVENANCE, current_commit

METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.csv"
GATE_FILE = "gate.onnx"
# Speech is 1 and anything else 0: a coarse ε keeps few support vectors.
_GATE_POINT = Point(3.0, 0.1, 1.0)

Floats = npt.NDArray[np.float64]


def train(recipe: VoiceRecipe, run: Path, *, resume: bool = True) -> dict[str, Any]:
    """Measure leave-one-speaker-out, then fit what ships to everybody.

    Parameters
    ----------
    recipe : VoiceRecipe
    run : Path
        Gets ``member<i>.onnx``, ``gate.onnx``, ``predictions.csv`` (of speakers that were left out), ``metrics.json``
        and ``provenance.json``.
    resume : bool
        Without meaning here: it takes minutes.

    Returns
    -------
    dict
        What ``metrics.json`` has.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe or data.
    """
    material = VoiceMaterial(recipe)
    rows = material.rows(recipe.ensemble.windows)
    run.mkdir(parents=True, exist_ok=True)
    metrics = _leave_one_out(recipe, material.utterances, rows, run)
    everybody = np.arange(len(rows.values))
    points = choose(recipe, material.utterances, rows, everybody)
    members = fit_members(recipe, material.utterances, rows, everybody, points)
    for index, member in enumerate(members):
        (run / member_file(index)).write_bytes(to_onnx(member, rows.values))
    gate, metrics["gate"] = _gate(recipe, material, rows)
    (run / GATE_FILE).write_bytes(gate)
    metrics["speakers"] = len({item.speaker for item in material.utterances})
    metrics["points"] = {
        name: point._asdict() for name, point in zip(EMOTION_DIMENSIONS, points, strict=True)
    }
    write_json(run / METRICS_FILE, metrics)
    write_json(run / PROVENANCE, {"recipe": recipe.name, "commit": current_commit()})
    return metrics


def member_file(index: int) -> str:
    """Return the name of a member's graph."""
    return f"member{index}.onnx"


def fit_members(
    recipe: VoiceRecipe,
    utterances: Sequence[Utterance],
    rows: Rows,
    chosen: npt.NDArray[np.int64],
    points: Sequence[Point],
) -> list[Any]:
    """Return fitted pipelines, each of all chosen rows but those of one group of speakers."""
    inside = [utterances[rows.of[index]] for index in chosen]
    labels = label_array(inside)
    settings = recipe.ensemble
    return [
        fit_regressors(rows.values[chosen[fold.train]], labels[fold.train], points, settings.components)
        for fold in make_folds(inside, "speaker_group", settings.members)
    ]


def choose(
    recipe: VoiceRecipe, utterances: Sequence[Utterance], rows: Rows, chosen: npt.NDArray[np.int64]
) -> tuple[Point, ...]:
    """Return parameters, chosen on whole utterances with groups of these speakers left out."""
    whole = chosen[(rows.seconds == 0.0)[chosen] & rows.clean[chosen]]
    return choose_points(rows.values[whole], [utterances[rows.of[index]] for index in whole], recipe.svr)


def _leave_one_out(
    recipe: VoiceRecipe, utterances: Sequence[Utterance], rows: Rows, run: Path
) -> dict[str, Any]:
    speakers = [utterances[index] for index in rows.of]
    estimate = np.zeros((len(rows.values), len(EMOTION_DIMENSIONS)))
    spread = np.zeros_like(estimate)
    fold_of = np.empty(len(rows.values), object)
    for fold in make_folds(speakers, "speaker"):
        points = choose(recipe, utterances, rows, fold.train)
        members = fit_members(recipe, utterances, rows, fold.train, points)
        each = np.stack([member.predict(rows.values[fold.test]) for member in members]).clip(0.0, 1.0)
        estimate[fold.test], spread[fold.test] = each.mean(axis=0), each.std(axis=0)
        fold_of[fold.test] = fold.name
    truth = label_array(speakers)
    whole = (rows.seconds == 0.0) & rows.clean
    predictions = make_predictions(
        [item for item, is_whole in zip(speakers, whole, strict=True) if is_whole],
        list(fold_of[whole]),
        truth[whole],
        estimate[whole],
    )
    write_predictions(run / PREDICTIONS_FILE, predictions)
    groups = np.array([item.speaker for item in speakers])
    chosen = {
        "utterances" if seconds == 0.0 else f"parts of {seconds:g} s": rows.clean & (rows.seconds == seconds)
        for seconds in sorted(set(rows.seconds.tolist()))
    }
    if not rows.clean.all():
        chosen["utterances in noise and rooms"] = ~rows.clean
    found = {
        name: scores(recipe, truth[rows_of], estimate[rows_of], groups[rows_of])
        for name, rows_of in chosen.items()
    }
    error = np.abs(estimate - truth)[whole]
    found["spread"] = {
        name: {
            "mean": float(spread[whole, number].mean()),
            "correlation_with_error": float(np.corrcoef(spread[whole, number], error[:, number])[0, 1]),
        }
        for number, name in enumerate(EMOTION_DIMENSIONS)
    }
    return {"leave_one_speaker_out": found}


def scores(
    recipe: VoiceRecipe, truth: Floats, estimate: Floats, speakers: npt.NDArray[Any]
) -> dict[str, Any]:
    """Return CCC with intervals by speaker, and RMSE, of levels (n, 3)."""
    moments = emotion_moments(truth, estimate, speakers.tolist())
    scores, intervals = moments.scores(), moments.intervals(resamples=recipe.ensemble.resamples)
    return {
        "count": scores.count,
        "ccc": scores.ccc,
        "ccc_95": {name: [interval.low, interval.high] for name, interval in intervals.ccc.items()},
        "rmse": scores.rmse,
    }


def _gate(recipe: VoiceRecipe, material: VoiceMaterial, rows: Rows) -> tuple[bytes, dict[str, Any]]:
    settings = recipe.gate
    speech = np.concatenate([rows.values, material.disturbed_speech()])
    other = material.other_sounds()
    features = np.concatenate([speech, other])
    is_speech = np.repeat([1.0, 0.0], [len(speech), len(other)])[:, np.newaxis]
    fitted = fit_regressors(features, is_speech, [_GATE_POINT], settings.components)
    passed: dict[str, Any] = {"trained_on": {"speech": len(speech), "other": len(other)}}
    for name, pattern in (("test_speech", settings.test_speech), ("test_sounds", settings.test_sounds)):
        if pattern:
            scores = fitted.predict(material.parts_of(pattern))
            passed[name] = {
                "windows": len(scores),
                "passed": float((scores >= recipe.emotion.speech_threshold).mean()),
            }
    return to_onnx(fitted, features), passed


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a whole file or none."""
    with whole_file(path) as draft:
        draft.write_text(json.dumps(values, indent=2) + "\n")
