"""The made-up data set of docs/weak_labels.md: what its tables say is what sounds, and a recipe reads it."""

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")

from streamsed.errors import OutputError
from training.recipe import load_recipe
from training.source import scene_source
from training.weak import example
from training.weak.example import MAKERS, Part, main, write_example

PARTS = {
    "train/weak": Part("weak", 6, 1),
    "train/unlabel_in_domain": Part("unlabelled", 3, 1),
    "validation/validation": Part("strong", 2, 2),
    "test/test": Part("strong", 4, 3),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(example, "SOUNDS", {1: 2, 2: 1, 3: 1})
        return write_example(tmp_path_factory.mktemp("example") / "clips", parts=PARTS)


def test_a_recipe_reads_every_part(folder):
    overrides = [f"data.root={folder}", f"data.recordings.labels={folder}/labels.toml", "data.workers=1"]
    recipe = load_recipe("weak_labels", overrides)
    assert recipe.labels == tuple(MAKERS)
    training, test = scene_source(recipe, "train"), scene_source(recipe, "test")
    scenes = [training.make(index) for index in range(len(training))]
    assert sorted(scene.supervision for scene in scenes) == ["unlabelled"] * 3 + ["weak"] * 6
    assert set().union(*(scene.tags for scene in scenes)) <= set(MAKERS)
    assert any(scene.tags for scene in scenes)
    assert len(test) == 4 and len(scene_source(recipe, "validation")) == 2


def test_events_of_the_tables_are_where_it_is_loud(folder):
    recipe = load_recipe(
        "weak_labels", [f"data.root={folder}", f"data.recordings.labels={folder}/labels.toml"]
    )
    source = scene_source(recipe, "test")
    louder = []
    for index in range(len(source)):
        scene = source.make(index)
        for onset, offset, _ in scene.events:
            inside = scene.samples[round(onset * 16000) : round(offset * 16000)]
            louder.append(np.std(inside) > np.median(np.abs(scene.samples)))
    assert louder and all(louder)


def test_sounds_differ_and_the_same_seed_gives_the_same(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "SOUNDS", {1: 2, 2: 1, 3: 1})
    part = {"train/weak": PARTS["train/weak"]}
    again = write_example(tmp_path / "again", parts=part)
    other = write_example(tmp_path / "other", seed=1, parts=part)
    name = "audio/train/weak/weak_0001.flac"
    first, second, third = (soundfile.read(root / name)[0] for root in (folder, again, other))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


def test_a_folder_that_is_there_stays(folder, capsys):
    with pytest.raises(OutputError, match="exists already; expected a folder that is made"):
        write_example(folder)
    assert main([str(folder)]) != 0
    assert "exists already" in capsys.readouterr().err
