"""What every command that mixes scenes asks for: clips, backgrounds, impulse responses and settings."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from streamsed.config import require
from streamsed.errors import ConfigError, FormatError
from training.data.soundscapes.catalogue import Catalogue, load_catalogue
from training.data.soundscapes.clips import (
    Clip,
    Holdout,
    audio_files,
    clips_from_csv,
    clips_from_folder,
    parse_columns,
    parse_speaker_folds,
    select_clips,
)
from training.data.soundscapes.config import SoundscapeConfig, config_from_mapping


def add_material_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what scenes are mixed from."""
    clips = parser.add_argument_group("clips")
    clips.add_argument(
        "--clips", metavar="CSV", action="append", default=[], help="table of clips (repeatable)"
    )
    clips.add_argument(
        "--audio",
        metavar="DIR",
        action="append",
        default=[],
        help="folder of its audio, one for each --clips",
    )
    clips.add_argument(
        "--columns",
        metavar="NAMES",
        help="file=...,label=...,fold=...,origin=...,layout=... where the usual names do not fit",
    )
    clips.add_argument(
        "--folder",
        metavar="LABEL=DIR",
        action="append",
        default=[],
        help="recordings of one label (repeatable)",
    )
    clips.add_argument("--folder-fold", metavar="N", type=int, help="the fold of all of them")
    clips.add_argument("--speaker-folds", metavar="FOLDS", help='folds by speaker: "03,08=1;09,10=2"')
    clips.add_argument(
        "--speaker-characters", metavar="N", type=int, default=2, help="length of the speaker's name (2)"
    )
    clips.add_argument("--folds", metavar="N,N", help="folds to use (all)")
    clips.add_argument(
        "--holdout", metavar="FOLD:R/M", help="of that fold, set apart every M-th origin from R on"
    )
    clips.add_argument(
        "--select", choices=("rest", "held-out"), default="rest", help="which side of the holdout (rest)"
    )
    scene = parser.add_argument_group("where the scenes play")
    scene.add_argument(
        "--backgrounds", metavar="DIR", action="append", default=[], help="folder of backgrounds"
    )
    scene.add_argument(
        "--background-part", metavar="A-B", help="share of each long background's time (0.0-1.0)"
    )
    scene.add_argument(
        "--impulse-responses", metavar="DIR", action="append", default=[], help="folder of rooms"
    )


def material(options: argparse.Namespace, config: SoundscapeConfig, program: str) -> Catalogue:
    """Decode what those options name; clips without an active part are named on stderr, as a word of ``program``."""
    holdout = None if options.holdout is None else Holdout.parse(options.holdout)
    clips = select_clips(_clips(options), _folds(options.folds), holdout, options.select)
    catalogue = load_catalogue(
        clips,
        config,
        backgrounds=[path for folder in options.backgrounds for path in audio_files(folder)],
        impulse_responses=[path for folder in options.impulse_responses for path in audio_files(folder)],
    )
    if catalogue.without_activity:
        names = ", ".join(catalogue.without_activity)
        print(
            f"{program}: {len(catalogue.without_activity)} clips left out, no active part: {names}",
            file=sys.stderr,
        )
    return catalogue


def with_background_part(config: SoundscapeConfig, text: str | None) -> SoundscapeConfig:
    """Return the settings with what ``--background-part`` says."""
    if text is None:
        return config
    try:
        part = tuple(float(value) for value in text.split("-"))
    except ValueError:
        raise ConfigError(f"--background-part: expected A-B, got {text!r}") from None
    return replace(config, background=replace(config.background, part=part))


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a file of settings.

    Raises
    ------
    FormatError
        If the file cannot be read or is no TOML.
    ConfigError
        If Python is older than 3.11, which reads TOML.
    """
    try:
        import tomllib
    except ModuleNotFoundError:
        raise ConfigError(
            "config: expected Python 3.11 or newer, which reads TOML, got an older one"
        ) from None
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise FormatError(f"{path}: cannot be read as TOML: {error}") from None


def read_config(path: str | Path) -> SoundscapeConfig:
    """Read the settings of the mixer from a TOML file.

    Raises
    ------
    FormatError
        If the file cannot be read or is no TOML.
    ConfigError
        If it holds an unknown key or an unusable value, or Python is older than 3.11.
    """
    return config_from_mapping(read_toml(path), str(path))


def _clips(options: argparse.Namespace) -> list[Clip]:
    matched = len(options.audio) == len(options.clips)
    require(matched, "--audio", f"one folder for each of {len(options.clips)} --clips", len(options.audio))
    columns = None if options.columns is None else parse_columns(options.columns)
    clips = []
    for table, audio in zip(options.clips, options.audio, strict=True):
        clips += clips_from_csv(table, audio, columns)
    folds = None if options.speaker_folds is None else parse_speaker_folds(options.speaker_folds)
    for item in options.folder:
        label, _, folder = item.partition("=")
        require(label != "" and folder != "", "--folder", "LABEL=DIR", item)
        clips += clips_from_folder(
            folder,
            label,
            fold=options.folder_fold,
            speaker_folds=folds,
            speaker_characters=options.speaker_characters,
        )
    require(bool(clips), "--clips", "a table of clips, or --folder", "neither")
    return clips


def _folds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = text.split(",")
    require(all(part.strip().isdecimal() for part in parts), "--folds", "numbers such as 1,2,3", text)
    return [int(part) for part in parts]
