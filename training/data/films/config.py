"""Settings of rendered films, as frozen dataclasses that a TOML file can fill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamsed.config import from_mapping, require
from training.data.films.drawings import DRAWINGS
from training.data.soundscapes import SoundscapeConfig


def _range(name: str, value: tuple[float, ...], low: float, high: float) -> tuple[float, ...]:
    pair = tuple(value)
    ordered = len(pair) == 2 and low <= pair[0] <= pair[1] <= high
    require(ordered, name, f"two numbers in order, within [{low:g}, {high:g}]", list(pair))
    return pair


def _share(name: str, value: float) -> None:
    require(0 <= value <= 1, name, "a probability in [0, 1]", value)


@dataclass(frozen=True)
class PictureConfig:
    """The video.

    Parameters
    ----------
    width, height : int
        Pixels, even (H.264 halves the colours' resolution).
    rate_hz : int
        Pictures per second.
    quality : int
        Constant rate factor of H.264: 0 the best, 51 the worst.
    """

    width: int = 64
    height: int = 48
    rate_hz: int = 15
    quality: int = 20

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("width", "height"):
            value = getattr(self, name)
            require(16 <= value <= 1024 and value % 2 == 0, name, "an even number in [16, 1024]", value)
        require(1 <= self.rate_hz <= 120, "rate_hz", "in [1, 120]", self.rate_hz)
        require(0 <= self.quality <= 51, "quality", "in [0, 51]", self.quality)


@dataclass(frozen=True)
class ObjectConfig:
    """Who is in the picture, when, and how it moves; times in seconds.

    Parameters
    ----------
    off_screen_probability : float
        Share of the sounding objects that are not in the picture.
    distractor_weights : tuple of float
        Probability of 0, 1, 2, ... objects that make no sound, up to a factor.
    distractor_moves_probability : float
        Share of them that move all the same, once.
    still_probability : float
        Share of the sounding objects that do not move.
    whole_probability : float
        Share of the objects that are in the picture from its beginning to its end.
    lead_seconds, trail_seconds : tuple of float
        How long the others are there before and after they sound.
    delay_seconds : tuple of float
        How much later than its sound an object moves; one number for each object.
    jitter_seconds : float
        Largest deviation from it, for each event anew.
    size : tuple of float
        Height of an object as a share of the picture's.
    drawings : mapping of str to str
        By label, where a label has no drawing of its own name.
    """

    off_screen_probability: float = 0.25
    distractor_weights: tuple[float, ...] = (0.4, 0.4, 0.2)
    distractor_moves_probability: float = 0.3
    still_probability: float = 0.15
    whole_probability: float = 0.3
    lead_seconds: tuple[float, ...] = (0.3, 2.5)
    trail_seconds: tuple[float, ...] = (0.3, 2.5)
    delay_seconds: tuple[float, ...] = (-0.1, 0.15)
    jitter_seconds: float = 0.05
    size: tuple[float, ...] = (0.35, 0.7)
    drawings: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field."""
        weights = tuple(self.distractor_weights)
        object.__setattr__(self, "distractor_weights", weights)
        usable = min(weights, default=-1) >= 0 < sum(weights)
        require(usable, "distractor_weights", "numbers >= 0, one of them > 0", list(weights))
        for name in ("off_screen", "distractor_moves", "still", "whole"):
            _share(f"{name}_probability", getattr(self, f"{name}_probability"))
        for name, low, high in (
            ("lead_seconds", 0, 3600),
            ("trail_seconds", 0, 3600),
            ("delay_seconds", -10, 10),
            ("size", 0.1, 2),
        ):
            object.__setattr__(self, name, _range(name, getattr(self, name), low, high))
        require(0 <= self.jitter_seconds <= 10, "jitter_seconds", "in [0, 10]", self.jitter_seconds)
        for label, drawing in self.drawings.items():
            require(drawing in DRAWINGS, f"drawings.{label}", f"one of {sorted(DRAWINGS)}", drawing)

    def drawing(self, label: str) -> str:
        """Return the name of the drawing of a label.

        Raises
        ------
        ConfigError
            If it has none.
        """
        name = self.drawings.get(label, label)
        expected = f"one of {sorted(DRAWINGS)}, as a label without a drawing of its own name needs"
        require(name in DRAWINGS, f"objects.drawings.{label}", expected, None)
        return name


@dataclass(frozen=True)
class CameraConfig:
    """What the camera does to all of a picture.

    Parameters
    ----------
    shake_pixels : tuple of float
        Amplitude of its movement by hand, drawn for each film.
    light : tuple of float
        Brightness of a film.
    light_change : float
        Largest relative change of it during the film.
    noise : tuple of float
        Standard deviation of the sensor's noise as a share of white.
    clutter : int
        Most patches of other colours in the background.
    """

    shake_pixels: tuple[float, ...] = (0.0, 1.5)
    light: tuple[float, ...] = (0.6, 1.15)
    light_change: float = 0.2
    noise: tuple[float, ...] = (0.0, 0.06)
    clutter: int = 5

    def __post_init__(self) -> None:
        """Check every field."""
        for name, high in (("shake_pixels", 32), ("light", 4), ("noise", 1)):
            object.__setattr__(self, name, _range(name, getattr(self, name), 0, high))
        require(0 <= self.light_change <= 1, "light_change", "in [0, 1]", self.light_change)
        require(0 <= self.clutter <= 100, "clutter", "in [0, 100]", self.clutter)


@dataclass(frozen=True)
class FilmConfig:
    """Everything that decides what a film is, apart from the clips and the seed.

    Parameters
    ----------
    sound
        Settings of the mixer, see :class:`training.data.soundscapes.SoundscapeConfig`.
    picture, objects, camera
        The sections above.
    """

    sound: SoundscapeConfig = field(default_factory=SoundscapeConfig)
    picture: PictureConfig = field(default_factory=PictureConfig)
    objects: ObjectConfig = field(default_factory=ObjectConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)


def config_from_mapping(values: Mapping[str, Any], where: str = "films") -> FilmConfig:
    """Build the configuration from what a TOML file gives.

    Raises
    ------
    ConfigError
        An unknown key or a value out of range; the message names it with its path.
    """
    return from_mapping(FilmConfig, values, where)
