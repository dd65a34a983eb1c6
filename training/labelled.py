"""A scene and what is known of it: its events, only which labels it has, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt

from streamsed.config import require
from training.data.adapters.recording import Supervision

Events = list[tuple[float, float, str]]

# The place of a supervision is its code in batches.
SUPERVISIONS: tuple[Supervision, ...] = get_args(Supervision)
STRONG, WEAK, UNLABELLED = range(3)


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """Samples, and what a training may know of them.

    Parameters
    ----------
    samples : ndarray, shape (n,), float32
    events : list of (onset, offset, label)
        In seconds; none unless the labels are strong.
    supervision : {"strong", "weak", "unlabelled"}
        ``"weak"``: only ``tags`` are known. ``"unlabelled"``: nothing is.
    tags : frozenset of str
        Labels somewhere in the scene. Of a strong scene they follow from its events.

    Raises
    ------
    ConfigError
        If something is given that the supervision does not have.
    """

    samples: npt.NDArray[np.float32]
    events: Events
    supervision: Supervision = "strong"
    tags: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Let the tags of a strong scene follow from its events."""
        known = self.supervision in SUPERVISIONS
        require(known, "supervision", f"one of {list(SUPERVISIONS)}", self.supervision)
        if self.supervision == "strong":
            require(not self.tags, "tags", "none beside events, which they follow from", sorted(self.tags))
            object.__setattr__(self, "tags", frozenset(label for _, _, label in self.events))
        else:
            require(not self.events, "events", f"none of a scene that is {self.supervision}", self.events)
            nothing = self.supervision == "weak" or not self.tags
            require(nothing, "tags", "none of an unlabelled scene", sorted(self.tags))

    def known_as(self, supervision: Supervision) -> LabelledScene:
        """Return the scene with less known of it.

        Raises
        ------
        ConfigError
            If this asks for what is not known.
        """
        weaker = SUPERVISIONS.index(supervision) >= SUPERVISIONS.index(self.supervision)
        require(weaker, "supervision", f"no more than {self.supervision}", supervision)
        if supervision == self.supervision:
            return self
        tags = self.tags if supervision == "weak" else frozenset()
        return LabelledScene(self.samples, [], supervision, tags)


@dataclass(frozen=True)
class SupervisionShares:
    """How much is told of mixed training scenes, ``[data.supervision]``; nothing of the rest.

    Parameters
    ----------
    strong, weak : float
        Shares of the scenes. Which they are follows from their numbers alone: the scenes that are weak with
        ``weak = 0.25`` are those that are strong with ``strong = 0.25``.
    apart : float
        Share of the scenes, again the same ones, that are mixed from clips of ``apart_folds`` alone, and the others
        without these: with ``apart = weak`` no sound that is labelled is heard in a scene that is not.
    apart_folds : tuple of int
        Some of the training folds, not all of them.
    """

    strong: float = 1.0
    weak: float = 0.0
    apart: float = 0.0
    apart_folds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check the shares."""
        object.__setattr__(self, "apart_folds", tuple(self.apart_folds))
        for name in ("strong", "weak", "apart"):
            require(0 <= getattr(self, name) <= 1, name, "a share in [0, 1]", getattr(self, name))
        total = self.strong + self.weak
        require(
            0 < total <= 1 + 1e-9, "strong, weak", "shares whose sum is in (0, 1]", (self.strong, self.weak)
        )
        both = (self.apart > 0) == bool(self.apart_folds)
        require(both, "apart, apart_folds", "both or neither", (self.apart, self.apart_folds))

    @property
    def all_strong(self) -> bool:
        """Whether everything is told of every scene."""
        return self.strong == 1

    def of(self, index: int) -> Supervision:
        """Return what is told of scene ``index``."""
        place = _place(index)
        if place < self.strong:
            return "strong"
        return "weak" if place < self.strong + self.weak else "unlabelled"

    def is_apart(self, index: int) -> bool:
        """Return whether scene ``index`` is mixed from clips of ``apart_folds``."""
        return _place(index) < self.apart


def _place(index: int) -> float:
    return float(np.random.default_rng(index).random())
