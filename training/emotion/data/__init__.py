"""Utterances with labels of valence, arousal and dominance, from the folders of public corpora or a table."""

from training.emotion.data.estimator import evaluator_weights, weighted_estimate
from training.emotion.data.read import EmotionData, read_emotion
from training.emotion.data.utterance import Scale, Utterance

__all__ = [
    "EmotionData",
    "Scale",
    "Utterance",
    "evaluator_weights",
    "read_emotion",
    "weighted_estimate",
]
