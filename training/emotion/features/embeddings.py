"""Final-layer embeddings of wav2vec2, HuBERT and WavLM, averaged over the frames of an utterance."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from streamsed.config import require
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
    network_class : class, optional
        As for :func:`load_pretrained`.

    Raises
    ------
    FeaturesUnavailable
        Without transformers or torch (extra ``emotion``), or if the model is not at ``source``.
    """

    min_samples = 400

    def __init__(
        self,
        name: str,
        source: str,
        *,
        offline: bool = False,
        device: str = "cpu",
        batch_size: int = 1,
        network_class: Any = None,
    ) -> None:
        self.name = name
        self._torch = import_package("torch", source)
        self._source, self._device = source, device
        self._encoder, self._network = load_pretrained(source, offline=offline, network_class=network_class)
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
            return np.asarray(self._from_mean(masked_mean(self._encoder_network, inputs)).float().cpu())

    @property
    def _encoder_network(self) -> Any:
        """The network without a head."""
        return self._network

    def _from_mean(self, mean: Any) -> Any:
        """Return what is made of the means, shape (B, H)."""
        return mean


def masked_mean(network: Any, inputs: Mapping[str, Any]) -> Any:
    """Return the mean of the last hidden state over the frames of sound, shape (B, H).

    Parameters
    ----------
    network : transformers.PreTrainedModel
    inputs : mapping
        ``input_values``, shape (B, n), and ``attention_mask`` if some of it is padding.
    """
    hidden = network(**inputs).last_hidden_state
    samples = inputs.get("attention_mask")
    if samples is None:
        return hidden.mean(dim=1)
    # Which frames are sound follows from which samples are; a mean over all of them differs by more than 1.
    frames = network._get_feature_vector_attention_mask(hidden.shape[1], samples).unsqueeze(-1)
    return (hidden * frames).sum(dim=1) / frames.sum(dim=1)


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
    ConfigError
        If the model lacks weights of that network, such as those of a head.
    """
    transformers = import_package("transformers", source)
    local = offline or Path(source).is_dir()
    chosen = network_class or transformers.AutoModel
    with _quiet(transformers.utils.logging):
        try:
            encoder = transformers.AutoFeatureExtractor.from_pretrained(source, local_files_only=local)
            network, found = chosen.from_pretrained(source, local_files_only=local, output_loading_info=True)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0].partition(". ")[0]
            raise FeaturesUnavailable(
                f"source: expected a model in the folder or under the hub id {source!r}, got none: {reason}"
            ) from error
    # That one is used in training alone; anything else that is missing would be random.
    missing = sorted(key for key in found["missing_keys"] if not key.endswith("masked_spec_embed"))
    require(not missing, "source", f"all weights of a {type(network).__name__} in {source!r}", missing[:3])
    return encoder, network


@contextmanager
def _quiet(logging: Any) -> Iterator[None]:
    """Keep progress bars to terminals, and reports of weights that are of a head to themselves."""
    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()


def _files(folder: Path) -> list[Path]:
    return sorted(
        item
        for item in folder.iterdir()
        if item.is_file() and item.suffix in (".json", ".safetensors", ".bin")
    )
