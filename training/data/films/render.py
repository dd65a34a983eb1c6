"""From a plan to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.data.films.config import FilmConfig
from training.data.films.drawings import DRAWINGS, Floats, Pose
from training.data.films.plan import CameraPlan, FilmObject, FilmPlan, Span, draw_colour, draw_film
from training.data.soundscapes import Catalogue, Scene, make_scene

Pictures = npt.NDArray[np.uint8]

# How long an object takes to move fully, to be at rest again, and to come into the picture.
_ATTACK_SECONDS = 0.06
_RELEASE_SECONDS = 0.12
_FADE_SECONDS = 0.15


@dataclass(frozen=True, eq=False)
class Film:
    """A scene with its pictures.

    Parameters
    ----------
    scene : Scene
        Sound and strong labels.
    pictures : ndarray, shape (n, height, width, 3), uint8
        RGB; picture i is that of the time i / rate_hz.
    plan : FilmPlan
    """

    scene: Scene
    pictures: Pictures
    plan: FilmPlan


def make_film(catalogue: Catalogue, config: FilmConfig, seed: int, index: int) -> Film:
    """Mix scene ``index`` of the series ``seed`` and render its pictures, without touching the disk.

    Parameters
    ----------
    catalogue : Catalogue
        From :func:`training.data.soundscapes.load_catalogue`.
    config : FilmConfig
        Its ``sound`` has the catalogue's sample rate.
    seed, index : int
        At least 0. The same ones give the same film, whichever process makes it and in whatever order.

    Raises
    ------
    ConfigError
        If they do not fit together, or a label has no drawing.
    """
    scene = make_scene(catalogue, config.sound, seed, index)
    plan = draw_film(scene, config)
    return Film(scene, render(plan, config), plan)


def picture_times(config: FilmConfig) -> npt.NDArray[np.float64]:
    """Return the time of every picture in seconds, shape (n,)."""
    rate = config.picture.rate_hz
    count = int(np.ceil(config.sound.scene_seconds * rate - 1e-9))
    return np.arange(count) / rate


def render(plan: FilmPlan, config: FilmConfig) -> Pictures:
    """Return the pictures of a plan, shape (n, height, width, 3), uint8."""
    times = picture_times(config)
    height, width = config.picture.height, config.picture.width
    rng = np.random.default_rng(plan.camera.seed)
    margin = int(np.ceil(config.camera.shake_pixels[1])) + 1
    wide = background(rng, height + 2 * margin, width + 2 * margin, config.camera.clutter)
    shake = _shaking(rng, len(times), config.picture.rate_hz, plan.camera.shake_pixels)
    pictures = np.stack(
        [
            wide[margin + down : margin + down + height, margin + right : margin + right + width]
            for right, down in shake.tolist()
        ]
    )
    for item in plan.objects:
        paint(pictures, item, times, shake)
    return _through_camera(pictures, plan.camera, rng)


def background(rng: np.random.Generator, height: int, width: int, clutter: int) -> Floats:
    """Draw a background: a gradient with patches of other colours, shape (height, width, 3) in [0, 1]."""
    top, bottom = np.array(draw_colour(rng)), np.array(draw_colour(rng))
    down = np.linspace(0, 1, height)[:, None, None]
    canvas = (top * (1 - down) + bottom * down) * np.ones((1, width, 1))
    v, u = np.mgrid[:height, :width]
    for _ in range(int(rng.integers(clutter + 1))):
        middle, half = rng.uniform(0, (height, width)), rng.uniform(0.05, 0.3, 2) * height
        across, along = np.abs(v - middle[0]) / half[0], np.abs(u - middle[1]) / half[1]
        inside = (np.maximum(across, along) if rng.random() < 0.5 else np.hypot(across, along)) < 1
        colour = 0.5 * np.array(draw_colour(rng)) + 0.5 * canvas[inside].mean(0) if inside.any() else 0
        canvas[inside] = colour
    return canvas.astype(np.float32)


def activity(spans: Sequence[Span], times: npt.NDArray[np.float64]) -> Floats:
    """Return how much an object moves that moves during ``spans``, shape (n,) in [0, 1]."""
    found = np.zeros(len(times))
    for start, stop in spans:
        rising = (times - start) / _ATTACK_SECONDS + 1
        falling = (stop - times) / _RELEASE_SECONDS + 1
        found = np.maximum(found, np.where(times < start, 0, np.clip(np.minimum(rising, falling), 0, 1)))
    return found.astype(np.float32)


def paint(
    pictures: Floats, item: FilmObject, times: npt.NDArray[np.float64], shake: npt.NDArray[np.int64]
) -> None:
    """Paint an object over pictures (n, height, width, 3), where it is there."""
    first, last = np.searchsorted(times, item.visible)
    last = max(last, first)
    fade = _fading(item.visible, times)[first:last, None, None]
    times, shake = times[first:last], shake[first:last]
    if not len(times):
        return
    height, width = pictures.shape[1:3]
    half = item.size * height / 2
    x, y = item.x * width, item.y * height
    reach = half * 1.25 + np.abs(shake).max() + 1
    left, right = max(int(x - reach), 0), min(int(x + reach) + 1, width)
    top, bottom = max(int(y - reach), 0), min(int(y + reach) + 1, height)
    v, u = np.mgrid[top:bottom, left:right].astype(np.float32) + np.float32(0.5)
    side = -1 if item.mirrored else 1
    moving = activity(item.moves, times)[:, None, None]
    pose = Pose(
        u=(side * (u - (x - shake[:, 0, None, None])) / half).astype(np.float32),
        v=((v - (y - shake[:, 1, None, None])) / half).astype(np.float32),
        edge=1 / half,
        activity=moving,
        phase=(item.phase + 2 * np.pi * item.rate_hz * times).astype(np.float32)[:, None, None],
        colour=item.colour,
    )
    region = pictures[first:last, top:bottom, left:right]
    for cover, colour in DRAWINGS[item.drawing](pose):
        opacity = (cover * fade)[..., None]
        region += opacity * (np.asarray(colour, np.float32) - region)


def _fading(visible: Span, times: npt.NDArray[np.float64]) -> Floats:
    """Return how much of an object is seen, shape (n,): it comes and goes quickly, unless the film begins or ends."""
    start, stop = visible
    coming = (times - start) / _FADE_SECONDS if start > times[0] else np.ones(len(times))
    going = (stop - times) / _FADE_SECONDS if stop <= times[-1] else np.ones(len(times))
    return np.clip(np.minimum(coming, going) + 0.3, 0, 1).astype(np.float32)


def _shaking(rng: np.random.Generator, count: int, rate_hz: int, pixels: float) -> npt.NDArray[np.int64]:
    """Return how far right and down the camera looks, in whole pixels, shape (n, 2)."""
    time = np.arange(count)[:, None] / rate_hz
    rates, phases = rng.uniform(0.3, 2.5, (2, 3)), rng.uniform(0, 2 * np.pi, (2, 3))
    waves = np.sin(2 * np.pi * time[:, :, None] * rates + phases).mean(2)
    return np.rint(pixels * waves).astype(np.int64)


def _through_camera(pictures: Floats, plan: CameraPlan, rng: np.random.Generator) -> Pictures:
    light = plan.light * np.linspace(*plan.light_at, len(pictures), dtype=np.float32)
    pictures *= light[:, None, None, None]
    pictures += np.float32(plan.noise) * rng.standard_normal(pictures.shape, np.float32)
    return np.rint(np.clip(pictures, 0, 1) * 255).astype(np.uint8)
