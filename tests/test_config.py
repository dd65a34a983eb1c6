"""Configuration: what cannot be used is refused by name, at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsed.config import (
    LATENCY_PROFILES,
    ClassPost,
    FrameClock,
    LogMelConfig,
    PostConfig,
    from_mapping,
    latency_profile,
)
from streamsed.errors import ConfigError, StreamsedError


@dataclass(frozen=True)
class Inner:
    size: int
    name: str = "x"


@dataclass(frozen=True)
class Outer:
    inner: Inner
    rows: tuple[Inner, ...] = ()
    by_name: Mapping[str, Inner] = field(default_factory=dict)
    kind: Literal["a", "b"] = "a"
    ratio: float | None = None
    on: bool = False
    free: Any = None


class TestFromMapping:
    def test_nested(self):
        values = {
            "inner": {"size": 1},
            "rows": [{"size": 2, "name": "y"}, {"size": 3}],
            "by_name": {"z": {"size": 4}},
            "kind": "b",
            "ratio": 1,
            "on": True,
            "free": [1, {"any": "thing"}],
        }
        assert from_mapping(Outer, values, "file") == Outer(
            Inner(1), (Inner(2, "y"), Inner(3)), {"z": Inner(4)}, "b", 1, True, [1, {"any": "thing"}]
        )

    def test_instances_are_taken_as_they_are(self):
        inner = Inner(1)
        assert from_mapping(Outer, {"inner": inner, "ratio": None}, "file").inner is inner

    def test_numpy_numbers(self):
        assert from_mapping(Inner, {"size": np.int64(5)}, "file").size == 5
        assert from_mapping(Outer, {"inner": Inner(1), "ratio": np.float32(0.5)}, "file").ratio == 0.5

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"inner": {"size": 1}, "sizes": 2}, r"^file: expected keys among .*, got unknown \['sizes'\]$"),
            ({}, r"^file: expected all of .*, missing \['inner'\]$"),
            ({"inner": {}}, r"^file\.inner: .*missing \['size'\]$"),
            ({"inner": 1}, r"^file\.inner: expected an object, got 1$"),
            ({"inner": {"size": "1"}}, r"^file\.inner\.size: expected an integer, got '1'$"),
            ({"inner": {"size": 1.0}}, r"^file\.inner\.size: expected an integer, got 1\.0$"),
            ({"inner": {"size": True}}, r"^file\.inner\.size: expected an integer, got True$"),
            ({"inner": {"size": 1, "name": 2}}, r"^file\.inner\.name: expected a string, got 2$"),
            ({"inner": {"size": 1}, "rows": {}}, r"^file\.rows: expected a list, got \{\}$"),
            (
                {"inner": {"size": 1}, "rows": [{"size": 1}, 2]},
                r"^file\.rows\[1\]: expected an object, got 2$",
            ),
            ({"inner": {"size": 1}, "by_name": []}, r"^file\.by_name: expected an object, got \[\]$"),
            ({"inner": {"size": 1}, "by_name": {"q": 3}}, r"^file\.by_name\.q: expected an object, got 3$"),
            ({"inner": {"size": 1}, "kind": "c"}, r"^file\.kind: expected one of \['a', 'b'\], got 'c'$"),
            ({"inner": {"size": 1}, "ratio": "1"}, r"^file\.ratio: expected a number, got '1'$"),
            ({"inner": {"size": 1}, "on": 1}, r"^file\.on: expected true or false, got 1$"),
        ],
    )
    def test_wrong_values_are_named_with_their_path(self, values, message):
        with pytest.raises(ConfigError, match=message):
            from_mapping(Outer, values, "file")

    def test_a_rule_of_the_class_is_named_with_its_path(self):
        with pytest.raises(ConfigError, match=r"^p\.labels\.dog\.threshold_on: expected in \(0, 1\], got 2$"):
            from_mapping(PostConfig, {"labels": {"dog": {"threshold_on": 2}}}, "p")

    def test_round_trip_of_the_front_end(self):
        config = LogMelConfig(n_mels=3, mean=(1, 2, 3), std=(1, 1, 1), f_max=7000.0)
        assert from_mapping(LogMelConfig, dataclasses.asdict(config), "front_end") == config


class TestClassPost:
    def test_no_hysteresis_by_default(self):
        assert ClassPost(threshold_on=0.3).threshold_off == 0.3

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"threshold_on": 0.0}, r"threshold_on: expected in \(0, 1\], got 0\.0"),
            ({"threshold_on": float("nan")}, r"threshold_on: expected in \(0, 1\], got nan"),
            ({"threshold_off": 0.6}, r"threshold_off: expected in \(0, threshold_on=0\.5\], got 0\.6"),
            ({"median_seconds": -1.0}, r"median_seconds: expected seconds in \[0, 3600\], got -1\.0"),
            ({"min_duration": float("inf")}, "min_duration: expected seconds"),
            ({"min_gap": float("nan")}, "min_gap: expected seconds"),
            ({"method": "sebb"}, "method: expected hysteresis or change, got 'sebb'"),
            ({"step_seconds": 0.0}, r"step_seconds: expected seconds in \(0, 60\], got 0\.0"),
            ({"merge_absolute": 0.0}, r"merge_absolute: expected in \(0, 1\], got 0\.0"),
            ({"merge_relative": float("nan")}, r"merge_relative: expected in \[1, 1e6\], got nan"),
        ],
    )
    def test_wrong_values(self, values, message):
        with pytest.raises(ConfigError, match=message):
            ClassPost(**values)

    def test_mapping_is_read_back_and_has_only_what_the_method_uses(self):
        post = PostConfig(ClassPost(0.4, min_gap=0.1), {"dog": ClassPost(0.3, method="change")})
        values = post.to_mapping()
        assert from_mapping(PostConfig, values, "post") == post
        assert set(values["default"]) == {
            "threshold_on",
            "threshold_off",
            "median_seconds",
            "min_duration",
            "min_gap",
        }
        assert values["labels"]["dog"]["method"] == "change"

    def test_labels_override_the_default(self):
        post = PostConfig(ClassPost(0.4), {"dog": ClassPost(0.7)})
        assert post.for_label("dog").threshold_on == 0.7
        assert post.for_label("cat").threshold_on == 0.4


class TestFrameClock:
    clock = FrameClock(sample_rate=16000, hop_length=160, window_length=512, time_stride=4)

    def test_by_hand(self):
        assert self.clock.frame_seconds == 0.04
        assert self.clock.shift_seconds == 0.011
        assert self.clock.seconds(0) == 0.0
        assert self.clock.seconds(10) == pytest.approx(0.411)
        # Posterior 0 is of log-mel frames 0 to 3, the last of which ends at 3 · 160 + 512.
        assert self.clock.needed_samples(0) == 992

    @given(frame=st.integers(1, 2**40))
    def test_boundaries_increase_by_one_frame(self, frame):
        step = self.clock.seconds(frame + 1) - self.clock.seconds(frame)
        assert step == pytest.approx(0.04, abs=1e-4)
        assert self.clock.frames(frame * self.clock.frame_seconds) == frame

    @given(frame=st.integers(0, 10**6))
    def test_a_frame_ends_before_its_last_sample_has_come(self, frame):
        assert self.clock.seconds(frame + 1) <= self.clock.needed_samples(frame) / 16000 + 1e-9


def test_a_latency_profile_of_ones_own():
    mine = dataclasses.replace(LATENCY_PROFILES["balanced"], chunk_seconds=0.16)
    assert latency_profile(mine) is mine
    with pytest.raises(ConfigError, match=r"chunk_seconds: expected in \[0.001, 10\], got 0.0"):
        dataclasses.replace(mine, chunk_seconds=0.0)
    with pytest.raises(ConfigError, match="overlap: expected in"):
        dataclasses.replace(mine, overlap=1.5)
    with pytest.raises(ConfigError, match="max_min_gap: expected seconds >= 0"):
        dataclasses.replace(mine, max_min_gap=-1.0)


def test_latency_profiles():
    assert list(LATENCY_PROFILES) == ["low", "balanced", "high"]
    chunks = [profile.chunk_seconds for profile in LATENCY_PROFILES.values()]
    assert chunks == sorted(chunks)
    assert latency_profile("low") is LATENCY_PROFILES["low"]
    with pytest.raises(ConfigError, match=r"latency: expected one of .*, got 'fast'"):
        latency_profile("fast")


def test_configs_are_values():
    assert LogMelConfig(mean=[1.0]) == LogMelConfig(mean=(1.0,))
    assert hash(LogMelConfig(mean=[1.0])) == hash(LogMelConfig(mean=(1.0,)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        LogMelConfig().n_mels = 3  # type: ignore[misc]


def test_config_errors_are_caught_as_ours_and_as_value_errors():
    assert issubclass(ConfigError, StreamsedError)
    assert issubclass(ConfigError, ValueError)
