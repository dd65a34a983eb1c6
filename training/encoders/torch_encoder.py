"""An encoder that is a torch module."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from streamsed.bundle import ImageInput
from streamsed.config import require
from streamsed.errors import ConfigError
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


@dataclass(frozen=True)
class WeightSettings:
    """Where the weights of a network come from, and where it computes.

    Parameters
    ----------
    weights : str or None
        The published file, or the folder that holds it; None: random weights, which the fingerprint says.
    sha256 : str or None
        Of weights of one's own, see :func:`~training.encoders.weights.load_weights`.
    seed : int
        Of random weights.
    device : str
        As torch calls it, such as "cuda". The fingerprint does not say it: embeddings differ by rounding alone.
    """

    weights: str | None = None
    sha256: str | None = None
    seed: int = 0
    device: str = "cpu"


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
    device : str
        Where it computes.

    Raises
    ------
    ConfigError
        If the device is not there, or the rate does not fit what it takes.
    """

    kind: Kind

    def __init__(
        self,
        name: str,
        network: nn.Module,
        item: EncoderInput,
        weights: str,
        rate_hz: float | None = None,
        device: str = "cpu",
    ) -> None:
        check_rate(item, rate_hz)
        self.name = name
        self.network = network.eval().requires_grad_(False)
        try:
            self.network.to(device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(f"device: expected one that torch has, got {device!r}: {reason}") from None
        self._device = device
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
            return self.network(torch.tensor(batch, device=self._device)).cpu().numpy()

    def to_onnx(self, path: Path) -> Path:
        """Write the network as an ONNX graph with a free batch size, input "batch" and output "embeddings"."""
        example = torch.zeros(2, *item_shape(self.input), device=self._device)
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
    settings: WeightSettings,
    rate_hz: float | None = None,
) -> TorchEncoder:
    """Load the weights of a file, or draw random ones if there is none, and make an encoder of the network.

    Raises
    ------
    ConfigError
        If a hash is given without a file, or the device is not there.
    FormatError
        As :func:`~training.encoders.weights.load_weights`.
    """
    if settings.weights is None:
        require(settings.sha256 is None, "sha256", "nothing without weights", settings.sha256)
        initialise(network, settings.seed)
        weights = f"random weights of seed {settings.seed}, sizes {_sizes(network)}"
    else:
        weights = f"weights sha256 {load_weights(network, settings.weights, published, settings.sha256)}"
    return TorchEncoder(name, network, item, weights, rate_hz, settings.device)


def _sizes(network: nn.Module) -> str:
    return "-".join(str(len(value)) for name, value in network.named_parameters() if name.endswith("weight"))
