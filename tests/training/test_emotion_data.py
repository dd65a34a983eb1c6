"""Corpora of emotional speech: layouts, scales, ratings, folds, and what is wrong with them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from emotion_layouts import write_emotale, write_iemocap, write_vam, write_voice

from streamsed.errors import ConfigError, FormatError
from training.emotion.data import (
    EmotionData,
    Scale,
    Utterance,
    evaluator_weights,
    read_emotion,
    weighted_estimate,
)
from training.emotion.folds import Fold, make_folds, require_apart, restricted


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpora")
    write_vam(root / "vam")
    write_iemocap(root / "iemocap")
    write_emotale(root / "emotale")
    return root


def test_vam_in_its_official_layout(corpora):
    found = read_emotion(EmotionData(str(corpora), "vam", "vam"))
    assert len(found) == 24 and {item.speaker for item in found} == {str(number) for number in range(15, 21)}
    first = found[0]
    assert first.path.name == "Satz15001.wav" and first.language == "de"
    cells = [float(cell) for cell in first.path.with_suffix(".ewe").read_text().split()]
    assert first.labels == pytest.approx([(cell + 1) / 2 for cell in cells])
    # 17 raters heard the first 19 speakers, 6 others the rest; here 5 and 3.
    assert set(first.ratings) == {f"first{number}" for number in range(1, 6)}
    assert set(found[-1].ratings) == {f"second{number}" for number in range(1, 4)}


def test_iemocap_in_its_official_layout(corpora):
    found = read_emotion(EmotionData(str(corpora), "iemocap", "iemocap"))
    assert len(found) == 16
    assert {item.speaker for item in found} == {"01F", "01M", "02F", "02M"}
    assert {item.session for item in found} == {"01", "02"}
    first = found[0]
    assert first.path.name == "Ses01F_impro01_F000.wav" and first.category == "neu"
    line = next(
        line
        for line in (corpora / "iemocap/Session1/dialog/EmoEvaluation/Ses01F_impro01.txt")
        .read_text()
        .splitlines()
        if "_F000\t" in line
    )
    values = [float(cell) for cell in line.rpartition("[")[2].rstrip("]").split(",")]
    assert first.labels == pytest.approx([(value - 1) / 4 for value in values])
    # What the actors say of themselves is no rating; one rater left dominance out.
    assert set(first.ratings) == {"E3", "E4"}
    assert np.isnan(first.ratings["E4"][2]) and not np.isnan(first.ratings["E3"][2])


def test_emotale_in_its_official_layout(corpora):
    settings = EmotionData(str(corpora), "emotale", "emotale")
    found = read_emotion(settings)
    assert len(found) == 18 and {item.language for item in found} == {"da", "en"}
    first = found[0]
    assert first.speaker == "001" and set(first.ratings) == {"a1", "a2", "a3"}
    assert first.labels == pytest.approx(np.mean(list(first.ratings.values()), axis=0))
    danish = read_emotion(dataclasses.replace(settings, languages=("da",)))
    assert len(danish) == 9
    with pytest.raises(ConfigError, match=r"data.languages: expected some of \['da', 'en'\], got \('de',\)"):
        read_emotion(dataclasses.replace(settings, languages=("de",)))


def test_any_corpus_as_a_table(tmp_path):
    for number in range(3):
        write_voice(tmp_path / "clips" / f"{number}.wav", (0.2, 0.5, 0.7), number)
    (tmp_path / "labels.csv").write_text(
        "file,speaker,valence,arousal,dominance,language,valence_x,arousal_x,dominance_x,valence_y,arousal_y,dominance_y\n"
        "0.wav,ann,1,4,7,en,1,4,7,2,5,7\n"
        "1.wav,ann,2,5,7,en,2,5,6,2,5,7\n"
        "2.wav,bob,6,1,1,de,6,1,1,,,\n"
    )
    settings = EmotionData(str(tmp_path), "table", "clips", "labels.csv", scale=(1.0, 7.0))
    found = read_emotion(settings)
    assert found[0].labels == pytest.approx((0.0, 0.5, 1.0))
    assert found[2].speaker == found[2].session == "bob" and set(found[2].ratings) == {"x"}
    mean = read_emotion(dataclasses.replace(settings, labels="mean"))
    assert mean[0].labels == pytest.approx((0.5 / 6, 3.5 / 6, 1.0))
    weighted = read_emotion(dataclasses.replace(settings, labels="ewe"))
    assert all(0 <= level <= 1 for item in weighted for level in item.labels)
    (tmp_path / "labels.csv").write_text("file,valence\n0.wav,1\n")
    with pytest.raises(FormatError, match=r"labels\.csv: expected columns file, speaker, and valence"):
        read_emotion(settings)


def test_the_estimator_weighs_raters_by_their_agreement():
    rng = np.random.default_rng(0)
    truth = rng.random(200)
    noise = rng.normal(0, [0.05, 0.05, 0.05, 0.3], (200, 4))
    ratings = np.concatenate([truth[:, np.newaxis] + noise, 0.7 - truth[:, np.newaxis]], axis=1)
    mean = ratings.mean(axis=1)
    weights = evaluator_weights(ratings)
    expected = [np.corrcoef(column, mean)[0, 1] for column in ratings.T]
    assert weights == pytest.approx(np.clip(expected, 0, None))
    assert weights[:3].min() > weights[3] > 0 == weights[4]
    assert weighted_estimate(ratings) == pytest.approx(ratings @ weights / weights.sum())


def test_the_estimator_of_raters_who_heard_some():
    ratings = np.array([[0.1, 0.2, np.nan], [0.5, np.nan, 0.5], [0.9, 0.8, 1.0], [0.3, 0.4, 0.2]])
    weights = np.array([1.0, 0.5, 0.0])
    assert weighted_estimate(ratings, weights) == pytest.approx(
        [(0.1 + 0.1) / 1.5, 0.5, (0.9 + 0.4) / 1.5, (0.3 + 0.2) / 1.5]
    )
    with pytest.raises(ConfigError, match="at least one rating of every utterance"):
        evaluator_weights([[np.nan, np.nan], [0.1, 0.2]])
    with pytest.raises(ConfigError, match="a rater of weight above 0"):
        weighted_estimate(ratings, [0.0, 1.0, 0.0])
    with pytest.raises(ConfigError, match="a rater who agrees"):
        evaluator_weights([[0.5, 0.5], [0.5, 0.5]])


def test_a_label_outside_its_scale_is_refused_with_its_place(tmp_path):
    root = write_vam(tmp_path / "vam", speakers=1, sentences=2)
    bad = root / "data/Sprecher15/Satz15002.ewe"
    bad.write_text("0.2 1.3 0.1\n")
    settings = EmotionData(str(tmp_path), "vam", "vam")
    with pytest.raises(
        FormatError, match=r"Satz15002.ewe:1: arousal: expected a value in \[-1, 1\], got 1.3"
    ):
        read_emotion(settings)
    clipped = read_emotion(dataclasses.replace(settings, outside="clip"))
    assert clipped[1].labels[1] == 1.0
    with pytest.raises(FormatError, match="valence: expected a number, got 'low'"):
        Scale(1.0, 5.0).level("low", "valence", "a.csv:3")
    with pytest.raises(FormatError, match="got nan"):
        Scale(1.0, 5.0, clip=True).level("nan", "valence", "a.csv:3")


@pytest.mark.parametrize(("seconds", "named"), [(0.05, "got 0.05 s"), (3600.0, "got 3600.00 s")])
def test_clips_that_are_no_utterances_are_refused(tmp_path, seconds, named):
    root = write_emotale(tmp_path / "emotale", speakers=1, sentences=1)
    path = root / "audio" / "DK_001_H_1.flac"
    path.unlink()
    write_voice(path, (0.5, 0.5, 0.5), 1, seconds) if seconds < 1 else _silence(path, seconds)
    with pytest.raises(
        FormatError, match=rf"DK_001_H_1.flac: expected an utterance of 0.1 to 120 s, {named}"
    ):
        read_emotion(EmotionData(str(tmp_path), "emotale", "emotale"))


def _silence(path: Path, seconds: float) -> None:
    import soundfile

    soundfile.write(path, np.zeros(round(seconds * 1000), np.float32), 1000)


def test_missing_recordings_and_broken_lines_are_named(tmp_path):
    root = write_iemocap(tmp_path / "iemocap", sessions=1, turns=1)
    settings = EmotionData(str(tmp_path), "iemocap", "iemocap")
    wav = root / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    wav.unlink()
    with pytest.raises(FormatError, match=r"_F000.wav: no such file; .*Ses01F_impro01.txt:4 lists it"):
        read_emotion(settings)
    evaluation = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    evaluation.write_text("[1 - 2]\tSes01F_impro01_F000\tneu\n")
    with pytest.raises(FormatError, match=r"Ses01F_impro01.txt:1: expected \[start - end\] turn category"):
        read_emotion(settings)
    with pytest.raises(FormatError, match="expected Session<n>/dialog/EmoEvaluation"):
        read_emotion(EmotionData(str(tmp_path), "iemocap", "elsewhere"))
    with pytest.raises(FormatError, match=r"expected <speaker>/Satz<number>\.wav"):
        read_emotion(EmotionData(str(tmp_path), "vam", "elsewhere"))


def _utterances(*speakers: str) -> list[Utterance]:
    return [
        Utterance(
            Path(f"{number}.wav"),
            speaker,
            f"session {speaker[0]}",
            "da" if number % 2 else "en",
            (0.5, 0.5, 0.5),
        )
        for number, speaker in enumerate(speakers)
    ]


def test_folds_keep_speakers_apart_and_test_everyone_once():
    utterances = _utterances(*("a1", "a1", "a2", "b1", "b1", "b1", "b2", "c1"))
    for by, count in (("speaker", 5), ("speaker_group", 3), ("session", 3)):
        folds = make_folds(utterances, by, groups=3)
        assert len(folds) == count
        assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(8))
        for fold in folds:
            require_apart(utterances, fold)
            assert sorted([*fold.train, *fold.test]) == list(range(8))
    sizes = [len(fold.test) for fold in make_folds(utterances, "speaker_group", groups=3)]
    assert sizes == [3, 3, 2]


def test_folds_of_languages_leave_the_speaker_out_as_well():
    utterances = _utterances("a", "a", "b", "b", "c", "c")
    fold = restricted(
        make_folds(utterances)[0],
        utterances,
        lambda item: item.language == "da",
        lambda item: item.language == "en",
    )
    assert [utterances[index].speaker for index in fold.train] == ["b", "c"]
    assert [(utterances[index].speaker, utterances[index].language) for index in fold.test] == [("a", "en")]


def test_a_speaker_on_both_sides_is_refused():
    utterances = _utterances("a1", "b1", "a1")
    moved = [*utterances[:2], dataclasses.replace(utterances[2], session="session b")]
    with pytest.raises(
        ConfigError, match=r"folds: expected no speaker on both sides of 'session a', got \['a1'\]"
    ):
        make_folds(moved, "session")
    with pytest.raises(ConfigError, match="no speaker on both sides"):
        require_apart(utterances, Fold("mine", np.array([0]), np.array([2])))
    with pytest.raises(ConfigError, match="speaker: expected at least two to leave one out of, got 1"):
        make_folds(_utterances("a", "a"))
    with pytest.raises(ConfigError, match=r"groups: expected in \[2, 2 speakers\], got 5"):
        make_folds(_utterances("a", "b"), "speaker_group")
