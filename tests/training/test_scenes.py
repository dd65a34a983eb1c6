"""Scenes of a recipe: interference without labels, conditions that the training hears and others."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from streamsed.errors import ConfigError

pytest.importorskip("torch", reason="the recipes need the train extra")

from training.scenes import conditions, scene_maker


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    """``low`` is the target, ``high`` interference, ``speech`` (1500 Hz) interference of the test alone."""
    return dataclasses.replace(
        tiny_recipe,
        labels=("low",),
        data=dataclasses.replace(tiny_recipe.data, test_folds=(3,), holdout="3:0/3", train_folds=(1, 2, 3)),
        scenes={
            "scene_seconds": 3.0,
            "interference": ["high"],
            "test_interference": ["speech"],
            "events": {"count_weights": [0.0, 1.0, 1.0, 1.0], "snr_db": [20.0, 30.0]},
            "background": {"file_weight": 0.0},
            "conditions": {
                "near": {"impulse_responses": []},
                "far": {"background": {"slope_db": [-6.0, -6.0]}},
                "abroad": {"in_domain": False, "test_folds": [4], "backgrounds": ["wind.wav"]},
            },
        },
    )


def sounds(maker, count=24):
    scenes = [maker.scene(index) for index in range(count)]
    return (
        {event.label for scene in scenes for event in scene.events},
        {event.label for scene in scenes for event in scene.interference},
    )


def test_interference_is_mixed_in_and_has_no_label(recipe):
    assert sounds(scene_maker(recipe, "train")) == ({"low"}, {"high"})
    assert sounds(scene_maker(recipe, "validation")) == ({"low"}, {"high"})
    assert sounds(scene_maker(recipe, "test", "near")) == ({"low"}, {"high", "speech"})


def test_interference_is_heard_where_it_is_said_to_be(recipe):
    maker = scene_maker(recipe, "train", "near")
    heard = 0
    for index in range(24):
        scene = maker.scene(index)
        made = maker.make(index)
        samples = made.samples
        np.testing.assert_array_equal(samples, scene.samples)
        assert made.events == [tuple(event) for event in scene.events]
        for onset, offset, _ in scene.interference:
            inside = samples[round(onset * 16000) : round(offset * 16000)]
            spectrum = np.abs(np.fft.rfft(inside * np.hanning(len(inside)))) ** 2
            hertz = np.fft.rfftfreq(len(inside), 1 / 16000)
            around = (hertz > 3000) & (hertz < 5000)
            heard += spectrum[around].sum() > 10 * np.median(spectrum) * around.sum()
    assert heard >= 10


def test_without_interference_a_scene_is_what_it_was(tiny_recipe):
    """Old settings draw the same scenes, and caches of them are found again."""
    plain = scene_maker(tiny_recipe, "train")
    assert "interference" not in plain.fingerprint()["config"]
    assert "extend_seconds" not in plain.fingerprint()["config"]["events"]
    with_none = dataclasses.replace(tiny_recipe, scenes={"interference": []})
    again = scene_maker(with_none, "train")
    assert again.fingerprint() == plain.fingerprint()
    assert again.scene(3).events == plain.scene(3).events


def test_scenes_take_turns_with_the_conditions_of_the_domain(recipe):
    both = scene_maker(recipe, "train")
    for number, name in enumerate(("near", "far")):
        alone = scene_maker(recipe, "train", name)
        for index in range(3):
            np.testing.assert_array_equal(both.scene(2 * index + number).samples, alone.scene(index).samples)
    assert both.scene(0).plan.events != both.scene(1).plan.events


def test_conditions_differ_by_what_they_say(recipe):
    plans = [scene_maker(recipe, "test", name).scene(5).plan for name in ("near", "far", "abroad")]
    assert all(event.impulse_response is None for event in plans[0].events)
    assert plans[1].background.noise is None or plans[1].background.noise.slope_db == -6.0
    known = conditions(recipe)
    assert [item.in_domain for item in known.values()] == [True, True, False]
    clips = {name: scene_maker(recipe, "test", name).fingerprint()["clips"] for name in known}
    assert {fold for _, _, fold in clips["near"]} == {3}
    assert {fold for _, _, fold in clips["abroad"]} == {4}


def test_a_foreign_condition_may_use_all_of_its_backgrounds(recipe):
    parts = {
        name: scene_maker(recipe, "test", name).fingerprint()["config"]["background"]["part"]
        for name in ("near", "abroad")
    }
    assert parts == {"near": (0.8, 1.0), "abroad": (0.0, 1.0)}


@pytest.mark.parametrize(
    ("changed", "split", "condition", "message"),
    [
        ({}, "test", "moon", "condition: expected one of .*'abroad', 'far', 'near'.*moon"),
        ({}, "train", "abroad", "condition: expected one that is in-domain.*abroad"),
        ({"conditions": {"a": {"in_domain": False}}}, "train", None, "in_domain = true"),
        ({"conditions": {"a": {"backgrounds": ["none.wav"]}}}, "train", None, "recordings of .*none.wav"),
        ({"conditions": {"a": {"evnts": {"snr_db": [0, 1]}}}}, "train", None, "evnts"),
        ({"interference": ["low"]}, "train", None, "interference: .*none of labels"),
        ({"interference": ["moo"]}, "train", None, "labels: .*moo"),
    ],
)
def test_conditions_that_cannot_be(recipe, changed, split, condition, message):
    wrong = dataclasses.replace(recipe, scenes={**recipe.scenes, **changed})
    with pytest.raises(ConfigError, match=message):
        scene_maker(wrong, split, condition).scene(0)
