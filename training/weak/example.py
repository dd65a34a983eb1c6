"""A small data set of made-up sounds with weak labels: ``python -m training.weak.example DIR``.

Nobody's recordings are needed to see that the way from weak labels to a detector works; what it finds says nothing
about real sounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from streamsed.config import require
from streamsed.errors import OutputError
from training.command_line import run_command
from training.data.soundscapes import Clip, SoundscapeConfig, config_from_mapping, load_catalogue, make_scene
from training.data.soundscapes.tables import HEADS, table_rows

RATE = 16000
SECONDS = 8.0

Samples = npt.NDArray[np.float64]


class Part(NamedTuple):
    """A part of the data set: what its table says, how many clips, and which sounds are in them."""

    supervision: str
    clips: int
    fold: int


PARTS = {
    "train/weak": Part("weak", 160, 1),
    "train/unlabel_in_domain": Part("unlabelled", 320, 1),
    "validation/validation": Part("strong", 40, 2),
    "test/test": Part("strong", 80, 3),
}
# Different sounds of each label, by fold.
SOUNDS = {1: 40, 2: 12, 3: 20}


def bell(rng: np.random.Generator) -> Samples:
    """Partials that are no multiples of each other and die away."""
    t = _times(rng.uniform(0.5, 1.6))
    base, decay = rng.uniform(500, 1100), rng.uniform(2.5, 6.0)
    partials = [(1.0, 1.0), (2.76, 0.6), (5.4, 0.35), (8.9, 0.2)]
    return sum(
        level * np.sin(2 * np.pi * base * ratio * t) * np.exp(-decay * ratio**0.5 * t)
        for ratio, level in partials
    )


def hiss(rng: np.random.Generator) -> Samples:
    """Noise of the upper bands, with soft edges."""
    n = len(_times(rng.uniform(0.4, 2.0)))
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    low, high = rng.uniform(2000, 3500), rng.uniform(5000, 7500)
    noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * ((hertz > low) & (hertz < high)), n)
    return noise * np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.05 * RATE))


def knock(rng: np.random.Generator) -> Samples:
    """Short dull blows, one after the other."""
    count, apart = rng.integers(2, 6), rng.uniform(0.12, 0.22)
    t = _times(0.1)
    out = np.zeros(round((count * apart + 0.1) * RATE))
    tone = rng.uniform(120, 320)
    for number in range(count):
        blow = np.exp(-60 * t) * (np.sin(2 * np.pi * tone * t) + 0.3 * rng.standard_normal(len(t)))
        start = round(number * apart * RATE)
        out[start : start + len(t)] += rng.uniform(0.7, 1.0) * blow
    return out


def siren(rng: np.random.Generator) -> Samples:
    """A tone with harmonics that goes up and down."""
    t = _times(rng.uniform(0.8, 2.6))
    middle, depth, speed = rng.uniform(700, 1500), rng.uniform(0.2, 0.4), rng.uniform(0.8, 2.5)
    hertz = middle * (1 + depth * np.sin(2 * np.pi * speed * t + rng.uniform(0, 2 * np.pi)))
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    return sum(np.sin(k * phase) / k for k in (1, 2, 3))


MAKERS: dict[str, Callable[[np.random.Generator], Samples]] = {
    "bell": bell,
    "hiss": hiss,
    "knock": knock,
    "siren": siren,
}


def write_example(out: str | Path, seed: int = 0, parts: dict[str, Part] | None = None) -> Path:
    """Write clips of 8 s in the layout of DESED: tables below ``metadata``, sound below ``audio``, ``labels.toml``.

    Parameters
    ----------
    out : str or Path
        A folder that is not there yet.
    seed : int
    parts : dict of str to Part, optional
        By default :data:`PARTS`. No sound is in two folds.

    Raises
    ------
    OutputError
        If the folder is there, or cannot be written.
    """
    out = Path(out)
    if out.exists():
        raise OutputError(f"{out}: exists already; expected a folder that is made")
    values = {
        "sample_rate": RATE,
        "scene_seconds": SECONDS,
        "labels": tuple(MAKERS),
        "events": {"count_weights": (0.1, 0.4, 0.35, 0.15), "snr_db": (5.0, 25.0)},
    }
    config = config_from_mapping(values)
    try:
        with tempfile.TemporaryDirectory() as folder:
            clips = _write_sounds(Path(folder), seed)
            for number, (name, part) in enumerate((PARTS if parts is None else parts).items()):
                chosen = [clip for clip in clips if clip.fold == part.fold]
                _write_part(out, name, part, chosen, config, seed + 1000 * number)
        lines = ", ".join(f'"{label}"' for label in MAKERS)
        (out / "labels.toml").write_text(f"targets = [{lines}]\n", encoding="utf-8")
    except (OSError, soundfile.SoundFileError) as error:
        raise OutputError(f"{out}: cannot write: {error}") from None
    return out


def _write_sounds(folder: Path, seed: int) -> list[Clip]:
    clips = []
    for which, (label, make) in enumerate(MAKERS.items()):
        for fold, count in SOUNDS.items():
            for number in range(count):
                sound = make(np.random.default_rng((seed, which, fold, number)))
                quiet = np.zeros(RATE // 4)
                samples = np.concatenate([quiet, 0.5 * sound / np.abs(sound).max(), quiet])
                path = folder / f"{label}-{fold}-{number}.flac"
                soundfile.write(path, samples, RATE)
                clips.append(Clip(path, label, fold, path.stem))
    return clips


def _write_part(
    out: Path, name: str, part: Part, clips: list[Clip], config: SoundscapeConfig, seed: int
) -> None:
    catalogue = load_catalogue(clips, config, backgrounds=[], impulse_responses=[])
    audio, table = out / "audio" / name, out / "metadata" / f"{name}.tsv"
    audio.mkdir(parents=True)
    table.parent.mkdir(parents=True, exist_ok=True)
    rows = [HEADS[part.supervision]]
    for index in range(part.clips):
        scene = make_scene(catalogue, config, seed, index)
        filename = f"{name.rpartition('/')[2]}_{index:04d}.flac"
        soundfile.write(audio / filename, scene.samples, RATE, subtype="PCM_16")
        rows += table_rows(filename, scene, part.supervision)
    table.write_text("\n".join(rows) + "\n", encoding="utf-8")


def _times(seconds: float) -> Samples:
    return np.arange(round(seconds * RATE)) / RATE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code as the streamsed command line does."""
    parser = argparse.ArgumentParser(
        prog="python -m training.weak.example",
        description="Write a small data set of made-up sounds: weakly labelled, unlabelled, strongly labelled.",
    )
    parser.add_argument("out", metavar="DIR", help="folder that is made")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    return run_command("error", lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> None:
    require(arguments.seed >= 0, "--seed", "0 or more", arguments.seed)
    out = write_example(arguments.out, arguments.seed)
    for name, part in PARTS.items():
        print(f"{out}/audio/{name}: {part.clips} clips, {part.supervision}")


if __name__ == "__main__":
    sys.exit(main())
