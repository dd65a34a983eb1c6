"""The functionals that models run with, from the code that runs with them."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import streamsed.functionals
import streamsed.voice
from streamsed.config import from_mapping
from streamsed.functionals import FunctionalsConfig, LogMelFunctionals
from training.emotion.features.base import FeatureExtractor, Floats


class OwnFunctionals(FeatureExtractor):
    """See :class:`streamsed.functionals.LogMelFunctionals`; no other licence than streamsed's own.

    Parameters
    ----------
    name : str
    config : mapping
        Fields of :class:`FunctionalsConfig`.
    """

    def __init__(self, name: str, config: Mapping[str, Any]) -> None:
        self.name = name
        self._functionals = LogMelFunctionals(
            from_mapping(FunctionalsConfig, config, f"features.{name}.config")
        )
        self.names = tuple(self._functionals.names)
        self.sample_rate = self._functionals.config.front_end.sample_rate

    def fingerprint(self) -> Mapping[str, Any]:
        code = "".join(inspect.getsource(module) for module in (streamsed.functionals, streamsed.voice))
        return {
            "kind": "functionals",
            "config": dataclasses.asdict(self._functionals.config),
            "code": hashlib.sha256(code.encode()).hexdigest(),
        }

    def compute(self, batch: Sequence[Floats]) -> Floats:
        return np.stack([self._functionals(samples) for samples in batch])
