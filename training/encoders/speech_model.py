"""Networks of the transformers library that take samples: wav2vec 2.0, HuBERT, WavLM and their relatives."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from streamsed.config import require
from streamsed.errors import ConfigError, FormatError

Floats = npt.NDArray[np.float32]


class SpeechModel:
    """The last layer of such a network, averaged over time; no tokeniser, no text.

    Parameters
    ----------
    source : str or Path
        A folder as ``save_pretrained`` of model and feature extractor writes it, or the id of a model on the
        Hugging Face hub.
    revision : str, optional
        Of a hub id.

    Attributes
    ----------
    sample_rate : int
        In Hz.
    dimensions : int
    least_samples : int
        What the convolutions need for one frame.

    Raises
    ------
    ConfigError
        If transformers is not installed.
    FormatError
        If nothing is there, or it is no network of sound.
    """

    def __init__(self, source: str | Path, *, revision: str | None = None) -> None:
        try:
            import transformers
        except ImportError:
            raise ConfigError(
                "transformers: expected it to be installed; it is in the extra 'emotion'"
            ) from None
        folder = Path(source)
        self.name = folder.name if folder.is_dir() else str(source)
        options = {"local_files_only": True} if folder.is_dir() else {"revision": revision}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._extractor = transformers.AutoFeatureExtractor.from_pretrained(str(source), **options)
                self._model = transformers.AutoModel.from_pretrained(str(source), **options)
        except (OSError, ValueError) as error:
            expected = "a folder with config.json, preprocessor_config.json and weights, or an id of the hub"
            raise FormatError(f"{source}: expected {expected}: {str(error).splitlines()[0]}") from None
        self._model.eval().requires_grad_(False)
        config = self._model.config
        has_frames = hasattr(config, "conv_kernel") and hasattr(config, "conv_stride")
        if not has_frames or self._model.main_input_name != "input_values":
            raise FormatError(
                f"{source}: expected a network of samples such as wav2vec2, got {config.model_type}"
            )
        self.sample_rate = int(self._extractor.sampling_rate)
        self.dimensions = int(config.hidden_size)
        self.least_samples = _receptive_field(config.conv_kernel, config.conv_stride)

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can: hash of configuration and weights."""
        return f"{self.name}, transformers sha256 {self._hash}"

    @functools.cached_property
    def _hash(self) -> str:
        digest = hashlib.sha256()
        for settings in (self._model.config.to_diff_dict(), self._extractor.to_dict()):
            digest.update(json.dumps(_without_versions(settings), sort_keys=True, default=str).encode())
        for name, value in sorted(self._model.state_dict().items()):
            digest.update(name.encode())
            digest.update(value.contiguous().cpu().view(torch.uint8).numpy().data)
        return digest.hexdigest()

    def means(self, pieces: Sequence[Floats]) -> Floats:
        """Return the mean over time of the last hidden layer of every piece.

        Parameters
        ----------
        pieces : sequence of ndarray, shape (n,), float32
            At :attr:`sample_rate`, of any lengths. Those of one length are one batch, so nothing is ever padded and
            no frame of padding enters a mean.

        Returns
        -------
        ndarray, shape (B, dimensions), float32

        Raises
        ------
        ConfigError
            If a piece is shorter than :attr:`least_samples`, or of another type or shape.
        """
        result = np.empty((len(pieces), self.dimensions), np.float32)
        by_length: dict[int, list[int]] = {}
        for index, piece in enumerate(pieces):
            usable = piece.ndim == 1 and piece.dtype == np.float32 and len(piece) >= self.least_samples
            expected = f"float32 with shape (n,), n >= {self.least_samples}"
            require(usable, f"pieces[{index}]", expected, f"{piece.dtype} {piece.shape}")
            by_length.setdefault(len(piece), []).append(index)
        for indices in by_length.values():
            ready = self._extractor(
                [pieces[index] for index in indices], sampling_rate=self.sample_rate, return_tensors="pt"
            )
            with torch.inference_mode():
                hidden = self._model(ready["input_values"]).last_hidden_state
            result[indices] = hidden.mean(dim=1).numpy()
        return result


def _receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    return 1 + sum((kernel - 1) * math.prod(strides[:level]) for level, kernel in enumerate(kernels))


def _without_versions(settings: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs between copies of the same network."""
    return {key: value for key, value in settings.items() if "version" not in key and not key.startswith("_")}
