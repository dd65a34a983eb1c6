"""What every kind of features has in common."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from streamsed.errors import ConfigError, FormatError
from streamsed.sources import Resampler
from streamsed.sources.samples import as_samples

Floats = npt.NDArray[np.float32]


class FeaturesUnavailable(ConfigError):  # noqa: N818 - named for what it says, as its siblings are
    """A package or the weights of a model are not there; the message says how to get them."""


@dataclass(frozen=True)
class FeatureSettings:
    """Which features.

    Parameters
    ----------
    kind : {"opensmile", "transformers", "end_to_end", "functionals", "onnx"}
        "end_to_end" are the levels that a fine-tuned wav2vec2 itself gives.
    set : str
        Of opensmile: "ComParE_2016" or "eGeMAPSv02". The software is licensed for research, not for commerce.
    source : str
        Of transformers: a local folder, or a hub id, which is downloaded unless ``offline``. Of onnx: the file.
    offline : bool
        Of transformers: take local files alone.
    device : str
        Of transformers: where torch computes.
    batch_size : int
        Of transformers: utterances that are computed at a time.
    sample_rate : int
        Of onnx, in Hz: the others know theirs.
    config : mapping
        Of functionals: fields of :class:`streamsed.config.FunctionalsConfig`.
    equal_level : bool
        Of opensmile: bring every utterance to the same root mean square first. How loud a corpus recorded somebody
        says much of dominance, and nothing where the gain of the microphone is unknown.
    """

    kind: Literal["opensmile", "transformers", "end_to_end", "functionals", "onnx"]
    set: Literal["", "ComParE_2016", "eGeMAPSv02"] = ""
    source: str = ""
    offline: bool = False
    device: str = "cpu"
    batch_size: int = 1
    sample_rate: int = 16000
    config: Mapping[str, Any] = field(default_factory=dict)
    equal_level: bool = False

    def __post_init__(self) -> None:
        """Check that the kind has what it needs."""
        require(bool(self.set) == (self.kind == "opensmile"), "set", "a name, of opensmile alone", self.set)
        has_source = self.kind in ("transformers", "end_to_end", "onnx")
        require(
            bool(self.source) == has_source, "source", "a place, of transformers and onnx alone", self.source
        )
        allowed = not self.equal_level or self.kind == "opensmile"
        require(allowed, "equal_level", "true of opensmile alone", self.equal_level)
        require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        require(
            not self.config or self.kind == "functionals", "config", "none but of functionals", self.config
        )


class FeatureExtractor(ABC):
    """Turns an utterance into one row of numbers.

    Attributes
    ----------
    name : str
    names : tuple of D str
        One per number.
    sample_rate : int
        In Hz, of what it hears: other rates are resampled first, as many features change with the rate.
    min_samples : int
        Fewest of them.
    batch_size : int
        Utterances that are best given at a time.
    """

    name: str
    names: tuple[str, ...]
    sample_rate: int = 16000
    min_samples: int = 1
    batch_size: int = 1

    @property
    def dimensions(self) -> int:
        """D."""
        return len(self.names)

    @abstractmethod
    def fingerprint(self) -> Mapping[str, Any]:
        """Everything beside the samples that the numbers depend on, for cache keys."""

    @abstractmethod
    def compute(self, batch: Sequence[Floats]) -> Floats:
        """Return the numbers of utterances at ``sample_rate``, shape (B, D)."""

    def extract(self, samples: npt.ArrayLike, sample_rate: int) -> Floats:
        """Return the features of one utterance, shape (D,), float32, all finite.

        Parameters
        ----------
        samples : array_like, shape (n,) or (n, channels)
            Channels are averaged.
        sample_rate : int
            In Hz.

        Raises
        ------
        ConfigError
            If samples are not finite, or the rate cannot be used.
        FormatError
            If the utterance is too short, or a feature is NaN or infinite: it is named.
        """
        return self.extract_batch([self.prepared(samples, sample_rate)])[0]

    def prepared(self, samples: npt.ArrayLike, sample_rate: int) -> Floats:
        """Return samples as :meth:`compute` takes them; see :meth:`extract`."""
        whole = isinstance(sample_rate, (int, np.integer)) and 1000 <= sample_rate <= 768000
        require(whole, "sample_rate", "an integer in [1000, 768000] Hz", sample_rate)
        mono = as_samples(samples)
        mono = mono if mono.ndim == 1 else mono.mean(axis=1)
        require(bool(np.isfinite(mono).all()), "samples", "finite values", "NaN or Inf")
        if sample_rate != self.sample_rate:
            resampler = Resampler(int(sample_rate), self.sample_rate)
            mono = np.concatenate([resampler.process(mono), resampler.flush()])
        if len(mono) < self.min_samples:
            seconds = [count / self.sample_rate for count in (self.min_samples, len(mono))]
            raise FormatError(
                f"samples: expected at least {seconds[0]:.3f} s for {self.name}, got {seconds[1]:.3f} s"
            )
        return np.ascontiguousarray(mono, np.float32)

    def extract_batch(self, batch: Sequence[Floats]) -> Floats:
        """Return the features of prepared utterances, shape (B, D); see :meth:`extract`."""
        values = np.asarray(self.compute(batch), np.float32)
        wrong = np.flatnonzero(~np.isfinite(values).all(axis=0))
        if wrong.size:
            some = ", ".join(self.names[index] for index in wrong[:3])
            raise FormatError(
                f"{self.name}: expected finite features, got NaN or Inf in {wrong.size} of {self.dimensions}: {some}"
            )
        return values


def import_package(name: str, what: str) -> Any:
    """Import an optional package.

    Raises
    ------
    FeaturesUnavailable
        If it is not there; the extra to install is named.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise FeaturesUnavailable(
            f"features: expected the package {name} to be there for {what}, got none; "
            'install the extra: pip install "streamsed[emotion]"'
        ) from None
