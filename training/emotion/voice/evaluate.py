"""What a recipe's model is worth in windows as a stream has them, in noise, in rooms and on the telephone."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr

from streamsed.config import require
from streamsed.errors import FormatError
from streamsed.models import load_graph
from streamsed.types import EMOTION_DIMENSIONS
from streamsed.voice import VoiceContours
from training.emotion.folds import make_folds
from training.emotion.svr import label_array
from training.emotion.voice.material import VoiceMaterial, matching, mixed
from training.emotion.voice.recipe import VoiceRecipe
from training.emotion.voice.sounds import in_a_room
from training.emotion.voice.train import GATE_FILE, choose, fit_members, scores, write_json
from training.sound import read_mono

EVALUATION_FILE = "evaluation.json"
_TELEPHONE_RATE = 8000

Floats = npt.NDArray[np.float32]
Disturbance = Callable[[Floats], Floats]


def evaluate(recipe: VoiceRecipe, run: Path) -> dict[str, Any]:
    """Measure with speakers left out, print, and write ``evaluation.json``.

    Every condition is heard by regressors that were fitted as ``train`` does, without the speaker. The gate is that of
    the run, and hears ``gate.test_speech`` in windows of two seconds.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe or data, or if there is no training in ``run``.
    """
    require((run / GATE_FILE).exists(), "--run", "a folder that train has filled", str(run))
    material = VoiceMaterial(recipe)
    disturbances = _disturbances(recipe, material)
    rows = material.rows(recipe.ensemble.windows)
    utterances = material.utterances
    heard = [read_mono(item.path, material.rate) for item in utterances]
    features: dict[str, tuple[Floats, list[int]]] = {
        name: _rows(material, [disturb(samples) for samples in heard])
        for name, disturb in disturbances.items()
    }
    contours = [material.functionals.contours(samples) for samples in heard]
    for seconds in recipe.evaluation.windows:
        features[f"windows of {seconds:g} s"] = _windows(recipe, material, contours, seconds)
    estimate = {name: np.zeros((len(of), len(EMOTION_DIMENSIONS))) for name, (_, of) in features.items()}
    for fold in make_folds([utterances[index] for index in rows.of], "speaker"):
        points = choose(recipe, utterances, rows, fold.train)
        members = fit_members(recipe, utterances, rows, fold.train, points)
        for name, (values, of) in features.items():
            left_out = [row for row, index in enumerate(of) if utterances[index].speaker == fold.name]
            if left_out:
                levels = np.mean([member.predict(values[left_out]) for member in members], axis=0)
                estimate[name][left_out] = levels.clip(0.0, 1.0)
    found: dict[str, Any] = {}
    for name, (_, of) in features.items():
        chosen = [utterances[index] for index in of]
        speakers = np.array([item.speaker for item in chosen])
        found[name] = scores(recipe, label_array(chosen), estimate[name], speakers)
    result = {"ccc": found, "gate_passed": _gate(recipe, run, material, disturbances)}
    write_json(run / EVALUATION_FILE, result)
    print(json.dumps(result, indent=2))
    return result


def _disturbances(recipe: VoiceRecipe, material: VoiceMaterial) -> dict[str, Disturbance]:
    rng = np.random.default_rng(recipe.ensemble.seed + 100)
    rate = material.rate

    def telephone(samples: Floats) -> Floats:
        return np.asarray(soxr.resample(soxr.resample(samples, rate, _TELEPHONE_RATE), _TELEPHONE_RATE, rate))

    found: dict[str, Disturbance] = {
        "as recorded": lambda samples: samples,
        "rooms": lambda samples: in_a_room(rng, samples, rate),
        "telephone band": telephone,
    }
    if recipe.evaluation.noise:
        noise = read_mono(matching(recipe.data.root, recipe.evaluation.noise)[0], rate)

        def in_noise(samples: Floats, snr_db: float) -> Floats:
            begin = int(rng.integers(0, max(1, len(noise) - len(samples))))
            return mixed(samples, np.resize(noise[begin:], len(samples)), snr_db)

        for snr_db in recipe.evaluation.snr_db:
            found[f"noise at {snr_db:g} dB"] = lambda samples, snr_db=snr_db: in_noise(samples, snr_db)  # type: ignore[misc]
    return found


def _rows(material: VoiceMaterial, sounds: Sequence[Floats]) -> tuple[Floats, list[int]]:
    return np.stack([material.functionals(samples) for samples in sounds]), list(range(len(sounds)))


def _windows(
    recipe: VoiceRecipe, material: VoiceMaterial, contours: Sequence[VoiceContours], seconds: float
) -> tuple[Floats, list[int]]:
    """Return the functionals of whole windows, one a hop, and of an utterance that is shorter as a whole."""
    functionals = material.functionals
    length = functionals.contours.frame_count(round(seconds * material.rate))
    hop = round(recipe.emotion.hop_seconds * material.rate / functionals.contours.hop_length)
    values, of = [], []
    for index, frames in enumerate(contours):
        for end in range(min(length, len(frames)), len(frames) + 1, hop):
            try:
                values.append(functionals.statistics(frames.until(end).last(length)))
            except FormatError:
                continue
            of.append(index)
    return np.stack(values), of


def _gate(
    recipe: VoiceRecipe, run: Path, material: VoiceMaterial, disturbances: Mapping[str, Disturbance]
) -> dict[str, float]:
    """Return which share of the windows of voices passes, under each condition."""
    if not recipe.gate.test_speech:
        return {}
    graph = load_graph((run / GATE_FILE).read_bytes(), GATE_FILE)
    voices = [
        read_mono(path, material.rate)[: 2 * material.rate]
        for path in matching(recipe.data.root, recipe.gate.test_speech)
    ]
    passed = {}
    for name, disturb in disturbances.items():
        values, _ = _rows(material, [disturb(samples) for samples in voices])
        (found,) = graph.call([values]).values()
        passed[name] = float((found[:, 0] >= recipe.emotion.speech_threshold).mean())
    return passed
