"""Levels straight from a wav2vec2 that was fine-tuned on them: the end-to-end baseline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamsed.config import require
from streamsed.types import EMOTION_DIMENSIONS
from training.emotion.features.base import import_package
from training.emotion.features.embeddings import TransformerEmbeddings


class EndToEndPredictions(TransformerEmbeddings):
    """Valence, arousal and dominance from a network with a regression head.

    The layout of the weights is that of Wagner et al., "Dawn of the transformer era in speech emotion recognition",
    IEEE TPAMI 45, 2023: a wav2vec2, the mean over its last layer, dense, tanh, projection. Which output is which
    dimension is said by ``id2label`` of its configuration.

    Parameters
    ----------
    name, source, offline, device, batch_size
        As of :class:`TransformerEmbeddings`.

    Raises
    ------
    FeaturesUnavailable
        Likewise.
    ConfigError
        If the outputs are not the three dimensions.
    """

    def __init__(
        self, name: str, source: str, *, offline: bool = False, device: str = "cpu", batch_size: int = 1
    ) -> None:
        super().__init__(
            name,
            source,
            offline=offline,
            device=device,
            batch_size=batch_size,
            network_class=regressor_class(source),
        )
        labels = {str(label).lower(): number for number, label in self._network.config.id2label.items()}
        expected = f"outputs {list(EMOTION_DIMENSIONS)} in id2label"
        require(set(labels) == set(EMOTION_DIMENSIONS), "source", expected, sorted(labels))
        self._order = [int(labels[dimension]) for dimension in EMOTION_DIMENSIONS]
        self.names = EMOTION_DIMENSIONS

    def fingerprint(self) -> Mapping[str, Any]:
        return {**super().fingerprint(), "kind": "end_to_end"}

    def _from_mean(self, mean: Any) -> Any:
        return self._network.classifier(mean)[:, self._order]

    @property
    def _encoder_network(self) -> Any:
        return self._network.wav2vec2


def regressor_class(source: str) -> Any:
    """Return the class of a wav2vec2 with a regression head, as transformers wants it.

    Raises
    ------
    FeaturesUnavailable
        Without transformers or torch (extra ``emotion``).
    """
    transformers, torch = (import_package(name, source) for name in ("transformers", "torch"))

    class RegressionHead(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Dense, tanh, projection."""

        def __init__(self, config: Any) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(config.hidden_size, config.hidden_size)
            self.dropout = torch.nn.Dropout(config.final_dropout)
            self.out_proj = torch.nn.Linear(config.hidden_size, config.num_labels)

        def forward(self, mean: Any) -> Any:
            return self.out_proj(self.dropout(torch.tanh(self.dense(self.dropout(mean)))))

    class EmotionRegressor(transformers.Wav2Vec2PreTrainedModel):  # type: ignore[misc, name-defined]
        """wav2vec2 and the head."""

        def __init__(self, config: Any) -> None:
            super().__init__(config)
            self.wav2vec2 = transformers.Wav2Vec2Model(config)
            self.classifier = RegressionHead(config)
            self.post_init()

    return EmotionRegressor
