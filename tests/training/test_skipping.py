"""Unreadable clips of a recipe that mixes: an error, or counted and named."""

import dataclasses
import shutil

import pytest

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")

from streamsed.errors import ConfigError, FormatError
from training.scenes import scene_maker
from training.skipping import SkippedWarning, readable_clips


@pytest.fixture
def damaged(tiny_recipe, clip_root, tmp_path):
    """The tiny recipe on clips of which one is no audio and one is empty."""
    root = tmp_path / "clips"
    shutil.copytree(clip_root, root)
    (root / "esc10/audio/1-low-0.wav").write_bytes(b"no audio")
    (root / "esc10/audio/2-high-1.wav").write_bytes(b"")
    return dataclasses.replace(tiny_recipe, data=dataclasses.replace(tiny_recipe.data, root=str(root)))


def clips(maker):
    return {name for name, *_ in maker.fingerprint()["clips"]}


def test_without_leave_the_first_one_ends_it(damaged):
    with pytest.raises(FormatError, match=r"1-low-0\.wav"):
        scene_maker(damaged, "train").make(0)


def test_with_leave_they_are_left_out_counted_and_named(damaged, tiny_recipe):
    recipe = dataclasses.replace(damaged, data=dataclasses.replace(damaged.data, skip_bad=True))
    with pytest.warns(SkippedWarning, match=r"left out 2 of 32 files, which cannot be read:\n") as warned:
        maker = scene_maker(recipe, "train")
    assert "1-low-0.wav" in str(warned[0].message) and "2-high-1.wav" in str(warned[0].message)
    left_out = clips(scene_maker(tiny_recipe, "train")) - clips(maker)
    assert left_out == {"1-low-0.wav", "2-high-1.wav"}
    assert len(maker.make(0).samples) == 160000


def test_nothing_left(tmp_path):
    from training.data.soundscapes import clips_from_folder

    (tmp_path / "a.wav").write_bytes(b"no audio")
    only = clips_from_folder(tmp_path, "cough", fold=1)
    with (
        pytest.warns(SkippedWarning, match="left out 1 of 1 files"),
        pytest.raises(
            ConfigError, match=r"data\.clips: expected at least one readable clip, got '1 unreadable'"
        ),
    ):
        readable_clips(only)
