"""Bundles of dimensional emotion: written, read, verified; golden check; graphs that do not fit."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny_emotion import FUNCTIONALS, NAMES, PROVENANCE, RATE, gate, linear, member, tiny_emotion

from streamsed.bundle import EmotionBundle, read_any_bundle, read_bundle, write_emotion_bundle
from streamsed.config import EmotionConfig
from streamsed.emotion import EmotionDetector
from streamsed.errors import BundleError
from streamsed.golden import check_golden, golden_voice


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tiny_emotion(tmp_path_factory.mktemp("emotion") / "tiny").path


def changed(path, folder, change):
    """Copy a bundle, with ``change`` applied to the object of its manifest."""
    shutil.copytree(path, folder)
    values = json.loads((folder / "bundle.json").read_text())
    change(values)
    (folder / "bundle.json").write_text(json.dumps(values))
    return folder


def test_what_is_written_is_read(path):
    bundle = read_any_bundle(path)
    assert isinstance(bundle, EmotionBundle)
    assert bundle.task == "dimensional_emotion"
    assert bundle.labels == ("valence", "arousal", "dominance")
    assert bundle.functionals == FUNCTIONALS
    assert bundle.sample_rate == RATE
    assert bundle.provenance == PROVENANCE
    assert [entry.file for entry in bundle.files] == [
        "member0.onnx",
        "member1.onnx",
        "member2.onnx",
        "gate.onnx",
        "golden.npz",
    ]
    facts = dataclasses.asdict(bundle)
    assert facts.pop("path") == path
    assert json.loads((path / "bundle.json").read_text()) == json.loads(json.dumps(facts))


def test_a_zip_is_a_bundle_too(path, tmp_path):
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", path)
    detector = EmotionDetector(read_any_bundle(archive))
    assert check_golden(detector).passed


def test_golden_check(path):
    report = check_golden(EmotionDetector(read_any_bundle(path)))
    assert report.passed
    assert report.max_difference == 0.0
    assert report.found_events == report.expected_events >= 5


def test_golden_check_finds_another_model(path, tmp_path):
    other = write_emotion_bundle(
        tmp_path / "other",
        name="other",
        functionals=FUNCTIONALS,
        feature_count=len(NAMES),
        gate=gate(),
        members=[member(0.1), member(0.2), member(0.3)],
        emotion=EmotionConfig(),
        provenance=PROVENANCE,
    )
    shutil.copy(path / "golden.npz", other.path / "golden.npz")
    golden = read_any_bundle(path).golden
    report = check_golden(EmotionDetector(dataclasses.replace(other, golden=golden)))
    assert not report.passed
    assert report.max_difference > 0.05


def test_without_golden(tmp_path):
    bundle = write_emotion_bundle(
        tmp_path / "plain",
        name="plain",
        functionals=FUNCTIONALS,
        feature_count=len(NAMES),
        gate=gate(),
        members=[member(0.0)],
        emotion=EmotionConfig(),
        provenance=PROVENANCE,
    )
    with pytest.raises(BundleError, match="golden: expected a file, got null"):
        check_golden(EmotionDetector(bundle))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(labels=["arousal", "valence", "dominance"]), "labels: expected"),
        (lambda v: v.update(members=[]), "members: expected at least one"),
        (lambda v: v.update(gate=v["members"][0]), "members, gate: expected no file twice"),
        (lambda v: v.update(feature_count=0), "feature_count: expected > 0"),
        (lambda v: v.update(name="a b"), "name: expected letters"),
        (lambda v: v.update(schema_version=2), "schema_version: expected 1, got 2"),
        (lambda v: v.update(extra=1), "unknown"),
        (lambda v: v.pop("emotion"), "missing"),
        (lambda v: v["emotion"].update(window_seconds=1000.0), "window_seconds: expected seconds in"),
        (lambda v: v["emotion"].update(smoothing_seconds=-1.0), "smoothing_seconds: expected in"),
        (lambda v: v["emotion"].update(least_seconds=0.0), "least_seconds: expected in"),
        (lambda v: v["functionals"].update(voicing=2.0), "voicing: expected in"),
        (lambda v: v["gate"].update(sha256="0" * 64), "gate.onnx: expected sha256"),
    ],
)
def test_manifests_that_cannot_be(path, tmp_path, change, message):
    with pytest.raises(BundleError, match=message):
        read_any_bundle(changed(path, tmp_path / "bad", change))


@pytest.mark.parametrize("file", ["member1.onnx", "gate.onnx", "golden.npz"])
def test_damaged_files(path, tmp_path, file):
    folder = changed(path, tmp_path / "bad", lambda values: None)
    content = (folder / file).read_bytes()
    (folder / file).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(BundleError, match=f"{file}: expected sha256"):
        read_any_bundle(folder)
    (folder / file).unlink()
    with pytest.raises(BundleError, match=f"cannot read {file}"):
        read_any_bundle(folder)


def test_other_functionals_than_the_graphs_are_for(path, tmp_path):
    folder = changed(path, tmp_path / "bad", lambda v: v["functionals"].update(coefficients=12))
    with pytest.raises(
        BundleError, match=r"feature_count: expected \d+, what these functionals are, got 780"
    ):
        EmotionDetector(read_any_bundle(folder))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": [linear({}, [0.0, 0.0])]}, r"member0.onnx: expected one output of shape \(1, 3\)"),
        ({"gate": linear({}, [0.0, 0.0])}, r"gate.onnx: expected one output of shape \(1, 1\)"),
        ({"members": [linear({}, [0.0] * 3, 781)]}, "member0.onnx: ONNX Runtime failed"),
        ({"gate": b"nothing"}, "gate.onnx: ONNX Runtime cannot load it"),
    ],
)
def test_graphs_that_do_not_fit(tmp_path, changes, message):
    with pytest.raises(BundleError, match=message):
        tiny_emotion(tmp_path / "bad", **changes)


def test_a_folder_with_a_bundle_is_kept(path):
    with pytest.raises(BundleError, match="folder: expected one without a bundle"):
        tiny_emotion(path)


def test_it_is_no_bundle_of_sound_events(path):
    with pytest.raises(BundleError, match="task: expected sound_events, got dimensional_emotion"):
        read_bundle(path)


def test_the_golden_voice_is_a_voice():
    """It has pitch where a person has it, pauses, and no more than full scale."""
    samples = golden_voice(RATE)
    assert samples.dtype == np.float32
    assert np.abs(samples).max() <= 1.0
    assert samples[int(4.2 * RATE) : int(4.8 * RATE)].std() < 1e-3 < samples.std()
    np.testing.assert_array_equal(samples, golden_voice(RATE))
