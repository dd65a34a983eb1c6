"""How a chunk stands out from its own surroundings, along frequency and along time, in a hundred numbers.

A wheeze is a line: a few bands above their neighbours, for a tenth of a second or more. A crackle is a click: all bands
of a range above what was there just before and after. Neither depends on the level or colour of the recording.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamsed.config import require

_DB = 10.0 / math.log(10.0)
_LINE_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.9, 0.97)
_HIGH_QUANTILES = (0.5, 0.75, 0.9, 0.97)
_CLICK_QUANTILES = (0.5, 0.75, 0.9, 0.97, 0.995)
_CLICK_DB = (3.0, 5.0, 8.0, 12.0)
_CURVATURE_QUANTILES = (0.5, 0.9, 0.99)


@dataclass(frozen=True)
class ContrastConfig:
    """Shape of the network of statistics.

    Parameters
    ----------
    n_mels : int
        Log-mel bands; narrow ones, of 10 Hz or so, show lines.
    n_classes : int
        2 or 4.
    edges : tuple of int
        First band, and the one after the last, of each range of bands, one range after the other; ranges may overlap.
    line_bands : int
        Odd number of bands that a line is compared with.
    line_frames : int
        Odd number of frames that a line is averaged over.
    click_frames : int
        Odd number of frames that a click is compared with.
    colour : bool
        Also take the differences of level between neighbouring ranges, which tell stethoscopes apart.
    hidden : int
        Units of the one hidden layer.
    dropout : float
        Before the last layer, and half of it before the hidden one.
    """

    n_mels: int
    n_classes: int
    edges: tuple[int, ...]
    line_bands: int = 15
    line_frames: int = 13
    click_frames: int = 21
    colour: bool = True
    hidden: int = 64
    dropout: float = 0.5

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.n_classes in (2, 4), "n_classes", "2 or 4", self.n_classes)
        pairs = len(self.edges) >= 2 and len(self.edges) % 2 == 0
        inside = pairs and all(0 <= first < last - 1 < self.n_mels for first, last in self.ranges)
        require(
            inside, "edges", f"pairs of bands in [0, {self.n_mels}], two bands a range at least", self.edges
        )
        for name in ("line_bands", "line_frames", "click_frames"):
            value = getattr(self, name)
            require(value >= 1 and value % 2 == 1, name, "an odd number", value)
        require(self.line_bands < 2 * self.n_mels, "line_bands", f"below {2 * self.n_mels}", self.line_bands)
        require(self.hidden >= 1, "hidden", "at least 1", self.hidden)
        require(0.0 <= self.dropout < 1.0, "dropout", "in [0, 1)", self.dropout)

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """First band, and the one after the last, of each range."""
        return tuple(zip(self.edges[::2], self.edges[1::2], strict=True))

    @property
    def least_frames(self) -> int:
        """Frames that a chunk needs."""
        return max(self.line_frames, self.click_frames, 3)


class Contrast(nn.Module):
    """Statistics over time of lines and clicks in ranges of bands; no parameters.

    Parameters
    ----------
    config : ContrastConfig

    Attributes
    ----------
    size : int
        How many statistics there are.
    """

    def __init__(self, config: ContrastConfig) -> None:
        super().__init__()
        ranges = config.ranges
        self._ranges = ranges
        self._line_bands = config.line_bands
        self._line_frames = config.line_frames
        self._click_frames = config.click_frames
        of_lines = 2 * len(_LINE_QUANTILES) + 3 * len(_HIGH_QUANTILES)
        of_clicks = len(_CLICK_QUANTILES) + len(_CLICK_DB) + 1 + len(_CURVATURE_QUANTILES) + 1
        self._colour = config.colour
        self.size = len(ranges) * (of_lines + of_clicks) + (len(ranges) - 1 if config.colour else 0)

    def forward(self, log_mel: Tensor) -> Tensor:
        """Map raw natural log-mel power (B, T, n_mels) to statistics (B, size)."""
        level = log_mel.float() * _DB
        line = level - _background(level, self._line_bands)
        smooth = _average(line.transpose(1, 2), self._line_frames).transpose(1, 2)
        # What stays for the whole chunk is a hum, not a wheeze.
        moving, smooth_moving = line - line.mean(1, keepdim=True), smooth - smooth.mean(1, keepdim=True)
        found: list[Tensor] = []
        means: list[Tensor] = []
        for first, last in self._ranges:
            found += [
                _quantiles(line[..., first:last].amax(2), _LINE_QUANTILES),
                _quantiles(smooth[..., first:last].amax(2), _LINE_QUANTILES),
                _quantiles(smooth_moving[..., first:last].amax(2), _HIGH_QUANTILES),
                _quantiles(moving[..., first:last].amax(2), _HIGH_QUANTILES),
                _quantiles(line[..., first:last].std(2), _HIGH_QUANTILES),
            ]
            power = torch.logsumexp(log_mel[..., first:last].float(), 2) * _DB
            click = power - _background(power[:, None], self._click_frames)[:, 0]
            curvature = power[:, 2:] - 2 * power[:, 1:-1] + power[:, :-2]
            spread = _quantiles(power, (0.2, 0.95))
            found += [
                _quantiles(click, _CLICK_QUANTILES),
                torch.stack([10.0 * torch.sigmoid(2.0 * (click - least)).mean(1) for least in _CLICK_DB], 1),
                spread[:, 1:] - spread[:, :1],
                _quantiles(curvature.abs(), _CURVATURE_QUANTILES),
                _peakedness(curvature)[:, None],
            ]
            means.append(torch.logsumexp(log_mel[..., first:last].float().flatten(1), 1) * _DB)
        if not self._colour:
            return torch.cat(found, 1)
        colour = torch.stack(means, 1)
        return torch.cat([*found, colour[:, 1:] - colour[:, :-1]], 1)


class ContrastNet(nn.Module):
    """Log-mel chunks to logits: statistics of contrast, and a perceptron on them.

    Parameters
    ----------
    config : ContrastConfig

    Attributes
    ----------
    mean, std : Tensor, shape (n_mels,)
        z-score of the training set, which ``forward`` takes back: statistics are in dB.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: ContrastConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("mean", torch.zeros(config.n_mels))
        self.register_buffer("std", torch.ones(config.n_mels))
        self.contrast = Contrast(config)
        self.input_norm = nn.BatchNorm1d(self.contrast.size)
        self.hidden = nn.Linear(self.contrast.size, config.hidden)
        self.hidden_norm = nn.BatchNorm1d(config.hidden)
        self.head = nn.Linear(config.hidden, config.n_classes)
        self.input_dropout, self.dropout = nn.Dropout(config.dropout / 2), nn.Dropout(config.dropout)

    def normalised(self, log_mel: Tensor) -> Tensor:
        """Return the z-score of raw log-mel frames (..., n_mels)."""
        return (log_mel - self.mean) / self.std

    def prepared(self, chunks: Tensor) -> Tensor:
        """Map raw log-mel chunks (B, T, n_mels) to statistics (B, size), which no weight has a part in."""
        return self.contrast(chunks)

    def classify(self, statistics: Tensor) -> Tensor:
        """Map statistics (B, size) to logits (B, n_classes)."""
        # Outliers are no evidence beyond a point.
        x = 2.0 * torch.tanh(self.input_norm(statistics) / 2.0)
        x = torch.relu(self.hidden_norm(self.hidden(self.input_dropout(x))))
        return self.head(self.dropout(x))

    def forward(self, log_mel: Tensor) -> tuple[Tensor]:
        """Map chunks (B, T, n_mels) of z-scores to logits (B, n_classes), in a tuple of one.

        Raises
        ------
        ConfigError
            If a chunk is too short for the averages along time.
        """
        frames, least = log_mel.shape[1], self.config.least_frames
        require(bool(frames >= least), "log_mel", f"chunks of at least {least} frames", int(frames))
        return (self.classify(self.prepared(log_mel * self.std + self.mean)),)

    def regularised(self) -> list[nn.Parameter]:
        """Return what weight decay is on."""
        return [self.hidden.weight, self.head.weight]

    def state_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the state between chunks: none."""
        return {}

    def initial_state(self, _batch: int) -> list[Tensor]:
        """Return the state before the first chunk: none."""
        return []


def _average(x: Tensor, length: int) -> Tensor:
    """Return the running mean of (B, C, N) along N; at the ends, of what is repeated there."""
    half = length // 2
    return functional.avg_pool1d(functional.pad(x, (half, half), mode="replicate"), length, 1)


def _background(x: Tensor, length: int) -> Tensor:
    """Return the running mean of (B, C, N) along N of what does not itself stand out; nearly a running median."""
    first = _average(x, length)
    second = _average(torch.minimum(x, first + 1.0), length)
    return _average(torch.minimum(x, second + 1.0), length)


def _quantiles(x: Tensor, quantiles: tuple[float, ...]) -> Tensor:
    """Return quantiles of (B, N) along N, shape (B, Q), linear between neighbours."""
    ordered = torch.sort(x, dim=1).values
    count = x.shape[1]
    rows = []
    for quantile in quantiles:
        place = quantile * (count - 1)
        below = min(int(place), count - 2)
        share = place - below
        rows.append((1.0 - share) * ordered[:, below] + share * ordered[:, below + 1])
    return torch.stack(rows, 1)


def _peakedness(x: Tensor) -> Tensor:
    """Return the logarithm of the kurtosis of (B, N) along N."""
    centred = x - x.mean(1, keepdim=True)
    square = (centred**2).mean(1)
    return torch.log((centred**4).mean(1).clamp_min(1e-6)) - 2.0 * torch.log(square.clamp_min(1e-3))
