import dataclasses
import io
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs the train extra")
pytest.importorskip("lightning", reason="export needs the train extra")

from streamsed.config import ClassPost, PostConfig  # noqa: E402
from streamsed.detector import load  # noqa: E402
from streamsed.errors import BundleError, ConfigError  # noqa: E402
from streamsed.frontend import LogMel  # noqa: E402
from streamsed.golden import golden_samples  # noqa: E402
from training.checkpoint import sign  # noqa: E402
from training.ensemble import LAST  # noqa: E402
from training.export import check_parity, export, read_post, to_onnx, to_torchscript  # noqa: E402
from training.nets.registry import time_stride  # noqa: E402
from training.nets.streaming_crnn import ExportedCrnn  # noqa: E402
from training.recipe import NetSettings  # noqa: E402
from training.scenes import scene_maker  # noqa: E402
from training.train import load_trained, train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


FRAMES = 200


@pytest.fixture(scope="module")
def net(tiny_recipe, trained_run):
    return load_trained(tiny_recipe, trained_run).net.eval()


@pytest.fixture(scope="module")
def flat(net):
    return ExportedCrnn(net).eval()


def test_formats_agree(net, flat):
    assert (
        check_parity(net, flat, to_onnx(net, flat, FRAMES), to_torchscript(net, flat, FRAMES), FRAMES) <= 1e-5
    )


def test_export_is_refused_when_formats_differ(net, flat):
    other = ExportedCrnn(net)
    with torch.no_grad():
        other.tail.head = torch.nn.Linear(other.tail.head.in_features, other.tail.head.out_features)
    different = other.eval()
    with pytest.raises(BundleError, match="ONNX"):
        check_parity(net, flat, to_onnx(net, different, FRAMES), to_torchscript(net, flat, FRAMES), FRAMES)
    with pytest.raises(BundleError, match="TorchScript"):
        check_parity(net, flat, to_onnx(net, flat, FRAMES), to_torchscript(net, different, FRAMES), FRAMES)


def test_onnx_has_one_gru_and_dynamic_axes(net, flat):
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(to_onnx(net, flat, FRAMES))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("GRU") == 1
    assert not {"BatchNormalization", "Loop", "Scan", "If"} & set(kinds)
    assert model.opset_import[0].version >= 17
    log_mel = model.graph.input[0]
    assert log_mel.name == "log_mel"
    assert [axis.dim_param or axis.dim_value for axis in log_mel.type.tensor_type.shape.dim][:2] == [
        "batch",
        "frames",
    ]
    names = [item.name for item in model.graph.input][1:]
    assert [item.name for item in model.graph.output] == ["posteriors", *(f"{name}_out" for name in names)]


def test_torchscript_takes_any_batch_and_length(net, flat):
    script = torch.jit.load(io.BytesIO(to_torchscript(net, flat, FRAMES)))
    log_mel = torch.randn(3, 14, net.config.n_mels)
    with torch.inference_mode():
        expected = flat(log_mel, *net.initial_state(3))[0]
        assert torch.allclose(script(log_mel, *net.initial_state(3))[0], expected, atol=1e-5)


def test_bundle_says_what_the_net_says(tiny_recipe, net, trained_bundle):
    samples = golden_samples(tiny_recipe.front_end.sample_rate)
    log_mel = torch.from_numpy(LogMel(tiny_recipe.front_end)(samples))
    even = log_mel[None, : len(log_mel) // 2 * 2]
    with torch.inference_mode():
        expected = torch.sigmoid(net(even, *net.initial_state(1))[0])[0].numpy()
    for backend in ("onnx", "torchscript"):
        found = load(trained_bundle.path, backend=backend).posteriors(samples)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def test_bundle_is_complete(tiny_recipe, trained_bundle):
    assert trained_bundle.labels == tiny_recipe.labels
    assert trained_bundle.front_end == tiny_recipe.front_end
    assert trained_bundle.time_stride == 2 and trained_bundle.look_ahead_frames == 0
    assert trained_bundle.provenance.recipe == "training/recipes/tiny"
    assert trained_bundle.provenance.metrics == {"segment_f1_micro": 0.5}
    assert (
        trained_bundle.provenance.data
        and trained_bundle.provenance.licence
        and trained_bundle.provenance.limits
    )
    assert trained_bundle.golden is not None


def test_look_ahead_moves_the_posteriors_and_nothing_else(tiny_recipe, trained_run, trained_bundle, tmp_path):
    later = dataclasses.replace(tiny_recipe, net=dataclasses.replace(tiny_recipe.net, look_ahead_frames=6))
    run = shutil.copytree(trained_run, tmp_path / "run")
    checkpoint = torch.load(run / LAST, weights_only=True)
    sign(checkpoint, later)
    torch.save(checkpoint, run / LAST)
    bundle = export(later, run, tmp_path / "later", metrics={})
    samples = golden_samples(tiny_recipe.front_end.sample_rate)
    found, plain = load(bundle.path).posteriors(samples), load(trained_bundle.path).posteriors(samples)
    assert bundle.look_ahead_frames == 6
    assert found.shape == plain.shape
    np.testing.assert_allclose(found[:-3], plain[3:], rtol=0, atol=1e-5)


def test_nothing_is_written_over(tiny_recipe, trained_run, trained_bundle):
    before = (trained_bundle.path / "bundle.json").read_bytes()
    with pytest.raises(BundleError, match="expected one without a bundle"):
        export(tiny_recipe, trained_run, trained_bundle.path, metrics={})
    assert (trained_bundle.path / "bundle.json").read_bytes() == before


def test_golden_sound_is_the_same_every_time():
    first = golden_samples(16000)
    np.testing.assert_array_equal(first, golden_samples(16000))
    assert first.dtype == np.float32 and first.shape == (80000,)
    assert np.abs(first).max() <= 1.0
    assert np.isfinite(first).all()


def test_post_processing_is_read_by_label(tmp_path):
    path = tmp_path / "post.json"
    values = {"default": {"threshold_on": 0.4}, "labels": {"low": {"threshold_on": 0.7, "min_gap": 0.2}}}
    path.write_text(json.dumps(values))
    expected = PostConfig(ClassPost(0.4), {"low": ClassPost(0.7, min_gap=0.2)})
    assert read_post(path) == expected
    path.write_text(json.dumps({"default": {"treshold_on": 0.4}, "labels": {}}))
    with pytest.raises(ConfigError, match="treshold_on"):
        read_post(path)


def test_untuned_model_has_the_default_post_processing(tmp_path):
    assert read_post(tmp_path / "nothing.json") == PostConfig()


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("duration_crnn", {"filters": (4, 4), "pool_bands": (4, 2), "hidden": 4, "dense": 4}),
        ("duration_crnn", {"filters": (4, 4), "pool_bands": (4, 2), "hidden": 4, "dense": 4, "causal": True}),
        ("baseline_crnn", {"filters": (4, 4), "pool_frames": (2, 2), "pool_bands": (2, 2), "hidden": 4}),
        (
            "baseline_crnn",
            {"filters": (4, 4), "pool_frames": (2, 1), "pool_bands": (2, 2), "hidden": 4, "causal": True},
        ),
    ],
)
def test_every_network_trains_and_ships(tiny_recipe, tmp_path, kind, shape):
    recipe = dataclasses.replace(
        tiny_recipe,
        net=NetSettings(kind, shape),
        train=dataclasses.replace(tiny_recipe.train, epochs=1),
    )
    train(recipe, tmp_path)
    net = load_trained(recipe, tmp_path).net
    bundle = export(recipe, tmp_path, tmp_path / "bundle", metrics={})
    causal = shape.get("causal", False)
    assert bundle.streaming.kind == ("causal" if causal else "windowed")
    assert bundle.time_stride == time_stride(recipe.net_config)
    assert ("confidence" in bundle.outputs) == (kind == "baseline_crnn")
    detector = load(bundle.path)
    samples = scene_maker(recipe, "test").make(0).samples
    found = detector.posteriors(samples)
    if causal:
        log_mel = torch.from_numpy(LogMel(recipe.front_end)(samples))[: len(found) * bundle.time_stride]
        with torch.inference_mode():
            expected = torch.sigmoid(net(log_mel[None], *net.initial_state(1))[0])[0].numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    stream = detector.stream()
    for begin in range(0, len(samples), 1600):
        stream.process(samples[begin : begin + 1600])
    stream.flush()
