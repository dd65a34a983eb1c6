import dataclasses

import pytest

pytest.importorskip("torch", reason="the recipes need the train extra")

from streamsed.errors import ConfigError
from training.recipe import RECIPES, SOUND_EVENTS, NetSettings, TrainSettings, load_recipe, recipe_task

NAMES = sorted(path.parent.name for path in RECIPES.glob("*/config.toml"))


@pytest.mark.parametrize("name", [name for name in NAMES if recipe_task(name) == SOUND_EVENTS])
def test_every_recipe_is_usable(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.folder.is_dir()
    assert len(set(recipe.labels)) == len(recipe.labels) > 0
    assert not set(recipe.data.train_folds) & set(recipe.data.test_folds)


def test_labels_of_everyday_are_in_the_order_that_is_promised():
    assert load_recipe("everyday").labels == (
        "baby_cry",
        "chainsaw",
        "clock_tick",
        "dog_bark",
        "fire_crackling",
        "helicopter",
        "person_sneeze",
        "rain",
        "rooster",
        "sea_waves",
        "speech",
    )


def test_overrides_are_toml_or_else_text():
    recipe = load_recipe(
        "everyday_start",
        [
            "train.epochs=3",
            "data.train_folds=[1, 2, 3, 4]",
            "data.root=/somewhere/else",
            'data.holdout=""',
            "augment.gain_db=[-20.0, 0.0]",
            "net.shape.hidden=64",
            "scenes.events.snr_db=[6.0, 30.0]",
        ],
    )
    assert recipe.train.epochs == 3
    assert recipe.data.train_folds == (1, 2, 3, 4)
    assert recipe.data.root == "/somewhere/else"
    assert recipe.data.holdout == ""
    assert recipe.augment.gain_db == (-20.0, 0.0)
    assert recipe.net_config.hidden == 64
    assert recipe.scenes == {"events": {"snr_db": [6.0, 30.0]}}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs=3", "--set: expected section.key=value"),
        ("train.epochs", "--set: expected section.key=value"),
        ("trian.epochs=3", "--set: expected a section among"),
        ("train.epoch=3", r"unknown \['epoch'\]"),
        ("train.epochs=many", "train.epochs: expected an integer, got 'many'"),
        ("train.schedule=linear", "schedule: expected one of"),
        ("train.cycles=5", "cycles: expected a divisor of epochs=24, got 5"),
        ("train.patience=-1", "patience: expected 0 or more epochs, got -1"),
        ("train.ema_decay=1.0", r"ema_decay: expected in \[0, 1\), got 1.0"),
        ("net.kind.a=1", "--set: expected a table called 'kind'"),
        ("net..hidden=1", "--set: expected section.key=value"),
        ("data.train_scenes=0", "train_scenes: expected at least 1, got 0"),
        ("front_end.windows=hann", r"unknown \['windows'\]"),
        ('data.clips=[{audio="a"}]', "table, label: expected one of them"),
        ('data.clips=[{audio="a", label="cough"}]', "fold, speaker_folds: expected one of them with a label"),
        ('data.clips=[{audio="a", table="t.csv", fold=1}]', "none with a table"),
        ('data.clips=[{audio="a", tabel="t.csv"}]', r"unknown \['tabel'\]"),
    ],
)
def test_bad_override_is_named(override, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe("everyday_start", [override])


def test_a_warm_up_in_epochs_follows_from_the_size_of_the_data():
    settings = TrainSettings(epochs=200, warm_up_epochs=50)
    assert settings.warm_up(200 * 7) == settings.settled(200 * 7) == 50 * 7
    assert dataclasses.replace(settings, settle_epochs=100).settled(200 * 7) == 100 * 7
    assert dataclasses.replace(settings, warm_up_epochs=0.0, warm_up_steps=30).warm_up(200 * 7) == 30


def test_unknown_recipe_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"recipe: expected one of \[.*'everyday'.*\], got 'nothing'"):
        load_recipe("nothing")


def test_command_line_answers_bad_settings_with_2(capsys):
    from training.__main__ import main

    assert main(["train", "--recipe", "everyday", "--set", "train.epoch=3"]) == 2
    assert "unknown ['epoch']" in capsys.readouterr().err


def test_clips_of_ones_own_are_named_in_the_recipe(clip_root):
    from training.scenes import scene_maker

    sources = '[{audio="esc10/audio", table="esc10/esc10.csv"}, {audio="emodb", label="whistle", fold=2}]'
    overrides = [
        f"data.root={clip_root}",
        f"data.clips={sources}",
        "data.holdout=1:0/3",
        "data.train_folds=[1, 2]",
    ]
    recipe = dataclasses.replace(load_recipe("everyday", overrides), labels=("high", "whistle"))
    clips = scene_maker(recipe, "train").fingerprint()["clips"]
    assert {label for _, label, _ in clips} == {"high", "low", "whistle"}
    assert {fold for *_, fold in clips} == {1, 2}
    assert {label for _, _, label in scene_maker(recipe, "train").make(1).events} <= {"high", "whistle"}


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (
            {"kind": "transformer"},
            r"net.kind: expected one of \['baseline_crnn', 'duration_crnn', 'fusion_crnn', 'streaming_crnn'\]",
        ),
        ({"shape": {"hiden": 3}}, r"unknown \['hiden'\]"),
        ({"shape": {"n_mels": 3}}, "net.shape: expected without"),
        ({"kind": "duration_crnn", "look_ahead_frames": 2}, "look_ahead_frames: expected 0 for a network"),
        ({"look_ahead_frames": 3}, "look_ahead_frames: expected a multiple of 2, got 3"),
        ({"look_ahead_frames": -2}, "look_ahead_frames: expected >= 0"),
    ],
)
def test_a_network_that_cannot_be_is_named(net, message):
    with pytest.raises(ConfigError, match=message):
        _ = dataclasses.replace(load_recipe("everyday"), net=NetSettings(**net)).net_config
