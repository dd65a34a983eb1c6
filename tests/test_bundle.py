"""Bundles: every way in which one can be wrong is named before anything of it is used."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from tiny_models import FRONT_END, LABELS, PROVENANCE, onnx_model, state_shapes, tiny_bundle

from streamsed.bundle import (
    Golden,
    Streaming,
    read_any_bundle,
    read_bundle,
    shipped_bundles,
    write_bundle,
    write_golden,
)
from streamsed.config import ClassPost, PostConfig
from streamsed.errors import BundleError


@pytest.fixture
def folder(tiny_path: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(tiny_path, tmp_path / "copy"))


def edit(folder: Path, change) -> None:
    path = folder / "bundle.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def golden(n_labels: int = 2) -> Golden:
    return Golden(
        np.zeros(1600, np.float32),
        np.zeros((4, n_labels), np.float32),
        np.array([1], np.int64),
        np.array([[0.5, 1.0]]),
    )


def test_what_is_written_is_read(tmp_path):
    written = tiny_bundle(tmp_path / "b", members=2, confidence=True, delay_frames=4, golden=golden())
    bundle = read_bundle(tmp_path / "b")
    assert bundle == written
    assert bundle.labels == LABELS
    assert bundle.front_end == FRONT_END
    assert bundle.streaming == Streaming("causal")
    assert {entry.name: list(entry.shape) for entry in bundle.state} == state_shapes(delay_frames=4)
    assert bundle.look_ahead_frames == 4
    assert bundle.outputs == ("posteriors", "confidence")
    assert [member.name for member in bundle.members] == ["0", "1"]
    assert bundle.fusion.weights == (1.0, 1.0)
    assert bundle.provenance == PROVENANCE
    assert bundle.read_bytes(bundle.members[1].files["onnx"]) == onnx_model(
        seed=1, confidence=True, delay_frames=4
    )
    np.testing.assert_array_equal(bundle.read_golden().event_times, [[0.5, 1.0]])


def test_json_holds_the_schema_of_the_documentation(tmp_path):
    tiny_bundle(tmp_path / "b", golden=golden())
    values = json.loads((tmp_path / "b" / "bundle.json").read_text())
    text = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()
    for key in values:
        assert key in text, key
    assert values["streaming"] == {"kind": "causal"}
    assert values["golden"]["file"] == "golden.npz"


def test_method_is_stored_only_where_it_is_not_the_hysteresis(tmp_path):
    cut = ClassPost(0.4, method="change", step_seconds=0.3)
    post = PostConfig(ClassPost(0.6), {LABELS[0]: cut})
    bundle = tiny_bundle(tmp_path / "b", post_processing=post)
    assert read_bundle(tmp_path / "b").post_processing == bundle.post_processing == post
    values = json.loads((tmp_path / "b" / "bundle.json").read_text())["post_processing"]
    assert "method" not in values["default"]
    assert values["labels"][LABELS[0]]["step_seconds"] == 0.3


@pytest.mark.parametrize("inside", ["", "tiny/"], ids=["at the root", "in a folder"])
def test_zip_is_as_good_as_a_folder(tiny_path, tmp_path, inside):
    path = tmp_path / "tiny.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for file in tiny_path.iterdir():
            archive.write(file, inside + file.name)
    bundle = read_bundle(path)
    folder = read_bundle(tiny_path)
    assert bundle.members == folder.members
    entry = bundle.members[0].files["onnx"]
    assert bundle.read_bytes(entry) == folder.read_bytes(entry)


def test_shipped_bundles_verify():
    for name, path in shipped_bundles().items():
        bundle = read_any_bundle(name)
        assert bundle.path == path
        assert bundle.golden is not None
        assert bundle.provenance.licence


def test_unknown_name_lists_what_ships():
    with pytest.raises(BundleError, match=r"'no-such-model': no such file or folder.*shipped: "):
        read_bundle("no-such-model")


def test_not_a_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"cannot read bundle\.json"):
        read_bundle(tmp_path)
    path = tmp_path / "x.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(BundleError, match="expected a folder or a zip"):
        read_bundle(path)
    (tmp_path / "bundle.json").write_text("{")
    with pytest.raises(BundleError, match="not JSON"):
        read_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text("[]")
    with pytest.raises(BundleError, match="schema_version: expected 1, got None"):
        read_bundle(tmp_path)


def test_truncated_zip(tiny_path, tmp_path):
    whole = shutil.make_archive(str(tmp_path / "whole"), "zip", tiny_path)
    content = Path(whole).read_bytes()
    path = tmp_path / "cut.zip"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(BundleError, match="expected a folder or a zip"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(schema_version=2), "schema_version: expected 1, got 2"),
        (lambda v: v.pop("schema_version"), "schema_version: expected 1, got None"),
        (lambda v: v.pop("labels"), r"missing \['labels'\]"),
        (lambda v: v.update(extra=1), r"unknown \['extra'\]"),
        (lambda v: v["front_end"].update(n_mel=64), r"front_end: .* unknown \['n_mel'\]"),
        (lambda v: v["front_end"].update(sample_rate="16000"), r"front_end\.sample_rate: expected an int"),
        (lambda v: v["front_end"].update(hop_length=0), r"front_end\.hop_length: expected > 0, got 0"),
        (lambda v: v["front_end"].update(log="log10"), r"front_end\.log: expected one of"),
        (lambda v: v["front_end"].update(center=True), r"front_end\.center"),
        (lambda v: v.update(task="speech_recognition"), r"task: expected one of \['sound_events'\]"),
        (lambda v: v.update(labels=["a", "a"]), r"labels: expected no label twice"),
        (lambda v: v.update(labels=[]), r"labels: expected at least one"),
        (lambda v: v.update(time_stride=0), r"time_stride: expected > 0, got 0"),
        (lambda v: v.update(time_stride=True), r"time_stride: expected an integer, got True"),
        (lambda v: v.update(context_frames=-1), r"context_frames: expected >= 0 or null, got -1"),
        (lambda v: v.update(look_ahead_frames=3), r"look_ahead_frames: expected a multiple"),
        (lambda v: v.update(streaming={"kind": "windowed"}), r"streaming\.window_frames"),
        (lambda v: v.update(streaming={"kind": "causal", "window_frames": 8}), r"streaming\.window_frames"),
        (
            lambda v: v.update(streaming={"kind": "windowed", "window_frames": 8, "hop_frames": 4}),
            "state: expected empty for a windowed model",
        ),
        (lambda v: v["state"][0].update(shape=[2, 4, 16]), r"state\[0\]\.shape"),
        (lambda v: v["state"].append(v["state"][0]), "state: expected no name twice"),
        (lambda v: v.update(outputs=["confidence"]), "outputs: expected one of"),
        (
            lambda v: v["post_processing"]["labels"].update(dog={"threshold_on": 0.5}),
            r"post_processing\.labels: .* got \['dog'\]",
        ),
        (
            lambda v: v["post_processing"]["default"].update(threshold_on=1.5),
            r"post_processing\.default\.threshold_on: expected in \(0, 1\], got 1\.5",
        ),
        (lambda v: v["fusion"].update(weights=[1, 1]), r"fusion\.weights: expected 1 of them"),
        (lambda v: v["fusion"].update(weights=[0]), r"fusion\.weights: .* not all 0"),
        (lambda v: v.update(members=[]), "members: expected at least one"),
        (lambda v: v["members"][0].update(files={}), r"members\[0\]\.files: expected onnx, torchscript"),
        (lambda v: v["members"][0]["files"]["onnx"].update(sha256="x"), r"files\.onnx\.sha256"),
        (lambda v: v["members"][0]["files"]["onnx"].update(file="/etc/passwd"), r"files\.onnx\.file"),
        (lambda v: v["members"][0]["files"]["onnx"].update(file="../m.onnx"), r"files\.onnx\.file"),
        (lambda v: v["members"][0]["files"]["onnx"].update(file="a/../../m"), r"files\.onnx\.file"),
        (lambda v: v["members"][0]["files"]["onnx"].update(file="C:\\m"), r"files\.onnx\.file"),
        (lambda v: v["members"][0]["files"]["onnx"].update(file="no.onnx"), r"cannot read no\.onnx"),
        (lambda v: v["provenance"].pop("licence"), r"provenance: .* missing \['licence'\]"),
    ],
)
def test_wrong_manifest_is_named(folder, change, message):
    edit(folder, change)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_tampered_member(folder):
    path = folder / "member0.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"member0\.onnx: expected sha256 [0-9a-f]{64}, got [0-9a-f]{64}"):
        read_bundle(folder)


def test_tampering_after_verification_is_noticed_too(folder):
    bundle = read_bundle(folder)
    (folder / "member0.onnx").write_bytes(b"other")
    with pytest.raises(BundleError, match="sha256"):
        bundle.read_bytes(bundle.members[0].files["onnx"])


class Bomb:
    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def test_golden_is_never_unpickled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "b"
    tiny_bundle(folder, golden=golden())
    arrays = dict(np.load(folder / "golden.npz"))
    arrays["samples"] = np.array([Bomb()], object)
    np.savez(folder / "golden.npz", **arrays)
    digest = hashlib.sha256((folder / "golden.npz").read_bytes()).hexdigest()
    edit(folder, lambda v: v["golden"].update(sha256=digest))
    bundle = read_bundle(folder)
    with pytest.raises(BundleError, match=r"golden\.npz"):
        bundle.read_golden()
    assert not (tmp_path / "unpickled").exists()


def test_golden_of_another_model(tmp_path):
    bundle = tiny_bundle(tmp_path / "b", golden=golden(n_labels=3))
    with pytest.raises(BundleError, match="posteriors: expected 2 columns, got 3"):
        bundle.read_golden()


def test_bundle_without_golden_says_so(tiny_path):
    with pytest.raises(BundleError, match="golden: expected a file, got null"):
        read_bundle(tiny_path).read_golden()


def test_golden_can_be_added_and_replaced(folder):
    write_golden(folder, golden())
    write_golden(
        folder,
        Golden(np.ones(5, np.float32), np.ones((1, 2), np.float32), np.zeros(0, np.int64), np.zeros((0, 2))),
    )
    assert len(read_bundle(folder).read_golden().samples) == 5


def test_writing_does_not_replace(folder):
    with pytest.raises(BundleError, match="without a bundle"):
        tiny_bundle(folder)


def test_writing_checks_too(tmp_path):
    with pytest.raises(
        BundleError, match=r"streaming\.hop_frames: expected a multiple of time_stride=2, got 5"
    ):
        write_bundle(
            tmp_path / "b",
            name="b",
            labels=LABELS,
            front_end=FRONT_END,
            streaming=Streaming("windowed", 40, 5),
            time_stride=2,
            context_frames=None,
            look_ahead_frames=0,
            state={},
            members={"0": {"onnx": b""}},
            provenance=PROVENANCE,
        )
    assert not (tmp_path / "b").exists()
