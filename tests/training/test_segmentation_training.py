"""Training of cycle segmenters, on a folder of tones."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.append(str(Path(__file__).parents[1]))

from icbhi_layout import write_icbhi, write_recording

from streamsed.bundle import SEGMENTER_LABELS, read_bundle
from streamsed.config import FrameClock
from streamsed.errors import ConfigError
from streamsed.segmentation import GridSegmenter
from training.request import Request
from training.segmentation.command import run as run_step
from training.segmentation.examples import Excerpts, WholeRecordings, bells
from training.segmentation.material import Breathing, breathing, negatives, sides
from training.segmentation.recipe import LABELS, load_segmentation_recipe
from training.segmentation.segmenters import cycles_of, true_cycles
from training.segmentation.sounds import contact_noise, steady_noise

RECIPE = "lung_segmenter"
TINY = (
    "data.negatives=[]",
    "data.generated=2",
    "data.holdout=0.5",
    "net.shape={channels=[4], band_strides=[8], hidden=8}",
    "excerpts.seconds=2.0",
    "excerpts.examples=4",
    "train.epochs=2",
    "train.batch_size=2",
    "train.warm_up_steps=1",
    "tune.decoder_trials=2",
    "tune.envelope_trials=1",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lungs")
    data = write_icbhi(folder / "icbhi_sc")
    for name in ("105_1b1_Al_sc_Meditron", "106_1b1_Al_sc_Meditron"):
        write_recording(
            data / "audio_and_txt_files", name, 4000, ((0.0, 1.3, 0, 0), (1.3, 2.1, 1, 0), (2.1, 3.0, 0, 1))
        )
        with (data / "train_test.txt").open("a") as file:
            file.write(f"{name}\ttrain\n")
    return folder


def recipe_of(root: Path, *overrides: str):
    return load_segmentation_recipe(RECIPE, [*TINY, f"data.root={str(root)!r}", *overrides])


def test_the_recipe_that_ships_can_be_read():
    recipe = load_segmentation_recipe(RECIPE)
    assert recipe.labels == LABELS == SEGMENTER_LABELS
    # Boundaries have to be known within half a second: look-ahead, wait, frames and a step of 40 ms.
    clock, stride_seconds = recipe.clock, recipe.clock.frame_seconds
    wait = round(recipe.decoder.wait_seconds / stride_seconds)
    known = clock.needed_samples(100 + recipe.delay + wait) / clock.sample_rate + 0.04
    assert known - clock.seconds(100) <= 0.47


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("net.kind=duration_crnn", "net"),
        ("net.look_ahead_frames=3", "look_ahead_frames: expected a multiple of 2, got 3"),
        ("augment.overlay_probability=0.3", "overlay_probability"),
        ("excerpts.seconds=0", "excerpts.seconds: expected above 0"),
        ("data.holdout=1.0", r"data.holdout: expected in \[0, 1\)"),
        ("excerpts.second=3", "unknown"),
    ],
)
def test_a_recipe_that_cannot_be(override, message):
    with pytest.raises(ConfigError, match=message):
        _ = load_segmentation_recipe(RECIPE, [override]).net_config


def test_nobody_is_on_two_sides(root):
    parts = sides(recipe_of(root))
    people = [{item.patient for item in side} for side in (parts.train, parts.validation, parts.test)]
    assert all(people)
    assert not people[0] & people[1] and not (people[0] | people[1]) & people[2]
    # The official list has patient 102 in both of its parts.
    assert parts.left_out == ("102",)


def test_examples_have_bells_where_cycles_begin(root):
    recipe = recipe_of(
        root,
        "data.holdout=0",
        "excerpts.negative_probability=0",
        "excerpts.overlay_probability=0",
        "excerpts.tempo=0",
        "excerpts.jitter_seconds=0",
        "excerpts.seconds=2.9",
    )
    lungs = breathing(sides(recipe).train, recipe)[:1]
    log_mel, targets = Excerpts(recipe, lungs, [])[3]
    assert log_mel.shape == (144, 32) and targets.shape == (72, 4)
    np.testing.assert_allclose(log_mel, lungs[0].log_mel[:144], atol=1e-4)
    assert targets[:, LABELS.index("lung_sound")].min() == 1
    whole = WholeRecordings(recipe, lungs)[0][1]
    clock = recipe.clock
    for boundary in lungs[0].boundaries[1:-1]:
        nearest = round((boundary - clock.shift_seconds) / clock.frame_seconds)
        assert targets[nearest, 0] > 0.95
        assert whole[nearest, 0] > 0.95


def test_examples_of_a_number_are_the_same_and_others_differ(root):
    recipe = recipe_of(root)
    excerpts = Excerpts(recipe, breathing(sides(recipe).train, recipe), negatives(recipe, held_out=True))
    first, again, other = excerpts[5], excerpts[5], excerpts[6]
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    for log_mel, targets in (excerpts[i] for i in range(20)):
        assert log_mel.isfinite().all()
        assert targets.min() >= 0 and targets.max() <= 1


def test_what_is_no_lung_sound_has_no_boundary(root):
    recipe = recipe_of(root, "excerpts.negative_probability=1")
    excerpts = Excerpts(recipe, breathing(sides(recipe).train, recipe), negatives(recipe, held_out=True))
    targets = torch.stack([excerpts[i][1] for i in range(10)])
    assert targets[..., :2].max() == 0
    assert targets[..., LABELS.index("contact_noise")].max() == 1


def test_held_out_negatives_are_not_trained_on(root):
    folder = root / "clips"
    folder.mkdir()
    import soundfile

    for name in ("a1.wav", "a2.wav", "b1.wav"):
        soundfile.write(folder / name, np.random.default_rng(0).normal(0, 0.1, 8000), 8000)
    source = '[{files="clips/*", kind="speech", held_out=["b*"]}]'
    recipe = recipe_of(root, f"data.negatives={source}")
    names = [
        {item.name for item in negatives(recipe, held) if item.kind == "speech"} for held in (False, True)
    ]
    assert names == [{"a1.wav", "a2.wav"}, {"b1.wav"}]
    with pytest.raises(ConfigError, match="files below"):
        negatives(recipe_of(root, 'data.negatives=[{files="nothing/*"}]'), False)


def test_bells():
    assert bells(np.zeros(0), 3, 1.0).tolist() == [0, 0, 0]
    values = bells(np.array([2.0, 6.0]), 9, 1.0)
    assert values[2] == values[6] == 1
    assert values[4] == pytest.approx(np.exp(-2))


def test_generated_sounds_are_loud_enough_and_finite():
    for sound in (contact_noise, steady_noise):
        samples = sound(np.random.default_rng(0), 3.0, 4000)
        assert samples.shape == (12000,) and samples.dtype == np.float32
        assert np.isfinite(samples).all() and samples.std() > 1e-3


def test_cycles_fill_a_recording():
    cycles = cycles_of(
        GridSegmenter(1.0, 0.02), np.zeros(260), FrameClock(4000, 80, 80), np.array([0.3, 5.1])
    )
    assert cycles[0] == (0.3, 1.0) and cycles[-1] == (4.0, 5.1)
    # The boundary at 5 s would leave a rest that is too short.
    assert len(cycles) == 5


def test_true_cycles_are_those_annotated(root):
    recipe = recipe_of(root)
    lungs: list[Breathing] = breathing(sides(recipe).test, recipe)
    for item in lungs:
        cycles = true_cycles([item])[item.recording.name]
        assert len(cycles) == len(item.boundaries) - 1


@pytest.mark.filterwarnings("ignore")
def test_from_a_folder_to_a_bundle(root, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("training.segmentation.recipe.RECIPES", tmp_path)
    (tmp_path / RECIPE).mkdir()
    overrides = (*TINY, f"data.root={str(root)!r}")
    request = Request("train", RECIPE, overrides, tmp_path / "run", tmp_path / "bundle")
    run_step(request)
    before = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"]
    assert before == 4
    # Continued, it has nothing left to do.
    run_step(request)

    start = tmp_path / "run" / "last.ckpt"
    settings = (*overrides, f"train.warm_start={str(start)!r}", "train.learning_rate=1e-12", "train.epochs=1")
    run_step(dataclasses.replace(request, overrides=settings, run=tmp_path / "warm"))
    weights = [
        torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]["net.gru.weight_hh_l0"]
        for folder in (tmp_path / "run", tmp_path / "warm")
    ]
    torch.testing.assert_close(*weights)

    run_step(dataclasses.replace(request, step="tune"))
    assert set(json.loads((tmp_path / RECIPE / "decoder.json").read_text())) == {"decoder"}
    assert set(json.loads((tmp_path / RECIPE / "baselines.json").read_text())) == {"envelope", "grid_seconds"}

    run_step(dataclasses.replace(request, step="evaluate", overrides=(*overrides, "data.holdout=0")))
    out = capsys.readouterr().out
    assert "test part of ICBHI-sc" in out and "| envelope | all (3) |" in out
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert set(metrics["segmenters"]) == {"crnn", "envelope", "grid"}
    assert metrics["posteriors_above_half"].keys() >= {"lung sounds", "digital silence"}

    run_step(dataclasses.replace(request, step="export"))
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.labels == LABELS
    assert bundle.streaming.kind == "causal" and bundle.look_ahead_frames == 12

    with pytest.raises(ConfigError, match="holdout"):
        run_step(dataclasses.replace(request, step="tune", overrides=(*overrides, "data.holdout=0")))
