"""The bundle voice-emotion as it ships: whole, small, quick, and silent where nobody speaks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

import streamsed
from streamsed.bundle import EmotionBundle, read_any_bundle
from streamsed.golden import check_golden, golden_breathing, golden_samples, golden_voice
from streamsed.types import EMOTION_DIMENSIONS

RATE = 16000
SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_recordings = pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is not here")


@pytest.fixture(scope="module")
def model():
    return streamsed.load("voice-emotion")


def test_says_what_it_is_and_what_it_is_not_for():
    bundle = read_any_bundle("voice-emotion")
    assert isinstance(bundle, EmotionBundle)
    assert "not for judging people" in bundle.provenance.limits
    assert "Art. 5(1)(f)" in bundle.provenance.limits
    assert "Acted speech" in bundle.provenance.limits
    assert "cite EmoTale" in bundle.provenance.licence
    assert "unknown" not in bundle.provenance.commit
    ccc = bundle.provenance.metrics["ccc_leave_one_speaker_out"]
    assert ccc["mean"] >= 0.45
    assert ccc["arousal"] >= 0.60


def test_is_small():
    path = streamsed.bundle.shipped_bundles()["voice-emotion"]
    assert sum(file.stat().st_size for file in path.iterdir()) <= 10e6


def test_golden_check(model):
    report = check_golden(model)
    assert report.passed, report
    assert report.found_events >= 5


def test_records_of_a_voice(model):
    records = model.detect(golden_voice(RATE, 4.0))
    assert [round(record.offset, 1) for record in records] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
    for record in records:
        for name in EMOTION_DIMENSIONS:
            assert 0.0 <= getattr(record, name) <= 1.0
            assert 0.0 < record.uncertainty[name] < 0.3


def test_the_gain_of_the_microphone_does_not_matter(model):
    samples = golden_voice(RATE, 2.0)
    for one, other in zip(model.detect(samples), model.detect(np.float32(0.01) * samples), strict=True):
        for name in EMOTION_DIMENSIONS:
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=0.02)


def chord(seconds: float) -> np.ndarray:
    """Three notes with harmonics that decay and come again each half second."""
    time = np.arange(round(seconds * RATE)) / RATE
    notes = [
        np.sin(2 * np.pi * pitch * number * time) / number
        for pitch in (220.0, 277.2, 329.6)
        for number in range(1, 6)
    ]
    return 0.05 * np.sum(notes, axis=0) * np.exp(-4.0 * (time % 0.5))


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(5 * RATE),
        0.1 * np.sin(2 * np.pi * 440.0 * np.arange(5 * RATE) / RATE),
        0.05 * np.random.default_rng(0).standard_normal(5 * RATE),
        np.cumsum(np.random.default_rng(1).standard_normal(5 * RATE)) * 1e-4,
        chord(5.0),
        golden_samples(RATE),
        golden_breathing(RATE, 6.0),
    ],
    ids=["silence", "tone", "white", "brown", "chord", "golden", "breathing"],
)
def test_no_record_of_what_is_no_voice(model, sound):
    assert model.detect(np.asarray(sound, np.float32)) == []


@needs_recordings
def test_recorded_voices_pass():
    model = streamsed.load("voice-emotion", hop_seconds=1.5)
    files = sorted((SHARED / "emodb" / "wav").glob("*.flac"))[::20]
    assert len(files) == 21
    assert sum(bool(model.detect(file)) for file in files) >= 20


@needs_recordings
def test_other_sounds_do_not():
    """Of the fold of ESC-10 that the gate was not trained on."""
    model = streamsed.load("voice-emotion", hop_seconds=1.5)
    files = sorted((SHARED / "esc10" / "audio").glob("4-*.ogg"))[::4]
    assert len(files) == 20
    assert sum(bool(model.detect(file)) for file in files) <= 1


@needs_recordings
def test_anger_is_more_aroused_than_boredom(model):
    """In a language that it was not trained on: EMO-DB is German."""

    def arousal(letter: str) -> float:
        files = sorted((SHARED / "emodb" / "wav").glob(f"*{letter}?.flac"))[::8]
        found = [record.arousal for file in files for record in model.detect(file)[-1:]]
        assert len(found) >= 5
        return float(np.mean(found))

    assert arousal("W") > arousal("L") + 0.2


@needs_recordings
def test_any_file_format(model):
    file = sorted((SHARED / "emotale" / "audio").glob("*.flac"))[0]
    samples, rate = soundfile.read(file, dtype="float32")
    records = model.detect(file)
    assert len(records) == len(model.detect(samples, rate)) > 0
