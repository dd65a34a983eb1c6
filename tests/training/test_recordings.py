"""Recordings as the source of a recipe: what is made of them, and what is said where nothing can be."""

import dataclasses
import os
import pickle
import shutil

import numpy as np
import official_layouts as official
import pytest
import soundfile

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")

from streamsed.errors import ConfigError, FormatError
from training.__main__ import main
from training.data.adapters import load_label_map, read_excerpts
from training.features import Split, clock_of, prepare, scene_frames
from training.recipe import load_recipe
from training.recordings import recording_source
from training.skipping import SkippedWarning
from training.source import scene_source
from training.targets import frame_targets


@pytest.fixture
def root(tmp_path):
    return official.write_tut_joint(tmp_path / "tut")


def recipe_of(root, *overrides, name="open_environment"):
    """A recipe on a small copy, with excerpts of 1.5 s of its recordings of 4 s."""
    settings = [f"data.root={root}", "data.recordings.seconds=1.5", "data.workers=1"]
    return load_recipe(name, [*settings, f"data.cache={root}/../cache", *overrides])


def recordings_of(source):
    return {source.excerpt(index).recording.path.name for index in range(len(source))}


def test_labels_are_the_targets_of_the_map(root):
    assert recipe_of(root).labels == load_label_map("tut-open").targets
    assert len(recipe_of(root, name="duration_robust").labels) == 25


def test_scenes_are_divided_and_no_recording_is_on_two_sides(root):
    recipe = recipe_of(root)
    sources = {split.value: scene_source(recipe, split.value) for split in Split}
    names = {split: recordings_of(source) for split, source in sources.items()}
    assert names["train"] | names["validation"] == {
        "a029.wav",
        "a030.wav",
        "a031.wav",
        "b001.wav",
        "b002.wav",
    }
    assert not names["train"] & names["validation"]
    assert len(names["validation"]) == 1
    assert {"a001.wav", "219.wav", "b010_0_30.wav"} <= names["test"]
    assert "4 recordings of tut-joint in home, residential_area" in sources["train"].describe()


@pytest.mark.parametrize(
    ("overrides", "test"),
    [
        (
            ['data.recordings.split="fold"', "data.recordings.fold=1"],
            {"a001.wav", "a029.wav", "b010_0_30.wav", "b010_30_60.wav", "b001.wav"},
        ),
        (
            [
                'data.recordings.split="subset"',
                'data.recordings.train_subsets=["development"]',
                'data.recordings.test_subsets=["evaluation"]',
            ],
            {"219.wav"},
        ),
        (['data.recordings.split="recording"', "data.recordings.test=0.2"], None),
    ],
)
def test_other_ways_of_dividing(root, overrides, test):
    elsewhere = ["data.recordings.in_domain=[]", "data.recordings.out_of_domain=[]"]
    recipe = recipe_of(root, *elsewhere, *overrides)
    names = {split.value: recordings_of(scene_source(recipe, split.value)) for split in Split}
    assert all(names.values())
    assert not names["train"] & names["validation"] and not names["train"] & names["test"]
    assert test is None or names["test"] == test


def test_excerpts_of_training_are_equally_long_and_those_of_the_test_cover_everything_once(root):
    recipe = recipe_of(root)
    training, test = (scene_source(recipe, name) for name in ("train", "test"))
    assert {len(training.make(index).samples) for index in range(len(training))} == {24000}
    assert len(training) == 4 * 3
    last = training.excerpt(2)
    assert (last.start, last.duration) == (2.5, 1.5)
    seconds = sum(len(test.make(index).samples) for index in range(len(test))) / 16000
    expected = sum(soundfile.info(root / path).duration for path in _test_files())
    assert seconds == pytest.approx(expected, abs=1e-3)


def _test_files():
    yield f"{official.ARCHIVE_EVALUATION}/audio/219.wav"
    yield from (f"{official.ARCHIVE_2017}/audio/street/{name}.wav" for name in official.STREET)
    yield from (f"{official.ARCHIVE_SCENES}/audio/{name}.wav" for name in official.OFFICE)


def test_excerpts_are_those_of_the_adapters_in_any_order_and_process(root):
    recipe = recipe_of(root)
    source = scene_source(recipe, "test")
    there = pickle.loads(pickle.dumps(source))
    for index in (len(source) - 1, 0, 4):
        excerpt = source.excerpt(index)
        expected = [
            (piece, samples)
            for piece, samples in read_excerpts(excerpt.recording, 16000, 1.5)
            if piece.start == excerpt.start
        ]
        scene = source.make(index)
        np.testing.assert_array_equal(scene.samples, expected[0][1])
        np.testing.assert_array_equal(there.make(index).samples, scene.samples)
        assert scene.events == [tuple(event) for event in expected[0][0].annotations]


def test_features_are_those_of_the_front_end_and_interference_is_no_target(root):
    from streamsed.frontend import LogMel

    recipe = recipe_of(root)
    features, source = prepare(recipe, Split.TEST), scene_source(recipe, "test")
    assert len(features) == len(source)
    whole = next(i for i in range(len(source)) if source.excerpt(i).duration == 1.5 and source.make(i).events)
    scene = source.make(whole)
    log_mel, targets, *_ = features[whole]
    np.testing.assert_allclose(log_mel, LogMel(recipe.front_end)(scene.samples)[: len(log_mel)], rtol=1e-3)
    expected = frame_targets(scene.events, recipe.labels, len(targets), clock_of(recipe))
    np.testing.assert_array_equal(targets, expected)
    typing = next(
        i
        for i in range(len(source))
        if "keyboard typing" in {event.label for event in source.excerpt(i).interference}
    )
    assert not features[typing].targets.any()


def test_silence_follows_on_what_is_shorter(root):
    recipe = recipe_of(root)
    source = scene_source(recipe, "test")
    short = next(i for i in range(len(source)) if source.excerpt(i).duration < 1.4)
    log_mel = prepare(recipe, Split.TEST)[short].log_mel
    assert log_mel.shape == (scene_frames(recipe), 128)
    frames = len(source.make(short).samples) // 256
    assert (log_mel[: frames - 8].mean() > -15) and (log_mel[frames + 1 :] < -22).all()


@pytest.mark.parametrize("change", ["content", "annotation", "setting"])
def test_features_are_made_again_when_anything_they_depend_on_changes(root, change, tmp_path):
    recipe = recipe_of(root)
    prepare(recipe, Split.TEST)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    prepare(recipe, Split.TEST)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    path = root / official.ARCHIVE_2017 / "audio/street/a001.wav"
    if change == "content":
        official.write_audio(path, 4.0, channels=2, subtype="PCM_24")
        os.utime(path, ns=(1, 1))
    elif change == "annotation":
        table = root / "metadata_SEDandASC01/meta/meta_development.txt"
        table.write_text(table.read_text().replace("0.0\t2.0\tcar", "0.0\t1.0\tcar"))
    else:
        recipe = recipe_of(root, "data.recordings.seconds=1.0")
    prepare(recipe, Split.TEST)
    assert len(list((tmp_path / "cache").iterdir())) == 2


def damage(root, what):
    """Make one thing wrong; return what has to be said of it."""
    archive = root / official.ARCHIVE_2016
    table = root / "metadata_SEDandASC01/meta/meta_development.txt"
    lines = table.read_text().splitlines()
    if what == "line":
        lines[2] = lines[2].replace("\t0.5\t", "\tsoon\t").replace("\t1.5\t", "\tsoon\t")
        table.write_text("\n".join(lines) + "\n")
        return "meta_development.txt:3: expected onset and offset in seconds, got 'soon'"
    if what == "label":
        lines[1] = lines[1].rpartition("\t")[0] + "\tunicorn"
        table.write_text("\n".join(lines) + "\n")
        return "meta_development.txt:2: label 'unicorn' is not in the label map"
    if what == "short":
        official.write_audio(archive / "audio/home/a030.wav", 1.0, channels=2)
        return "a030.wav, got 0 to 3.5 s"
    if what == "unreadable":
        (archive / "audio/home/a030.wav").write_bytes(b"RIFF nothing of the kind")
        return "a030.wav"
    if what == "folder":
        shutil.rmtree(root / official.ARCHIVE_SCENES)
        return f"{official.ARCHIVE_SCENES}: no such folder; expected this archive"
    if what == "root":
        shutil.rmtree(root)
        return "tut: no such folder; expected the root of tut-joint"
    raise AssertionError(what)


@pytest.mark.parametrize("what", ["line", "label", "short", "unreadable", "folder", "root"])
def test_wrong_data_end_the_training_with_the_code_of_bad_input(root, tmp_path, what, capsys):
    says = damage(root, what)
    arguments = ["train", "--recipe", "open_environment", "--run", str(tmp_path / "run")]
    assert main([*arguments, "--set", f"data.root={root}", "--set", "data.workers=1"]) == 6
    assert says in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.ckpt"))


def test_only_unreadable_files_are_skipped_and_all_of_them_are_counted_and_named(root):
    damage(root, "unreadable")
    (root / official.ARCHIVE_2017 / "audio/street/a003.wav").write_bytes(b"")
    recipe = recipe_of(root, "data.skip_bad=true")
    with pytest.warns(SkippedWarning, match="left out 2 of 12 files") as warned:
        source = scene_source(recipe, "test")
    assert "a030.wav" in str(warned[0].message) and "a003.wav" in str(warned[0].message)
    assert "a003.wav" not in recordings_of(source)
    assert "2 unreadable files left out" in source.describe()
    damage(root, "line")
    with pytest.raises(FormatError, match=r"meta_development.txt:3"):
        scene_source(recipe, "test")


def test_a_file_that_is_cut_off_is_noticed_when_it_is_decoded(root):
    path = root / official.ARCHIVE_2017 / "audio/street/a001.wav"
    source = scene_source(recipe_of(root), "test")
    first = next(i for i in range(len(source)) if source.excerpt(i).recording.path == path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(FormatError, match=r"a001.wav: expected 4 s as its header says, got 1.99"):
        source.make(first)


def settings(layout, labels, **values):
    from training.recordings import RecordingSettings

    return RecordingSettings(layout, labels, **{"test": 0.3, **values})


def test_a_split_without_any_recording_is_named(root):
    recipe = recipe_of(root, "data.recordings.validation=0.0")
    with pytest.raises(ConfigError, match="expected at least one of 12 recordings for validation, got 0"):
        scene_source(recipe, "validation")
    assert not recipe.data.validates
    with pytest.raises(ConfigError, match="out_of_domain: expected scenes among"):
        scene_source(recipe_of(root, 'data.recordings.out_of_domain=["moon"]'), "train")
    with pytest.raises(ConfigError, match="split: expected one of"):
        scene_source(recipe, "testing")


def test_recordings_without_a_target_train_nothing(tmp_path):
    root = official.write_tut_sound_events(tmp_path / "tut", {"street": {"a": [], "b": [], "c": []}})
    asked = settings("tut-sound-events-2017", "tut")
    with pytest.raises(
        ConfigError, match=r"expected events of \['banging', .* in the 2 recordings of training"
    ):
        recording_source(dataclasses.replace(asked, validation=0.0), root, 16000, "train")


def test_labels_without_times_train_no_frames(tmp_path):
    root = official.write_desed(tmp_path / "desed")
    asked = settings(
        "desed",
        "desed",
        split="subset",
        test=0.0,
        train_subsets=("train/weak",),
        test_subsets=("train/synthetic21_train/soundscapes",),
        validation=0.0,
    )
    with pytest.raises(ConfigError, match="parts with strong labels for train"):
        recording_source(asked, root, 16000, "train")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['data.recordings.split="fold"'], "in_domain: expected none for split = 'fold'"),
        (["data.recordings.fold=2"], "fold: expected none for split = 'scene', got 2"),
        (["data.recordings.in_domain=[]"], r"in_domain: expected a value for split = 'scene', got \(\)"),
        (["data.recordings.split=random"], "split: expected one of"),
        (["data.recordings.seconds=0"], "seconds: expected a length in"),
        (["data.recordings.validation=1.0"], "validation: expected a share in"),
        (["data.recordings.labels=nothing"], "labels: expected a TOML file or one of"),
        (["data.recordings.layuot=desed"], r"unknown \['layuot'\]"),
        (['data.clips=[{audio="a", label="b", fold=1}]'], "clips: expected none beside data.recordings"),
        (["train.warm_up_epochs=300"], "warm_up_epochs: expected in"),
        (["train.keep=worst"], "keep: expected"),
        (["post.threshold_on=2"], "threshold_on: expected in"),
    ],
)
def test_settings_that_do_not_fit_are_named(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load_recipe("open_environment", overrides)


def test_an_override_below_a_section_leaves_the_name_of_the_recipe():
    assert load_recipe("duration_robust", ["data.recordings.fold=2"]).name == "duration_robust"


def test_bands_in_which_nothing_was_recorded_can_be_divided_by(root):
    # Recorded at 8 kHz, resampled to 16 kHz: nothing is in the upper bands.
    mean, std = prepare(recipe_of(root), Split.TRAIN).statistics()
    assert mean[-1] < -20
    assert float(std.min()) == pytest.approx(0.1)
    assert std[:64].min() > 0.3
