"""The encoder that a section of a recipe describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from streamsed.config import from_mapping, require
from training.encoders.base import Encoder
from training.encoders.onnx_encoder import OnnxEncoder, OnnxSettings
from training.encoders.speech_encoder import SpeechEncoder, SpeechSettings
from training.encoders.vgg16 import VGG16Settings, vgg16
from training.encoders.vggish import VGGishSettings, vggish


class _Kind(NamedTuple):
    settings: type
    build: Callable[[Any], Encoder]


ENCODERS: Mapping[str, _Kind] = {
    "vggish": _Kind(VGGishSettings, vggish),
    "vgg16": _Kind(VGG16Settings, vgg16),
    "onnx": _Kind(OnnxSettings, OnnxEncoder),
    "speech": _Kind(SpeechSettings, SpeechEncoder),
}


def encoder_from_config(values: Mapping[str, Any], where: str = "encoder") -> Encoder:
    """Return the encoder that a mapping describes.

    Parameters
    ----------
    values : mapping
        ``kind`` is "vggish", "vgg16", "onnx" or "speech"; the rest are the fields of its settings
        (:class:`~training.encoders.VGGishSettings` and its siblings).
    where : str
        How the mapping is called in messages.

    Raises
    ------
    ConfigError
        If the kind or a field is unknown, or a value cannot be used.
    FormatError
        If a file is missing, tampered with or not what it should be.
    """
    kind = values.get("kind")
    require(kind in ENCODERS, f"{where}.kind", f"one of {list(ENCODERS)}", kind)
    chosen = ENCODERS[str(kind)]
    rest = {key: value for key, value in values.items() if key != "kind"}
    return chosen.build(from_mapping(chosen.settings, rest, where))
