"""Final-layer embeddings of wav2vec2, HuBERT and WavLM, averaged over the frames of an utterance."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.emotion.features.base import FeatureExtractor, FeaturesUnavailable, Floats, import_package
from training.files import file_digest


class TransformerEmbeddings(FeatureExtractor):
    """Mean of the last hidden state over the frames that are not padding.

    Parameters
    ----------
    name : str
    source : str
        A local folder, or a hub id.
    offline : bool
        Take local files alone.
    device : str
        Where torch computes.
    batch_size : int
        Utterances that are padded to one length. Networks that normalise over time (``feat_extract_norm = "group"``)
        hear the padding: their utterances are computed one by one.

    Raises
    ------
    FeaturesUnavailable
        Without transformers or torch (extra ``emotion``), or if the model is not at ``source``.
    """

    min_samples = 400

    def __init__(
        self, name: str, source: str, *, offline: bool = False, device: str = "cpu", batch_size: int = 1
    ) -> None:
        self.name = name
        self._torch = import_package("torch", source)
        self._source, self._device = source, device
        self._encoder, self._network = load_pretrained(source, offline=offline)
        self._network = self._network.to(device).eval()
        config = self._network.config
        self._masks = config.feat_extract_norm == "layer"
        self.batch_size = batch_size if self._masks else 1
        self.sample_rate = int(self._encoder.sampling_rate)
        self.names = tuple(f"{name}[{index}]" for index in range(config.hidden_size))

    def fingerprint(self) -> Mapping[str, Any]:
        folder = Path(self._source)
        if folder.is_dir():
            return {
                "kind": "transformers",
                "files": {item.name: file_digest(item) for item in _files(folder)},
            }
        commit = getattr(self._network.config, "_commit_hash", None)
        return {"kind": "transformers", "source": self._source, "commit": commit}

    def compute(self, batch: Sequence[Floats]) -> Floats:
        if not self._masks and len(batch) > 1:
            return np.concatenate([self.compute([samples]) for samples in batch])
        torch = self._torch
        inputs = self._encoder(
            list(batch),
            sampling_rate=self.sample_rate,
            return_tensors="pt",
            padding=True,
            return_attention_mask=self._masks,
        ).to(self._device)
        with torch.inference_mode(), warnings.catch_warnings():
            # Of WavLM, about the types of its own two masks.
            warnings.filterwarnings("ignore", message="Support for mismatched key_padding_mask")
            hidden = self._network(**inputs).last_hidden_state
            if not self._masks:
                return np.asarray(hidden.mean(dim=1).float().cpu())
            mask = frame_mask(self._network, hidden.shape[1], inputs["attention_mask"])
            total = (hidden * mask.unsqueeze(-1)).sum(dim=1)
            return np.asarray((total / mask.sum(dim=1, keepdim=True)).float().cpu())


def frame_mask(network: Any, frames: int, attention_mask: Any) -> Any:
    """Return which frames of the last layer are sound, shape (B, T), from which samples are."""
    return network._get_feature_vector_attention_mask(frames, attention_mask).to(attention_mask.dtype)


def load_pretrained(source: str, *, offline: bool = False, network_class: Any = None) -> tuple[Any, Any]:
    """Load what prepares samples, and a network, from a local folder or the hub.

    Parameters
    ----------
    source : str
    offline : bool
    network_class : class, optional
        With ``from_pretrained``; by default transformers.AutoModel, the network without a head.

    Raises
    ------
    FeaturesUnavailable
        If transformers is not installed or the model is not there.
    """
    transformers = import_package("transformers", source)
    local = offline or Path(source).is_dir()
    chosen = network_class or transformers.AutoModel
    bars = transformers.utils.logging
    shown = bars.is_progress_bar_enabled()
    if not sys.stderr.isatty():
        bars.disable_progress_bar()
    try:
        encoder = transformers.AutoFeatureExtractor.from_pretrained(source, local_files_only=local)
        network = chosen.from_pretrained(source, local_files_only=local)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise FeaturesUnavailable(
            f"source: expected a model in the folder or under the hub id {source!r}, got none: {reason}"
        ) from error
    finally:
        if shown:
            bars.enable_progress_bar()
    return encoder, network


def _files(folder: Path) -> list[Path]:
    return sorted(
        item
        for item in folder.iterdir()
        if item.is_file() and item.suffix in (".json", ".safetensors", ".bin")
    )
