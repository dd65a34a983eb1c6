import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")

from streamsed.detector import load  # noqa: E402
from streamsed.errors import ConfigError  # noqa: E402
from streamsed.frontend import LogMel  # noqa: E402
from streamsed.golden import golden_samples  # noqa: E402
from streamsed.postprocess import fuse  # noqa: E402
from training.calibrate import calibrate, fusion_weights, temperature  # noqa: E402
from training.ensemble import CALIBRATION_FILE, Calibration, EnsembleSettings, read_calibration  # noqa: E402
from training.eow.confidence import ConfidenceConfig, confidence  # noqa: E402
from training.eow.config import EowConfig  # noqa: E402
from training.export import export  # noqa: E402
from training.nets.streaming_crnn import ExportedCrnn, StreamingCrnn, StreamingCrnnConfig  # noqa: E402
from training.train import load_trained, train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def recipe(tiny_recipe):
    """Two snapshots of a network with a SOD head."""
    return dataclasses.replace(
        tiny_recipe,
        net=dataclasses.replace(
            tiny_recipe.net, shape={**tiny_recipe.net.shape, "sod_outputs": 4, "sod_hidden": 8}
        ),
        eow=EowConfig(samples=8, buffer_size=32, steps=2, begin=0.0, margin=0.0),
        train=dataclasses.replace(tiny_recipe.train, epochs=4, cycles=2, schedule="cyclic_cosine"),
        ensemble=EnsembleSettings(calibration="temperature", weights="learned"),
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ensemble")
    train(recipe, folder)
    return folder


def test_members_are_what_is_named_or_snapshots_or_the_last_checkpoint():
    assert EnsembleSettings().files(0) == ("last.ckpt",)
    assert EnsembleSettings().files(2) == ("snapshot1.ckpt", "snapshot2.ckpt")
    assert EnsembleSettings(("seed0/last.ckpt",)).files(2) == ("seed0/last.ckpt",)
    with pytest.raises(ConfigError, match="checkpoints: expected each once"):
        EnsembleSettings(("a.ckpt", "a.ckpt"))


@pytest.fixture
def fitted(recipe, run):
    # The folder of the recipe is that of all tests.
    yield calibrate(recipe, run)
    (recipe.folder / CALIBRATION_FILE).unlink()


def test_bundle_is_the_calibrated_fusion_of_its_members(recipe, run, fitted, tmp_path):
    assert fitted.temperatures != (1.0, 1.0) and fitted.weights != (1.0, 1.0)
    bundle = export(recipe, run, tmp_path / "bundle")
    samples = golden_samples(recipe.front_end.sample_rate)
    log_mel = torch.from_numpy(LogMel(recipe.front_end)(samples))
    log_mel = log_mel[None, : len(log_mel) // 2 * 2]
    posteriors, confidences = [], []
    for name, t in zip(recipe.checkpoints, fitted.temperatures, strict=True):
        net = load_trained(recipe, run, name).net
        with torch.inference_mode():
            logits, sod_logits, *_ = net(log_mel, *net.initial_state(1))
        posteriors.append(torch.sigmoid(logits / t)[0].numpy())
        confidences.append(confidence(sod_logits)[0].numpy())
    expected = fuse(np.stack(posteriors), np.stack(confidences), fitted.weights)
    assert np.abs(posteriors[0] - posteriors[1]).max() > 1e-3
    np.testing.assert_allclose(load(bundle.path).posteriors(samples), expected, atol=2e-5)


def test_calibration_of_another_ensemble_is_refused(recipe, run, tmp_path):
    path = tmp_path / CALIBRATION_FILE
    assert read_calibration(path, 2) == Calibration((1.0, 1.0), (1.0, 1.0))
    Calibration((1.5,), (1.0,)).write(path)
    with pytest.raises(ConfigError, match="expected 2 temperatures"):
        read_calibration(path, 2)
    with pytest.raises(ConfigError, match="temperatures"):
        Calibration((0.0,), (1.0,))


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 5))
    targets = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.float32)
    assert temperature((2.5 * logits).astype(np.float32), targets) == pytest.approx(2.5, rel=0.05)


def test_learned_weights_prefer_the_better_member():
    rng = np.random.default_rng(1)
    targets = (rng.random((3000, 3)) < 0.3).astype(np.float32)
    good = np.clip(targets * 0.8 + 0.1 + rng.normal(0, 0.05, targets.shape), 0.01, 0.99)
    noise = rng.uniform(0.01, 0.99, targets.shape)
    weights = fusion_weights(np.stack([noise, good]).astype(np.float32), None, targets)
    assert sum(weights) == pytest.approx(1.0)
    assert weights[1] > 0.95


def test_streamed_confidence_equals_that_of_the_whole():
    net = StreamingCrnn(
        StreamingCrnnConfig(n_mels=8, n_classes=3, channels=(4,), band_strides=(2,), hidden=6, sod_outputs=4)
    ).eval()
    graph = ExportedCrnn(net, ConfidenceConfig()).eval()
    log_mel = torch.randn(1, 40, 8)
    with torch.inference_mode():
        whole = graph(log_mel, *net.initial_state(1))[1]
        parts, state = [], net.initial_state(1)
        for start, end in ((0, 2), (2, 12), (12, 40)):
            _, part, *state = graph(log_mel[:, start:end], *state)
            parts.append(part)
    assert whole.shape == (1, 20)
    assert torch.allclose(torch.cat(parts, dim=1), whole, atol=1e-5)


def test_warm_start_gives_a_head_that_was_not_there(tiny_recipe, recipe, trained_run, tmp_path):
    warm = dataclasses.replace(
        recipe,
        train=dataclasses.replace(recipe.train, warm_start=str(trained_run / "last.ckpt"), learning_rate=0.0),
    )
    train(warm, tmp_path / "run")
    old = load_trained(tiny_recipe, trained_run).net
    new = load_trained(warm, tmp_path / "run").net
    assert torch.allclose(old.gru.weight_ih_l0, new.gru.weight_ih_l0, atol=1e-6)
    # What goes on has its own weights, and asks no more for those that it began with.
    gone = dataclasses.replace(
        warm, train=dataclasses.replace(warm.train, warm_start=str(tmp_path / "gone.ckpt"))
    )
    train(gone, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"gone\.ckpt"):
        train(gone, tmp_path / "anew")
    wider = dataclasses.replace(
        warm, net=dataclasses.replace(warm.net, shape={**warm.net.shape, "hidden": 20})
    )
    with pytest.raises(ConfigError, match="warm_start: expected a checkpoint of the same network"):
        train(wider, tmp_path / "wider")
