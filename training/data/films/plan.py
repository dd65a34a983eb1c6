"""Who is in the picture of a scene and when, drawn before any pixel is touched."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.data.films.config import FilmConfig, ObjectConfig
from training.data.films.drawings import Colour
from training.data.soundscapes import Scene

# The scene's sound is drawn from [seed, index].
_PICTURES = 77

Span = tuple[float, float]


@dataclass(frozen=True)
class FilmObject:
    """One object; times in seconds of the film, lengths as shares of the picture's height.

    Parameters
    ----------
    label, drawing : str
    sounds : bool
        Whether what is heard comes from it.
    moves : tuple of (float, float)
        When it moves.
    visible : (float, float)
        When it is in the picture.
    x, y : float
        Its centre, from the left and from the top, as shares of width and height.
    size : float
    mirrored : bool
    colour : (red, green, blue)
        Of its body, in [0, 1].
    rate_hz : float
        Of its movement.
    phase : float
        Of it at time 0, in radians.
    """

    label: str
    drawing: str
    sounds: bool
    moves: tuple[Span, ...]
    visible: Span
    x: float
    y: float
    size: float
    mirrored: bool
    colour: Colour
    rate_hz: float
    phase: float


@dataclass(frozen=True)
class CameraPlan:
    """What the camera does, and the background: ``seed`` decides its patches, the shaking and the noise.

    Parameters
    ----------
    seed : int
    shake_pixels, light, noise : float
    light_at : (float, float)
        Relative brightness at the film's beginning and end.
    """

    seed: int
    shake_pixels: float
    light: float
    light_at: tuple[float, float]
    noise: float


@dataclass(frozen=True)
class FilmPlan:
    """Everything about the pictures of one scene; ``off_screen`` counts sounding objects that are in none."""

    camera: CameraPlan
    objects: tuple[FilmObject, ...]
    off_screen: int


def draw_film(scene: Scene, config: FilmConfig) -> FilmPlan:
    """Draw the pictures of a scene; they follow from its seed and index, and change nothing of its sound.

    Raises
    ------
    ConfigError
        If a label has no drawing.
    """
    rng = np.random.default_rng([scene.plan.seed, scene.plan.index, _PICTURES])
    rate, seconds = config.sound.sample_rate, config.sound.scene_seconds
    sounds = []
    for event in scene.plan.events:
        spans = [(max(start / rate, 0.0), min(stop / rate, seconds)) for start, stop in event.spans]
        sounds.append((event.label, [span for span in spans if span[0] < span[1]]))
    return draw_pictures(rng, sounds, config)


def draw_pictures(
    rng: np.random.Generator, sounds: Sequence[tuple[str, Sequence[Span]]], config: FilmConfig
) -> FilmPlan:
    """Draw the pictures of any sounds: one object for each label and the times (s) at which it sounds.

    Raises
    ------
    ConfigError
        If a label has no drawing.
    """
    chosen, seconds = config.objects, config.sound.scene_seconds
    objects, off_screen = [], 0
    for label, spans in sounds:
        item = _draw_object(rng, label, spans, seconds, chosen, sounds=True)
        if rng.random() < chosen.off_screen_probability:
            off_screen += 1
        else:
            objects.append(item)
    weights = np.asarray(chosen.distractor_weights)
    labels = list(config.sound.labels) or sorted({label for label, _ in sounds}) or ["speech"]
    for _ in range(int(rng.choice(len(weights), p=weights / weights.sum()))):
        begin = rng.uniform(0, seconds)
        span = (begin, min(begin + rng.uniform(0.5, 3.0), seconds))
        label = labels[rng.integers(len(labels))]
        objects.append(_draw_object(rng, label, [span], seconds, chosen, sounds=False))
    order = rng.permutation(len(objects))
    return FilmPlan(_draw_camera(rng, config), tuple(objects[number] for number in order), off_screen)


def _draw_object(
    rng: np.random.Generator,
    label: str,
    spans: Sequence[Span],
    seconds: float,
    config: ObjectConfig,
    *,
    sounds: bool,
) -> FilmObject:
    delay = rng.uniform(*config.delay_seconds)
    jitters = rng.uniform(-config.jitter_seconds, config.jitter_seconds, len(spans))
    still = rng.random() < (config.still_probability if sounds else 1 - config.distractor_moves_probability)
    moves = tuple(
        (max(start + delay + jitter, 0.0), min(stop + delay + jitter, seconds))
        for (start, stop), jitter in zip(spans, jitters.tolist(), strict=True)
    )
    visible = (
        max(spans[0][0] - rng.uniform(*config.lead_seconds), 0.0),
        min(spans[-1][1] + rng.uniform(*config.trail_seconds), seconds),
    )
    if rng.random() < config.whole_probability:
        visible = (0.0, seconds)
    return FilmObject(
        label=label,
        drawing=config.drawing(label),
        sounds=sounds,
        moves=() if still else tuple(span for span in moves if span[0] < span[1]),
        visible=visible,
        x=rng.uniform(0.15, 0.85),
        y=rng.uniform(0.25, 0.75),
        size=rng.uniform(*config.size),
        mirrored=bool(rng.random() < 0.5),
        colour=draw_colour(rng),
        rate_hz=rng.uniform(2.5, 5.0),
        phase=rng.uniform(0, 2 * np.pi),
    )


def _draw_camera(rng: np.random.Generator, config: FilmConfig) -> CameraPlan:
    camera = config.camera
    change = camera.light_change
    return CameraPlan(
        seed=int(rng.integers(2**63)),
        shake_pixels=rng.uniform(*camera.shake_pixels),
        light=rng.uniform(*camera.light),
        light_at=(1 + rng.uniform(-change, change), 1 + rng.uniform(-change, change)),
        noise=rng.uniform(*camera.noise),
    )


def draw_colour(rng: np.random.Generator) -> Colour:
    """Draw any colour that is neither very dark nor very pale."""
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.35, 1.0), rng.uniform(0.45, 0.95))
    return float(red), float(green), float(blue)
