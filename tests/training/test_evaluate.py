import json

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="evaluation needs the train extra")
pytest.importorskip("lightning", reason="evaluation needs the train extra")

from streamsed.annotations import read_event_list
from streamsed.detector import load
from streamsed.metrics import event_metrics, segment_metrics
from training.evaluate import evaluate, eventless, write_scenes
from training.labelled import LabelledScene
from training.scenes import scene_maker
from training.targets import frame_targets

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def evaluated(tiny_recipe, trained_bundle, tmp_path_factory):
    run = tmp_path_factory.mktemp("evaluated")
    with pytest.MonkeyPatch.context() as patch:
        # A minute of each noise is for the real model.
        patch.setattr("training.evaluate.eventless", lambda rate: eventless(rate, 2.0))
        return run, evaluate(tiny_recipe, trained_bundle.path, run)


def test_anyone_can_repeat_the_numbers_from_the_files(tiny_recipe, trained_bundle, evaluated):
    run, metrics = evaluated
    folder = run / "test_scenes"
    reference = read_event_list(folder / "scenes.tsv").tuples()
    detector = load(trained_bundle.path)
    files = sorted(folder.glob("*.flac"))
    assert len(files) == tiny_recipe.data.test_scenes
    estimated = {
        path.name: [(item.onset, item.offset, item.label) for item in detector.detect(path)] for path in files
    }
    durations = {path.name: soundfile.info(path).duration for path in files}
    reference = {path.name: reference.get(path.name, reference.get(path.stem, [])) for path in files}
    assert sum(map(len, reference.values())) > 0
    segments = segment_metrics(reference, estimated, labels=tiny_recipe.labels, durations=durations)
    events = event_metrics(reference, estimated, labels=tiny_recipe.labels)
    assert segments.micro.f1 > 0.5
    # 16 bits on disk, float in memory: a posterior at its threshold may fall to either side.
    np.testing.assert_allclose(metrics["segment_f1_micro"], segments.micro.f1, atol=0.05)
    np.testing.assert_allclose(metrics["event_f1_micro"], events.micro.f1, atol=0.05)


def test_tags_are_judged_by_clip(tiny_recipe, trained_bundle, evaluated):
    _, metrics = evaluated
    detector, maker = load(trained_bundle.path), scene_maker(tiny_recipe, "test")
    right = wrong = 0
    for index in range(tiny_recipe.data.test_scenes):
        scene = maker.make(index)
        said = set(detector.tags(scene.samples, detector.sample_rate).tags)
        right, wrong = right + len(said & scene.tags), wrong + len(said ^ scene.tags)
    assert right > 0
    assert metrics["clip_f1_micro"] == pytest.approx(2 * right / (2 * right + wrong), abs=1e-4)


def test_frames_are_judged_as_probabilities(tiny_recipe, trained_bundle, evaluated):
    _, metrics = evaluated
    detector, maker = load(trained_bundle.path), scene_maker(tiny_recipe, "test")
    errors = []
    for index in range(tiny_recipe.data.test_scenes):
        scene = maker.make(index)
        posteriors = detector.posteriors(scene.samples, detector.sample_rate)
        targets = frame_targets(scene.events, detector.labels, len(posteriors), detector.bundle.clock)
        errors.append((posteriors - targets) ** 2)
    assert metrics["frames"]["brier"] == pytest.approx(np.concatenate(errors).mean(), abs=1e-4)
    assert 0 <= metrics["frames"]["ece"] <= metrics["frames"]["class_ece"] + 1e-4
    assert 0.5 < metrics["frames"]["auroc_errors"] <= 1


def test_metrics_are_kept(evaluated):
    run, metrics = evaluated
    assert json.loads((run / "metrics.json").read_text()) == json.loads(json.dumps(metrics))
    assert "folds [4]" in metrics["data"]
    assert set(metrics["segment_f1_micro_by_gain_db"]) == {"0", "-10", "-20", "-30"}
    assert metrics["segment_f1_micro_by_gain_db"]["0"] == metrics["segment_f1_micro"]
    assert set(metrics["segment_f1_by_length"]) == {"1.0", "0.128", "0.064"}
    assert metrics["segment_f1_by_length"]["1.0"]["micro"] == metrics["segment_f1_micro"]
    assert metrics["segment_f1_by_length"]["0.064"] != metrics["segment_f1_by_length"]["1.0"]
    assert set(metrics["by_latency"]) == {"low", "balanced", "high"}
    assert metrics["by_latency"]["high"]["event_f1_micro"] == metrics["event_f1_micro"]
    assert metrics["false_alarms_per_minute"]["digital silence"] == 0
    assert metrics["rtf_detect"] > 0


def test_what_is_undefined_is_null(tiny_recipe, trained_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("training.evaluate.eventless", lambda rate: iter(()))
    monkeypatch.setattr("training.evaluate._events", lambda *_, **__: [])
    evaluate(tiny_recipe, trained_bundle.path, tmp_path)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    metrics = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert metrics["event_f1_micro"] is None or metrics["event_f1_micro"] == 0


def test_scenes_on_disk_are_those_of_the_mixer(tiny_recipe, tmp_path):
    scene = scene_maker(tiny_recipe, "test").make(0)
    samples, events = scene.samples, scene.events
    write_scenes(tmp_path, [scene, LabelledScene(samples, [])], 16000)
    read, rate = soundfile.read(tmp_path / "scene0000.flac", dtype="float32")
    assert rate == 16000
    np.testing.assert_allclose(read, np.clip(samples, -1, 1), atol=1 / 32768)
    found = read_event_list(tmp_path / "scenes.tsv").tuples()
    by_stem = {name.removesuffix(".flac"): items for name, items in found.items()}
    assert len(by_stem["scene0000"]) == len(events)
    for (onset, offset, label), expected in zip(by_stem["scene0000"], events, strict=True):
        assert (label, onset, offset) == (
            expected[2],
            pytest.approx(expected[0], abs=6e-4),
            pytest.approx(expected[1], abs=6e-4),
        )
    assert not by_stem.get("scene0001")


def test_sounds_without_events_are_what_they_are_called():
    sounds = dict(eventless(16000, 4.0))
    assert not sounds["digital silence"].any()
    for name, samples in sounds.items():
        assert samples.dtype == np.float32 and samples.shape == (64000,)
        assert np.abs(samples).max() < 1.0
        if name.endswith(" dB"):
            level = 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)))
            assert level == pytest.approx(float(name.split()[-2]), abs=0.1)
    tilt = {}
    for colour in ("white", "pink", "brown"):
        spectrum = np.abs(np.fft.rfft(sounds[f"{colour} noise -30 dB"])) ** 2
        # Octaves around 500 Hz and 4 kHz: bins of 0.25 Hz.
        low, high = spectrum[1500:2500].mean(), spectrum[12000:20000].mean()
        tilt[colour] = 10 * np.log10(low / high) / 3
    assert tilt["white"] == pytest.approx(0, abs=0.5)
    assert tilt["pink"] == pytest.approx(3, abs=0.5)
    assert tilt["brown"] == pytest.approx(6, abs=0.5)
