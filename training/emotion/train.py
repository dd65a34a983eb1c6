"""Levels of every utterance by regressors that have not met its speaker, for every row of a study."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from training.emotion.features import FeaturesUnavailable
from training.emotion.material import Features, Material
from training.emotion.predictions import Predictions, make_predictions, read_predictions, write_predictions
from training.emotion.recipe import EmotionRecipe
from training.emotion.svr import SvrSettings, label_array, out_of_fold


class Case(NamedTuple):
    """A row of a study under a condition: features, which languages, and how the regressors are fitted."""

    row: str
    condition: str
    preset: str
    block_scaling: bool = False

    @property
    def label(self) -> str:
        """What tables call the row."""
        fused = f"EF({self.row})" if "+" in self.row else self.row
        return f"{fused}, blocks of equal weight" if self.block_scaling else fused


def cases(recipe: EmotionRecipe) -> Iterator[Case]:
    """Yield the cases of a study; predictions of an end-to-end model need no regressor."""
    study = recipe.study
    for condition, preset, row in itertools.product(study.conditions, study.presets, study.rows):
        if recipe.is_direct(row):
            if preset == study.presets[0]:
                yield Case(row, condition, "none")
            continue
        yield Case(row, condition, preset)
        if study.block_scaling and "+" in row and condition == "all":
            yield Case(row, condition, preset, True)


def train(
    recipe: EmotionRecipe, run: Path, *, resume: bool = True, material: Material | None = None
) -> dict[Case, Predictions | str]:
    """Compute features and predictions of all cases; those that are there for the same data and settings are read.

    Parameters
    ----------
    recipe : EmotionRecipe
    run : Path
        ``predictions/*.csv`` are below it.
    resume : bool
        Use what is there.
    material : Material, optional
        Of the recipe, where it is read already.

    Returns
    -------
    dict of Case to Predictions or str
        A str says why a row is empty, with ``study.unavailable = "leave_empty"``.

    Raises
    ------
    StreamsedError
        With what is wrong in recipe or data.
    """
    material = material or Material(recipe)
    found: dict[Case, Predictions | str] = {}
    reasons: dict[str, str] = {}
    for case in cases(recipe):
        if case.row in reasons:
            found[case] = reasons[case.row]
            continue
        try:
            features = material.features(case.row)
        except FeaturesUnavailable as error:
            if recipe.study.unavailable == "refuse":
                raise
            found[case] = reasons[case.row] = str(error)
            continue
        train_on, _, test_on = case.condition.partition(">")
        if train_on == "all" and test_on:
            # The same regressors as those of "all".
            whole = case._replace(condition="all")
            predictions = found.get(whole) or _predictions(whole, features, material, run, resume)
            assert not isinstance(predictions, str)
            found[case] = predictions.of_language(test_on)
        else:
            found[case] = _predictions(case, features, material, run, resume)
    return found


def settings_of(case: Case, recipe: EmotionRecipe) -> SvrSettings:
    """Return how the regressors of a case are fitted."""
    return dataclasses.replace(recipe.svr, preset=case.preset, block_scaling=case.block_scaling)


def _predictions(case: Case, features: Features, material: Material, run: Path, resume: bool) -> Predictions:
    recipe = material.recipe
    path = run / "predictions" / f"{_slug(case)}-{_key(case, features, material)}.csv"
    if resume and path.exists():
        return read_predictions(path)
    folds = material.condition_folds(case.condition)
    utterances = material.utterances
    if recipe.is_direct(case.row):
        indices = np.concatenate([fold.test for fold in folds])
        levels = features.values[indices].astype(np.float64)
    else:
        settings = settings_of(case, recipe)
        indices, levels = out_of_fold(features.values, utterances, folds, settings, features.blocks)
    names = [fold.name for fold in folds for _ in fold.test]
    chosen = [utterances[index] for index in indices]
    predictions = make_predictions(chosen, names, label_array(chosen), levels)
    write_predictions(path, predictions)
    # Rounded as they were written, so that a second call gives the same.
    return read_predictions(path)


def _key(case: Case, features: Features, material: Material) -> str:
    """Return a digest of everything that predictions follow from."""
    recipe = material.recipe
    facts = {
        "svr": None if case.preset == "none" else dataclasses.asdict(settings_of(case, recipe)),
        "folds": (recipe.study.folds, recipe.study.groups),
        "who": [(item.path.name, item.speaker, item.language) for item in material.utterances],
        "blocks": features.blocks,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(label_array(material.utterances).tobytes())
    digest.update(features.values.tobytes())
    return digest.hexdigest()[:12]


def _slug(case: Case) -> str:
    blocks = "-blocks" if case.block_scaling else ""
    return f"{case.row}-{case.condition.replace('>', '-to-')}-{case.preset}{blocks}"
