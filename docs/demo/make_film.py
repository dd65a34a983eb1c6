"""Makes the demo film: `python docs/demo/make_film.py` writes scene.mp4, pictures to scene.flac, beside this file.

Run from a checkout. Every sound of scene.tsv is seen as a drawing that moves while it sounds, but for the helicopter,
which is only heard; a clock and a dog are also seen that make no sound. See docs/films.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from streamsed.annotations import read_event_list
from training.data.films import CameraConfig, FilmConfig, ObjectConfig, draw_pictures, render, write_mp4
from training.data.films.config import PictureConfig
from training.data.soundscapes import SoundscapeConfig

OFF_SCREEN = ("helicopter",)


def main() -> None:
    folder = Path(__file__).parent
    samples, rate = soundfile.read(folder / "scene.flac", dtype="float32")
    (events,) = read_event_list(folder / "scene.tsv").recordings.values()
    config = FilmConfig(
        sound=SoundscapeConfig(
            sample_rate=rate, scene_seconds=len(samples) / rate, labels=("clock_tick", "dog_bark")
        ),
        picture=PictureConfig(quality=26),
        objects=ObjectConfig(
            off_screen_probability=0.0,
            still_probability=0.0,
            whole_probability=0.0,
            distractor_weights=(0, 0, 1),
            delay_seconds=(0.0, 0.05),
            size=(0.5, 0.75),
        ),
        camera=CameraConfig(noise=(0.01, 0.01), light=(1.0, 1.0)),
    )
    sounds = [(item.label, [(item.onset, item.offset)]) for item in events if item.label not in OFF_SCREEN]
    plan = draw_pictures(np.random.default_rng(5), sounds, config)
    pictures = render(plan, config)
    write_mp4(
        folder / "scene.mp4", pictures, config.picture.rate_hz, samples, rate, quality=config.picture.quality
    )


if __name__ == "__main__":
    main()
