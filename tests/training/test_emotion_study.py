"""Regressors and studies of dimensional emotion; the paper's configurations on small copies of the corpora."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import audmetric
import numpy as np
import pytest
from emotion_layouts import write_emotale, write_iemocap, write_vam
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.svm import SVR
from tiny_speech_models import save_encoder, save_regressor

from streamsed.errors import ConfigError, FormatError
from training.__main__ import main
from training.emotion.analysis import feature_concordance, rater_moments, top_features
from training.emotion.data import EmotionData, Utterance
from training.emotion.features import FeatureSettings
from training.emotion.folds import Fold, make_folds
from training.emotion.material import Features
from training.emotion.predictions import make_predictions, read_predictions, write_predictions
from training.emotion.recipe import EmotionRecipe, StudySettings, load_emotion_recipe
from training.emotion.study import paired_difference
from training.emotion.svr import (
    Point,
    SvrSettings,
    choose_points,
    fit_pipelines,
    label_array,
    min_max,
    out_of_fold,
)
from training.emotion.train import cases, train
from training.emotion.windows import cut_windows


@pytest.fixture(scope="module")
def people() -> tuple[np.ndarray, list[Utterance]]:
    """Features of eight speakers that say something of their labels; one is constant."""
    rng = np.random.default_rng(0)
    labels = rng.random((64, 3))
    features = np.concatenate(
        [
            labels @ rng.normal(size=(3, 5)) + rng.normal(0, 0.1, (64, 5)),
            1000 * rng.random((64, 20)),
            np.ones((64, 1)),
        ],
        axis=1,
    )
    utterances = [
        Utterance(
            Path(f"{number}.wav"),
            f"s{number % 8}",
            f"s{number % 8}",
            "da" if number < 32 else "en",
            tuple(label),
        )
        for number, label in enumerate(labels.tolist())
    ]
    return features.astype(np.float32), utterances


def test_the_papers_preset_is_scikit_learns(people):
    features, utterances = people
    folds = make_folds(utterances)
    indices, levels = out_of_fold(features, utterances, folds, SvrSettings())
    labels = label_array(utterances)
    assert sorted(indices) == list(range(64))
    place = 0
    for fold in folds:
        for dimension in range(3):
            model = make_pipeline(MinMaxScaler(), SVR())
            model.fit(features[fold.train].astype(np.float64), labels[fold.train, dimension])
            expected = model.predict(features[fold.test].astype(np.float64))
            # Both stop within 1e-3 of the optimum, on kernels that differ by rounding.
            assert levels[place : place + len(fold.test), dimension] == pytest.approx(expected, abs=2e-3)
        place += len(fold.test)


def test_pipelines_for_export_predict_the_same(people):
    features, utterances = people
    fold = make_folds(utterances)[0]
    labels = label_array(utterances)
    settings = SvrSettings(block_scaling=True)
    _, levels = out_of_fold(features, utterances, [fold], settings, blocks=(5, 21))
    pipelines = fit_pipelines(features[fold.train], labels[fold.train], [Point()] * 3, blocks=(5, 21))
    found = np.stack(
        [pipeline.predict(features[fold.test].astype(np.float64)) for pipeline in pipelines], axis=1
    )
    assert found == pytest.approx(levels, abs=2e-3)


def test_the_scaling_knows_the_training_side_alone():
    scaling = min_max([[0.0, 5.0, 1.0], [2.0, 5.0, 3.0]])
    assert scaling([[4.0, 5.0, 1.0]])[0] == pytest.approx([2.0, 0.0, 0.0])
    blocks = min_max([[0.0, 5.0, 1.0], [2.0, 6.0, 3.0]], blocks=(1, 2))
    assert blocks([[2.0, 6.0, 3.0]])[0] == pytest.approx([1.0, 0.5**0.5, 0.5**0.5])
    with pytest.raises(ConfigError, match="blocks: expected sizes with sum 3"):
        min_max([[0.0, 5.0, 1.0]], blocks=(1, 1))


def test_equal_blocks_keep_a_large_one_from_deciding(people):
    features, utterances = people
    folds = make_folds(utterances)
    truth = label_array(utterances)
    scores = []
    for block_scaling in (False, True):
        indices, levels = out_of_fold(
            features, utterances, folds, SvrSettings(block_scaling=block_scaling), blocks=(5, 21)
        )
        scores.append(audmetric.concordance_cc(truth[indices, 1], levels[:, 1]))
    assert scores[1] > scores[0] + 0.05


def test_tuning_looks_at_the_training_side_alone(people):
    features, utterances = people
    settings = SvrSettings(
        "tuned", costs=(0.01, 3.0), epsilons=(0.01, 0.4), gamma_scales=(1.0,), inner_groups=3
    )
    points = choose_points(features[:, :5], utterances, settings)
    assert all(point == Point(3.0, 0.01, 1.0) for point in points)
    fold = make_folds(utterances)[0]
    _, levels = out_of_fold(features, utterances, [fold], settings)
    # Labels of the test side have no part in it: others give the same levels.
    changed = [
        dataclasses.replace(item, labels=(0.0, 0.0, 0.0)) if number in fold.test else item
        for number, item in enumerate(utterances)
    ]
    _, again = out_of_fold(features, changed, [fold], settings)
    assert np.array_equal(levels, again)


def test_a_fold_without_a_side_is_refused(people):
    features, utterances = people
    empty = Fold("nobody", np.arange(64), np.array([], np.int64))
    with pytest.raises(ConfigError, match=r"fold 'nobody': expected utterances on both sides, got \(64, 0\)"):
        out_of_fold(features, utterances, [empty], SvrSettings())


def test_concordance_of_single_features_is_that_of_scaled_pairs(people):
    features, utterances = people
    labels = label_array(utterances)
    found = feature_concordance(features, labels)
    assert found.shape == (26, 3)

    def scaled(values):
        return (values - values.min()) / (values.max() - values.min())

    x = features.astype(np.float64)
    for column in (0, 3, 7):
        for dimension in range(3):
            expected = audmetric.concordance_cc(scaled(labels[:, dimension]), scaled(x[:, column]))
            assert found[column, dimension] == pytest.approx(expected, abs=1e-9)
    assert found[25] == pytest.approx([0, 0, 0], abs=1e-12)
    names = tuple(f"f{number}" for number in range(26))
    top = top_features(Features(features, names, (26,)), labels)
    assert len(top) == 6
    assert top[0].dimension == "valence" and top[0].name == f"f{found[:, 0].argmax()}"
    assert top[0].ccc == found[:, 0].max() > top[1].ccc


def test_raters_are_compared_with_the_others(people):
    _, utterances = people
    rng = np.random.default_rng(3)

    def heard(item: Utterance) -> tuple[float, ...]:
        return tuple(np.clip(np.array(item.labels) + rng.normal(0, 0.1, 3), 0, 1))

    noisy = [dataclasses.replace(item, ratings={name: heard(item) for name in "ab"}) for item in utterances]
    first, second = (np.array([item.ratings[name] for item in noisy]) for name in "ab")
    found = rater_moments(noisy).scores()
    for dimension, name in enumerate(("valence", "arousal", "dominance")):
        pairs = np.concatenate([first[:, dimension], second[:, dimension]])
        others = np.concatenate([second[:, dimension], first[:, dimension]])
        assert found.ccc[name] == pytest.approx(audmetric.concordance_cc(others, pairs))
    assert rater_moments(utterances) is None


def test_predictions_are_read_as_they_were_written(tmp_path, people):
    _, utterances = people
    truth = label_array(utterances)
    made = make_predictions(utterances, ["x"] * 64, truth, truth[::-1])
    write_predictions(tmp_path / "a" / "p.csv", made)
    found = read_predictions(tmp_path / "a" / "p.csv")
    assert found.files == made.files and found.speakers == made.speakers
    assert found.estimate == pytest.approx(made.estimate, abs=1e-6)
    danish = found.of_language("da")
    assert danish.files == made.files[:32] and np.array_equal(danish.truth, found.truth[:32])
    with pytest.raises(ConfigError, match="predictions: expected all recordings of the other table"):
        danish.of_files(["60.wav"])
    (tmp_path / "bad.csv").write_text("file,speaker\na,b\n")
    with pytest.raises(FormatError, match=r"bad\.csv: expected columns"):
        read_predictions(tmp_path / "bad.csv")


def test_differences_of_two_models_draw_the_same_speakers(people):
    _, utterances = people
    rng = np.random.default_rng(1)
    truth = label_array(utterances)
    good, bad = (
        make_predictions(utterances, ["x"] * 64, truth, truth + rng.normal(0, spread, truth.shape))
        for spread in (0.1, 0.4)
    )
    found = paired_difference(good, bad, 60)
    expected = good.moments().scores().ccc["mean"] - bad.moments().scores().ccc["mean"]
    assert found.value == pytest.approx(expected) and 0 < found.low < found.value < found.high
    same = paired_difference(good, good, 20)
    assert same.low == same.high == 0.0


def test_windows_cover_an_utterance():
    assert cut_windows(2.0, 3.0, 0.5) == [(0.0, 2.0)]
    assert cut_windows(2.2, 1.0, 0.5) == [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0), (1.2, 2.2)]


def test_a_recipe_that_asks_for_unknown_features_is_refused():
    features = {
        "egemaps": FeatureSettings("opensmile", set="eGeMAPSv02"),
        "e2e": FeatureSettings("end_to_end", source="x"),
    }
    data = EmotionData(layout="emotale")
    with pytest.raises(
        ConfigError, match=r"study: expected features among \['e2e', 'egemaps'\], got \['compare'\]"
    ):
        EmotionRecipe("mine", StudySettings(("egemaps+compare",)), data, features=features)
    with pytest.raises(ConfigError, match="no fusion with the predictions"):
        EmotionRecipe("mine", StudySettings(("egemaps+e2e",)), data, features=features)
    with pytest.raises(ConfigError, match=r"data\.layout: expected one of"):
        load_emotion_recipe("speech_emotion", ["data.layout=none"])


def _models(folder: Path) -> list[str]:
    kinds = {"wav2vec2_lr": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}
    sources = {name: save_encoder(folder / name, kind) for name, kind in kinds.items()}
    sources["wav2vec2_em"] = sources["end_to_end"] = save_regressor(folder / "em")
    return [
        part for name, source in sources.items() for part in ("--set", f"features.{name}.source={source}")
    ]


@pytest.mark.parametrize(("corpus", "write", "rows"), [("vam", write_vam, 9), ("iemocap", write_iemocap, 12)])
def test_the_papers_configurations_from_end_to_end(tmp_path, capsys, corpus, write, rows):
    folder = {"vam": "VAM-Audio", "iemocap": "IEMOCAP_full_release"}[corpus]
    write(tmp_path / folder)
    run = tmp_path / "run"
    command = ["study", "--recipe", f"speech_emotion_{corpus}", "--run", str(run)]
    command += ["--set", f"data.root={tmp_path}", "--set", f"data.cache={tmp_path / 'cache'}"]
    assert main([*command, *_models(tmp_path), "--set", "study.resamples=20"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n| ") >= rows and "| EF(compare+wav2vec2_em) |" in text and "| end_to_end |" in text
    metrics = json.loads((run / "metrics.json").read_text())
    assert [item["preset"] for item in metrics] == ["paper"] * (rows - 1) + ["none"]
    compare = metrics[0]
    predictions = read_predictions(next((run / "predictions").glob("compare-all-paper-*.csv")))
    expected = audmetric.concordance_cc(predictions.truth[:, 1], predictions.estimate[:, 1])
    assert compare["scores"]["ccc"]["arousal"]["value"] == pytest.approx(expected)
    folds = {"vam": {f"group {number}" for number in range(1, 6)}, "iemocap": {"01", "02"}}
    assert set(predictions.folds) == folds[corpus]
    assert (run / "figures" / "features.png").stat().st_size > 5000
    assert "| compare | arousal | `" in text


def _study(root: Path, **settings: object) -> EmotionRecipe:
    study = {"rows": ("egemaps", "functionals", "egemaps+functionals"), "resamples": 20, **settings}
    features = {
        "egemaps": FeatureSettings("opensmile", set="eGeMAPSv02"),
        "functionals": FeatureSettings("functionals"),
        "absent": FeatureSettings("transformers", source="nobody/nothing", offline=True),
    }
    data = EmotionData(str(root), "emotale", "emotale", cache=str(root / "cache"))
    svr = SvrSettings(costs=(1.0,), epsilons=(0.01, 0.1), gamma_scales=(1.0,), inner_groups=2)
    return EmotionRecipe("mine", StudySettings(**study), data, svr, features)


def test_a_study_by_language(tmp_path, capsys):
    from training.emotion.study import study

    write_emotale(tmp_path / "emotale", seconds=1.1)
    shipped = tmp_path / "mine.csv"
    recipe = _study(
        tmp_path,
        rows=("egemaps", "functionals", "egemaps+functionals", "absent"),
        presets=("paper", "tuned"),
        conditions=("all", "da", "da>en", "all>en"),
        block_scaling=True,
        unavailable="leave_empty",
        analysis=("egemaps", "functionals", "absent"),
        windows=(0.5,),
        window_features="functionals",
        shipped=str(shipped),
        shipped_against=("egemaps",),
    )
    found = train(recipe, tmp_path / "run")
    assert list(found) == list(cases(recipe)) and len(found) == 2 * (4 * 4 + 1)
    by = {(case.row, case.condition, case.preset, case.block_scaling): item for case, item in found.items()}
    assert "expected a model" in by["absent", "da", "paper", False]
    mismatched = by["egemaps", "da>en", "tuned", False]
    assert set(mismatched.languages) == {"en"} and set(mismatched.speakers) == {"001", "002", "003"}
    whole = by["egemaps", "all", "paper", False]
    english = by["egemaps", "all>en", "paper", False]
    assert np.array_equal(english.estimate, whole.of_language("en").estimate)
    write_predictions(shipped, whole)
    text = study(recipe, tmp_path / "run")
    assert "Trained on da, tested on en, preset tuned, 9 utterances" in text
    assert "| absent | - | - |" in text and "- `absent` is empty: source: expected a model" in text
    assert "| egemaps, paper |" in text.partition("Compared with mine")[2]
    rows = json.loads((tmp_path / "run" / "windows.json").read_text())
    assert [(row["seconds"], row["trained_on"], row["count"]) for row in rows] == [
        (0.0, "utterances", 18),
        (0.5, "utterances", 54),
        (0.5, "windows", 54),
    ]
    capsys.readouterr()


def test_what_is_there_is_not_trained_again(tmp_path):
    write_emotale(tmp_path / "emotale")
    recipe = _study(tmp_path, rows=("functionals",))
    train(recipe, tmp_path / "run")
    (path,) = (tmp_path / "run" / "predictions").glob("*.csv")
    before = path.stat().st_mtime_ns
    train(recipe, tmp_path / "run")
    assert path.stat().st_mtime_ns == before
    train(recipe, tmp_path / "run", resume=False)
    assert path.stat().st_mtime_ns > before
    # Another label is another study.
    table = tmp_path / "emotale" / "annotations.csv"
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    cells[1] = "5.0" if cells[1] != "5.0" else "1.0"
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    train(recipe, tmp_path / "run")
    assert len(list((tmp_path / "run" / "predictions").glob("*.csv"))) == 2


def test_a_model_that_is_not_there_ends_a_study_unless_rows_may_stay_empty(tmp_path, capsys):
    write_vam(tmp_path / "VAM-Audio", speakers=5, sentences=1)
    command = ["evaluate", "--recipe", "speech_emotion_vam", "--run", str(tmp_path / "run")]
    command += ["--set", f"data.root={tmp_path}", "--set", f"data.cache={tmp_path / 'cache'}"]
    command += ["--set", "study.rows=['wavlm']", "--set", "study.analysis=[]"]
    command += ["--set", "features.wavlm.source=nobody/nothing", "--set", "features.wavlm.offline=true"]
    assert main(command) == 2
    assert (
        "source: expected a model in the folder or under the hub id 'nobody/nothing'"
        in capsys.readouterr().err
    )
