"""What a training says of whole scenes, without a bundle: also of a recipe that no stream can follow."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader

from streamsed.metrics import clip_metrics, event_metrics, segment_metrics
from streamsed.postprocess import PostChain
from streamsed.tagging import pooled
from training.decoding import decode
from training.export import POST_FILE, read_post
from training.features import SceneItem, Split, clock_of, prepare
from training.labelled import Events
from training.module import SoundEventModule
from training.recipe import Recipe
from training.scene_batch import valid_frames
from training.source import scene_source
from training.train import load_trained

Floats = npt.NDArray[np.float32]

# A clip posterior that reaches it is a tag (section 2.2 of Boes and Van hamme).
TAG_THRESHOLD = 0.5
# What the paper's tables have.
PUBLISHED = ("clip_f1_micro", "segment_f1_micro", "event_f1_macro")


class Said(NamedTuple):
    """What a network says of a scene.

    Attributes
    ----------
    posteriors : ndarray, shape (T', K)
        Of the frames that the scene fills.
    clip : ndarray, shape (K,)
    """

    posteriors: Floats
    clip: Floats


def said_of(recipe: Recipe, module: SoundEventModule, split: Split) -> Iterator[Said]:
    """Yield what a trained network says of each scene of a split, in their order.

    Clip posteriors are pooled as in training, or by the linear softmax where nothing is.
    """
    loader: DataLoader[SceneItem] = DataLoader(prepare(recipe, split), batch_size=recipe.train.batch_size)
    for item in loader:
        with torch.inference_mode():
            if module.weak is not None:
                heard = module.weak.listen(module.net, item)
                posteriors, valid, clips = heard.posteriors, heard.valid, heard.clip.numpy()
            else:
                logits, _ = module.in_time(module.heads(item).logits, item.targets)
                posteriors, valid, clips = logits.sigmoid(), valid_frames(item, logits.shape[1]), None
        for i in range(len(posteriors)):
            frames: Floats = posteriors[i][valid[i]].numpy()
            yield Said(frames, pooled(frames) if clips is None else clips[i])


def offline_scores(
    recipe: Recipe, run: Path, split: Split = Split.TEST, checkpoint: str | None = None
) -> dict[str, float | None]:
    """Score a checkpoint on a split with strong labels, as Boes and Van hamme do (section 4.3.2).

    Decisions are those of the recipe's post-processing, tags the clip posteriors of 0.5 and more.

    Parameters
    ----------
    recipe : Recipe
    run : Path
        Folder of its training.
    split : Split
    checkpoint : str, optional
        By default the first one that would be exported.

    Returns
    -------
    dict
        Micro and macro F1 of clips, of segments of 1 s, and of events with a collar of 200 ms (of offsets, 20 % of the
        event where that is more); None where there is none.
    """
    module = load_trained(recipe, run, checkpoint or recipe.checkpoints[0])
    source, clock = scene_source(recipe, split.value), clock_of(recipe)
    chain = PostChain(recipe.labels, clock, read_post(recipe.folder / POST_FILE, recipe.post))
    reference: dict[str, Events] = {}
    estimated: dict[str, Events] = {}
    tags: dict[str, set[str]] = {}
    durations: dict[str, float] = {}
    for i, said in enumerate(said_of(recipe, module, split)):
        scene, name = source.make(i), str(i)
        reference[name] = list(scene.events)
        durations[name] = len(scene.samples) / recipe.front_end.sample_rate
        estimated[name] = decode(chain, said.posteriors)
        chosen = np.flatnonzero(said.clip >= TAG_THRESHOLD)
        tags[name] = {recipe.labels[k] for k in chosen}
    truth = {name: {label for _, _, label in events} for name, events in reference.items()}
    reports = {
        "clip": clip_metrics(truth, tags, labels=recipe.labels),
        "segment": segment_metrics(reference, estimated, labels=recipe.labels, durations=durations),
        "event": event_metrics(reference, estimated, labels=recipe.labels),
    }
    values = {
        f"{name}_f1_{kind}": getattr(report, kind).f1
        for name, report in reports.items()
        for kind in ("micro", "macro")
    }
    return {name: None if math.isnan(value) else round(value, 4) for name, value in values.items()}


def evaluate_offline(recipe: Recipe, run: Path) -> dict[str, dict[str, float | None]]:
    """Score a training on validation and test scenes, and write ``metrics.json`` to its folder."""
    splits = (Split.VALIDATION, Split.TEST) if recipe.data.validates else (Split.TEST,)
    metrics = {split.value: offline_scores(recipe, run, split) for split in splits}
    (run / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n")
    return metrics
