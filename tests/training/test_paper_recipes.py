"""The recipes of papers 000 and 001 from an official folder to measured figures, on a copy of some seconds."""

import json
import shutil

import official_layouts as official
import pytest

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")

from streamsed.detector import load
from training.__main__ import main
from training.evaluate import eventless
from training.recipe import RECIPES, load_recipe
from training.skipping import SkippedWarning
from training.train import load_trained

# Lightning warns of few workers, few batches and of its own use of torch.
pytestmark = pytest.mark.filterwarnings("ignore")

SMALL = {
    "open_environment": [
        "net.shape.filters=[4, 4, 4, 4, 4, 4, 4]",
        "net.shape.hidden=4",
        "train.warm_up_epochs=1",
        "train.settle_epochs=1",
        "eow.samples=8",
        "eow.steps=2",
        "eow.buffer_size=32",
        "eow.margin=0.0",
    ],
    "duration_robust": ["net.shape.filters=[4, 4, 4]", "net.shape.hidden=4", "net.shape.dense=4"],
}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """The official folder; what is tuned does not land among the real recipes."""
    shutil.copytree(RECIPES, tmp_path / "recipes")
    monkeypatch.setattr("training.recipe.RECIPES", tmp_path / "recipes")
    # A minute of each noise is for real models.
    monkeypatch.setattr("training.evaluate.eventless", lambda rate: eventless(rate, 1.0))
    return official.write_tut_joint(tmp_path / "tut")


def arguments(name, data, *more):
    """What all steps share."""
    run = data.parent / "run"
    settings = [
        f"data.root={data}",
        f"data.cache={data.parent / 'cache'}",
        "data.workers=1",
        "data.recordings.seconds=2.0",
        "train.epochs=2",
        "train.batch_size=4",
        "train.threads=1",
        *SMALL[name],
        *more,
    ]
    return ["--recipe", name, "--run", str(run), *(f"--set={item}" for item in settings)]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_from_an_official_folder_to_figures(name, data, capsys):
    given, run = arguments(name, data), data.parent / "run"
    for step in ("train", "export", "tune"):
        assert main([step, *given]) == 0, capsys.readouterr().err
    assert load(run / "bundle").bundle.post_processing.default == load_recipe(name).post
    assert main(["export", *given, "--force"]) == 0
    assert main(["evaluate", *given]) == 0

    recipe = load_recipe(name)
    bundle = load(run / "bundle").bundle
    assert bundle.labels == recipe.labels
    assert set(bundle.post_processing.labels) == set(recipe.labels)
    assert ("confidence" in bundle.outputs) is (name == "open_environment")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["data"].startswith(
        f"{len(list((run / 'test_scenes').glob('*.flac')))} excerpts of at most 2 s"
    )
    assert metrics["segment_f1_micro"] is not None
    provenance = json.loads((run / "provenance.json").read_text())
    assert provenance["recordings"]["layout"] == "tut-joint"
    # The weights with the lowest validation loss are what ships.
    assert recipe.checkpoints == ("best.ckpt",)
    best, last = (load_trained(_small(name, data), run, file) for file in ("best.ckpt", "last.ckpt"))
    assert best.state_dict().keys() == last.state_dict().keys()


def _small(name, data):
    given = arguments(name, data)
    return load_recipe(name, [item.removeprefix("--set=") for item in given if item.startswith("--set=")])


def test_an_ensemble_of_two_seeds_with_a_damaged_file_left_out(data):
    (data / official.ARCHIVE_SCENES / "audio/b012_0_30.wav").write_bytes(b"no audio")
    name, run = "open_environment", data.parent / "run"
    given = [*arguments(name, data), "--skip-bad"]
    with pytest.warns(
        SkippedWarning, match=r"left out 1 of 12 files, which cannot be read:\n.*b012_0_30.wav"
    ):
        for seed in (0, 1):
            at = ["--run", str(run / f"seed{seed}"), f"--set=train.seed={seed}", "--set=train.epochs=1"]
            assert main(["train", *given, *at]) == 0
    members = '--set=ensemble.checkpoints=["seed0/best.ckpt", "seed1/best.ckpt"]'
    assert main(["export", *given, members]) == 0
    assert len(load(run / "bundle").bundle.members) == 2
    assert main(["evaluate", *given, members]) == 0
    assert "1 unreadable files left out" in json.loads((run / "metrics.json").read_text())["data"]


def test_the_rows_of_the_tables_are_settings_that_exist():
    """Every `--set` of the two README files loads."""
    for name in SMALL:
        text = (RECIPES / name / "README.md").read_text()
        rows = [line for line in text.splitlines() if line.startswith("| ") and "`--set" in line]
        assert len(rows) >= 4
        for row in rows:
            overrides = [item.strip("'\"") for part in row.split("`")[1::2] for item in _settings(part)]
            assert load_recipe(name, overrides).net_config.n_classes in (9, 25)


def _settings(command):
    import shlex

    words = shlex.split(command)
    return [words[i + 1] for i, word in enumerate(words) if word == "--set"]
