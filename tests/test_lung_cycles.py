"""The bundle lung-cycles as it ships: whole, quick to be asked, and silent where nobody breathes."""

import numpy as np
import pytest

import streamsed
from streamsed.bundle import CycleBundle, read_any_bundle
from streamsed.golden import check_golden, golden_breathing
from streamsed.types import Cycle, CycleOpen, Health

RATE = 16000


@pytest.fixture(scope="module")
def lung():
    return streamsed.load("lung-cycles")


def records_of(detector, samples, rate=RATE, **options):
    stream = detector.stream(rate, **options)
    return [*stream.process(np.asarray(samples, np.float32)), *stream.flush()]


def test_says_what_it_is_and_what_it_is_not_for():
    bundle = read_any_bundle("lung-cycles")
    assert isinstance(bundle, CycleBundle)
    assert bundle.labels == ("normal", "crackle", "wheeze", "both")
    assert "not a medical device" in bundle.provenance.limits
    assert "ICBHI" in bundle.provenance.licence
    assert "unknown" not in bundle.provenance.commit
    assert bundle.provenance.metrics["chain"]["cycle_f1_iou_0.5"] > 0.5


def test_golden_check(lung):
    report = check_golden(lung)
    assert report.passed, report


@pytest.mark.parametrize("rate", [4000, 22050, 48000])
def test_breaths_are_cycles_at_any_rate(lung, rate):
    """Fifteen breaths a minute, each reported within half a second of its end."""
    found = [item for item in records_of(lung, golden_breathing(rate, 30.0), rate) if isinstance(item, Cycle)]
    inner = [item for item in found if not item.truncated]
    assert 5 <= len(inner) <= 8
    assert np.median([item.offset - item.onset for item in inner]) == pytest.approx(4.0, abs=0.2)
    assert found[-1].respiratory_rate == pytest.approx(15.0, abs=1.0)
    assert lung.latency("balanced", rate).final <= 0.5
    for item in inner:
        assert item.emitted_seconds - item.offset <= 0.5
        assert sum(item.posteriors.values()) == pytest.approx(1.0, abs=1e-3)
        assert item.label == max(item.posteriors, key=item.posteriors.get)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(15 * RATE),
        0.1 * np.sin(2 * np.pi * 440.0 * np.arange(15 * RATE) / RATE),
        0.02 * np.random.default_rng(0).standard_normal(15 * RATE),
    ],
    ids=["silence", "tone", "white noise"],
)
def test_no_guess_where_nobody_breathes(lung, sound):
    records = records_of(lung, sound)
    assert not [item for item in records if isinstance(item, Cycle)]
    assert "not_lung_sound" in [item.condition for item in records if isinstance(item, Health)]


def test_what_is_known_of_an_open_cycle_comes_every_second(lung):
    records = records_of(lung, golden_breathing(RATE, 15.0))
    ids = [item.cycle_id for item in records if isinstance(item, CycleOpen)]
    assert max(ids.count(name) for name in ids) >= 3
    assert any(isinstance(item, CycleOpen) and item.posteriors for item in records)
