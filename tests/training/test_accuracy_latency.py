import pytest

pytest.importorskip("torch", reason="the recipes need the train extra")
pytest.importorskip("lightning", reason="the recipes need the train extra")
pytest.importorskip("sed_scores_eval", reason="PSDS needs the train extra")

from streamsed.detector import load
from streamsed.errors import ConfigError
from streamsed.metrics import event_metrics, segment_metrics
from training.scenes import scene_maker
from training.studies.accuracy_latency import main, measure, table

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def scenes(tiny_recipe):
    maker = scene_maker(tiny_recipe, "test")
    return [maker.make(index) for index in range(tiny_recipe.data.test_scenes)]


def test_streaming_finds_what_detect_finds(trained_bundle, scenes):
    detector = load(trained_bundle.path)
    result = measure(detector, scenes, "high", with_psds=True)
    reference = {str(i): scene.events for i, scene in enumerate(scenes)}
    estimated = {
        str(i): [(item.onset, item.offset, item.label) for item in detector.detect(scene.samples, 16000)]
        for i, scene in enumerate(scenes)
    }
    durations = {str(i): len(scene.samples) / 16000 for i, scene in enumerate(scenes)}
    segments = segment_metrics(reference, estimated, labels=detector.labels, durations=durations)
    assert result["segment_f1"] == segments.micro.f1 > 0.5
    assert result["event_f1"] == event_metrics(reference, estimated, labels=detector.labels).micro.f1
    assert 0 <= result["psds1"] <= 1 and 0 <= result["psds2"] <= 1
    assert result["rtf"] > 0


def test_records_keep_to_the_budget(trained_bundle, scenes):
    detector = load(trained_bundle.path)
    low, high = (measure(detector, scenes, profile) for profile in ("low", "high"))
    assert low["provisional_ms"] < high["provisional_ms"] and low["final_ms"] < high["final_ms"]
    assert low["offset_ms"][0] < high["offset_ms"][0]
    lines = table({"tiny": [low, high]}).splitlines()
    assert len(lines) == 4 and "| tiny | 1 | low |" in lines[2]


def test_a_bundle_without_a_name_is_refused(capsys):
    assert main(["--recipe", "everyday", "nameless"]) == 2
    assert "NAME=BUNDLE" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="latency"):
        measure(load("everyday"), [], "fast")
