"""Single pictures of single objects: what an image classifier that knows nothing of sound is trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.data.films.config import FilmConfig
from training.data.films.plan import FilmObject, draw_colour
from training.data.films.render import background, paint

# Films are drawn from [seed, index, 77].
_STILLS = 78
# Larger than in films, and nearer to the middle: a photograph of something.
_SIZE = (0.5, 1.0)
_MIDDLE = (0.35, 0.65)


def draw_still(label: str, config: FilmConfig, seed: int, index: int) -> npt.NDArray[np.uint8]:
    """Draw still picture ``index`` of the series ``seed``: one object at rest or caught in a movement.

    No film shares a number of its series with it, so nothing but the drawing is the same.

    Parameters
    ----------
    label : str
    config : FilmConfig
        Its picture's size, its drawings, and what its camera does.
    seed, index : int
        At least 0.

    Returns
    -------
    ndarray, shape (height, width, 3), uint8

    Raises
    ------
    ConfigError
        If the label has no drawing.
    """
    rng = np.random.default_rng([seed, index, _STILLS])
    height, width = config.picture.height, config.picture.width
    item = FilmObject(
        label=label,
        drawing=config.objects.drawing(label),
        sounds=False,
        moves=((0.0, 1.0),) if rng.random() < 0.5 else (),
        visible=(0.0, 1.0),
        x=rng.uniform(*_MIDDLE),
        y=rng.uniform(*_MIDDLE),
        size=rng.uniform(*_SIZE),
        mirrored=bool(rng.random() < 0.5),
        colour=draw_colour(rng),
        rate_hz=1.0,
        phase=rng.uniform(0, 2 * np.pi),
    )
    picture = background(rng, height, width, config.camera.clutter)[None]
    paint(picture, item, np.array([0.5]), np.zeros((1, 2), np.int64))
    picture *= np.float32(rng.uniform(*config.camera.light))
    picture += np.float32(rng.uniform(*config.camera.noise)) * rng.standard_normal(picture.shape, np.float32)
    return np.rint(np.clip(picture[0], 0, 1) * 255).astype(np.uint8)
