"""No recording on two sides, whatever the split; pieces that add up to the whole."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import official_layouts as official
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.errors import ConfigError, FormatError
from training.data.adapters import (
    Dataset,
    Fold,
    ReadOptions,
    Recording,
    Split,
    combine,
    cut,
    load_label_map,
    read_dataset,
    read_excerpts,
    split_by_fold,
    split_by_recording,
    split_by_scene,
    split_by_subset,
)
from training.data.soundscapes import SceneEvent
from training.sound import read_mono

SCENES = ("home", "office", "street")


def recording(number: int, identity: str, scene: str = "", subset: str = "", **others) -> Recording:
    return Recording(Path(f"{number:03d}.wav"), identity, scene, subset, 10.0, **others)


@st.composite
def recordings(draw):
    """Files of 2 to 30 recordings, each in one scene and of 1 to 4 files, in any order."""
    scenes = draw(st.lists(st.sampled_from(SCENES), min_size=2, max_size=30))
    files = [
        recording(4 * number + part, f"r{number}", scene)
        for number, scene in enumerate(scenes)
        for part in range(draw(st.integers(1, 4)))
    ]
    return draw(st.permutations(files))


def identities(side) -> set[str]:
    return {item.recording_id for item in side}


@settings(deadline=None, max_examples=25)
@given(recordings(), st.sampled_from([0.1, 0.125, 0.15, 0.5]), st.integers(0, 3))
def test_a_split_by_recording_divides_everything_and_shares_nothing(files, share, seed):
    split = split_by_recording(files, validation=share, seed=seed)
    sides = (split.train, split.validation, split.test)
    assert sorted(item.path for side in sides for item in side) == sorted(item.path for item in files)
    assert not identities(split.train) & identities(split.validation)
    total, held = len(identities(files)), len(identities(split.validation))
    assert held == min(max(round(share * total), 1), total - 1)
    # The order of the files decides nothing, the seed does.
    again = split_by_recording(sorted(files, key=lambda item: item.path), validation=share, seed=seed)
    assert identities(again.validation) == identities(split.validation)


@settings(deadline=None, max_examples=25)
@given(recordings())
def test_every_scene_is_held_out_in_proportion(files):
    split = split_by_recording(files, validation=0.25)
    total, held = len(identities(files)), len(identities(split.validation))
    for scene in SCENES:
        of_scene = len(identities(item for item in files if item.scene == scene))
        of_held = len(identities(item for item in split.validation if item.scene == scene))
        assert abs(of_held - of_scene * held / total) < 1


@settings(deadline=None, max_examples=25)
@given(recordings())
def test_validation_and_test_are_shares_of_all(files):
    if len(identities(files)) < 10:
        return
    split = split_by_recording(files, validation=0.2, test=0.2, seed=1)
    total = len(identities(files))
    for side in (split.validation, split.test):
        assert abs(len(identities(side)) - 0.2 * total) <= 1
    assert len(split.train) + len(split.validation) + len(split.test) == len(files)


def test_seeds_differ():
    files = [recording(number, f"r{number}") for number in range(40)]
    drawn = {frozenset(identities(split_by_recording(files, seed=seed).validation)) for seed in range(5)}
    assert len(drawn) == 5


@settings(deadline=None, max_examples=25)
@given(recordings())
def test_a_split_by_scene_keeps_the_domains_apart(files):
    present = sorted({item.scene for item in files})
    if len(present) < 2 or len(identities(item for item in files if item.scene == present[0])) < 2:
        return
    split = split_by_scene(files, in_domain=present[:1], out_of_domain=present[1:2])
    assert {item.scene for item in (*split.train, *split.validation)} == {present[0]}
    assert {item.scene for item in split.test} == {present[1]}
    assert not identities(split.train) & identities(split.validation)
    assert split.train
    assert split.validation


def test_in_domain_and_out_of_domain_as_in_the_open_environment(tmp_path):
    root = official.write_tut_joint(tmp_path)
    dataset = read_dataset("tut-joint", root, ReadOptions(labels=load_label_map("tut-open")))
    split = split_by_scene(
        dataset.recordings,
        in_domain=["home", "residential_area"],
        out_of_domain=["city_center", "office"],
    )
    assert len(split.train) == 4
    assert len(split.validation) == 1
    assert identities(split.test) == {
        "a001",
        "a003",
        "b010",
        "b011",
        "b012",
        f"{official.ARCHIVE_EVALUATION}/219",
    }


def test_an_official_fold(tmp_path):
    options = ReadOptions(labels=load_label_map("tut"))
    dataset = combine(
        "tut",
        [
            read_dataset("tut-sound-events-2016", official.write_tut_2016(tmp_path / "a"), options),
            read_dataset("tut-sound-events-2017", official.write_tut_2017(tmp_path / "b"), options),
        ],
    )
    split = split_by_fold(dataset, 1)
    assert identities(split.test) == {"a029", "a031", "b001", "a001"}
    assert len(split.validation) == 1
    assert identities(split.train) | identities(split.validation) == {"a030", "b002", "a003"}
    assert identities(split_by_fold(dataset, "2", validation=0).train) == identities(split.test)


def test_official_parts(tmp_path):
    dataset = read_dataset("urban-sed", official.write_urban_sed(tmp_path))
    split = split_by_subset(dataset, train=["train"], validation=["validate"], test=["test"])
    assert [len(side) for side in (split.train, split.validation, split.test)] == [2, 2, 2]


def test_parts_that_share_clips(tmp_path):
    dataset = read_dataset("desed", official.write_desed(tmp_path))
    parts = {
        "train": ["train/weak", "train/audioset_strong"],
        "validation": ["validation/validation"],
        "test": [],
    }
    # The validation set has the weak clip too, and the strong one is of the same video.
    with pytest.raises(ConfigError, match=r"both train and validation, got \['00pbt6aJV8Y'\]"):
        split_by_subset(dataset, **parts)
    split = split_by_subset(dataset, **parts, drop_shared=True)
    assert split.train == ()
    assert len(split.validation) == 2


def test_a_split_refuses_to_share():
    one, two = recording(0, "a"), recording(1, "a")
    with pytest.raises(ConfigError, match="both train and test"):
        Split((one,), (), (two,))
    folds = {"1": Fold(frozenset({one.path}), frozenset({two.path}))}
    dataset = Dataset("made up", (one, two, recording(2, "b")), ())
    assert dataset.folds == {}
    with pytest.raises(ConfigError, match="both train and test"):
        split_by_fold(Dataset("made up", (one, two), (), folds=folds), 1, validation=0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda files: split_by_recording(files, validation=1.0), "^validation"),
        (lambda files: split_by_recording(files, validation=0.5, test=0.5), "^validation"),
        (lambda files: split_by_recording(files, test=-0.1), "^test"),
        (lambda files: split_by_recording(files, seed=-1), "^seed"),
        (lambda files: split_by_recording(files[:1]), "at least two recordings"),
        (
            lambda files: split_by_scene(files, in_domain=["home"], out_of_domain=["bus"]),
            "^out_of_domain.*'bus'",
        ),
        (lambda files: split_by_scene(files, in_domain=[], out_of_domain=["home"]), "^in_domain"),
        (
            lambda files: split_by_scene(files, in_domain=["home"], out_of_domain=["home"]),
            "no scene of in_domain",
        ),
        (lambda files: split_by_fold(Dataset("x", tuple(files), ()), 1), "a data set with official folds"),
        (
            lambda files: split_by_subset(
                Dataset("x", tuple(files), ()), train=["a"], validation=[], test=[]
            ),
            "^train: expected subsets among",
        ),
    ],
)
def test_bad_splits_are_refused(call, says):
    files = [recording(number, f"r{number}", "home") for number in range(4)]
    with pytest.raises(ConfigError, match=says):
        call(files)


@st.composite
def labelled(draw):
    duration = draw(st.floats(0.5, 95.0))
    times = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)
    events = tuple(
        SceneEvent(start * duration, stop * duration, draw(st.sampled_from(["car", "bird"])))
        for start, stop in draw(st.lists(times, max_size=12))
    )
    half = len(events) // 2
    sound = Recording(Path("x.wav"), "x", "", "", duration, events[:half], events[half:])
    return sound, draw(st.floats(0.3, 30.0))


def seconds_by_label(events) -> dict[str, float]:
    totals = dict.fromkeys(("car", "bird"), 0.0)
    for event in events:
        totals[event.label] += event.offset - event.onset
    return totals


@settings(deadline=None, max_examples=60)
@given(labelled())
def test_cutting_keeps_the_labelled_time(case):
    sound, seconds = case
    excerpts = cut(sound, seconds)
    assert excerpts[0].start == 0
    assert excerpts[-1].start + excerpts[-1].duration == pytest.approx(sound.duration, abs=1e-9)
    for before, after in pairwise(excerpts):
        assert before.start + before.duration == pytest.approx(after.start, abs=1e-9)
        assert before.duration == pytest.approx(seconds, abs=1e-9)
    assert excerpts[-1].duration <= seconds + 0.05 + 1e-9
    for kind in ("annotations", "interference"):
        pieces = [event for excerpt in excerpts for event in getattr(excerpt, kind)]
        assert seconds_by_label(pieces) == pytest.approx(seconds_by_label(getattr(sound, kind)), abs=1e-6)
    for excerpt in excerpts:
        for event in (*excerpt.annotations, *excerpt.interference):
            assert 0 <= event.onset <= event.offset <= excerpt.duration + 1e-9


def test_an_event_over_an_edge_goes_on_in_the_next_piece():
    sound = Recording(Path("x.wav"), "x", "", "", 25.0, (SceneEvent(8.0, 21.0, "car"),))
    first, second, third = cut(sound, 10.0)
    assert first.annotations == (SceneEvent(8.0, 10.0, "car"),)
    assert second.annotations == (SceneEvent(0.0, 10.0, "car"),)
    assert third.annotations == (SceneEvent(0.0, 1.0, "car"),)
    assert third.duration == 5.0


def test_some_samples_too_many_are_no_piece_of_their_own():
    sound = Recording(Path("x.wav"), "x", "", "", 20.000023, (SceneEvent(19.0, 20.000023, "car"),))
    first, second = cut(sound, 10.0)
    assert (first.duration, second.start) == (10.0, 10.0)
    assert second.duration == pytest.approx(10.000023)


def test_labels_without_times_cannot_be_cut():
    weak = recording(0, "a", supervision="weak", weak_labels=("car",))
    assert len(cut(weak, 10.0)) == 1
    with pytest.raises(ConfigError, match="whose labels have no times"):
        cut(weak, 5.0)
    with pytest.raises(ConfigError, match="seconds"):
        cut(weak, 0)


def test_binaural_recordings_are_mixed_and_resampled_once(tmp_path):
    path = tmp_path / "binaural.wav"
    rng = np.random.default_rng(0)
    left, right = rng.normal(0, 0.1, (2, 44100 * 5))
    soundfile.write(path, np.stack([left, right], axis=1), 44100, subtype="FLOAT")
    sound = Recording(path, "a", "", "", 5.0)
    pieces = list(read_excerpts(sound, 44100, 2.0))
    assert [len(samples) for _, samples in pieces] == [88200, 88200, 44100]
    joined = np.concatenate([samples for _, samples in pieces])
    np.testing.assert_allclose(joined, (left + right) / 2, atol=1e-7)
    resampled = np.concatenate([samples for _, samples in read_excerpts(sound, 16000, 2.0)])
    np.testing.assert_array_equal(resampled, read_mono(path, 16000))
    assert [item.start for item, _ in pieces] == [0.0, 2.0, 4.0]


def test_reading_what_is_gone(tmp_path):
    with pytest.raises(FormatError, match="no such file"):
        list(read_excerpts(Recording(tmp_path / "x.wav", "x", "", "", 1.0), 16000))


def test_data_sets_that_do_not_fit_together():
    with pytest.raises(ConfigError, match="datasets"):
        combine("none", [])
    one = Dataset("a", (recording(0, "a"),), ("car",), ("dishes",))
    with pytest.raises(ConfigError, match="each file in one of them"):
        combine("twice", [one, one])
    with pytest.raises(ConfigError, match="one label map for all"):
        combine("two maps", [one, Dataset("b", (recording(1, "b"),), ("dishes",))])
