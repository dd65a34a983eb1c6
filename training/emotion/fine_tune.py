"""``python -m training.emotion.fine_tune``: a wav2vec2 with a regression head, fine-tuned on dimensional labels.

The end-to-end baseline of the paper for a corpus of one's own: what it saves is read by features of kind "end_to_end"
(its levels) and "transformers" (its embeddings).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamsed.config import require
from streamsed.types import EMOTION_DIMENSIONS
from training.command_line import run_command
from training.emotion.data import Utterance, read_emotion
from training.emotion.features.base import Floats, import_package
from training.emotion.features.embeddings import load_pretrained, masked_mean
from training.emotion.features.end_to_end import regressor_class
from training.emotion.recipe import load_emotion_recipe
from training.emotion.svr import label_array
from training.sound import read_mono


@dataclass(frozen=True)
class FineTuning:
    """How long and how fast.

    Parameters
    ----------
    epochs, batch_size : int
    learning_rate : float
        Of Adam, constant.
    max_seconds : float
        Longer utterances are cut at a random place, each time anew.
    seed : int
    device : str
    """

    epochs: int = 5
    batch_size: int = 8
    learning_rate: float = 1e-4
    max_seconds: float = 8.0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.epochs >= 1, "epochs", "at least 1", self.epochs)
        require(self.batch_size >= 2, "batch_size", "at least 2: the loss is of a batch", self.batch_size)
        require(0 < self.learning_rate < 1, "learning_rate", "in (0, 1)", self.learning_rate)
        require(0.1 <= self.max_seconds <= 60, "max_seconds", "in [0.1, 60] s", self.max_seconds)


def fine_tune(
    utterances: Sequence[Utterance], source: str, output: Path, settings: FineTuning, *, offline: bool = False
) -> list[float]:
    """Fine-tune everything but the convolutions on 1 - CCC, and save it.

    The loss is that of Wagner et al. (IEEE TPAMI 45, 2023): one less the concordance of a batch, mean over the
    dimensions.

    Parameters
    ----------
    utterances : sequence of Utterance
        To train on.
    source : str
        A wav2vec2, with or without a head: local folder or hub id.
    output : Path
        Folder that must not exist.
    settings : FineTuning
    offline : bool
        Take local files alone.

    Returns
    -------
    list of float
        Mean loss of every epoch.

    Raises
    ------
    FeaturesUnavailable
        If a package or the model is not there.
    ConfigError
        If the folder exists, or there are fewer utterances than a batch.
    """
    require(not output.exists(), "output", "a folder that does not exist", str(output))
    expected = f"at least a batch of {settings.batch_size}"
    require(len(utterances) >= settings.batch_size, "utterances", expected, len(utterances))
    torch = import_package("torch", source)
    torch.manual_seed(settings.seed)
    encoder, network = _regressor(source, offline)
    network = network.to(settings.device).train()
    network.wav2vec2.freeze_feature_encoder()
    parameters = [item for item in network.parameters() if item.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate)
    rate = int(encoder.sampling_rate)
    sounds = [read_mono(item.path, rate) for item in utterances]
    labels = label_array(utterances).astype(np.float32)
    rng = np.random.default_rng(settings.seed)
    losses = []
    for _ in range(settings.epochs):
        of_epoch = []
        for batch in _batches(len(sounds), settings.batch_size, rng):
            clips = [_cut(sounds[index], round(settings.max_seconds * rate), rng) for index in batch]
            inputs = encoder(
                clips, sampling_rate=rate, return_tensors="pt", padding=True, return_attention_mask=True
            ).to(settings.device)
            levels = network.classifier(masked_mean(network.wav2vec2, inputs))
            loss = concordance_loss(levels, torch.from_numpy(labels[batch]).to(settings.device))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            of_epoch.append(loss.item())
        losses.append(float(np.mean(of_epoch)))
        print(f"epoch {len(losses)}: 1 - CCC {losses[-1]:.3f}", file=sys.stderr)
    network.eval().save_pretrained(output)
    encoder.save_pretrained(output)
    return losses


def concordance_loss(levels: Any, truth: Any) -> Any:
    """Return 1 - CCC of a batch, mean over the dimensions; both of shape (B, K)."""
    mean_x, mean_y = truth.mean(dim=0), levels.mean(dim=0)
    covariance = ((truth - mean_x) * (levels - mean_y)).mean(dim=0)
    spread = truth.var(dim=0, unbiased=False) + levels.var(dim=0, unbiased=False) + (mean_x - mean_y) ** 2
    return 1.0 - (2.0 * covariance / (spread + 1e-6)).mean()


def _regressor(source: str, offline: bool) -> tuple[Any, Any]:
    """Return the network with a head, a new one unless the source has one of these dimensions."""
    config = import_package("transformers", source).AutoConfig.from_pretrained(
        source, local_files_only=offline
    )
    kind = regressor_class(source)
    if {str(name).lower() for name in config.id2label.values()} == set(EMOTION_DIMENSIONS):
        return load_pretrained(source, offline=offline, network_class=kind)
    encoder, backbone = load_pretrained(source, offline=offline)
    backbone.config.id2label = dict(enumerate(EMOTION_DIMENSIONS))
    backbone.config.label2id = {name: number for number, name in enumerate(EMOTION_DIMENSIONS)}
    network = kind(backbone.config)
    network.wav2vec2.load_state_dict(backbone.state_dict())
    return encoder, network


def _batches(count: int, size: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield batches of that size in random order; what is left over has its turn in another epoch."""
    order = rng.permutation(count).tolist()
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def _cut(samples: Floats, length: int, rng: np.random.Generator) -> Floats:
    start = int(rng.integers(0, max(1, len(samples) - length + 1)))
    return samples[start : start + length]


def main(argv: Sequence[str] | None = None) -> int:
    """Fine-tune from the command line; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m training.emotion.fine_tune", description=__doc__)
    parser.add_argument("--recipe", required=True, help="whose [data] is trained on")
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    parser.add_argument("--source", required=True, help="a wav2vec2: local folder or hub id")
    parser.add_argument("--leave-out", nargs="*", default=[], metavar="SPEAKER", help="who is not trained on")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the fine-tuned network")
    parser.add_argument("--epochs", type=int, default=FineTuning.epochs)
    parser.add_argument("--batch-size", type=int, default=FineTuning.batch_size)
    parser.add_argument("--learning-rate", type=float, default=FineTuning.learning_rate)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--offline", action="store_true", help="take local files alone")
    arguments = parser.parse_args(argv)
    return run_command("error", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    settings = FineTuning(
        arguments.epochs,
        arguments.batch_size,
        arguments.learning_rate,
        seed=arguments.seed,
        device=arguments.device,
    )
    utterances = read_emotion(load_emotion_recipe(arguments.recipe, arguments.set).data)
    speakers = sorted({item.speaker for item in utterances})
    unknown = sorted(set(arguments.leave_out) - set(speakers))
    require(not unknown, "--leave-out", f"speakers among {speakers}", unknown)
    kept = [item for item in utterances if item.speaker not in arguments.leave_out]
    fine_tune(kept, arguments.source, arguments.output, settings, offline=arguments.offline)


if __name__ == "__main__":
    sys.exit(main())
