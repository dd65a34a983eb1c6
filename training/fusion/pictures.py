"""The pictures of test scenes, as a detector takes them."""

from __future__ import annotations

from collections.abc import Callable

from streamsed.detector import Detector
from streamsed.errors import FormatError
from streamsed.picture_feed import Pictures
from streamsed.sources.video import VideoFrames
from training.recipe import Recipe
from training.source import Source

Seen = Callable[[int], Pictures | None]


def scene_pictures(recipe: Recipe, source: Source, detector: Detector) -> Seen:
    """Return what gives the pictures of a scene by its number.

    They are decoded each time, as those of a whole data set would not fit into memory. There are none for a model that
    hears alone, of a recording without video and, with ``data.skip_bad``, of a video that cannot be read.
    """
    encoder = detector.image_encoder
    if encoder is None:
        return lambda _: None

    def seen(index: int) -> Pictures | None:
        excerpt = source.excerpt(index)
        if excerpt.recording.video is None:
            return None
        try:
            with VideoFrames(excerpt.recording.video, size=encoder.size, rate_hz=encoder.rate_hz) as frames:
                found = [(picture.image, picture.time_seconds - excerpt.start) for picture in frames]
        except FormatError:
            if recipe.data.skip_bad:
                return None
            raise
        inside = [(image, seconds) for image, seconds in found if 0 <= seconds < excerpt.duration]
        return [image for image, _ in inside], [seconds for _, seconds in inside]

    return seen
