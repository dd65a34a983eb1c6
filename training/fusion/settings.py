"""What is fused with the log-mels: the section ``[fusion]`` of a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from streamsed.config import require
from training.nets.fusion_crnn import SideInput

SPECTRAL = "spectral"
# Side inputs in the order in which networks and bundles have them.
SIDES = ("auditory", "visual")
# Widths that embeddings are projected to, beside log-mels and without them (section 3 of the paper).
EMBEDDINGS = {"auditory": (16, 64), "visual": (4, 16)}


@dataclass(frozen=True)
class SideSettings:
    """One side input.

    Parameters
    ----------
    features : int
        D, of an embedding.
    encoder : mapping
        What makes embeddings, see :func:`training.encoders.encoder_from_config`.
    embedding : int
        Width that they are projected to; 0: that of the paper.
    max_age_seconds : float
        An embedding that is older counts as absent.
    missing_clips, missing_spans : float
        Modality dropout: the share of the training clips that are without the side input, and of those that are without
        it for a time.
    """

    features: int
    encoder: Mapping[str, Any] = field(default_factory=dict)
    embedding: int = 0
    max_age_seconds: float = 0.25
    missing_clips: float = 0.0
    missing_spans: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        require(self.features >= 1, "features", "at least 1", self.features)
        require(self.embedding >= 0, "embedding", "0 or more", self.embedding)
        require(self.max_age_seconds > 0, "max_age_seconds", "seconds above 0", self.max_age_seconds)
        for name in ("missing_clips", "missing_spans"):
            require(0 <= getattr(self, name) <= 1, name, "a share in [0, 1]", getattr(self, name))


@dataclass(frozen=True)
class FusionSettings:
    """What the network gets.

    Parameters
    ----------
    inputs : tuple of {"spectral", "auditory", "visual"}
        At least one of them; the order does not matter.
    cache : str
        Folder of the extracted embeddings.
    alignment : {"time", "index"}
        "time": each posterior frame gets the newest embedding that is known by then, as in a stream. "index": embedding
        number i goes with posterior frame i, as in the paper; it looks ahead, and cannot be exported.
    missing_seconds : tuple of float
        Shortest and longest time that a side input is missing for, of ``missing_spans``.
    auditory, visual : SideSettings, optional
        Needed of what is among the inputs; the others may be there, so that an override can choose.
    """

    inputs: tuple[str, ...] = (SPECTRAL,)
    cache: str = "work_data/embeddings"
    alignment: Literal["time", "index"] = "time"
    missing_seconds: tuple[float, ...] = (0.5, 4.0)
    auditory: SideSettings | None = None
    visual: SideSettings | None = None

    def __post_init__(self) -> None:
        """Check that there are inputs, and what belongs to each."""
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "missing_seconds", tuple(self.missing_seconds))
        known = (SPECTRAL, *SIDES)
        usable = set(self.inputs) <= set(known) and 1 <= len(set(self.inputs)) == len(self.inputs)
        require(usable, "inputs", f"some of {list(known)}, each once", list(self.inputs))
        require(self.alignment in ("time", "index"), "alignment", "time or index", self.alignment)
        spans = self.missing_seconds
        ordered = len(spans) == 2 and 0 < spans[0] <= spans[-1]
        require(ordered, "missing_seconds", "a shortest and a longest time above 0", spans)
        for name in SIDES:
            there = name not in self.inputs or getattr(self, name) is not None
            require(there, f"fusion.{name}", "a section, as it is among the inputs", None)

    @property
    def spectral(self) -> bool:
        """Whether log-mels are among the inputs."""
        return SPECTRAL in self.inputs

    @property
    def sides(self) -> dict[str, SideSettings]:
        """The side inputs there are, by name, in their order."""
        found = {name: getattr(self, name) for name in SIDES if name in self.inputs}
        return {name: item for name, item in found.items() if item is not None}

    @property
    def net_sides(self) -> tuple[SideInput, ...]:
        """What the network is told of them."""
        return tuple(
            SideInput(name, side.features, side.embedding or EMBEDDINGS[name][not self.spectral])
            for name, side in self.sides.items()
        )
