"""The scenes of a recipe's splits, mixed on demand."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from streamsed.config import from_mapping, require
from training.data.soundscapes import (
    Catalogue,
    Clip,
    Holdout,
    Scene,
    SoundscapeConfig,
    audio_files,
    clips_from_csv,
    clips_from_folder,
    config_from_mapping,
    load_catalogue,
    make_scene,
    parse_columns,
    parse_speaker_folds,
    select_clips,
)
from training.labelled import LabelledScene, SupervisionShares
from training.recipe import ClipSource, Recipe
from training.skipping import readable_clips

# Shares of each long background's time, and what is added to the seed.
_SPLITS: Mapping[str, tuple[tuple[float, float], int]] = {
    "train": ((0.0, 0.6), 0),
    "validation": ((0.6, 0.8), 1_000_000),
    "test": ((0.8, 1.0), 2_000_000),
}


_CONDITION_SEEDS = 10_000_000


class Scenes(Protocol):
    """A numbered series of scenes that can be sent to another process."""

    def fingerprint(self) -> Any:
        """Everything that the scenes depend on, for cache keys."""

    def scene(self, index: int) -> Scene:
        """Return scene ``index``; the same wherever and in whatever order it is made."""

    def make(self, index: int) -> LabelledScene:
        """Return samples and events of scene ``index``."""


@dataclass(frozen=True)
class Condition:
    """Where scenes play: ``[scenes.conditions.<name>]`` of a recipe.

    Parameters
    ----------
    in_domain : bool
        Whether the training hears it. Conditions that it does not hear are for tests, and may use all of the time of
        their backgrounds.
    backgrounds, impulse_responses : tuple of str, optional
        File names among those of the recipe; by default all, and none if empty.
    test_folds : tuple of int
        Of the clips of test scenes; empty: those of the recipe.
    settings : mapping
        Sections of :class:`training.data.soundscapes.SoundscapeConfig` that differ from the recipe's.
    """

    in_domain: bool = True
    backgrounds: tuple[str, ...] | None = None
    impulse_responses: tuple[str, ...] | None = None
    test_folds: tuple[int, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Turn the lists of TOML into tuples."""
        for name in ("backgrounds", "impulse_responses", "test_folds"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else tuple(value))


class SceneMaker:
    """Scenes of one mixer.

    Pickled without the decoded clips.

    Parameters
    ----------
    clips : list of Clip
    config : SoundscapeConfig
    backgrounds, impulse_responses : list of Path
        Recordings.
    seed : int
    """

    def __init__(
        self,
        clips: list[Clip],
        config: SoundscapeConfig,
        backgrounds: list[Path],
        impulse_responses: list[Path],
        seed: int,
    ) -> None:
        self._clips = clips
        self._config = config
        self._backgrounds = backgrounds
        self._impulse_responses = impulse_responses
        self._seed = seed
        self._catalogue: Catalogue | None = None

    def fingerprint(self) -> dict[str, Any]:
        """Everything that the scenes depend on, for cache keys."""
        clips = [(clip.path.name, clip.label, clip.fold) for clip in self._clips]
        config = dataclasses.asdict(self._config)
        # Settings that came later: without them the scenes are those of before, and so are their names.
        if not config["interference"]:
            del config["interference"]
        if not config["events"]["extend_seconds"]:
            del config["events"]["extend_seconds"]
        return {"clips": clips, "config": config, "seed": self._seed}

    def scene(self, index: int) -> Scene:
        """Return scene ``index`` with all that it was made from."""
        if self._catalogue is None:
            self._catalogue = load_catalogue(
                self._clips,
                self._config,
                backgrounds=self._backgrounds,
                impulse_responses=self._impulse_responses,
            )
        return make_scene(self._catalogue, self._config, self._seed, index)

    def make(self, index: int) -> LabelledScene:
        """Return samples and events of scene ``index``."""
        scene = self.scene(index)
        events = [(event.onset, event.offset, event.label) for event in scene.events]
        return LabelledScene(scene.samples, events)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_catalogue": None}


class TakingTurns:
    """Scenes of several mixers: the first one of each, then the second ones, and so on."""

    def __init__(self, makers: list[SceneMaker]) -> None:
        self._makers = makers

    def fingerprint(self) -> list[dict[str, Any]]:
        """Everything that the scenes depend on, for cache keys."""
        return [maker.fingerprint() for maker in self._makers]

    def scene(self, index: int) -> Scene:
        """Return scene ``index`` with all that it was made from."""
        number, which = divmod(index, len(self._makers))
        return self._makers[which].scene(number)

    def make(self, index: int) -> LabelledScene:
        """Return samples and events of scene ``index``."""
        number, which = divmod(index, len(self._makers))
        return self._makers[which].make(number)


class ScenesApart:
    """Scenes of one mixer or of another, as :meth:`training.labelled.SupervisionShares.is_apart` says."""

    def __init__(self, apart: Scenes, others: Scenes, shares: SupervisionShares) -> None:
        self._apart, self._others, self._shares = apart, others, shares

    def fingerprint(self) -> dict[str, Any]:
        """Everything that the scenes depend on, for cache keys."""
        return {
            "apart": self._apart.fingerprint(),
            "others": self._others.fingerprint(),
            "share": self._shares.apart,
        }

    def _of(self, index: int) -> Scenes:
        return self._apart if self._shares.is_apart(index) else self._others

    def scene(self, index: int) -> Scene:
        """Return scene ``index`` with all that it was made from."""
        return self._of(index).scene(index)

    def make(self, index: int) -> LabelledScene:
        """Return samples and events of scene ``index``."""
        return self._of(index).make(index)


def scene_samples(recipe: Recipe) -> int:
    """Samples of every scene of a recipe."""
    scenes = {**_mixer_settings(recipe), "sample_rate": recipe.front_end.sample_rate}
    return config_from_mapping(scenes).scene_samples


def conditions(recipe: Recipe) -> dict[str, Condition]:
    """Return the conditions of a recipe by name; none if its scenes are all of one kind.

    Raises
    ------
    ConfigError
        If a setting is unknown or no condition is in-domain.
    """
    found = {}
    for name, values in recipe.scenes.get("conditions", {}).items():
        own = {item.name for item in dataclasses.fields(Condition)} - {"settings"}
        settings = {key: value for key, value in values.items() if key not in own}
        given = {key: value for key, value in values.items() if key in own}
        found[name] = from_mapping(Condition, {**given, "settings": settings}, f"scenes.conditions.{name}")
    usable = not found or any(condition.in_domain for condition in found.values())
    require(usable, "scenes.conditions", "one with in_domain = true", sorted(found))
    return found


def scene_maker(recipe: Recipe, split: str, condition: str | None = None) -> Scenes:
    """Return the scenes of split "train", "validation" or "test".

    No clip, speaker or second of a background is in two of them. Without a holdout (the training of a model that ships)
    there is no validation split.

    Parameters
    ----------
    recipe : Recipe
        With ``scenes.conditions`` the scenes take turns with those that are in-domain. Sounds of
        ``scenes.interference`` are mixed in without labels, those of ``scenes.test_interference`` in the test alone.
    split : {"train", "validation", "test"}
    condition : str, optional
        Scenes of this one alone.

    Raises
    ------
    ConfigError
        If there is no such split or condition, or the condition is not in-domain and the split no test.
    """
    require(split in _SPLITS, "split", f"one of {sorted(_SPLITS)}", split)
    if split == "train" and recipe.data.supervision.apart:
        return _apart(recipe, condition)
    return _scenes(recipe, split, condition)


def _apart(recipe: Recipe, condition: str | None) -> ScenesApart:
    chosen, shares = recipe.data.train_folds, recipe.data.supervision
    others = tuple(fold for fold in chosen if fold not in shares.apart_folds)
    usable = set(shares.apart_folds) <= set(chosen) and bool(others)
    require(usable, "apart_folds", f"some of train_folds = {chosen}, not all", shares.apart_folds)
    apart, rest = (_scenes(recipe, "train", condition, folds) for folds in (shares.apart_folds, others))
    return ScenesApart(apart, rest, shares)


def _scenes(
    recipe: Recipe, split: str, condition: str | None, folds: tuple[int, ...] | None = None
) -> Scenes:
    known = conditions(recipe)
    # Numbers make the seeds differ: else an event would be at the same place in every condition.
    numbers = {name: number for number, name in enumerate(known)}
    if condition is not None:
        require(condition in known, "condition", f"one of {sorted(known)}", condition)
        heard = known[condition].in_domain or split == "test"
        require(heard, "condition", f"one that is in-domain, for split {split!r}", condition)
        return _maker(recipe, split, known[condition], numbers[condition], folds)
    if known:
        names = [name for name, item in known.items() if item.in_domain]
        return TakingTurns([_maker(recipe, split, known[name], numbers[name], folds) for name in names])
    return _maker(recipe, split, Condition(), 0, folds)


def _maker(
    recipe: Recipe, split: str, condition: Condition, number: int, folds: tuple[int, ...] | None
) -> SceneMaker:
    root = Path(recipe.data.root)
    clips = [clip for source in recipe.data.clips for clip in _clips(source, root)]
    if recipe.data.skip_bad:
        clips = readable_clips(clips)
    part, seed_offset = _SPLITS[split]
    if not condition.in_domain:
        part = (0.0, 1.0)
    holdout = Holdout.parse(recipe.data.holdout) if recipe.data.holdout else None
    if split == "test":
        clips = select_clips(clips, condition.test_folds or recipe.data.test_folds)
    elif split == "validation":
        clips = select_clips(clips, recipe.data.validation_folds, holdout, "held-out")
    else:
        clips = select_clips(clips, recipe.data.train_folds, holdout)
        if folds is not None:
            clips = select_clips(clips, folds)
        if holdout is None:
            part = (0.0, 1.0)
    settings = _mixer_settings(recipe)
    sections = {
        name: {**settings.get(name, {}), **condition.settings.get(name, {})}
        for name in {"events", "background", *condition.settings}
    }
    sections["background"]["part"] = part
    if split == "train":
        sections["events"]["speeds"] = recipe.data.train_speeds
    interference = list(settings.get("interference", ()))
    if split == "test":
        interference += recipe.scenes.get("test_interference", ())
    values = {
        "sample_rate": recipe.front_end.sample_rate,
        "labels": recipe.labels,
        "interference": interference,
    }
    config = config_from_mapping({**settings, **sections, **values})
    return SceneMaker(
        clips,
        config,
        _recordings(root / recipe.data.backgrounds, condition.backgrounds),
        _recordings(root / recipe.data.impulse_responses, condition.impulse_responses),
        recipe.data.seed + seed_offset + _CONDITION_SEEDS * number,
    )


def _mixer_settings(recipe: Recipe) -> dict[str, Any]:
    """Return what of ``[scenes]`` is the mixer's."""
    own = ("conditions", "test_interference")
    return {key: value for key, value in recipe.scenes.items() if key not in own}


def _recordings(folder: Path, names: tuple[str, ...] | None) -> list[Path]:
    if names is None:
        return audio_files(folder)
    missing = [name for name in names if not (folder / name).is_file()]
    require(not missing, "scenes.conditions", f"recordings of {folder}", missing)
    return [folder / name for name in names]


def _clips(source: ClipSource, root: Path) -> list[Clip]:
    if source.table:
        columns = parse_columns(source.columns) if source.columns else None
        return clips_from_csv(root / source.table, root / source.audio, columns)
    speakers = parse_speaker_folds(source.speaker_folds) if source.speaker_folds else None
    return clips_from_folder(root / source.audio, source.label, fold=source.fold, speaker_folds=speakers)
