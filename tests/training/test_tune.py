import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="tuning needs the train extra")
pytest.importorskip("lightning", reason="tuning needs the train extra")

from streamsed.config import ClassPost, FrameClock, PostConfig
from streamsed.errors import ConfigError
from streamsed.postprocess import PostChain
from training.decoding import decode
from training.export import POST_FILE, read_post
from training.recipe import load_recipe
from training.tag_thresholds import TAGGING_FILE, THRESHOLDS, read_tagging
from training.tune import candidates, choose, tune

pytestmark = pytest.mark.filterwarnings("ignore")

FRAMES = 200


def test_clips_are_decoded_by_the_runtime_chain_one_after_the_other():
    posteriors = np.zeros((FRAMES, 2), np.float32)
    posteriors[50:100, 0] = 0.9
    posteriors[104:120, 0] = 0.9
    # Of an event that a clip ends in, nothing is left in the next one.
    ending = np.zeros((FRAMES, 2), np.float32)
    ending[190:, 1] = 0.9
    clock = FrameClock(16000, 160, 512, 2)
    apart, together = (
        PostChain(["low", "high"], clock, PostConfig(post))
        for post in (ClassPost(0.5), ClassPost(0.5, min_gap=0.1))
    )
    assert decode(apart, ending) == [(clock.seconds(190), clock.seconds(FRAMES), "high")]
    assert decode(apart, posteriors) == [
        (clock.seconds(50), clock.seconds(100), "low"),
        (clock.seconds(104), clock.seconds(120), "low"),
    ]
    assert decode(together, posteriors) == [(clock.seconds(50), clock.seconds(120), "low")]


def test_the_recipe_says_which_methods_are_tried():
    assert load_recipe("everyday").tune.method in ("hysteresis", "change", "both")
    assert load_recipe("everyday", ["tune.method=change"]).tune.method == "change"
    with pytest.raises(ConfigError, match=r"tune\.method: expected one of .*, got 'sebb'"):
        load_recipe("everyday", ["tune.method=sebb"])
    with pytest.raises(ConfigError, match=r"shared_weight: expected in \[0, 1\], got 1\.5"):
        load_recipe("everyday", ["tune.shared_weight=1.5"])


def test_best_is_the_own_score_first_and_that_of_all_labels_next():
    scores = np.array([[0.9, 0.2], [0.8, 0.8], [0.1, 0.8]])
    assert choose(scores, 0.0) == [0, 1]
    assert choose(scores, 0.3) == [1, 1]
    assert choose(np.array([[0.9, 0.2], [0.5, 0.5], [0.4, 0.9]]), 1.0) == [2, 2]


def test_every_candidate_is_valid_and_there_once():
    tried = candidates("both")
    assert len(set(tried)) == len(tried) > 400
    assert tried == candidates("hysteresis") + candidates("change")
    assert {post.method for post in candidates("change")} == {"change"}


def test_best_setting_of_each_label_is_written(tiny_recipe, trained_bundle, monkeypatch, capsys):
    # Posteriors that are right but low for one label, and too eager for the other.
    from training.features import clock_of
    from training.scenes import scene_maker
    from training.targets import frame_targets

    maker = scene_maker(tiny_recipe, "validation")
    scenes = [maker.make(i) for i in range(tiny_recipe.data.validation_scenes)]
    events = {scene.samples.tobytes(): scene.events for scene in scenes}
    assert any(events.values())

    def posteriors(self, samples, rate, pictures):
        active = frame_targets(events[samples.tobytes()], tiny_recipe.labels, 997 // 2, clock_of(tiny_recipe))
        return np.where(active > 0, (0.35, 0.9), (0.05, 0.55)).astype(np.float32)

    monkeypatch.setattr("streamsed.detector.Detector.posteriors", posteriors)
    monkeypatch.setattr(
        "training.tune.candidates", lambda method: [ClassPost(0.5), ClassPost(0.3), ClassPost(0.7)]
    )
    post = tune(tiny_recipe, trained_bundle.path)
    written = tiny_recipe.folder / POST_FILE
    try:
        assert read_post(written) == post
        assert json.loads(written.read_text())["labels"].keys() == set(tiny_recipe.labels)
        assert read_tagging(tiny_recipe).default_threshold in THRESHOLDS
    finally:
        written.unlink()
        (tiny_recipe.folder / TAGGING_FILE).unlink(missing_ok=True)
    assert post.for_label("low").threshold_on == 0.3
    assert post.for_label("high").threshold_on == 0.7
    assert "low" in capsys.readouterr().out


def test_tuned_settings_ship_with_the_bundle(tiny_recipe, trained_run, tmp_path):
    from training.export import export

    path = tiny_recipe.folder / POST_FILE
    path.write_text(json.dumps({"default": {}, "labels": {"high": {"threshold_on": 0.7}}}))
    try:
        bundle = export(tiny_recipe, trained_run, tmp_path / "tuned", metrics={})
    finally:
        path.unlink()
    assert bundle.post_processing.for_label("high") == ClassPost(0.7)
    assert bundle.post_processing.for_label("low") == ClassPost(0.5)
