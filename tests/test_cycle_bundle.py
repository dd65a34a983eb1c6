"""Bundles of respiratory cycles: read as strictly as written, put together of two, tested by themselves."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_cycles import (
    CHUNK_FRONT_END,
    CYCLES,
    FRONT_END,
    PROVENANCE,
    breathing,
    classifier_bundle,
    segmenter_bundle,
    tiny_cycles,
)

import streamsed
from streamsed.bundle import (
    CycleBundle,
    Streaming,
    read_any_bundle,
    read_bundle,
    write_cycle_bundle,
    write_cycle_golden,
)
from streamsed.config import CycleConfig, CyclePreparation, QualityGateConfig
from streamsed.errors import BundleError, ConfigError
from streamsed.golden import check_golden, golden_breathing, make_cycle_golden


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_cycles(tmp_path_factory.mktemp("cycles") / "tiny").path


@pytest.fixture
def copy(path, tmp_path) -> Path:
    return Path(shutil.copytree(path, tmp_path / "copy"))


def change(folder: Path, edit) -> Path:
    """Change bundle.json by ``edit``."""
    values = json.loads((folder / "bundle.json").read_text())
    edit(values)
    (folder / "bundle.json").write_text(json.dumps(values))
    return folder


def test_what_is_written_is_read(path):
    bundle = read_any_bundle(path)
    assert isinstance(bundle, CycleBundle)
    assert (bundle.task, bundle.name, bundle.sample_rate) == ("respiratory_cycles", "tiny-cycles", 4000)
    assert bundle.cycles == CYCLES
    assert bundle.segmenter.front_end == FRONT_END
    assert bundle.classifier.front_end == CHUNK_FRONT_END
    assert bundle.provenance == PROVENANCE
    files = sorted(item.relative_to(path).as_posix() for item in path.rglob("*") if item.is_file())
    assert files == [
        "bundle.json",
        "classifier/member0.onnx",
        "classifier/member1.onnx",
        "classifier/member2.onnx",
        "golden.npz",
        "segmenter/member0.onnx",
    ]


def test_a_zip_is_a_bundle_too(path, tmp_path):
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for item in path.rglob("*"):
            archive.write(item, Path("tiny") / item.relative_to(path))
    samples = breathing(9.0)
    assert streamsed.load(tmp_path / "tiny.zip").detect(samples) == streamsed.load(path).detect(samples)


@pytest.mark.parametrize("file", ["segmenter/member0.onnx", "classifier/member1.onnx", "golden.npz"])
def test_every_file_is_verified(copy, file):
    content = bytearray((copy / file).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / file).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{file}: expected sha256"):
        read_any_bundle(copy)
    (copy / file).unlink()
    with pytest.raises(BundleError, match=rf"cannot read {file}"):
        read_any_bundle(copy)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda v: v.update(extra=1), r"unknown \['extra'\]"),
        (lambda v: v["cycles"].update(extra=1), r"bundle.json.cycles: .*unknown \['extra'\]"),
        (lambda v: v["cycles"]["gate"].update(lung_on=2), r"cycles.gate.lung_on: expected in \(0, 1\]"),
        (lambda v: v["cycles"]["preparation"].update(chunks=0), r"preparation.chunks: expected"),
        (lambda v: v["segmenter"].update(extra=1), r"bundle.json.segmenter: .*unknown \['extra'\]"),
        (lambda v: v.pop("classifier"), r"missing \['classifier'\]"),
        (lambda v: v.update(labels=["normal", "wheeze", "crackle", "both"]), "labels: expected"),
        (lambda v: v["cycles"].update(class_weights=[1, 1]), "cycles.class_weights: expected 4 of them"),
        (lambda v: v["cycles"].update(class_weights=[1, 1, 0, 1]), "class_weights: expected finite"),
        (lambda v: v["segmenter"]["front_end"].update(sample_rate=8000), "the same of segmenter and classif"),
        (lambda v: v["segmenter"].update(labels=["a", "b", "c", "d"]), "segmenter.labels: expected"),
        (lambda v: v["classifier"].update(labels=["a", "b", "c", "d"]), "classifier.labels: expected"),
        (lambda v: v["classifier"]["streaming"].update(hop_frames=1), "streaming"),
        (lambda v: v["segmenter"]["members"][0]["files"]["onnx"].update(file="../x"), "relative path inside"),
        (lambda v: v.update(schema_version=2), "schema_version: expected 1, got 2"),
        (lambda v: v.update(name="a b"), "name: expected letters"),
        (lambda v: v.update(task="other"), "task"),
    ],
)
def test_what_does_not_fit_the_schema_is_named(copy, edit, message):
    with pytest.raises(BundleError, match=message):
        read_any_bundle(change(copy, edit))


def test_the_segmenter_must_be_causal(tmp_path):
    classifier = classifier_bundle(tmp_path / "classifier", 1)
    with pytest.raises(BundleError, match=r"segmenter.streaming.kind: expected causal, got 'windowed'"):
        write_cycle_bundle(
            tmp_path / "both",
            name="both",
            segmenter=classifier,
            classifier=classifier,
            cycles=CYCLES,
            provenance=PROVENANCE,
        )
    assert not (tmp_path / "both").exists()


def test_the_classifier_gives_one_posterior_a_chunk(tmp_path):
    classifier = classifier_bundle(tmp_path / "classifier", 1, streaming=Streaming("windowed", 158, 79))
    with pytest.raises(BundleError, match=r"classifier.streaming: expected windows .*time_stride=79"):
        write_cycle_bundle(
            tmp_path / "both",
            name="both",
            segmenter=segmenter_bundle(tmp_path / "segmenter"),
            classifier=classifier,
            cycles=CYCLES,
            provenance=PROVENANCE,
        )


def test_chunks_of_another_length_are_refused_when_it_is_loaded(copy):
    change(copy, lambda v: v["cycles"].update(preparation={"segment_seconds": 9.0, "chunks": 2}))
    with pytest.raises(BundleError, match=r"classifier.time_stride: expected 179, .* got 79"):
        streamsed.load(copy)


def test_a_bundle_is_not_replaced(path, tmp_path):
    with pytest.raises(BundleError, match="folder: expected one without a bundle"):
        write_cycle_bundle(
            path,
            name="other",
            segmenter=segmenter_bundle(tmp_path / "segmenter"),
            classifier=classifier_bundle(tmp_path / "classifier", 1),
            cycles=CYCLES,
            provenance=PROVENANCE,
        )


def test_who_wants_sound_events_is_told_the_task(path):
    with pytest.raises(BundleError, match="task: expected sound_events, got respiratory_cycles"):
        read_bundle(path)


class TestGolden:
    def test_passes_where_it_was_made(self, path):
        report = check_golden(streamsed.load(path))
        assert report.passed
        assert report.max_difference == 0.0
        assert report.expected_events == report.found_events == 4

    def test_notices_another_decision(self, copy):
        change(copy, lambda v: v["cycles"].update(class_weights=[1, 100, 1, 1]))
        report = check_golden(streamsed.load(copy))
        assert not report.passed
        assert report.max_difference == 0.0

    def test_notices_other_posteriors(self, copy):
        bundle = read_any_bundle(copy)
        golden = bundle.read_golden()
        write_cycle_golden(bundle, replace(golden, segmenter=golden.segmenter + np.float32(0.01)))
        report = check_golden(streamsed.load(copy))
        assert report.max_difference == pytest.approx(0.01, abs=1e-4)
        assert not report.passed
        write_cycle_golden(bundle, replace(golden, pieces=golden.pieces[:-1]))
        assert check_golden(streamsed.load(copy)).max_difference == float("inf")

    def test_a_bundle_without_one_cannot_be_tested(self, copy):
        detector = streamsed.load(change(copy, lambda v: v.update(golden=None)))
        with pytest.raises(BundleError, match="golden: expected a file, got null"):
            check_golden(detector)

    def test_arrays_of_other_shapes_are_refused(self, path):
        golden = make_cycle_golden(streamsed.load(path), golden_breathing(4000, 9.0))
        with pytest.raises(ConfigError, match=r"golden.cycle_times: expected shape"):
            replace(golden, cycle_times=golden.cycle_times[:-1])
        with pytest.raises(ConfigError, match=r"golden.pieces: expected float32"):
            replace(golden, pieces=golden.pieces.astype(np.float64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: QualityGateConfig(seconds=0.0), "seconds"),
        (lambda: QualityGateConfig(lung_on=0.3, lung_off=0.4), "lung_off"),
        (lambda: QualityGateConfig(noise_on=1.2), "noise_on"),
        (lambda: CycleConfig(evidence_seconds=0.0), "evidence_seconds"),
        (lambda: CycleConfig(evidence_members=0), "evidence_members"),
        (lambda: CyclePreparation(segment_seconds=-1.0), "segment_seconds"),
    ],
)
def test_settings_are_checked(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
