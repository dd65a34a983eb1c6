import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="recipes need the train extra")
pytest.importorskip("lightning", reason="recipes need the train extra")

from streamsed.config import TaggingConfig
from streamsed.detector import load
from streamsed.errors import ConfigError
from training.export import POST_FILE, export
from training.recipe import load_recipe
from training.tag_thresholds import (
    TAGGING_FILE,
    THRESHOLDS,
    clip_pooling,
    f1_of_thresholds,
    read_tagging,
    tune_tags,
)
from training.tune import tune_only_tags

pytestmark = pytest.mark.filterwarnings("ignore")

LABELS = ("low", "high")
# "low" is told by 0.25, "high" by 0.7 or more; a shared one is a compromise.
POSTERIORS = {
    "a": np.array([0.3, 0.7], np.float32),
    "b": np.array([0.2, 0.8], np.float32),
    "c": np.array([0.9, 0.1], np.float32),
}
REFERENCE = {"a": {"low"}, "b": {"high"}, "c": {"low"}}


@pytest.fixture
def recipe(tiny_recipe):
    """The recipe, in whose folder nothing is left behind."""
    yield tiny_recipe
    (tiny_recipe.folder / TAGGING_FILE).unlink(missing_ok=True)


def sharing(recipe, weight):
    return dataclasses.replace(recipe, tune=dataclasses.replace(recipe.tune, shared_weight=weight))


def test_scores_of_thresholds():
    scores = f1_of_thresholds(LABELS, POSTERIORS, REFERENCE)
    found = {threshold: scores[i].tolist() for i, threshold in enumerate(THRESHOLDS)}
    assert found[0.25] == [1.0, pytest.approx(2 / 3)]
    assert found[0.75] == [pytest.approx(2 / 3), 1.0]
    assert found[0.95] == [0.0, 0.0]
    assert THRESHOLDS[0] == 0.5 and len(THRESHOLDS) == 19
    assert f1_of_thresholds(("siren",), {"a": np.ones(1, np.float32)}, {})[0].tolist() == [0.0]


def test_labels_have_their_own_or_share(recipe):
    own = tune_tags(sharing(recipe, 0.0), POSTERIORS, REFERENCE)
    assert (own.threshold("low"), own.threshold("high")) == (0.3, 0.7)
    shared = tune_tags(sharing(recipe, 1.0), POSTERIORS, REFERENCE)
    assert not shared.thresholds
    means = f1_of_thresholds(LABELS, POSTERIORS, REFERENCE).mean(axis=1)
    assert means[THRESHOLDS.index(shared.default_threshold)] == means.max()
    assert read_tagging(recipe) == shared


def test_pooling_is_that_of_the_training():
    assert clip_pooling(load_recipe("everyday")) == "linear_softmax"
    for trained, expected in (("max", "max"), ("mean", "mean"), ("attention", "linear_softmax")):
        assert clip_pooling(load_recipe("weak_labels_scenes", [f"weak.pooling={trained}"])) == expected


def test_tuning_writes_what_export_takes_up(trained_run, trained_bundle, recipe, tmp_path):
    assert trained_bundle.tagging == TaggingConfig()
    tune_only_tags(recipe, trained_bundle.path)
    assert not (recipe.folder / POST_FILE).exists()
    written = json.loads((recipe.folder / TAGGING_FILE).read_text())
    bundle = export(recipe, trained_run, tmp_path / "bundle", metrics={})
    assert dataclasses.asdict(bundle.tagging) == written
    assert load(bundle.path).tags(np.zeros(16000, np.float32)).tags == ()


def test_a_wrong_file_is_named(recipe):
    (recipe.folder / TAGGING_FILE).write_text('{"treshold": 1}')
    with pytest.raises(ConfigError, match=r"tagging.json: expected keys among .*'treshold'"):
        read_tagging(recipe)
