"""Features of utterances behind one interface, computed once."""

from training.emotion.features.base import FeatureExtractor, FeatureSettings, FeaturesUnavailable
from training.emotion.features.cache import Segment, compute_features
from training.emotion.features.registry import make_extractor

__all__ = [
    "FeatureExtractor",
    "FeatureSettings",
    "FeaturesUnavailable",
    "Segment",
    "compute_features",
    "make_extractor",
]
