"""How much a live model loses by hearing a window instead of an utterance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.emotion.data import Utterance
from training.emotion.features import Segment
from training.emotion.material import Material
from training.emotion.svr import SvrSettings, choose_points, fitted_levels, label_array
from training.sound import seconds_of

Floats = npt.NDArray[np.float64]


class WindowRow(NamedTuple):
    """Levels of windows of one length, by regressors that were trained on whole utterances or on windows.

    Attributes
    ----------
    seconds : float
        0: whole utterances.
    trained_on : str
    count : int
        Windows with enough sound for features; others are left out.
    shorter : float
        Share of the utterances that are shorter than the window, and are heard whole.
    utterances : tuple of Utterance
        Those that are compared, in the order of the rows.
    levels : ndarray, shape (N, 3)
        Of each window, with the label of its utterance as truth.
    """

    seconds: float
    trained_on: str
    count: int
    shorter: float
    utterances: tuple[Utterance, ...]
    levels: Floats


def cut_windows(duration: float, seconds: float, hop: float) -> list[tuple[float, float]]:
    """Return the windows of an utterance: one every hop, the last one at its end; all of it if it is shorter."""
    if duration <= seconds:
        return [(0.0, duration)]
    starts = [*np.arange(0.0, duration - seconds, hop).tolist(), duration - seconds]
    return [(round(start, 4), round(start + seconds, 4)) for start in starts]


def window_rows(material: Material, settings: SvrSettings) -> list[WindowRow]:
    """Return whole utterances and every length of ``study.windows``, each with both trainings.

    Parameters of the regressors are chosen on whole utterances of the training side.
    """
    study, utterances = material.recipe.study, material.utterances
    name = study.window_features
    labels = label_array(utterances)
    whole = material.features(name).values.astype(np.float64)
    points = [
        choose_points(whole[fold.train], [utterances[i] for i in fold.train], settings)
        for fold in material.folds
    ]
    durations = [seconds_of(item.path, decode=False) for item in utterances]
    rows = []
    for seconds in (0.0, *study.windows):
        segments, owner = [], []
        for number, (item, duration) in enumerate(zip(utterances, durations, strict=True)):
            parts = cut_windows(duration, seconds, study.window_hop) if seconds else [(0.0, duration)]
            segments += [
                Segment(item.path) if part == (0.0, duration) else Segment(item.path, *part) for part in parts
            ]
            owner += [number] * len(parts)
        features = material.of_segments(name, segments).astype(np.float64)
        # A window that holds too little sound has no features: a live model gives no record either.
        heard = ~np.isnan(features).any(axis=1)
        features, of = features[heard], np.array(owner)[heard]
        shorter = float(np.mean([duration <= seconds for duration in durations]))
        for trained_on in ("utterances", "windows") if seconds else ("utterances",):
            levels = np.zeros((len(of), 3))
            for fold, chosen in zip(material.folds, points, strict=True):
                inside, outside = np.isin(of, fold.train), np.isin(of, fold.test)
                rows_of, owners = (
                    (whole[fold.train], fold.train)
                    if trained_on == "utterances"
                    else (features[inside], of[inside])
                )
                levels[outside] = fitted_levels(rows_of, labels[owners], features[outside], chosen)
            compared = tuple(utterances[number] for number in of)
            rows.append(WindowRow(seconds, trained_on, len(of), shorter, compared, levels))
    return rows
