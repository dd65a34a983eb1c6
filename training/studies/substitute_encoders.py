"""Small encoders that stand in for VGGish and VGG16 in the study of fusion: made for another task than detection.

``python -m training.studies.substitute_encoders image --out visual.onnx`` trains a classifier of still pictures of
single objects; ``... audio --clips esc10.csv --audio esc10/audio --folds 2,3 --out auditory.onnx`` a tagger of chunks
of single sounds. What is exported is the layer before the last; ``<out>.json`` says what it was made of and how well it
knows what it was made for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from streamsed.config import require
from streamsed.frontend import LogMel
from training.command_line import run_command
from training.data.films import DRAWINGS, FilmConfig, draw_still
from training.data.soundscapes import BackgroundConfig, EventConfig, SoundscapeConfig, make_scene
from training.data.soundscapes.options import add_material_options, material
from training.encoders.base import AudioInput, EncoderInput, ImageInput, item_shape
from training.encoders.torch_encoder import TorchEncoder
from training.encoders.vggish import FRONT_END, LOG_OFFSET, WINDOW_FRAMES

Floats = npt.NDArray[np.float32]

# As VGGish hears, but for the logarithm's offset: 96 frames, one chunk every 60 ms as in section 4.2 of the paper.
CHUNKS = AudioInput(
    replace(FRONT_END, log="ln", floor=LOG_OFFSET),
    window_frames=WINDOW_FRAMES,
    hop_frames=6,
)
STILLS = ImageInput(height=48, width=64, mean=(0.4, 0.4, 0.4), std=(0.25, 0.25, 0.25))
PICTURES_HZ = 15.0


class SmallEncoder(nn.Module):
    """Four convolutions with stride 2, the mean and the maximum over the plane, and a linear layer with ReLU.

    Parameters
    ----------
    channels_in : int
    features : int
        D, of the embedding.
    width : int
        Channels of the first convolution; each has twice those of the one before.
    """

    def __init__(self, channels_in: int, features: int, width: int = 16) -> None:
        super().__init__()
        self.features_out = features
        layers: list[nn.Module] = [nn.BatchNorm2d(channels_in)]
        channels = channels_in
        for number in range(4):
            wider = width * 2 ** min(number, 3)
            layers += [
                nn.Conv2d(channels, wider, kernel_size=3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.ReLU(),
            ]
            channels = wider
        self.layers = nn.Sequential(*layers)
        self.embedding = nn.Linear(2 * channels, features)

    def forward(self, batch: Tensor) -> Tensor:
        """Map pictures (B, 3, H, W), or chunks (B, frames, n_mels), to embeddings (B, D)."""
        planes = self.layers(batch if batch.dim() == 4 else batch.unsqueeze(1))
        pooled = torch.cat([planes.mean(dim=(2, 3)), planes.amax(dim=(2, 3))], dim=1)
        return torch.relu(self.embedding(pooled))


class Tagger(nn.Module):
    """An encoder with the layer that it is trained with."""

    def __init__(self, encoder: SmallEncoder, labels: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(nn.Dropout(0.2), nn.Linear(encoder.features_out, labels))

    def forward(self, batch: Tensor) -> Tensor:
        """Map items to logits (B, K)."""
        return self.head(self.encoder(batch))


@dataclass(frozen=True)
class Examples:
    """What a classifier learns: ``items`` (N, *item_shape) and ``targets`` (N, K) float32, K ``labels``."""

    items: Floats
    targets: Floats
    labels: tuple[str, ...]


def still_examples(count: int, seed: int) -> Examples:
    """Return normalised still pictures of every drawing in turn; of the labels, one each."""
    labels = tuple(DRAWINGS)
    config = FilmConfig()
    pictures = np.stack([draw_still(labels[n % len(labels)], config, seed, n) for n in range(count)])
    items = (pictures / np.float32(255) - np.float32(STILLS.mean)) / np.float32(STILLS.std)
    targets = np.eye(len(labels), dtype=np.float32)[np.arange(count) % len(labels)]
    return Examples(np.ascontiguousarray(items.transpose(0, 3, 1, 2), np.float32), targets, labels)


def chunk_config() -> SoundscapeConfig:
    """Return the mixer's settings for chunks: at most one sound, over noise, anywhere in the chunk or beyond it."""
    front_end = CHUNKS.front_end
    samples = front_end.window_length + (CHUNKS.window_frames - 1) * front_end.hop_length
    return SoundscapeConfig(
        sample_rate=front_end.sample_rate,
        scene_seconds=samples / front_end.sample_rate,
        events=EventConfig(count_weights=(0.1, 0.9), speeds=(0.9, 1.0, 1.1)),
        background=BackgroundConfig(file_weight=0.0),
    )


def chunk_examples(options: argparse.Namespace, count: int, seed: int) -> Examples:
    """Return log-mels of chunks that are mixed from the clips that the command line names."""
    config = chunk_config()
    catalogue = material(options, config, "substitute_encoders")
    labels, log_mel = catalogue.labels, LogMel(CHUNKS.front_end)
    items = np.zeros((count, *item_shape(CHUNKS)), np.float32)
    targets = np.zeros((count, len(labels)), np.float32)
    for index in range(count):
        scene = make_scene(catalogue, config, seed, index)
        items[index] = log_mel(scene.samples)[: CHUNKS.window_frames]
        for event in scene.events:
            targets[index, labels.index(event.label)] = 1
    return Examples(items, targets, labels)


def train_tagger(
    examples: Examples,
    features: int,
    *,
    epochs: int,
    seed: int,
    width: int,
    batch_size: int = 64,
    report: Callable[[str], None] = print,
) -> Tagger:
    """Train a tagger with binary cross-entropy and return it in evaluation mode."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    channels = 3 if examples.items.ndim == 4 else 1
    tagger = Tagger(SmallEncoder(channels, features, width), len(examples.labels))
    steps = epochs * (len(examples.items) // batch_size)
    optimiser = torch.optim.AdamW(tagger.parameters(), lr=3e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for epoch in range(epochs):
        losses = []
        order = rng.permutation(len(examples.items))
        for first in range(0, len(order) // batch_size * batch_size, batch_size):
            chosen = order[first : first + batch_size]
            items = torch.from_numpy(examples.items[chosen])
            targets = torch.from_numpy(examples.targets[chosen])
            loss = nn.functional.binary_cross_entropy_with_logits(tagger(items), targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        report(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}")
    return tagger.eval()


@torch.inference_mode()
def accuracy(tagger: Tagger, examples: Examples) -> float:
    """Return how often the likeliest label is a right one, of the examples that have one."""
    labelled = examples.targets.any(axis=1)
    items, targets = examples.items[labelled], examples.targets[labelled]
    found = [
        tagger(torch.from_numpy(items[first : first + 256])).argmax(1).numpy()
        for first in range(0, len(items), 256)
    ]
    return float(targets[np.arange(len(targets)), np.concatenate(found)].mean())


def export(tagger: Tagger, item: EncoderInput, path: Path, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Write the encoder as ONNX and what is known of it beside it, as JSON; return that."""
    encoder = TorchEncoder(
        path.stem, tagger.encoder, item, "trained", PICTURES_HZ if isinstance(item, ImageInput) else None
    )
    encoder.to_onnx(path)
    found = {
        **facts,
        "features": encoder.features,
        "parameters": sum(value.numel() for value in tagger.encoder.parameters()),
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "input": asdict(item),
    }
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def parser() -> argparse.ArgumentParser:
    """Return the parser."""
    result = argparse.ArgumentParser(
        prog="python -m training.studies.substitute_encoders",
        description="Train a small encoder of still pictures or of chunks of sound, for studies of fusion.",
    )
    kinds = result.add_subparsers(dest="kind", required=True)
    image = kinds.add_parser("image", help="classifier of still pictures of single objects, rendered")
    audio = kinds.add_parser("audio", help="tagger of chunks of single sounds, mixed from clips")
    add_material_options(audio)
    for kind, examples, epochs, features in ((image, 16000, 6, 32), (audio, 16000, 8, 64)):
        kind.add_argument("--out", metavar="ONNX", type=Path, required=True, help="file of the encoder")
        kind.add_argument("--examples", type=int, default=examples, help="how many are made (%(default)s)")
        kind.add_argument("--checked", type=int, default=1600, help="others to measure (%(default)s)")
        kind.add_argument("--epochs", type=int, default=epochs, help="of the training (%(default)s)")
        kind.add_argument("--features", type=int, default=features, help="size of an embedding (%(default)s)")
        kind.add_argument("--width", type=int, default=16, help="of the first convolution (%(default)s)")
        kind.add_argument(
            "--seed", type=int, default=9000, help="of the examples and the training (%(default)s)"
        )
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    options = parser().parse_args(arguments)
    return run_command("substitute_encoders", lambda: print(json.dumps(_make(options), indent=1)))


def _make(options: argparse.Namespace) -> dict[str, Any]:
    for name in ("examples", "checked", "epochs", "features", "width"):
        require(getattr(options, name) >= 1, f"--{name}", "at least 1", getattr(options, name))
    torch.set_num_threads(1)
    seed, unseen = options.seed, options.seed + 1
    checked: Examples | None = None
    item: EncoderInput
    if options.kind == "image":
        item, examples = STILLS, still_examples(options.examples, seed)
        checked = still_examples(options.checked, unseen)
        made_of = "rendered still pictures of single objects"
    else:
        item, examples = CHUNKS, chunk_examples(options, options.examples, seed)
        if options.holdout is not None:
            others = argparse.Namespace(**{**vars(options), "select": "held-out"})
            checked = chunk_examples(others, options.checked, unseen)
        made_of = "chunks of 0.975 s mixed from one clip over generated noise"
    tagger = train_tagger(examples, options.features, epochs=options.epochs, seed=seed, width=options.width)
    facts = {
        "made_of": made_of,
        "labels": examples.labels,
        "examples": len(examples.items),
        "epochs": options.epochs,
        "seed": seed,
        "accuracy_unseen": None if checked is None else round(accuracy(tagger, checked), 4),
    }
    return export(tagger, item, options.out, facts)


if __name__ == "__main__":
    sys.exit(main())
