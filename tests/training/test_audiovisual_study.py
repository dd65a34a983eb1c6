"""The study of fusion on rendered films, tiny, with the encoders that it stands on."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("av", reason="films are written with PyAV")

from streamsed.errors import ConfigError
from streamsed.metrics import Interval
from training.data.films import FilmConfig, ObjectConfig, write_part
from training.data.soundscapes import (
    ActivityConfig,
    Catalogue,
    EventConfig,
    SoundscapeConfig,
    active_parts,
)
from training.data.soundscapes.catalogue import SourceClip
from training.encoders import encoder_from_config
from training.features import Split, prepare
from training.fusion.extract import extract
from training.recipe import load_recipe
from training.studies import substitute_encoders
from training.studies.audiovisual import (
    ALL,
    COLLARS,
    DIFFERENCES,
    DROPOUT,
    ROWS,
    WITHOUT,
    collar_table,
    counted_by_collar,
    member_outputs,
    truth_of,
    variants,
)
from training.studies.clip_segment_event import METRICS, counted, tables
from training.studies.members import Outputs
from training.studies.substitute_encoders import CHUNKS, STILLS, accuracy, still_examples, train_tagger

RATE = 16000

# Of Lightning, about folders and data loaders.
pytestmark = pytest.mark.filterwarnings("ignore")
LABELS = ("dog_bark", "rain", "speech")


def tone(label: str, frequency: float) -> SourceClip:
    time = np.arange(2 * RATE) / RATE
    samples = (0.5 * ((time > 0.3) & (time < 1.2)) * np.cos(2 * np.pi * frequency * time)).astype(np.float32)
    return SourceClip(f"{label}.wav", label, samples, active_parts(samples, label, RATE, ActivityConfig()))


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """Both substitutes, made by the command with hardly any training."""
    folder = tmp_path_factory.mktemp("encoders")
    clips = folder / "clips"
    clips.mkdir()
    soundfile.write(clips / "one.wav", tone("rain", 900.0).samples, RATE)
    little = ["--examples", "64", "--checked", "16", "--epochs", "1", "--width", "4"]
    image = ["image", "--out", str(folder / "visual.onnx"), "--features", "6", *little]
    audio = ["audio", "--folder", f"rain={clips}", "--folder-fold", "1", *little]
    assert substitute_encoders.main(image) == 0
    assert substitute_encoders.main([*audio, "--out", str(folder / "auditory.onnx"), "--features", "5"]) == 0
    return folder


@pytest.fixture(scope="module")
def recipe(encoders, tmp_path_factory):
    root = tmp_path_factory.mktemp("films")
    clips = [tone(label, 400.0 * (number + 1)) for number, label in enumerate(LABELS)]
    config = FilmConfig(
        sound=SoundscapeConfig(scene_seconds=2.0, events=EventConfig(count_weights=(0, 1))),
        objects=ObjectConfig(off_screen_probability=0.0),
    )
    for part, supervision, seed in (
        ("train/weak", "weak", 1),
        ("train/unlabel_in_domain", "unlabelled", 2),
        ("validation/validation", "strong", 3),
        ("test/test", "strong", 4),
    ):
        catalogue = Catalogue(RATE, tuple(clips))
        write_part(root, part, catalogue, config, seed=seed, count=3, supervision=supervision)
    overrides = [
        f'data.root="{root}"',
        f'data.cache="{root / "cache"}"',
        f'fusion.cache="{root / "embeddings"}"',
        "net.shape={filters=[4, 4], pool_frames=[2, 1], pool_bands=[4, 8], hidden=4, layers=1}",
        "train.epochs=1",
        "train.warm_up_steps=1",
        "train.batch_size=4",
        "weak.weak=2",
        "weak.unlabelled=1",
        "weak.batches=2",
        "data.recordings.seconds=2.0",
        "fusion.auditory.features=5",
        "fusion.visual.features=6",
        f'fusion.auditory.encoder.file="{encoders / "auditory.onnx"}"',
        f'fusion.visual.encoder.file="{encoders / "visual.onnx"}"',
    ]
    recipe = load_recipe("audiovisual_films", overrides)
    extract(recipe)
    return recipe


def test_the_recipe_says_what_the_encoders_take(encoders):
    fusion = load_recipe("audiovisual_films").fusion
    for name, side, item in (("auditory", fusion.auditory, CHUNKS), ("visual", fusion.visual, STILLS)):
        encoder = encoder_from_config({**side.encoder, "file": str(encoders / f"{name}.onnx")})
        assert encoder.input == item
        facts = json.loads((encoders / f"{name}.json").read_text())
        assert facts["features"] == encoder.features
        assert facts["examples"] == 64
    assert json.loads((encoders / "visual.json").read_text())["accuracy_unseen"] is not None


def test_a_tagger_learns_what_is_in_a_still_picture():
    examples = still_examples(64, 1)
    assert examples.items.shape == (64, 3, 48, 64)
    assert examples.targets.sum(axis=1).tolist() == [1.0] * 64
    lines: list[str] = []
    tagger = train_tagger(examples, 16, epochs=24, seed=0, width=8, batch_size=16, report=lines.append)
    losses = [float(line.split()[-1]) for line in lines]
    assert losses[-1] < 0.5 * losses[0]
    assert accuracy(tagger, examples) > 4 / len(examples.labels)


def test_rows_are_those_of_table_3(recipe):
    rows = variants(recipe)
    assert [*rows] == [*ROWS, DROPOUT]
    assert len(ROWS) == 7 == len({frozenset(inputs) for inputs in ROWS.values()})
    assert rows["visual"].net_config.spectral is False
    assert [side.embedding for side in rows[ALL].net_config.sides] == [16, 4]
    assert [side.embedding for side in rows["auditory + visual"].net_config.sides] == [64, 16]
    assert rows[DROPOUT].fusion.visual.missing_clips > 0 == rows[ALL].fusion.visual.missing_clips
    with pytest.raises(ConfigError, match="fusion"):
        variants(dataclasses.replace(recipe, fusion=dataclasses.replace(recipe.fusion, visual=None)))


def test_a_member_is_trained_once_and_heard_with_and_without_pictures(recipe, tmp_path):
    found = member_outputs(variants(recipe)[ALL], tmp_path, ALL, 0)
    assert [*found] == ["", WITHOUT]
    assert found[""].clip.shape == (3, 11)
    assert found[""].posteriors.shape[::2] == (3, 11)
    assert not np.array_equal(found[""].posteriors, found[WITHOUT].posteriors)
    (checkpoint,) = tmp_path.glob("*/last.ckpt")
    made = checkpoint.stat().st_mtime_ns
    again = member_outputs(variants(recipe)[ALL], tmp_path, ALL, 0)
    np.testing.assert_array_equal(again[""].clip, found[""].clip)
    assert checkpoint.stat().st_mtime_ns == made


def all_knowing(recipe) -> Outputs:
    """What a network would say that knows every posterior frame."""
    films = prepare(recipe, Split.TEST)
    targets = np.stack([films[index].targets.numpy() for index in range(len(films))])
    return Outputs(targets, clip=targets.max(axis=1))


def test_truth_scores_full_marks(recipe):
    truth = truth_of(recipe)
    assert len(truth.events) == 3
    assert set(truth.durations().values()) == {2.0}
    counts = counted(recipe, truth, all_knowing(recipe))
    by_collar = counted_by_collar(recipe, truth, all_knowing(recipe))
    assert [*by_collar] == [*COLLARS]
    np.testing.assert_array_equal(by_collar[0.2], counts["event"])
    assert "| 100.0 [40.0, 100.0] |" in collar_table({ALL: {"0.2 s": Interval(1.0, 0.4, 1.0, 0.95, 10, 0)}})
    for kind, average in METRICS.values():
        assert average(counts[kind].sum(axis=0)) == pytest.approx(1.0)


def test_tables_have_every_row_and_difference():
    item = {
        metric: {"interval": Interval(0.5, 0.4, 0.6, 0.95, 10, 0), "seeds": (0.5, 0.1)} for metric in METRICS
    }
    item |= {"segment precision": 0.25, "segment recall": 0.75}
    difference = {metric: Interval(0.1, 0.0, 0.2, 0.95, 10, 0) for metric in METRICS}
    rows = [*ROWS, f"{ALL}; {WITHOUT}", DROPOUT, f"{DROPOUT}; {WITHOUT}"]
    found = {f"{first} − {second}": difference for first, second in DIFFERENCES}
    text = tables("3 test films, 2 seeds.", "inputs", dict.fromkeys(rows, item), found, "film")
    assert all(f"| {row} |" in text for row in [*rows, *found])
    assert all(first in rows and second in rows for first, second in DIFFERENCES)
    assert "50.0 [40.0, 60.0]" in text and "| 25, 75 |" in text
    assert "3 test films, 2 seeds. Mean over seeds, 95 % interval by film" in text
