"""Studies: members are trained once, and what the tables say follows from posteriors as computed by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from streamsed.config import FrameClock
from streamsed.metrics import segment_counts

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")

import torch

from training.losses import LossConfig
from training.recipe import load_recipe
from training.studies import duration_robust, open_environment
from training.studies.command import Study, main
from training.studies.material import Material, activity, material
from training.studies.members import Outputs, Start, listen, member_outputs
from training.studies.open_environment import VARIANTS, Ensemble, variant_of
from training.studies.report import markdown, with_interval, with_std
from training.studies.scoring import (
    events_of,
    f1_difference,
    macro_f1,
    mean_f1,
    mean_std,
    micro_f1,
    stacked,
)
from training.train import load_trained

# Lightning warns of everything that is small here: few batches, few workers.
pytestmark = pytest.mark.filterwarnings("ignore")

LABELS = ("low", "high")
# Frames of 0.1 s whose first begins at 0.
CLOCK = FrameClock(1000, 50, 50, 2)


@pytest.fixture(scope="module")
def short(tiny_recipe):
    """A training of two steps, tested on two scenes with interference."""
    return dataclasses.replace(
        tiny_recipe,
        labels=("low",),
        net=dataclasses.replace(tiny_recipe.net, look_ahead_frames=4),
        data=dataclasses.replace(tiny_recipe.data, train_scenes=8, validation_scenes=2, test_scenes=2),
        train=dataclasses.replace(tiny_recipe.train, epochs=1),
        scenes={
            "scene_seconds": 1.0,
            "interference": ["high"],
            "test_interference": ["speech"],
            "events": {"count_weights": [0, 0, 0, 0, 1]},
            "conditions": {"here": {}, "there": {"in_domain": False}},
        },
    )


def test_f1_of_counts_by_hand_and_as_the_metrics_say():
    # Segments of 1 s. low: 2 of 2 found and 1 too many; high: 1 there, none found.
    reference = {"0": [(0.0, 2.0, "low")], "1": [(0.0, 1.0, "high")]}
    estimated = {"0": [(0.0, 3.0, "low")], "1": []}
    counts = segment_counts(reference, estimated, labels=LABELS, durations={"0": 4.0, "1": 4.0})
    total = stacked(counts).sum(axis=0)
    assert micro_f1(total) == pytest.approx(2 * 2 / (3 + 3))
    assert macro_f1(total) == pytest.approx((0.8 + 0.0) / 2)
    report = counts.report("zero")
    assert (micro_f1(total), macro_f1(total)) == pytest.approx((report.micro.f1, report.macro.f1))


def test_labels_that_never_occur_are_left_out_of_the_mean():
    total = np.array([[1, 0], [1, 0], [1, 2]])
    assert macro_f1(total) == 1.0
    assert micro_f1(total) == pytest.approx(2 / 4)
    assert math.isnan(macro_f1(np.zeros((3, 2), int)))
    assert math.isnan(micro_f1(np.zeros((3, 2), int)))


def test_differences_are_taken_on_the_same_scenes():
    rng = np.random.default_rng(0)
    expected = rng.integers(1, 9, (20, 1, 2))
    half = np.concatenate([expected // 2, expected, expected], axis=1)
    same = f1_difference(half, half, micro_f1, 50)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    everything = np.concatenate([expected, expected, expected], axis=1)
    more = f1_difference(everything, half, micro_f1, 50)
    assert more.low > 0
    assert more.value == pytest.approx(1 - micro_f1(half.sum(axis=0)))
    both = mean_f1([everything, half], micro_f1, 50)
    assert both.value == pytest.approx((1 + micro_f1(half.sum(axis=0))) / 2)


def test_events_are_those_of_median_and_threshold():
    posteriors = np.zeros((2, 20, 2), np.float32)
    posteriors[0, 2:10, 0] = 0.9
    posteriors[0, 14:17, 0] = 0.9
    posteriors[1, 5:20, 1] = 0.5
    found = events_of(posteriors, LABELS, CLOCK, median_frames=7)
    assert found == {
        "0": [(pytest.approx(0.2), pytest.approx(1.0), "low")],
        "1": [(pytest.approx(0.5), pytest.approx(2.0), "high")],
    }
    without = events_of(posteriors, LABELS, CLOCK)
    assert [event[:2] for event in without["0"]] == [pytest.approx((0.2, 1.0)), pytest.approx((1.4, 1.7))]


def test_mean_std_and_cells():
    assert mean_std([1.0, 3.0]) == pytest.approx((2.0, math.sqrt(2)))
    assert math.isnan(mean_std([1.0])[1])
    assert with_std((0.5, 0.01), 100) == "50.0 ± 1.0"
    assert with_std((0.5, math.nan)) == "0.50"
    interval = mean_f1([np.ones((4, 3, 2), int)], micro_f1, 5)
    assert with_interval(interval, 100) == "100.0 [100.0, 100.0]"
    assert markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


def test_fusion_of_an_ensemble_is_equation_four():
    recipe = load_recipe("open_environment_scenes")
    posteriors = [np.full((1, 2, 1), value, np.float32) for value in (0.2, 0.8)]
    # In the first frame member 0 is sure (c = 1) and member 1 is not (c = 1/4); in the second both are the same.
    logits = np.zeros((2, 1, 2, 4), np.float32)
    logits[0, 0, 0, 1] = 100.0
    logits[1, 0, 0] = 0.0
    ensemble = Ensemble.of(recipe, [Outputs(p, item) for p, item in zip(posteriors, logits, strict=True)])
    assert ensemble.confidences[:, 0, 0] == pytest.approx([1.0, 0.25])
    assert ensemble.uncertainties[:, 0, 0] == pytest.approx([0.0, 0.25], abs=1e-6)
    assert ensemble.fused(calibrated=False).ravel() == pytest.approx([0.5, 0.5])
    calibrated = ensemble.fused(calibrated=True).ravel()
    assert calibrated == pytest.approx([(0.2 * 1 + 0.8 * 0.25) / 1.25, 0.5])
    three = Ensemble.of(recipe, [Outputs(posteriors[0], logits[0, ..., :3])])
    assert three.uncertainties is None
    assert Ensemble.of(recipe, [Outputs(posteriors[0], None)]).confidences is None


def test_variants_differ_by_head_and_weight_alone():
    recipe = load_recipe("open_environment_scenes")
    found = {name: variant_of(recipe, variant) for name, variant in VARIANTS.items()}
    outputs = {name: item.net.shape["sod_outputs"] for name, item in found.items()}
    assert outputs == {"crnn": 0, "sod": 3, "control": 4, "eow": 4}
    assert {name: item.eow.weight for name, item in found.items()} == {
        "crnn": 0.0,
        "sod": 0.0,
        "control": 0.0,
        "eow": 0.1,
    }
    for item in found.values():
        assert (item.train, item.data, item.scenes) == (recipe.train, recipe.data, recipe.scenes)
        assert item.net_config.n_classes == 6


def test_novelty_frames_are_those_with_the_sound_and_without_a_target(short):
    """c is low exactly where an unheard class sounds alone: the score is perfect there, and u knows nothing."""
    scenes = Material(
        np.zeros((1, 100, 16), np.float16),
        [[(0.0, 0.4, "low")]],
        [[(0.5, 0.9, "speech")]],
        1.0,
    )
    sounding = activity(scenes.interference, ["speech"], 50, short)[..., 0]
    logits = np.zeros((1, 50, 4), np.float32)
    logits[..., 0] = np.where(sounding, 0.0, 10.0)
    one = Ensemble.of(short, [Outputs(np.zeros((1, 50, 1), np.float32), logits)])
    flat = Ensemble(one.posteriors, one.confidences, np.full_like(one.uncertainties, 0.5))
    ensembles = {name: {"here": flat, "there": flat} for name in VARIANTS}
    domains = {"in-domain": ["here"], "out-of-domain": ["there"]}
    found = open_environment.novelties(short, {"here": scenes, "there": scenes}, ensembles, domains, 5)
    unheard = found["EOW λ = 0.1, 1 - c"]["unheard class"]
    assert (unheard["auroc"].value, unheard["fpr95"].value) == (1.0, 0.0)
    assert found["EOW λ = 0.1, u"]["unheard class"]["auroc"].value == 0.5
    assert found["EOW λ = 0.1, 1 - c"]["out-of-domain"]["auroc"].value == 0.5


def test_risk_falls_with_a_confidence_that_knows_the_errors():
    targets = np.zeros((4, 30, 2), bool)
    posteriors = np.zeros((4, 30, 2), np.float32)
    posteriors[:, :10] = 0.9
    sure = np.where(np.arange(30) < 10, 0.1, 0.9)[None].repeat(4, axis=0)
    knowing = open_environment.frame_columns(posteriors, sure, targets, 5)
    misled = open_environment.frame_columns(posteriors, 1 - sure, targets, 5)
    assert knowing["aurc"]["interval"].value < misled["aurc"]["interval"].value
    # A third of the frames is 0.9 too sure.
    assert knowing["ece"]["interval"].value == pytest.approx(0.9 * 4 / 10)
    assert knowing["brier"]["interval"].value == pytest.approx(0.81 * 4 / 10)


def test_material_has_interference_apart_and_is_mixed_once(short, monkeypatch):
    scenes = material(short, "here")
    assert {label for found in scenes.events for *_, label in found} <= {"low"}
    assert {label for found in scenes.interference for *_, label in found} <= {"high", "speech"}
    assert sum(map(len, scenes.interference)) > 0
    assert scenes.durations() == {"0": 1.0, "1": 1.0}
    monkeypatch.setattr("training.scenes.SceneMaker.scene", None)
    again = material(short, "here")
    np.testing.assert_array_equal(again.log_mels, scenes.log_mels)
    assert (again.events, again.interference) == (scenes.events, scenes.interference)


def test_a_member_is_trained_once_and_heard_on_time(short, tmp_path):
    scenes = {"here": material(short, "here"), "there": material(short, "there")}
    start = Start(dataclasses.replace(short, loss=LossConfig(kind="focal", gamma=2.0)), epochs=1)
    outputs = member_outputs(short, tmp_path, "bce", 3, scenes, start)
    begun, folder = sorted(tmp_path.iterdir(), key=lambda path: path.name, reverse=True)
    assert folder.name.startswith("bce-seed3-")
    assert begun.name.startswith("start-seed3-")
    module = load_trained(dataclasses.replace(short, train=dataclasses.replace(short.train, seed=3)), folder)
    log_mels = torch.from_numpy(scenes["here"].log_mels.astype(np.float32))
    with torch.inference_mode():
        logits = module.net(log_mels, *module.net.initial_state(len(log_mels)))[0].sigmoid().numpy()
    # Two posteriors of look-ahead: what was said of them comes later.
    heard = outputs["here"].posteriors
    assert heard.shape == logits.shape
    np.testing.assert_allclose(heard[:, :-2], logits[:, 2:], atol=1e-6)
    np.testing.assert_allclose(listen(module, scenes["here"].log_mels, batch=1).posteriors, heard, atol=1e-6)
    for run in (begun, folder):
        (run / "last.ckpt").unlink()
    again = member_outputs(short, tmp_path, "bce", 3, scenes, start)
    np.testing.assert_array_equal(again["there"].posteriors, outputs["there"].posteriors)


def test_rows_of_the_duration_study_by_hand():
    scenes = Material(np.zeros((1, 1, 1), np.float16), [[(0.0, 0.1, "low"), (0.0, 2.0, "high")]], [[]], 2.0)
    right = {"0": [(0.0, 0.1, "low"), (0.0, 2.0, "high")]}
    blind = {"0": [(0.0, 1.0, "high")]}
    row = duration_robust.score(scenes, [right, blind], LABELS, CLOCK)
    assert row["frame"]["per_class"]["low"]["f1"] == pytest.approx((0.5, math.sqrt(0.5)))
    # 20 frames, of which the second says 10.
    assert row["frame"]["per_class"]["high"]["f1"][0] == pytest.approx((1 + 2 / 3) / 2)
    assert row["frame"]["per_class"]["high"]["er"][0] == pytest.approx((0 + 0.5) / 2)
    assert row["frame"]["macro_f1"][0] == pytest.approx((1 + (0 + 2 / 3) / 2) / 2)
    assert row["1 s"]["micro_f1"][0] == pytest.approx((1 + 2 * 1 / (3 + 1)) / 2)
    lengths = duration_robust.durations(scenes, LABELS)
    assert list(lengths) == ["low", "high"]
    assert lengths["low"] == {"events": 1, "median_seconds": 0.1, "share": 0.05}


def test_the_losses_are_those_of_the_paper():
    found = duration_robust.losses(250.0)
    assert list(found) == ["BCE", "inverse frequency", *(f"γ = {g}" for g in ("0.25", "0.5", "1", "2", "4"))]
    assert found["inverse frequency"].constant == 250.0
    assert found["γ = 4"].gamma == 4.0


def test_one_command_writes_tables_and_numbers(tmp_path, capsys):
    def run(recipe, folder, options):
        return {"options": options, "labels": len(recipe.labels)}, "| a |\n"

    study = Study("duration_robust_scenes", (0, 1), 3, run)
    assert main(study, ["--run", str(tmp_path / "run"), "--resamples", "7"]) == 0
    assert json.loads((tmp_path / "run" / "results.json").read_text()) == {
        "options": {"seeds": [0, 1], "start_epochs": 3, "resamples": 7},
        "labels": 11,
    }
    assert (tmp_path / "run" / "tables.md").read_text() == "| a |\n"
    assert main(study, ["--seeds", "1,1"]) == 2
    assert "--seeds: expected different numbers" in capsys.readouterr().err
    assert main(study, ["--start-epochs", "0"]) == 2
    assert "--start-epochs: expected at least 1" in capsys.readouterr().err


def test_the_recipes_of_the_studies_say_what_is_never_heard():
    recipe = load_recipe("open_environment_scenes")
    kinds = (recipe.labels, recipe.scenes["interference"], recipe.scenes["test_interference"])
    assert sum(map(len, kinds)) == len({label for kind in kinds for label in kind}) == 11
