"""Training and export of a model that listens: regressors against scikit-learn, made-up sounds, a whole run."""

import json
from pathlib import Path

import numpy as np
import pytest
from emotion_layouts import write_emotale

import streamsed
from streamsed.errors import BundleError, ConfigError, FormatError
from streamsed.golden import check_golden, golden_voice
from streamsed.models import load_graph
from training.__main__ import main
from training.emotion.predictions import read_predictions
from training.emotion.svr import Point, fit_pipelines
from training.emotion.voice import regressors, sounds
from training.emotion.voice.material import VoiceMaterial, matching
from training.emotion.voice.recipe import EnsembleSettings, GateSettings, load_voice_recipe
from training.emotion.voice.regressors import fit_regressors, to_onnx

RATE = 16000
POINTS = (Point(1.0, 0.1, 1.0), Point(3.0, 0.01, 0.5), Point(10.0, 0.05, 0.25))


def data(rows: int = 120, features: int = 40):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((rows, features)) * 10 ** rng.uniform(-2, 2, features)).astype(np.float32)
    y = np.stack([np.tanh(x[:, i] / x[:, i].std()) / 2 + 0.5 for i in range(3)], axis=1)
    return x, y


def graph_output(content: bytes, x: np.ndarray) -> np.ndarray:
    (found,) = load_graph(content, "test").call([x]).values()
    return found


def test_with_all_components_it_is_min_max_and_svr():
    """Against the pipelines of the study."""
    x, y = data()
    fitted = fit_regressors(x, y, POINTS, 40)
    pipelines = fit_pipelines(x, y, POINTS)
    expected = np.stack([pipeline.predict(x.astype(np.float64)) for pipeline in pipelines], axis=1)
    np.testing.assert_allclose(fitted.predict(x), expected, atol=1e-9)
    np.testing.assert_allclose(graph_output(to_onnx(fitted, x), x), expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 120])
def test_graphs_say_what_scikit_learn_says(rows):
    x, y = data()
    fitted = fit_regressors(x, y, POINTS, 12)
    found = graph_output(to_onnx(fitted, x), x[:rows])
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, fitted.predict(x[:rows]), atol=regressors.TOLERANCE)


def test_one_level():
    x, y = data()
    fitted = fit_regressors(x, y[:, :1], POINTS[:1], 5)
    assert graph_output(to_onnx(fitted, x), x).shape == (120, 1)


def test_a_graph_that_differs_is_refused(monkeypatch):
    x, y = data()
    fitted = fit_regressors(x, y, POINTS, 12)
    monkeypatch.setattr(regressors, "TOLERANCE", 1e-12)
    with pytest.raises(BundleError, match="expected what scikit-learn predicts within 1e-12"):
        to_onnx(fitted, x)


@pytest.mark.parametrize("maker", [sounds.tones, sounds.music, sounds.bursts, sounds.made_up_sound])
def test_made_up_sounds(maker):
    first, second, other = (maker(np.random.default_rng(seed), 1.3, RATE) for seed in (0, 0, 1))
    assert first.dtype == np.float32
    assert first.shape == (round(1.3 * RATE),)
    assert np.isfinite(first).all()
    assert first.std() > 0
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_room_makes_sound_longer():
    """What was silent after a click is not any more; the peak stays."""
    click = np.zeros(RATE, np.float32)
    click[100] = 0.5
    heard = sounds.in_a_room(np.random.default_rng(0), click, RATE)
    assert heard.shape == click.shape
    assert np.abs(heard).max() == pytest.approx(0.5)
    assert np.abs(heard[:90]).max() < 1e-6
    assert heard[200:1800].std() > 10 * heard[:90].std()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    write_emotale(root / "emotale", speakers=4, sentences=2, seconds=1.2)
    return root


def settings(corpus: Path) -> list[str]:
    return [
        f"data.root={corpus}",
        "ensemble.members=2",
        "ensemble.components=8",
        "ensemble.windows=[0.8]",
        "ensemble.resamples=20",
        "svr.inner_groups=2",
        "svr.costs=[1.0]",
        "gate.sounds=",
        "gate.test_sounds=",
        "gate.test_speech=emotale/audio/*.flac",
        "gate.made_up=20",
        "gate.components=16",
        "gate.windows=[0.8]",
        "evaluation.noise=emotale/audio/*.flac",
        "evaluation.windows=[0.8]",
    ]


def overrides(corpus: Path) -> list[str]:
    return [part for setting in settings(corpus) for part in ("--set", setting)]


def test_train_and_export(corpus, tmp_path, capsys):
    """The whole command: predictions of speakers who were left out, and a bundle that loads and runs."""
    run, folder = tmp_path / "run", tmp_path / "bundle"
    arguments = ["--recipe", "voice_emotion", "--run", str(run), *overrides(corpus)]
    assert main(["train", *arguments]) == 0, capsys.readouterr().err
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics["leave_one_speaker_out"]) == {
        "utterances",
        "utterances in noise and rooms",
        "parts of 0.8 s",
        "spread",
    }
    assert metrics["speakers"] == 4
    assert 0.0 <= metrics["gate"]["test_speech"]["passed"] <= 1.0
    predictions = read_predictions(run / "predictions.csv")
    assert predictions.folds == predictions.speakers
    assert len(predictions.files) == metrics["leave_one_speaker_out"]["utterances"]["count"]
    assert main(["evaluate", *arguments]) == 0, capsys.readouterr().err
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert set(evaluation["ccc"]) == {*evaluation["gate_passed"], "windows of 0.8 s"}
    assert set(evaluation["gate_passed"]) >= {"as recorded", "rooms", "telephone band", "noise at 10 dB"}
    whole = metrics["leave_one_speaker_out"]["utterances"]
    assert evaluation["ccc"]["as recorded"]["ccc"] == pytest.approx(whole["ccc"])
    assert main(["export", *arguments, "-o", str(folder)]) == 0, capsys.readouterr().err
    model = streamsed.load(folder)
    assert model.member_count == 2
    assert check_golden(model).passed
    assert model.bundle.provenance.recipe == "training/recipes/voice_emotion"
    assert model.detect(np.zeros(2 * RATE, np.float32)) == []
    assert main(["export", *arguments, "-o", str(folder)]) != 0
    assert "without a bundle" in capsys.readouterr().err


def test_export_without_training(corpus, tmp_path, capsys):
    code = main(["export", "--recipe", "voice_emotion", "--run", str(tmp_path / "none"), *overrides(corpus)])
    assert code != 0
    assert "--run: expected a folder that train has filled" in capsys.readouterr().err


def test_steps_that_there_are_not(capsys):
    assert main(["tune", "--recipe", "voice_emotion"]) != 0
    assert "step: expected one of ['train', 'evaluate', 'export']" in capsys.readouterr().err


def test_parts_are_of_longer_utterances(corpus):
    recipe = load_voice_recipe("voice_emotion", settings(corpus))
    material = VoiceMaterial(recipe)
    rows = material.rows((0.8, 3.0))
    whole = (rows.seconds == 0.0) & rows.clean
    assert (~rows.clean).sum() == len(material.utterances)
    assert rows.of[whole].tolist() == list(range(len(material.utterances)))
    assert set(rows.seconds.tolist()) == {0.0, 0.8}
    assert rows.values.shape == (len(rows.of), 780)


def test_a_silent_utterance_is_named(tmp_path):
    import soundfile

    write_emotale(tmp_path / "emotale", speakers=2, sentences=1, seconds=1.2)
    file = sorted((tmp_path / "emotale" / "audio").iterdir())[0]
    soundfile.write(file, np.zeros(RATE, np.float32), RATE)
    material = VoiceMaterial(load_voice_recipe("voice_emotion", settings(tmp_path)))
    with pytest.raises(FormatError, match=f"{file.name}: expected speech, got too little sound"):
        material.rows(())


def test_patterns_that_match_nothing(corpus):
    with pytest.raises(ConfigError, match="gate: expected recordings that match below"):
        matching(str(corpus), "nothing/*.wav")


def test_evaluation_without_training(corpus, tmp_path, capsys):
    code = main(
        ["evaluate", "--recipe", "voice_emotion", "--run", str(tmp_path / "none"), *overrides(corpus)]
    )
    assert code != 0
    assert "--run: expected a folder that train has filled" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cls", "changes", "message"),
    [
        (EnsembleSettings, {"members": 1}, "members: expected at least 2"),
        (EnsembleSettings, {"components": 0}, "components: expected at least 1"),
        (EnsembleSettings, {"windows": (0.1,)}, "windows: expected lengths"),
        (EnsembleSettings, {"resamples": 0}, "resamples: expected at least 1"),
        (EnsembleSettings, {"disturbed": -1}, "disturbed: expected 0 or more"),
        (EnsembleSettings, {"snr_db": (1.0,)}, "snr_db: expected two numbers"),
        (GateSettings, {"made_up": 1}, "made_up: expected at least 10"),
        (GateSettings, {"windows": ()}, "windows: expected lengths"),
        (GateSettings, {"snr_db": (5.0, 0.0)}, "snr_db: expected two numbers"),
        (GateSettings, {"components": 0}, "components: expected at least 1"),
    ],
)
def test_settings_that_cannot_be(cls, changes, message):
    with pytest.raises(ConfigError, match=message):
        cls(**changes)


def test_the_golden_voice_is_speech_to_made_up_gates():
    """It has what a gate of functionals needs: most of it is voiced."""
    recipe = load_voice_recipe("voice_emotion")
    functionals = streamsed.functionals.LogMelFunctionals(recipe.functionals)
    share = functionals(golden_voice(RATE))[functionals.names.index("time.voiced_share")]
    assert share > 0.4
