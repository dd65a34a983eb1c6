"""Recipes of lung sounds from an official folder to a bundle, on a few seconds of tones."""

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")

from icbhi_layout import write_icbhi  # noqa: E402

from streamsed.bundle import read_bundle  # noqa: E402
from streamsed.config import LogMelConfig  # noqa: E402
from streamsed.cycles import CycleFeatures  # noqa: E402
from streamsed.errors import ConfigError, FormatError  # noqa: E402
from streamsed.types import CYCLE_LABELS  # noqa: E402
from training.__main__ import main  # noqa: E402
from training.data.icbhi import read_icbhi  # noqa: E402
from training.lung.material import prepare, prepare_training, read_cycles, recoloured, stretched  # noqa: E402
from training.lung.module import rolled  # noqa: E402
from training.lung.recipe import LungData, load_lung_recipe  # noqa: E402
from training.lung.sides import divide, read_sides  # noqa: E402
from training.lung.train import DrawnSampler  # noqa: E402
from training.lung.tune import best_exponent, class_weights  # noqa: E402
from training.recipe import load_recipe, recipe_task  # noqa: E402

# Lightning warns of folders that are there, of few batches and of its own parts.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_icbhi(tmp_path_factory.mktemp("icbhi"))


def narrow(clips, *more):
    """Settings that make the paper's recipe small."""
    return [
        f"data.root={clips}",
        "net.shape.width=0.05",
        "train.epochs=2",
        "train.cycles=2",
        "train.batch_size=8",
        "train.threads=1",
        "copies.warped=[0, 1, 1, 2]",
        *more,
    ]


def step(name, recipe, run, overrides):
    given = [part for item in overrides for part in ("--set", item)]
    return main([name, "--recipe", recipe, "--run", str(run), *given])


def test_the_paper_s_recipe_runs_from_the_official_folder_to_a_bundle(clips, tmp_path, capsys):
    settings = narrow(clips)
    assert step("train", "lung_sounds", tmp_path, settings) == 0
    for name in ("tune", "export", "evaluate"):
        assert step(name, "lung_sounds", tmp_path, settings) == 0, capsys.readouterr().err
    bundle = read_bundle(tmp_path / "bundle")
    assert bundle.labels == CYCLE_LABELS
    assert len(bundle.members) == 2
    assert bundle.streaming.kind == "windowed"
    assert bundle.streaming.window_frames == bundle.streaming.hop_frames == bundle.time_stride == 193
    assert bundle.front_end.normalisation == "fixed"
    assert (bundle.front_end.sample_rate, bundle.front_end.n_mels) == (22000, 50)
    measured = json.loads((tmp_path / "metrics.json").read_text())
    assert measured["cycles"] == sum(map(sum, measured["classes_4"]["confusion"])) > 0
    assert measured["classes_2"]["specificity"] == measured["classes_4"]["specificity"]
    assert json.loads((tmp_path / "cycles.json").read_text())["preparation"]["segment_seconds"] == 9.0
    assert "| 4 |" in capsys.readouterr().out


def test_two_classes_train_and_export(clips, tmp_path):
    settings = narrow(clips, "classes=2", "gamma=0", "train.epochs=1", "train.cycles=1")
    assert step("train", "lung_sounds", tmp_path, settings) == 0
    assert step("export", "lung_sounds", tmp_path, settings) == 0
    assert read_bundle(tmp_path / "bundle").labels == ("normal", "abnormal")


def test_a_training_goes_on_where_it_was(clips, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    settings = narrow(clips, "train.schedule=exponential_warm_up", "train.cycles=1")
    assert step("train", "lung_sounds", whole, settings) == 0
    assert step("train", "lung_sounds", halves, [*settings, "train.epochs=1"]) == 0
    assert step("train", "lung_sounds", halves, settings) == 0
    states = [torch.load(run / "last.ckpt", weights_only=True)["state_dict"] for run in (whole, halves)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_checkpoint_of_another_network_is_refused(clips, tmp_path, capsys):
    assert step("train", "lung_sounds", tmp_path, narrow(clips, "train.epochs=1", "train.cycles=1")) == 0
    other = narrow(clips, "net.shape.width=0.06", "train.epochs=1", "train.cycles=1")
    assert step("export", "lung_sounds", tmp_path, other) == 2
    assert "net.width is 0.05, expected 0.06" in capsys.readouterr().err


def test_copies_are_counted_by_class_and_follow_from_the_seed(clips):
    recipe = load_lung_recipe("lung_sounds", [f"data.root={clips}", "data.validation_share=0"])
    recipe = dataclasses.replace(
        recipe, preparation=dataclasses.replace(recipe.preparation, segment_seconds=3.0)
    )
    cycles = read_sides(recipe.data).train
    labels = [item.label for item in cycles]
    found = prepare_training(cycles, recipe)
    # As they are, stretched (wheeze and both), and warped: 1, 3 and of the stretched ones 4 x 2 and 7 x 2.
    expected = {"normal": 2, "crackle": 4, "wheeze": 10, "both": 16}
    assert len(found.log_mel) == sum(expected[label] for label in labels)
    assert found.originals == len(cycles)
    assert np.array_equal(found.log_mel[: len(cycles)], prepare(cycles, recipe).log_mel)
    for number, label in enumerate(labels):
        copies = found.log_mel[found.cycle == number]
        assert len(copies) == expected[label]
        assert len({copy.tobytes() for copy in copies}) == len(copies)
        assert (found.target[found.cycle == number] == CYCLE_LABELS.index(label)).all()
    again = prepare_training(cycles, recipe)
    assert np.array_equal(found.log_mel, again.log_mel)
    other = dataclasses.replace(recipe, train=dataclasses.replace(recipe.train, seed=1))
    assert not np.array_equal(found.log_mel, prepare_training(cycles, other).log_mel)


def test_a_stretch_changes_the_duration_and_keeps_the_pitch():
    tone = np.sin(2 * np.pi * 500 * np.arange(8000) / 4000).astype(np.float32)
    for speed in (0.9, 1.1):
        changed = stretched(tone, speed, 4000)
        assert len(changed) == pytest.approx(8000 / speed, abs=2)
        spectrum = np.abs(np.fft.rfft(changed * np.hanning(len(changed))))
        assert np.fft.rfftfreq(len(changed), 1 / 4000)[spectrum.argmax()] == pytest.approx(500, abs=3)
    assert np.array_equal(stretched(tone[:100], 0.9, 4000), tone[:100])


def test_a_recoloured_cycle_has_another_spectrum_and_noise():
    time = np.arange(8000) / 4000
    tones = (np.sin(2 * np.pi * 300 * time) + np.sin(2 * np.pi * 1500 * time)).astype(np.float32)

    def ratio(samples):
        spectrum = np.abs(np.fft.rfft(samples))
        return 20 * np.log10(spectrum[600] / spectrum[3000])

    found = [ratio(recoloured(tones, 12.0, (30.0, 30.0), np.random.default_rng(seed))) for seed in range(20)]
    assert max(found) > 3.0
    assert min(found) < -3.0
    assert max(map(abs, found)) < 24.5
    silence = recoloured(np.zeros(100, np.float32), 12.0, (10.0, 45.0), np.random.default_rng(0))
    assert silence.dtype == np.float32
    assert not silence.any()


def test_a_roll_turns_each_segment_by_itself():
    segments = torch.arange(12.0)[None, :, None].repeat(5, 1, 2)
    turned = rolled(segments, torch.Generator().manual_seed(0))
    assert torch.equal(turned.sort(dim=1).values, segments)
    firsts = turned[:, 0, 0]
    assert len(set(firsts.tolist())) > 1
    steps = (turned[:, 1:, 0] - turned[:, :-1, 0]) % 12
    assert (steps == 1).all()


def test_cycles_are_cut_where_the_annotation_says(clips):
    data = read_icbhi(clips)
    cycles = divide(data, LungData(split="official")).train
    for reference, samples in zip(cycles, read_cycles(cycles, 4000), strict=True):
        seconds = reference.cycle.offset - reference.cycle.onset
        assert len(samples) == pytest.approx(4000 * seconds, abs=1.5)


@pytest.mark.parametrize("split", ["official", "random", "patients"])
def test_sides_divide_all_cycles_once(clips, split):
    data = read_icbhi(clips)
    total = sum(len(item.cycles) for item in data.recordings)
    for more in ({}, {"validation_share": 0.4, "validation_by": "cycle"}, {"validation_folds": 2}):
        sides = divide(data, LungData(split=split, folds=2, **more))
        assert len({*sides.train, *sides.validation, *sides.test}) == total
        assert len(sides.train) + len(sides.validation) + len(sides.test) == total
        assert bool(sides.validation) == bool(more)


def test_folds_of_patients_hold_every_cycle_out_once(clips):
    data = read_icbhi(clips)
    folds = [divide(data, LungData(validation_folds=2, validation_fold=fold)) for fold in (0, 1)]
    held = [item for sides in folds for item in sides.validation]
    assert len(set(held)) == len(held)
    assert set(held) == {*folds[0].train, *folds[0].validation}
    for sides in folds:
        patients = [{item.recording.patient for item in side} for side in sides]
        assert not patients[0] & patients[1]
    # The official list has a patient on both sides, unless he is dropped.
    for drop in (False, True):
        sides = divide(data, LungData(drop_shared=drop))
        shared = {item.recording.patient for item in sides.train} & {
            item.recording.patient for item in sides.test
        }
        assert bool(shared) != drop


def test_class_weights_lift_the_rare_classes_only_where_that_helps():
    rng = np.random.default_rng(0)
    targets = np.repeat([0, 1, 2, 3], [600, 60, 60, 20])
    shares = np.bincount(targets) / len(targets)
    evidence = np.log(shares) + 1.5 * np.eye(4)[targets] + 0.5 * rng.standard_normal((len(targets), 4))
    posteriors = np.exp(evidence) / np.exp(evidence).sum(1, keepdims=True)
    exponent, score = best_exponent(posteriors, targets)
    assert 0.5 < exponent <= 1.5
    assert score > 0.8
    weights = class_weights(targets, exponent, 4)
    assert weights[0] == 1.0
    assert weights[3] > weights[1] == weights[2] > 1.0
    assert best_exponent(np.eye(4)[targets], targets) == (0.0, 1.0)


def test_an_epoch_draws_other_segments_each_time():
    targets = np.array([0] * 8 + [1, 1])
    sampler = DrawnSampler(targets, 4, 0.0, seed=0)
    epochs = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    assert all(len(set(epoch)) == 4 == len(sampler) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert len(DrawnSampler(targets, 0, 0.0, seed=0)) == 10
    balanced = list(DrawnSampler(targets, 4000, 1.0, seed=0))
    assert np.mean(targets[balanced]) == pytest.approx(0.5, abs=0.05)
    # Both items of class 1 are of one device, which has one of class 0: nothing is to be learnt from that.
    devices = np.array(list("aaaaaaab" + "bb"))
    drawn = np.array(list(DrawnSampler(targets, 4000, 0.01, seed=0, devices=devices)))
    share = [np.mean(targets[drawn][devices[drawn] == name] == 0) for name in "b"]
    assert share[0] == pytest.approx(0.8, abs=0.05)
    rooted = list(DrawnSampler(targets, 4000, 0.5, seed=0))
    assert np.mean(targets[rooted]) == pytest.approx(1 / 3, abs=0.05)


@pytest.mark.parametrize("name", ["lung_sounds", "lung_cycles"])
def test_recipes_are_usable(name):
    assert recipe_task(name) == "lung_sounds"
    recipe = load_lung_recipe(name)
    assert CycleFeatures(recipe.front_end, recipe.preparation).chunk_frames >= 29
    assert recipe.labels == CYCLE_LABELS
    assert recipe.net_config.n_mels == recipe.front_end.n_mels
    assert "not a medical device" in recipe.provenance["limits"]
    assert len(recipe.checkpoints) >= 4
    with pytest.raises(ConfigError, match="recipe: expected one with task = 'sound_events'"):
        load_recipe(name)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("classes=3", "classes: expected 2 or 4, got 3"),
        ("gamma=-1", "gamma: expected 0 or more"),
        ("net.kind=streaming_crnn", "net.kind: expected one of"),
        ("net.shape.n_mels=50", "net.shape: expected without"),
        ("front_end.normalisation=running", "front_end.normalisation: expected none"),
        ("front_end.n_mels=20", "n_mels: expected at least 29"),
        ("copies.warped=[1, 2]", "warped: expected a count"),
        ("copies.warp_high_hz=[3000.0, 12000.0]", "copies.warp_high_hz: expected below 11000 Hz"),
        ("copies.stretch=0.9", "stretch: expected in"),
        ("augment.overlay_probability=0.1", "expected 0: a cycle has one label"),
        ("data.split=best", "data.split: expected one of"),
        ("data.validation_folds=1", "validation_folds: expected 0, or at least 2"),
        ("data.validation_folds=3", "validation_folds: expected 0 beside a validation_share"),
        ("preparation.chunks=0", "chunks: expected a number"),
        ("tune.method=change", "--set: expected a section among"),
    ],
)
def test_bad_settings_are_named(override, message):
    with pytest.raises(ConfigError, match=message):
        _ = load_lung_recipe("lung_sounds", [override]).net_config


def test_data_that_are_not_there_are_named(tmp_path, capsys):
    assert step("train", "lung_sounds", tmp_path, [f"data.root={tmp_path / 'nowhere'}"]) != 0
    assert "nowhere" in capsys.readouterr().err
    with pytest.raises(FormatError, match="nowhere"):
        read_sides(LungData(root=str(tmp_path / "nowhere")))


def test_steps_of_other_tasks_are_refused(capsys):
    assert main(["calibrate", "--recipe", "lung_sounds"]) == 2
    assert "step: expected one of ['train', 'tune', 'evaluate', 'export']" in capsys.readouterr().err


def test_lung_front_end_of_the_paper_is_that_of_the_runtime():
    recipe = load_lung_recipe("lung_sounds")
    assert recipe.front_end == LogMelConfig(22000, 512, 512, 512, 50)
