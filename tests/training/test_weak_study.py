"""The study of weak labels: rows that differ by what is told alone, scored by clip, segment and event."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")
pytest.importorskip("lightning", reason="training needs the train extra")

from streamsed.errors import ConfigError
from training.labelled import SupervisionShares
from training.recipe import load_recipe
from training.studies.clip_segment_event import counted, scored
from training.studies.command import Options
from training.studies.material import Material
from training.studies.members import Outputs
from training.studies.weak_labels import ALL, BASE, STRONG, TEACHER, run_study, variants
from training.weak.config import POOLINGS, WeakConfig

# Lightning warns of everything that is small here: few batches, few workers.
pytestmark = pytest.mark.filterwarnings("ignore")


def test_rows_differ_by_what_is_told_alone():
    recipe = load_recipe("weak_labels_scenes")
    rows = variants(recipe)
    assert len(rows) == len(POOLINGS) + 3
    assert {name: row.weak.pooling for name, row in rows.items() if row.weak.weak}.keys() == {
        *(f"weak, {name.replace('_', ' ')}" for name in POOLINGS),
        TEACHER,
    }
    shares = recipe.data.supervision
    assert rows[STRONG].data.supervision == dataclasses.replace(shares, strong=shares.weak, weak=0.0)
    assert rows[ALL].data.supervision.all_strong
    for name, row in rows.items():
        assert row.weak.weak + row.weak.strong == recipe.weak.weak
        assert row.weak.mean_teacher == (name == TEACHER) == bool(row.weak.unlabelled)
        same = dataclasses.replace(row, weak=recipe.weak, data=recipe.data)
        assert same == recipe
    with pytest.raises(ConfigError, match="weak: expected a section of the recipe"):
        variants(dataclasses.replace(recipe, weak=None))


def test_scores_are_those_of_clips_segments_and_events():
    recipe = load_recipe("weak_labels_scenes")
    recipe = dataclasses.replace(recipe, labels=("a", "b"))
    posteriors = np.zeros((2, 125, 2), np.float32)
    # Scene 0: a from 1 to 3 s as it is. Scene 1: b throughout, though it sounds from 4 to 6 s.
    frame = 2 * recipe.front_end.hop_length / recipe.front_end.sample_rate
    posteriors[0, round(1 / frame) : round(3 / frame), 0] = 0.9
    posteriors[1, :, 1] = 0.9
    clip = np.array([[0.9, 0.1], [0.2, 0.9]], np.float32)
    scenes = Material(np.zeros((2, 1, 1), np.float16), [[(1.0, 3.0, "a")], [(4.0, 6.0, "b")]], [[], []], 10.0)
    found = scored({"row": [counted(recipe, scenes, Outputs(posteriors, clip=clip))]}, 10)["row"]
    assert found["clip F1 micro"]["interval"].value == 1.0
    assert found["event F1 macro"]["interval"].value == 0.5
    assert found["segment recall"] == 1.0
    assert found["segment precision"] == pytest.approx(4 / 12, abs=0.08)


def test_every_row_is_trained_once_and_tables_have_them_all(tiny_recipe, tmp_path, monkeypatch):
    data = dataclasses.replace(
        tiny_recipe.data,
        train_scenes=12,
        validation_scenes=2,
        test_scenes=3,
        supervision=SupervisionShares(0.0, 0.5),
    )
    recipe = dataclasses.replace(
        tiny_recipe,
        data=data,
        weak=WeakConfig(weak=2, unlabelled=2, batches=1),
        train=dataclasses.replace(tiny_recipe.train, epochs=1),
        scenes={"scene_seconds": 1.0, "events": {"count_weights": [0, 0, 0, 0, 1]}},
    )
    results, tables = run_study(recipe, tmp_path, Options((0,), 0, 5))
    assert results["scenes"]["all"] == 12 and 0 < results["scenes"]["weak"] < 12
    for name in variants(recipe):
        assert f"| {name} |" in tables
        assert 0 <= results["rows"][name]["clip F1 micro"]["interval"].value <= 1
    assert f"| {TEACHER} − {BASE} |" in tables
    monkeypatch.setattr("training.studies.members.train", None)
    assert run_study(recipe, tmp_path, Options((0,), 0, 5))[1] == tables
