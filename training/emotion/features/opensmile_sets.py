"""ComParE 2016 and eGeMAPS, computed by openSMILE; its licence is for research and private use, not for commerce."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.emotion.features.base import FeatureExtractor, Floats, import_package

# Of full scale, -26 dB: that of a recording with room for its peaks.
_ROOT_MEAN_SQUARE = 0.05


class OpensmileFunctionals(FeatureExtractor):
    """6 373 functionals (Schuller et al. 2013; Weninger et al. 2013), or 88 (Eyben et al. 2016), of an utterance.

    Parameters
    ----------
    name : str
    feature_set : {"ComParE_2016", "eGeMAPSv02"}
    equal_level : bool
        Bring every utterance to the same root mean square first.

    Raises
    ------
    FeaturesUnavailable
        Without the package opensmile (extra ``emotion``).
    """

    # Both sets have windows of 60 ms: below two of them there are functionals of nothing.
    min_samples = 1920

    def __init__(self, name: str, feature_set: str, *, equal_level: bool = False) -> None:
        opensmile = import_package("opensmile", feature_set)
        self.name = name
        self._set = feature_set
        self._equal_level = equal_level
        self._smile = opensmile.Smile(
            feature_set=opensmile.FeatureSet[feature_set],
            feature_level=opensmile.FeatureLevel.Functionals,
        )
        self._version = opensmile.__version__
        self.names = tuple(self._smile.feature_names)

    def fingerprint(self) -> Mapping[str, Any]:
        facts = {"kind": "opensmile", "set": self._set, "version": self._version}
        return facts | ({"root_mean_square": _ROOT_MEAN_SQUARE} if self._equal_level else {})

    def compute(self, batch: Sequence[Floats]) -> Floats:
        return np.concatenate([self._one(samples) for samples in batch])

    def _one(self, samples: Floats) -> Floats:
        if self._equal_level:
            level = np.sqrt(np.mean(np.square(samples, dtype=np.float64)))
            samples = (samples * (_ROOT_MEAN_SQUARE / max(level, 1e-9))).astype(np.float32)
        with warnings.catch_warnings():
            # It fills with NaN what it calls too short, which is named by the caller.
            warnings.filterwarnings("ignore", message="Segment too short")
            values: Floats = self._smile.process_signal(samples, self.sample_rate).to_numpy(np.float32)
        return values
