"""``streamsed evaluate`` of dimensional emotion."""

from __future__ import annotations

import json
from pathlib import Path

import audmetric
import numpy as np
import pytest
from cli import run

from streamsed.cli.emotion_scores import emotion_report, mean_levels
from streamsed.emotion_lists import EmotionList, EmotionSegment, holds_emotion, read_emotion_list
from streamsed.errors import FormatError
from streamsed.types import EMOTION_DIMENSIONS


def _record(source: str, onset: float, offset: float, levels: tuple[float, float, float]) -> str:
    fields = {"v": 1, "type": "emotion", "onset": onset, "offset": offset, "source": source, "speech": 0.9}
    fields |= dict(zip(EMOTION_DIMENSIONS, levels, strict=True)) | {
        "uncertainty": dict.fromkeys(EMOTION_DIMENSIONS, 0.1)
    }
    return json.dumps(fields)


@pytest.fixture
def lists(tmp_path: Path) -> tuple[Path, Path, np.ndarray, np.ndarray]:
    """A table of 12 recordings, and the records of a model: two windows each, the second of twice the weight."""
    rng = np.random.default_rng(0)
    truth, windows = rng.random((12, 3)).round(3), rng.random((12, 2, 3)).round(3)
    windows = (0.5 * windows + 0.5 * truth[:, np.newaxis]).round(3)
    rows = ["file,valence,arousal,dominance"]
    rows += [f"{number}.wav," + ",".join(map(str, levels)) for number, levels in enumerate(truth.tolist())]
    (tmp_path / "truth.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "records").mkdir()
    for number, (first, second) in enumerate(windows.tolist()):
        lines = [
            json.dumps(
                {
                    "v": 1,
                    "type": "start",
                    "source": str(number),
                    "model": "m",
                    "sample_rate": 16000,
                    "latency_seconds": {},
                }
            ),
            _record(str(number), 0.0, 1.0, tuple(first)),
            _record(str(number), 0.5, 2.5, tuple(second)),
            json.dumps({"v": 1, "type": "summary", "audio_seconds": 3.0, "events": 0}),
        ]
        (tmp_path / "records" / f"{number}.jsonl").write_text("\n".join(lines) + "\n")
    expected = (windows[:, 0] + 2 * windows[:, 1]) / 3
    return tmp_path / "truth.csv", tmp_path / "records", truth, expected


def test_records_against_a_table_of_recordings(lists):
    reference, estimate, truth, expected = lists
    done = run("evaluate", reference, estimate, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["task"] == "dimensional_emotion" and found["segments"] == found["files"] == 12
    for column, name in enumerate(EMOTION_DIMENSIONS):
        ccc = audmetric.concordance_cc(truth[:, column], expected[:, column])
        assert found["ccc"][name] == pytest.approx(ccc, abs=1e-9)
        low, high = (found["intervals"]["ccc"][name][end] for end in ("low", "high"))
        assert low < ccc < high
    tables = run("evaluate", reference, estimate, "--as", "emotion").stdout
    assert "12 segments of 12 recordings, 24 estimated" in tables and "Not for judging people" in tables
    (row,) = (line for line in tables.splitlines() if line.startswith("arousal"))
    assert row.split()[1] == f"{found['ccc']['arousal']:.3f}"


def test_options_of_events_are_refused(lists):
    reference, estimate, *_ = lists
    done = run("evaluate", reference, estimate, "--posteriors", "scores")
    assert done.returncode == 2 and "--posteriors: expected none for emotion" in done.stderr


def test_segments_take_what_overlaps_them():
    estimated = [EmotionSegment(0, 2, (0.2, 0.2, 0.2)), EmotionSegment(1, 3, (0.8, 0.8, 0.8))]
    assert mean_levels(EmotionSegment(0, 1, (0, 0, 0)), estimated) == pytest.approx((0.2,) * 3)
    assert mean_levels(EmotionSegment(0, 2, (0, 0, 0)), estimated) == pytest.approx(
        ((2 * 0.2 + 0.8) / 3,) * 3
    )
    assert mean_levels(EmotionSegment(3, 4, (0, 0, 0)), estimated) is None


def test_segments_without_an_estimate_are_counted(tmp_path):
    truth = EmotionList({"a": [EmotionSegment(0, 1, (0.1, 0.2, 0.3)), EmotionSegment(5, 6, (0.5, 0.5, 0.5))]})
    guess = EmotionList({"a": [EmotionSegment(0, 2, (0.2, 0.2, 0.2))]})
    report = emotion_report(truth, guess, 10)
    assert (report.compared, report.uncovered, report.estimated) == (1, 1, 1)
    with pytest.raises(
        FormatError, match="expected an estimate within a true segment, got none for 2 of them"
    ):
        emotion_report(truth, EmotionList({}), 10)


def test_lists_are_recognised_and_faults_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(
        "filename\tonset\toffset\tvalence\tarousal\tdominance\nx.wav\t1\t2\t0.1\t0.2\t0.3\ny.wav\t\t\t\t\t\n"
    )
    assert holds_emotion(path)
    found = read_emotion_list(path).recordings
    assert found == {"x": [EmotionSegment(1.0, 2.0, (0.1, 0.2, 0.3))], "y": []}
    for row, fault in (
        ("x.wav\t1\t2\t0.1\t1.2\t0.3", r"a.csv:2: arousal: expected a level in \[0, 1\], got 1.2"),
        ("x.wav\t2\t1\t0.1\t0.2\t0.3", r"a.csv:2: expected times 0 <= onset < offset, got 2.0, 1.0"),
        ("x.wav\t1\t2\t0.1\tlow\t0.3", r"a.csv:2: arousal: expected a number, got 'low'"),
        ("x.wav\t1\t2\tnan\t0.2\t0.3", r"a.csv:2: valence: expected a finite number, got 'nan'"),
    ):
        path.write_text(f"filename\tonset\toffset\tvalence\tarousal\tdominance\n{row}\n")
        with pytest.raises(FormatError, match=fault):
            read_emotion_list(path)
    events = tmp_path / "events.csv"
    events.write_text("onset,offset,event_label\n0,1,dog\n")
    assert not holds_emotion(events)
    with pytest.raises(FormatError, match="expected records, or a header with valence, arousal, dominance"):
        read_emotion_list(events)
    records = tmp_path / "b.jsonl"
    records.write_text('{"v":1,"type":"emotion","onset":0,"offset":1,"valence":0.5,"arousal":0.5}\n')
    assert holds_emotion(records)
    with pytest.raises(FormatError, match=r"b.jsonl:1: dominance: expected a number, got None"):
        read_emotion_list(records)
