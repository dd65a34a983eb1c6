"""The recipe of paper 002 and its streaming twin from an official folder to figures, on clips of two seconds."""

import json
import shutil

import numpy as np
import official_layouts as official
import pytest

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")
pytest.importorskip("av", reason="the recipes need the video extra")

from streamsed.bundle import read_bundle
from streamsed.detector import load
from streamsed.golden import check_golden
from streamsed.sources.video import VideoFrames
from training.__main__ import main
from training.evaluate import eventless
from training.features import Split, prepare
from training.offline import Said, offline_scores, said_of
from training.recipe import RECIPES, load_recipe
from training.source import scene_source
from training.train import load_trained

# Lightning warns of few workers, few batches and of its own use of torch.
pytestmark = pytest.mark.filterwarnings("ignore")

# 12 recordings: 4 weak, 3 unlabelled, 3 of validation; 2 of the test without video.
RECORDINGS, VIDEOS = 12, 10
SMALL = [
    "net.shape.filters=[2, 2, 2, 2, 2, 2, 2]",
    "net.shape.hidden=3",
    "fusion.auditory.features=5",
    'fusion.auditory.encoder={kind="vggish", channels=[2, 2, 2, 2], hidden=4, embedding=5, hop_frames=12}',
    "fusion.visual.features=6",
    'fusion.visual.encoder={kind="vgg16", channels=[1, 1, 1, 1, 1], hidden=6, classes=2, rate_hz=4.0}',
    "data.recordings.seconds=2.0",
    "data.workers=1",
    "weak.weak=2",
    "weak.unlabelled=1",
    "weak.batches=2",
    "train.epochs=2",
    "train.warm_up_steps=2",
    "train.batch_size=4",
    "train.threads=1",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """DCASE 2018 task 4 as its organisers lay it out, with videos."""
    return official.write_dcase2018(tmp_path_factory.mktemp("dcase2018"))


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A folder for the training; what is tuned does not land among the real recipes."""
    shutil.copytree(RECIPES, tmp_path / "recipes")
    monkeypatch.setattr("training.recipe.RECIPES", tmp_path / "recipes")
    # A minute of each noise is for real models.
    monkeypatch.setattr("training.evaluate.eventless", lambda rate: eventless(rate, 1.0))
    return tmp_path / "run"


def overrides(data, *more):
    cache = data.parent / "cache"
    return [f"data.root={data}", f"data.cache={cache}", f"fusion.cache={cache / 'embeddings'}", *SMALL, *more]


def arguments(data, run, name, *more):
    return ["--recipe", name, "--run", str(run), *(f"--set={item}" for item in overrides(data, *more))]


def test_the_paper_runs_from_the_folder_to_its_table(data, run, capsys):
    given = arguments(data, run, "audiovisual")
    assert main(["extract", *given]) == 0, capsys.readouterr().err
    assert main(["extract", *given]) == 0
    said = capsys.readouterr().out
    assert f"auditory: 0 extracted, {RECORDINGS} were there" in said
    assert f"visual: 0 extracted, {VIDEOS} were there" in said

    assert main(["repeat", *given, "--seeds", "0,1", "--best", "1"]) == 0, capsys.readouterr().err
    assert "best on validation" in capsys.readouterr().out
    summary = json.loads((run / "summary.json").read_text())
    assert {"test.clip_f1_micro", "validation.event_f1_macro"} <= set(summary["metrics"])
    assert len(summary["metrics"]["test.segment_f1_micro"]["values"]) == 2
    best = summary["best"]["seeds"]
    means = {
        seed: sum(
            summary["metrics"][f"validation.{name}"]["values"][seed] or 0.0
            for name in ("clip_f1_micro", "segment_f1_micro", "event_f1_macro")
        )
        for seed in (0, 1)
    }
    assert best == [max(means, key=means.get)]

    assert main(["evaluate", *arguments(data, run / "seed0", "audiovisual")]) == 0
    metrics = json.loads((run / "seed0/metrics.json").read_text())
    assert metrics["test"]["clip_f1_micro"] == summary["metrics"]["test.clip_f1_micro"]["values"][0]

    assert main(["export", *arguments(data, run / "seed0", "audiovisual")]) == 2
    refusal = capsys.readouterr().err
    for setting in ("data.peak_normalise = true", "front_end.center = true", 'fusion.alignment = "index"'):
        assert setting in refusal


def test_scenes_of_the_paper(data, run, monkeypatch):
    recipe = load_recipe("audiovisual", overrides(data))
    assert main(["extract", *arguments(data, run, "audiovisual")]) == 0
    seen, blind = prepare(recipe, Split.VALIDATION), prepare(recipe, Split.TEST)
    auditory, visual = seen[0].sides
    assert seen[0].log_mel.shape == (120, 128)
    assert auditory.features.shape == (30, 5)
    assert visual.features.shape == (30, 6)
    # Embedding i goes with frame i: 9 windows of sound, 8 pictures, and each last one for as long as it counts.
    assert auditory.present.sum() == 9 + 3
    assert visual.present.sum() == 8 + 3
    assert blind[0].sides[1].present.max() == 0
    log_mels = np.stack([item.log_mel for item in seen])
    loud = load_recipe("audiovisual", overrides(data, "data.peak_normalise=false"))
    quieter = np.stack([item.log_mel for item in prepare(loud, Split.VALIDATION)])
    # The clips have nothing above 8 kHz; below, log-mels differ by the log of the peak.
    offsets = (log_mels - quieter)[:, :, :100].reshape(len(log_mels), -1)
    assert (offsets.mean(axis=1) > 0.3).all()
    assert offsets.std(axis=1).max() < 0.01

    # Whoever says what the labels say gets everything right: centred frames are on the clock.
    def oracle(recipe, _module, split):
        for targets in prepare(recipe, split).labels.targets:
            frames = targets.astype(np.float32)
            yield Said(frames, frames.max(axis=0))

    monkeypatch.setattr("training.offline.said_of", oracle)
    monkeypatch.setattr("training.offline.load_trained", lambda *_: None)
    scores = offline_scores(recipe, run, Split.VALIDATION)
    assert scores["clip_f1_micro"] == scores["event_f1_micro"] == 1.0
    assert scores["segment_f1_micro"] > 0.85


def test_the_streaming_twin_becomes_a_bundle_that_hears_and_sees(data, run, capsys):
    given = ("net.look_ahead_frames=4", "train.epochs=1", "fusion.visual.missing_clips=0.5")
    for step in ("extract", "train", "export", "evaluate"):
        assert main([step, *arguments(data, run, "audiovisual_live", *given)]) == 0, capsys.readouterr().err
    bundle = read_bundle(run / "bundle")
    assert [side.name for side in bundle.side_inputs] == ["auditory", "visual"]
    assert [side.features for side in bundle.side_inputs] == [5, 6]
    assert bundle.frame_shape == (256, 128 + 6 + 7)
    assert bundle.read_golden().pictures.shape == (16, 224, 224, 3)
    detector = load(bundle.path)
    assert check_golden(detector).passed
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["without_pictures"]) == {"segment_f1_micro", "event_f1_micro"}

    # What was trained is what runs: embeddings reach the same frames by either way.
    recipe = load_recipe("audiovisual_live", overrides(data, *given))
    source = scene_source(recipe, "validation")
    for index, said in enumerate(said_of(recipe, load_trained(recipe, run), Split.VALIDATION)):
        samples = source.make(index).samples
        video = source.excerpt(index).recording.video
        with VideoFrames(video, size=detector.image_encoder.size, rate_hz=4.0) as frames:
            seen = list(frames)
        pictures = [item.image for item in seen], [item.time_seconds for item in seen]
        found = detector.posteriors(samples, pictures=pictures)
        count = min(len(found), len(said.posteriors))
        assert count >= 26
        np.testing.assert_allclose(found[:count], said.posteriors[:count], rtol=0, atol=2e-3)
        assert np.abs(detector.posteriors(samples) - found).max() > 1e-5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["fusion.inputs=[]"], "inputs: expected some of"),
        (["augment.overlay_probability=0.5"], "augment.overlay_probability: expected 0 with fusion"),
        (["augment.mixup_probability=0.5"], "augment.mixup_probability: expected 0 with fusion"),
        (["fusion.visual.features=7"], "fusion.visual.features: expected 6, as vgg16 has, got 7"),
        (["fusion.visual.encoder.kind=vggish"], "fusion.visual.encoder"),
        (["net.kind=baseline_crnn"], "net.kind: expected fusion_crnn"),
        (["net.shape.causal=true"], "causal: expected false with data.peak_normalise = true"),
        (["fusion.cache=nowhere"], "no embeddings of"),
        (["fusion.visual.encoder.weights=nowhere"], "vgg16-397923af.pth"),
    ],
)
def test_what_does_not_fit_is_named(data, run, capsys, changes, message):
    assert main(["train", *arguments(data, run, "audiovisual", *changes)]) != 0
    assert message in capsys.readouterr().err


def test_what_is_not_tested_needs_no_test(data, run, capsys):
    changes = ("data.recordings.test_subsets=[]", 'fusion.inputs=["spectral", "auditory"]')
    assert main(["extract", *arguments(data, run, "audiovisual", *changes)]) == 0, capsys.readouterr().err
    assert "visual" not in capsys.readouterr().out


def test_mixed_scenes_have_no_files_to_embed(run, capsys):
    fused = ['fusion.inputs=["visual"]', 'fusion.visual={features=6, encoder={kind="vgg16"}}']
    shape = ["net.kind=fusion_crnn", "net.shape={}", "augment.overlay_probability=0.0"]
    given = [f"--set={item}" for item in (*fused, *shape, "train.warm_start=")]
    assert main(["extract", "--recipe", "everyday_start", "--run", str(run), *given]) == 2
    assert "mixed scenes, which are no files" in capsys.readouterr().err


def test_the_rows_of_the_table_are_settings_that_exist():
    text = (RECIPES / "audiovisual" / "README.md").read_text()
    rows = [line.split("`")[1].strip("'") for line in text.splitlines() if line.startswith("| `'[")]
    found = {tuple(load_recipe("audiovisual", [f"fusion.inputs={row}"]).net_config.sides) for row in rows}
    assert len(rows) == 7
    # Sound alone, pictures alone and both: beside log-mels, and wider without them.
    assert len(found) == 7
