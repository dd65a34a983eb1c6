"""The signal itself looks wrong: said once per episode, at the right time."""

from __future__ import annotations

import numpy as np
import pytest
from streams import RATE, assert_truth, events_of, run
from tiny_models import scene

from streamsed.health import SignalMonitor
from streamsed.types import Health


class TestHealth:
    def conditions(self, records):
        return [(record.condition, record.onset) for record in records if isinstance(record, Health)]

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e25, -1e7])
    def test_non_finite(self, detector, bad):
        samples = scene()
        samples[8000] = samples[8005] = bad
        stream = detector.stream(source="mic0")
        records = run(stream, samples)
        assert self.conditions(records) == [("non_finite", 0.5)]
        assert next(record for record in records if isinstance(record, Health)).source == "mic0"
        assert_truth(events_of(records))
        assert stream.stats.non_finite_samples == 2

    def test_what_float32_cannot_hold(self, detector):
        samples = scene().astype(np.float64)
        samples[8000] = 1e300
        assert self.conditions(run(detector.stream(), samples)) == [("non_finite", 0.5)]

    def test_non_finite_again_after_a_while(self, detector):
        samples = scene()
        samples[[8000, 12000, 60000]] = np.nan
        assert self.conditions(run(detector.stream(), samples)) == [("non_finite", 0.5), ("non_finite", 3.75)]

    def test_the_callers_array_is_left_alone(self, detector):
        samples = scene()
        samples[8000] = np.nan
        copy = samples.copy()
        run(detector.stream(), samples)
        np.testing.assert_array_equal(samples, copy)

    def test_clipping(self, detector):
        samples = scene()
        samples[8000:8500] = 1.0
        samples[8600:8700] = -1.2
        assert self.conditions(run(detector.stream(), samples)) == [("clipping", 0.5)]
        integers = np.zeros(RATE, np.int16)
        integers[100:200] = 32767
        assert self.conditions(run(detector.stream(), integers)) == [("clipping", 100 / RATE)]

    def test_a_single_peak_is_not_clipping(self, detector):
        samples = scene()
        samples[8000] = 1.0
        assert self.conditions(run(detector.stream(), samples)) == []

    def test_digital_silence(self, detector):
        samples = np.concatenate([scene()[:RATE], np.zeros(4 * RATE, np.float32), scene()[:RATE]])
        samples[RATE - 1] = 1e-3
        assert self.conditions(run(detector.stream(), samples)) == [("digital_silence", 1.0)]
        short = np.concatenate([scene()[:RATE], np.zeros(2 * RATE - 700, np.float32), scene()[:RATE]])
        assert self.conditions(run(detector.stream(), short)) == []

    def test_silence_from_the_start(self, detector):
        assert self.conditions(run(detector.stream(), np.zeros(3 * RATE, np.float32))) == [
            ("digital_silence", 0.0)
        ]

    def test_dc(self, detector):
        records = run(detector.stream(), np.tile(scene(), 2) + np.float32(0.2))
        ((condition, onset),) = self.conditions(records)
        assert condition == "dc"
        assert onset < 1.0
        assert self.conditions(run(detector.stream(), scene() + np.float32(0.01))) == []

    def test_a_sway_is_one_condition(self, detector):
        seconds = np.arange(40 * RATE) / RATE
        sway = 0.2 * np.sin(2 * np.pi * 0.25 * seconds) * ((seconds < 12) | (seconds > 24))
        found = self.conditions(run(detector.stream(), sway.astype(np.float32)))
        assert [condition for condition, _ in found if condition == "dc"] == ["dc", "dc"]
        assert 24.0 < found[-1][1] < 26.0


class TestSignalMonitor:
    def test_sound_comes_back_as_it_is(self):
        samples = scene()[:640, np.newaxis]
        found, records = SignalMonitor(RATE, "mic0").process(samples, 0)
        assert found is samples
        assert records == []

    @pytest.mark.parametrize("order", ["C", "F"])
    def test_channels_may_lie_in_memory_as_they_like(self, order):
        samples = np.stack([scene()[:640], scene()[640:1280]], axis=1)
        samples[[100, 300], 1] = np.nan, -np.inf
        expected = np.where(np.isfinite(samples), samples, np.float32(0))
        given = np.asarray(samples, order=order)
        found, records = SignalMonitor(RATE, "mic0").process(given, 1600)
        np.testing.assert_array_equal(found, expected)
        assert records == [Health("non_finite", 1700 / RATE, "mic0")]
        np.testing.assert_array_equal(given, samples)
