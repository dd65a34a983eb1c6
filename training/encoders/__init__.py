"""Pretrained networks whose embeddings of sound and pictures join a detector's own features; see docs/encoders.md."""

from __future__ import annotations

from training.encoders.base import Encoder, EncoderInput, WaveformInput, item_shape, side_input_spec
from training.encoders.cache import EmbeddingCache, Embeddings
from training.encoders.config import ENCODERS, encoder_from_config
from training.encoders.onnx_encoder import OnnxEncoder, OnnxSettings
from training.encoders.speech_encoder import SpeechEncoder, SpeechSettings
from training.encoders.torch_encoder import TorchEncoder, WeightSettings
from training.encoders.vgg16 import VGG16, VGG16Settings, vgg16
from training.encoders.vggish import VGGish, VGGishSettings, vggish
from training.encoders.weights import WeightFile, load_weights

__all__ = [
    "ENCODERS",
    "VGG16",
    "EmbeddingCache",
    "Embeddings",
    "Encoder",
    "EncoderInput",
    "OnnxEncoder",
    "OnnxSettings",
    "SpeechEncoder",
    "SpeechSettings",
    "TorchEncoder",
    "VGG16Settings",
    "VGGish",
    "VGGishSettings",
    "WaveformInput",
    "WeightFile",
    "WeightSettings",
    "encoder_from_config",
    "item_shape",
    "load_weights",
    "side_input_spec",
    "vgg16",
    "vggish",
]
