"""``python -m training.lung.assemble``: two bundles and settings become one model that runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_cycles import breathing, classifier_bundle, segmenter_bundle

import streamsed
from streamsed.errors import ConfigError, FormatError
from streamsed.golden import check_golden
from training.lung.assemble import LIMITS, main, read_settings

SETTINGS = {
    "preparation": {"segment_seconds": 4.0, "chunks": 2},
    "class_weights": [1.0, 1.5, 1.5, 2.0],
    "decoder": {"min_seconds": 3.0, "period_seconds": 4.0},
}


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("parts")
    segmenter_bundle(folder / "segmenter")
    classifier_bundle(folder / "classifier", 2)
    return ["--segmenter", str(folder / "segmenter"), "--classifier", str(folder / "classifier")]


def write(path: Path, values: object) -> str:
    path.write_text(json.dumps(values))
    return str(path)


def test_two_bundles_become_one(parts, tmp_path, capsys):
    settings = write(tmp_path / "cycles.json", SETTINGS)
    metrics = write(tmp_path / "metrics.json", {"score": 0.61})
    arguments = [*parts, "-o", str(tmp_path / "lung"), "--settings", settings, "--metrics", metrics]
    assert main([*arguments, "--set", "decoder.threshold=0.4", "--set", "evidence_members=2"]) == 0
    assert "lung-cycles, 4000 Hz, 2 members" in capsys.readouterr().out
    detector = streamsed.load(tmp_path / "lung")
    bundle = detector.bundle
    assert bundle.name == "lung-cycles"
    assert bundle.cycles.class_weights == (1.0, 1.5, 1.5, 2.0)
    assert (bundle.cycles.decoder.threshold, bundle.cycles.decoder.min_seconds) == (0.4, 3.0)
    assert bundle.cycles.evidence_members == 2
    assert bundle.provenance.metrics == {"score": 0.61}
    assert bundle.provenance.limits.startswith(LIMITS)
    assert "Rocha" in bundle.provenance.licence and "free for research" in bundle.provenance.licence
    assert check_golden(detector).passed
    assert len(detector.detect(breathing(12.0))) == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "classifier.time_stride: expected 179"),
        (["--set", "class_weights=[1, 2]"], "cycles.class_weights: expected 4 of them"),
        (["--set", "other=1"], "unknown ['other']"),
        (
            ["--set", "preparation.segment_seconds=4.0", "--set", "decoder.wait_seconds=0.6"],
            "expected records at most 0.5 s after a cycle's end, got 0.7",
        ),
        (["--set", "decoder"], "--set: expected [section.]key=value"),
        (["--set", "class_weights.a=1"], "class_weights"),
        (["--settings", "nothing.json"], "nothing.json: cannot read it"),
        (["--classifier", "nothing"], "no such file or folder"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(parts, tmp_path, capsys, options, message):
    with pytest.raises(SystemExit) as end:
        main([*parts, "-o", str(tmp_path / "lung"), *options])
    assert end.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_replaced(parts, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([*parts, "-o", str(tmp_path)])
    assert "-o: expected a folder that does not exist yet" in capsys.readouterr().err


def test_later_settings_win_key_by_key(tmp_path):
    first = Path(write(tmp_path / "a.json", SETTINGS))
    second = Path(write(tmp_path / "b.json", {"decoder": {"threshold": 0.3}, "evidence_seconds": 2.0}))
    config = read_settings([first, second], ["decoder.min_seconds=2.0"])
    assert (config.decoder.threshold, config.decoder.min_seconds, config.decoder.period_seconds) == (
        0.3,
        2.0,
        4.0,
    )
    assert config.evidence_seconds == 2.0
    with pytest.raises(ConfigError, match="decoder"):
        read_settings([first], ["decoder.threshold=high"])
    with pytest.raises(FormatError, match="expected an object, got list"):
        read_settings([Path(write(tmp_path / "c.json", [1]))], [])
