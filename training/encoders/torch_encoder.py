"""An encoder that is a torch module."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import nn

from streamsed.bundle import ImageInput
from streamsed.config import require
from training.encoders.base import (
    EncoderInput,
    Floats,
    Kind,
    check_batch,
    check_rate,
    fingerprint_of,
    item_shape,
)
from training.encoders.convolutions import initialise
from training.encoders.weights import WeightFile, load_weights


class TorchEncoder:
    """A module that maps a batch (B, *item_shape(input)) to embeddings (B, D).

    Parameters
    ----------
    name : str
    network : nn.Module
        With an attribute ``features_out``, the size D.
    item : AudioInput, WaveformInput or ImageInput
        What it takes.
    weights : str
        Where its weights come from, for the fingerprint.
    rate_hz : float, optional
        Of pictures: so many a second are looked at, at most.
    """

    kind: Kind

    def __init__(
        self, name: str, network: nn.Module, item: EncoderInput, weights: str, rate_hz: float | None = None
    ) -> None:
        check_rate(item, rate_hz)
        self.name = name
        self.network = network.eval().requires_grad_(False)
        self.input = item
        self.rate_hz = rate_hz
        self.kind = "image" if isinstance(item, ImageInput) else "audio"
        self.features = int(network.features_out)
        self._weights = weights

    def fingerprint(self) -> str:
        """Return one line that differs whenever an embedding can."""
        return fingerprint_of(self.name, self._weights, self.input, self.rate_hz)

    def encode(self, batch: Floats) -> Floats:
        """Return embeddings (B, D) of a batch (B, *item_shape(input))."""
        check_batch(batch, self.input)
        with torch.inference_mode():
            return self.network(torch.tensor(batch)).numpy()

    def to_onnx(self, path: Path) -> Path:
        """Write the network as an ONNX graph with a free batch size, input "batch" and output "embeddings"."""
        example = torch.zeros(2, *item_shape(self.input))
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                self.network,
                (example,),
                str(path),
                input_names=["batch"],
                output_names=["embeddings"],
                dynamic_axes={"batch": {0: "B"}, "embeddings": {0: "B"}},
                opset_version=17,
                dynamo=False,
            )
        return path


def with_weights(
    name: str,
    network: nn.Module,
    item: EncoderInput,
    published: WeightFile,
    weights: str | Path | None,
    sha256: str | None,
    seed: int,
    rate_hz: float | None = None,
) -> TorchEncoder:
    """Load the weights of a file, or draw random ones if there is none, and make an encoder of the network.

    Raises
    ------
    ConfigError
        If a hash is given without a file.
    FormatError
        As :func:`~training.encoders.weights.load_weights`.
    """
    if weights is None:
        require(sha256 is None, "sha256", "nothing without weights", sha256)
        initialise(network, seed)
        random = f"random weights of seed {seed}, sizes {_sizes(network)}"
        return TorchEncoder(name, network, item, random, rate_hz)
    digest = load_weights(network, weights, published, sha256)
    return TorchEncoder(name, network, item, f"weights sha256 {digest}", rate_hz)


def _sizes(network: nn.Module) -> str:
    return "-".join(str(len(value)) for name, value in network.named_parameters() if name.endswith("weight"))
