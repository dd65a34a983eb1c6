"""Tags of detectors: of whole recordings, and of the last seconds of a stream."""

from __future__ import annotations

import json

import contracts
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import RATE, events_of, run
from tiny_models import LABELS, scene, tiny_bundle, tone

from streamsed.bundle import read_bundle, write_golden
from streamsed.config import POOLINGS, TaggingConfig
from streamsed.detector import load
from streamsed.errors import BundleError, ConfigError, FormatError
from streamsed.golden import check_golden, make_golden
from streamsed.tagging import pooled
from streamsed.types import Gap, Tags

FRAME_SECONDS = 0.02


def tags_in(records):
    return [record for record in records if isinstance(record, Tags)]


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """A detector whose window is 2 s, with a threshold of its own for one label."""
    folder = tmp_path_factory.mktemp("tags") / "quick"
    config = TaggingConfig("mean", 2.0, 0.2, {"high": 0.9})
    return load(tiny_bundle(folder, name="quick", tagging=config).path)


class TestRecording:
    @pytest.mark.parametrize("rate", [16000, 44100])
    def test_tags_are_those_of_the_pooled_frames(self, detector, rate):
        tags = detector.tags(scene(rate), rate, source="kitchen")
        expected = pooled(detector.posteriors(scene(rate), rate))
        assert dict(tags.posteriors) == pytest.approx(
            dict(zip(detector.labels, expected.tolist(), strict=True)), abs=6e-5
        )
        assert (tags.onset, tags.time, tags.source) == (0.0, 6.0, "kitchen")
        assert tags.is_whole and tags.spans_gap is False
        assert tags.tags == tuple(tags.posteriors) == ("low", "high")
        assert np.array_equal(detector.clip_posteriors(scene(rate), rate), expected)

    def test_a_file_is_as_good_as_samples(self, detector, tmp_path):
        soundfile.write(tmp_path / "a.wav", scene(), RATE, subtype="FLOAT")
        assert np.array_equal(
            detector.clip_posteriors(tmp_path / "a.wav"), detector.clip_posteriors(scene(), RATE)
        )
        assert detector.tags(tmp_path / "a.wav").posteriors == detector.tags(scene(), RATE).posteriors

    def test_what_is_not_heard_is_no_tag(self, detector):
        only_low = np.concatenate([np.zeros(RATE, np.float32), tone(1.0, 300.0)])
        assert detector.tags(only_low).tags == ("low",)
        assert detector.tags(np.zeros(RATE, np.float32)).tags == ()

    @pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(10, np.float32)])
    def test_too_short_for_a_frame_is_silence(self, detector, samples):
        tags = detector.tags(samples)
        assert tags.tags == () and set(tags.posteriors.values()) == {0.0}
        assert tags.time == pytest.approx(len(samples) / RATE)
        assert not detector.clip_posteriors(samples).any()

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_the_bundle_chooses_pooling_and_thresholds(self, pooling, tmp_path):
        config = TaggingConfig(pooling, default_threshold=1.0, thresholds={"low": 1e-3})
        model = load(tiny_bundle(tmp_path / "b", tagging=config).path)
        frames = model.posteriors(scene())
        assert np.array_equal(model.clip_posteriors(scene()), pooled(frames, pooling=pooling))
        assert model.tags(scene()).tags == ("low",)
        assert set(model.tags(scene(), thresholds=1e-3).tags) == set(LABELS)
        assert set(model.tags(scene(), thresholds={"high": 1e-3}).tags) == set(LABELS)

    def test_bad_input_is_named(self, detector, tmp_path):
        with pytest.raises(ConfigError, match=r"tag_thresholds: expected labels among \['low', 'high'\]"):
            detector.tags(scene(), thresholds={"rain": 0.5})
        with pytest.raises(ConfigError, match=r"tag_thresholds\[low\]: expected in \(0, 1\], got 0"):
            detector.tags(scene(), thresholds={"low": 0})
        with pytest.raises(FormatError, match=r"missing\.wav"):
            detector.clip_posteriors(tmp_path / "missing.wav")


class TestStream:
    def test_clip_tags_come_last_and_once(self, detector):
        records = run(detector.stream(clip_tags=True), scene())
        assert len(tags_in(records)) == 1 and records[-1] == detector.tags(
            scene(), source="stream0", latency="balanced"
        )
        assert events_of(records) == events_of(run(detector.stream(), scene()))

    def test_a_window_rolls(self, quick):
        records = tags_in(run(quick.stream(top_k=1), scene()))
        frames = quick.posteriors(scene(), latency="balanced")
        assert records[0].onset == 0.0 and len(records) >= 50
        for record in records[5::10]:
            newest = round(record.time / FRAME_SECONDS)
            first = max(0, newest - 100)
            expected = pooled(frames[first:newest], pooling="mean")
            label = LABELS[int(expected.argmax())]
            assert record.onset == pytest.approx(first * FRAME_SECONDS)
            assert record.clip_posteriors == pytest.approx({label: expected.max()}, abs=6e-5)
            limits = {"low": 0.2, "high": 0.9}
            wanted = {name for name, p in zip(LABELS, expected, strict=True) if p >= limits[name]}
            assert set(record.tags) == wanted
            assert not record.is_whole and record.spans_gap is False

    def test_lost_sound_counts_nowhere_and_leaves_the_window(self, quick):
        """Two seconds of tone, then a hole: the window holds what was heard in it, and nothing after 2 s."""
        stream = quick.stream(top_k=2, clip_tags=True)
        records = stream.process(tone(2.0, 300.0)) + stream.gap(RATE, "device")
        records += stream.process(np.zeros(RATE // 2, np.float32))
        before = [record for record in tags_in(records) if record.time <= 2.0][-1]
        after = tags_in(records)[-1]
        assert before.clip_posteriors["low"] > 0.9 and not before.spans_gap
        # 0.5 s of the tone and 0.5 s of silence are left of the last 2 s.
        assert after.time == pytest.approx(3.5, abs=0.15) and after.spans_gap
        assert after.clip_posteriors["low"] == pytest.approx(0.5, abs=0.15)
        records = stream.gap(10 * RATE, "device") + stream.process(np.zeros(RATE, np.float32))
        last = tags_in(records)[-1]
        assert last.clip_posteriors["low"] < 0.01 and last.tags == ()
        records = stream.flush()
        whole = records[-1]
        assert whole.is_whole and whole.spans_gap and whole.time == pytest.approx(14.5)
        # Two of the three and a half seconds that were heard.
        assert whole.posteriors["low"] == pytest.approx(2 / 3.5, abs=0.1)
        assert any(isinstance(record, Gap) for record in records) is False

    @settings(max_examples=8)
    @given(sizes=st.lists(st.integers(0, 30_000), max_size=10))
    def test_records_do_not_depend_on_the_chunks(self, quick, sizes):
        case = contracts.StageCase(
            make=lambda: quick.stream(44100, top_k=2, clip_tags=True),
            data=scene(44100),
            join=contracts.concatenate_lists,
        )
        contracts.check_partition(case, sizes)

    def test_reset_forgets(self, quick):
        stream = quick.stream(top_k=2, clip_tags=True)
        first = run(stream, scene())
        stream.reset()
        assert run(stream, scene()) == first


class TestBundle:
    def test_what_is_written_is_read_and_the_default_is_not_written(self, quick, tiny_path):
        values = json.loads((quick.bundle.path / "bundle.json").read_text())
        assert values["tagging"] == {
            "pooling": "mean",
            "window_seconds": 2.0,
            "default_threshold": 0.2,
            "thresholds": {"high": 0.9},
        }
        assert read_bundle(quick.bundle.path).tagging == TaggingConfig("mean", 2.0, 0.2, {"high": 0.9})
        assert "tagging" not in json.loads((tiny_path / "bundle.json").read_text())
        assert read_bundle(tiny_path).tagging == TaggingConfig()

    def test_a_golden_check_keeps_it(self, tmp_path):
        config = TaggingConfig("max", default_threshold=0.4)
        path = tiny_bundle(tmp_path / "b", tagging=config).path
        assert write_golden(path, make_golden(load(path), scene())).tagging == config
        assert check_golden(load(path)).passed

    @pytest.mark.parametrize(
        ("tagging", "message"),
        [
            ({"thresholds": {"rain": 0.5}}, r"tagging.thresholds: expected labels among \['low', 'high'\]"),
            ({"pooling": "softmax"}, "bundle.json.tagging.pooling: expected one of"),
            ({"window_seconds": -1.0}, r"tagging.window_seconds: expected seconds in \[0.1, 600\], got -1"),
            ({"threshold": 0.5}, r"unknown \['threshold'\]"),
        ],
    )
    def test_a_wrong_field_is_named(self, quick, tmp_path, tagging, message):
        values = json.loads((quick.bundle.path / "bundle.json").read_text())
        (tmp_path / "bundle.json").write_text(json.dumps(values | {"tagging": tagging}))
        with pytest.raises(BundleError, match=message):
            read_bundle(tmp_path)
