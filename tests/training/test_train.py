import csv
import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

from streamsed.errors import ConfigError  # noqa: E402
from training.eow.config import EowConfig  # noqa: E402
from training.features import Split, clock_of, prepare  # noqa: E402
from training.losses import (  # noqa: E402
    LossConfig,
    binary_cross_entropy,
    duration_robust,
    sod_labels,
)
from training.module import SoundEventModule  # noqa: E402
from training.nets.streaming_crnn import TIME_STRIDE  # noqa: E402
from training.recipe import NetSettings  # noqa: E402
from training.scenes import scene_maker  # noqa: E402
from training.targets import frame_targets  # noqa: E402
from training.train import LAST, load_trained, train  # noqa: E402

# Lightning warns of few workers, few batches and of its own use of torch.
pytestmark = pytest.mark.filterwarnings("ignore")


def weights(recipe, run):
    return {name: value.numpy() for name, value in load_trained(recipe, run).state_dict().items()}


def test_features_are_those_of_the_runtime_front_end(tiny_recipe):
    from streamsed.frontend import LogMel

    features = prepare(tiny_recipe, Split.TRAIN)
    assert len(features) == tiny_recipe.data.train_scenes
    scene = scene_maker(tiny_recipe, "train").make(5)
    log_mel, targets, tags, *_ = features[5]
    expected = LogMel(tiny_recipe.front_end)(scene.samples)[: len(log_mel)]
    np.testing.assert_allclose(log_mel.numpy(), expected, rtol=1e-3, atol=0)
    expected_targets = frame_targets(scene.events, tiny_recipe.labels, len(targets), clock_of(tiny_recipe))
    np.testing.assert_array_equal(targets.numpy(), expected_targets)
    assert {tiny_recipe.labels[k] for k in np.flatnonzero(tags)} == scene.tags
    assert (features[5].supervision, features[5].frames) == (0, len(targets))


def test_features_are_computed_once(tiny_recipe, monkeypatch):
    first = prepare(tiny_recipe, Split.VALIDATION)[0][0]
    monkeypatch.setattr("training.features._compute", lambda *_: pytest.fail("computed again"))
    assert torch.equal(prepare(tiny_recipe, Split.VALIDATION)[0][0], first)


def test_interrupted_features_are_computed_again(tiny_recipe, tmp_path, monkeypatch):
    recipe = dataclasses.replace(tiny_recipe, data=dataclasses.replace(tiny_recipe.data, cache=str(tmp_path)))
    with monkeypatch.context() as patch:
        patch.setattr("training.features.frame_targets", _power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            prepare(recipe, Split.VALIDATION)
    assert list(tmp_path.rglob("log_mels.npy"))
    resumed, untouched = prepare(recipe, Split.VALIDATION), prepare(tiny_recipe, Split.VALIDATION)
    assert torch.equal(resumed[3][0], untouched[3][0])


def test_splits_share_no_clip(tiny_recipe):
    clips = {
        split: {clip[0] for clip in scene_maker(tiny_recipe, split).fingerprint()["clips"]}
        for split in ("train", "validation", "test")
    }
    assert all(clips.values())
    assert not clips["train"] & clips["validation"]
    assert not clips["train"] & clips["test"]
    assert not clips["validation"] & clips["test"]
    speakers = {
        split: {name[:2] for name in names if name[2:] == "a01.wav"} for split, names in clips.items()
    }
    assert not speakers["train"] & speakers["test"]


def test_only_training_clips_are_there_at_other_speeds(tiny_recipe):
    recipe = dataclasses.replace(
        tiny_recipe, data=dataclasses.replace(tiny_recipe.data, train_speeds=(0.9, 1.0))
    )
    speeds = {
        split: scene_maker(recipe, split).fingerprint()["config"]["events"]["speeds"]
        for split in ("train", "validation", "test")
    }
    assert speeds == {"train": (0.9, 1.0), "validation": (1.0,), "test": (1.0,)}


def test_a_logit_is_about_what_was_heard_a_look_ahead_ago(tiny_recipe):
    recipe = dataclasses.replace(
        tiny_recipe, net=dataclasses.replace(tiny_recipe.net, look_ahead_frames=2 * TIME_STRIDE)
    )
    module = SoundEventModule(recipe, torch.zeros(16), torch.ones(16))
    steps = torch.arange(6.0).reshape(1, 6, 1)
    logits, targets = module.in_time(steps, steps)
    assert torch.equal(logits - targets, torch.full((1, 4, 1), 2.0))
    with pytest.raises(ConfigError, match="look_ahead_frames: expected a multiple of 2, got 3"):
        SoundEventModule(
            dataclasses.replace(recipe, net=dataclasses.replace(recipe.net, look_ahead_frames=3)),
            torch.zeros(16),
            torch.ones(16),
        )


def test_training_learns(tiny_recipe, trained_run):
    with next(trained_run.rglob("metrics.csv")).open() as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["train/loss"]) for row in rows if row["train/loss"]]
    scores = [float(row["val/frame_f1_micro"]) for row in rows if row["val/frame_f1_micro"]]
    assert len(losses) == len(scores) == tiny_recipe.train.epochs
    assert losses[-1] < 0.5 * losses[0]
    assert scores[-1] > 0.6


def test_interrupted_and_resumed_equals_uninterrupted(tiny_recipe, trained_run, tmp_path, monkeypatch):
    run = tmp_path / "interrupted"
    original = SoundEventModule.training_step

    def cut(self, batch, index):
        if self.current_epoch == 5 and index == 2:
            raise RuntimeError("power cut")
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SoundEventModule, "training_step", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(tiny_recipe, run)
    between = weights(tiny_recipe, run)
    train(tiny_recipe, run)
    expected, resumed = weights(tiny_recipe, trained_run), weights(tiny_recipe, run)
    assert any(not np.allclose(between[name], expected[name], atol=1e-6) for name in expected)
    for name, value in expected.items():
        np.testing.assert_allclose(resumed[name], value, rtol=0, atol=1e-7, err_msg=name)


def test_warm_start_begins_with_the_weights_of_another_training(tiny_recipe, trained_run, tmp_path):
    settings = dataclasses.replace(
        tiny_recipe.train, epochs=1, learning_rate=1e-9, warm_start=str(trained_run / LAST)
    )
    train(dataclasses.replace(tiny_recipe, train=settings), tmp_path)
    expected, found = weights(tiny_recipe, trained_run), weights(tiny_recipe, tmp_path)
    for name in ("net.head.weight", "net.gru.weight_hh_l0", "net.blocks.0.conv.weight", "net.mean"):
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5, err_msg=name)


def test_warm_start_from_nothing_is_an_error(tiny_recipe, tmp_path):
    settings = dataclasses.replace(tiny_recipe.train, warm_start=str(tmp_path / "no.ckpt"))
    with pytest.raises(ConfigError, match=r"checkpoint: expected a file, got .*no\.ckpt"):
        train(dataclasses.replace(tiny_recipe, train=settings), tmp_path)


def test_without_a_holdout_nothing_is_validated(tiny_recipe, tmp_path):
    recipe = dataclasses.replace(
        tiny_recipe,
        data=dataclasses.replace(tiny_recipe.data, holdout="", train_folds=(1, 2, 3, 4)),
        train=dataclasses.replace(tiny_recipe.train, epochs=1),
    )
    assert train(recipe, tmp_path) == tmp_path / LAST
    folds = {clip[2] for clip in scene_maker(recipe, "train").fingerprint()["clips"]}
    assert folds == {1, 2, 3, 4}
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        assert not any(name.startswith("val/") for name in csv.DictReader(file).fieldnames)


def _power_cut(*_):
    raise RuntimeError("power cut")


def test_every_cycle_leaves_a_snapshot(tiny_recipe, tmp_path):
    settings = dataclasses.replace(
        tiny_recipe.train, epochs=4, cycles=2, schedule="cyclic_cosine", ema_decay=0.0
    )
    recipe = dataclasses.replace(tiny_recipe, train=settings)
    train(recipe, tmp_path)
    first, second, last = (
        load_trained(recipe, tmp_path, name).net.head.weight
        for name in ("snapshot1.ckpt", "snapshot2.ckpt", LAST)
    )
    assert not torch.allclose(first, second, atol=1e-4)
    assert torch.equal(second, last)
    assert not (tmp_path / "snapshot3.ckpt").exists()


def test_patience_counts_from_the_end_of_the_warm_up(tiny_recipe, tmp_path):
    # Without a rate only the batch norm's averages settle: soon there is no progress.
    settings = dataclasses.replace(
        tiny_recipe.train, learning_rate=0.0, epochs=12, patience=2, warm_up_steps=36, ema_decay=0.0
    )
    train(dataclasses.replace(tiny_recipe, train=settings), tmp_path)
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        epochs = {int(row["epoch"]) for row in csv.DictReader(file)}
    # 12 steps an epoch: the third one ends the warm-up and sets the first mark, at least two more go by.
    assert 5 <= len(epochs) < 12


def test_the_best_weights_are_those_of_the_lowest_validation_loss_once_it_has_settled(tiny_recipe, tmp_path):
    # The rate is so high that the loss rises again; the lowest one is soon reached, and not to be looked at.
    settings = dataclasses.replace(
        tiny_recipe.train, learning_rate=0.3, epochs=6, keep="best", ema_decay=0.0, settle_epochs=3
    )
    recipe = dataclasses.replace(tiny_recipe, train=settings)
    train(recipe, tmp_path)
    with next(tmp_path.rglob("metrics.csv")).open() as file:
        losses = [float(row["val/loss"]) for row in csv.DictReader(file) if row["val/loss"]]
    best = torch.load(tmp_path / "best.ckpt", map_location="cpu", weights_only=True)["epoch"]
    assert len(losses) == 6
    assert best == min(range(2, 6), key=losses.__getitem__)
    assert recipe.checkpoints == ("best.ckpt",)
    assert torch.equal(
        load_trained(recipe, tmp_path, "best.ckpt").net.head.weight,
        torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]["net.head.weight"],
    )


def test_the_best_weights_need_something_to_validate_on(tiny_recipe, tmp_path):
    recipe = dataclasses.replace(
        tiny_recipe,
        train=dataclasses.replace(tiny_recipe.train, keep="best"),
        data=dataclasses.replace(tiny_recipe.data, holdout=""),
    )
    with pytest.raises(ConfigError, match="keep: expected last without a holdout"):
        train(recipe, tmp_path)


def test_patience_needs_something_to_validate_on(tiny_recipe, tmp_path):
    recipe = dataclasses.replace(
        tiny_recipe,
        train=dataclasses.replace(tiny_recipe.train, patience=2),
        data=dataclasses.replace(tiny_recipe.data, holdout=""),
    )
    with pytest.raises(ConfigError, match="patience: expected 0 without a holdout"):
        train(recipe, tmp_path)


def test_the_recipes_loss_is_what_is_trained(tiny_recipe, tmp_path):
    batch = next(iter(torch.utils.data.DataLoader(prepare(tiny_recipe, Split.TRAIN), batch_size=4)))
    shape = {**tiny_recipe.net.shape, "dropout": 0.0}
    still = dataclasses.replace(tiny_recipe, net=dataclasses.replace(tiny_recipe.net, shape=shape))
    losses = {}
    for kind in ("bce", "duration_robust"):
        torch.manual_seed(0)
        module = SoundEventModule(
            dataclasses.replace(still, loss=LossConfig(kind)), torch.zeros(16), torch.ones(16)
        )
        module.log = lambda *_, **__: None
        module.trainer = None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SoundEventModule, "global_step", 0)
            patch.setattr("training.module.augmented", lambda item, *_: (item, sod_labels(item.targets)))
            losses[kind] = float(module.training_step(batch, 0).detach())
        logits, targets = module.in_time(module.heads(batch).logits, batch.targets)
        expected = {"bce": binary_cross_entropy, "duration_robust": duration_robust}[kind](logits, targets)
        assert losses[kind] == pytest.approx(float(expected), rel=1e-5)
    assert losses["duration_robust"] < losses["bce"]


def with_sod_head(tiny_recipe, epochs=4):
    shape = {"filters": (4, 4), "pool_frames": (2, 2), "pool_bands": (4, 2), "hidden": 4, "causal": True}
    return dataclasses.replace(
        tiny_recipe,
        net=NetSettings("baseline_crnn", shape),
        train=dataclasses.replace(tiny_recipe.train, epochs=epochs),
        eow=EowConfig(begin=0.5, samples=8, steps=2, buffer_size=32),
    )


def test_uncertainty_is_asked_for_in_the_second_half_and_survives_an_interruption(
    tiny_recipe, tmp_path, monkeypatch
):
    recipe = with_sod_head(tiny_recipe)
    train(recipe, tmp_path / "whole")
    with next((tmp_path / "whole").rglob("metrics.csv")).open() as file:
        rows = [row for row in csv.DictReader(file) if row["eow/log_u_data"]]
    assert [row["eow/log_u_samples"] != "nan" for row in rows] == [False, False, True, True]
    losses = [float(row["train/occurrence_loss"]) for row in rows]
    assert losses[1] < losses[0]

    original = SoundEventModule.training_step

    def cut(self, batch, index):
        if self.current_epoch == 3 and index == 1:
            raise RuntimeError("power cut")
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SoundEventModule, "training_step", cut)
        with pytest.raises(RuntimeError, match="power cut"):
            train(recipe, tmp_path / "cut")
    train(recipe, tmp_path / "cut")
    expected, resumed = weights(recipe, tmp_path / "whole"), weights(recipe, tmp_path / "cut")
    for name, value in expected.items():
        if name.startswith("net."):
            np.testing.assert_allclose(resumed[name], value, rtol=0, atol=1e-6, err_msg=name)
