"""The self-test of a bundle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_av import SIZE, tiny_av_bundle
from tiny_models import scene, tiny_bundle

import streamsed
from streamsed.bundle import write_golden
from streamsed.config import ClassPost, PostConfig
from streamsed.errors import ConfigError
from streamsed.golden import check_golden, golden_samples, make_golden


class TestGolden:
    def test_check(self, tmp_path):
        bundle = tiny_bundle(tmp_path / "b")
        golden = make_golden(streamsed.load(bundle.path), scene())
        write_golden(bundle.path, golden)
        report = check_golden(streamsed.load(bundle.path))
        assert report.passed
        assert report.max_difference <= 1e-6
        assert (report.expected_events, report.found_events) == (3, 3)

    def test_another_model_fails(self, tmp_path):
        golden = make_golden(streamsed.load(tiny_bundle(tmp_path / "a").path), scene())
        other = PostConfig(ClassPost(threshold_on=1.0))
        same_net = tiny_bundle(tmp_path / "b", golden=golden, post_processing=other)
        report = check_golden(streamsed.load(same_net.path))
        assert not report.passed
        assert not report.events_equal
        assert report.max_difference <= 1e-6
        other_net = tiny_bundle(tmp_path / "c", golden=golden, members=2)
        assert check_golden(streamsed.load(other_net.path)).max_difference > 1e-3

    def test_another_number_of_frames_fails(self, tmp_path):
        golden = make_golden(streamsed.load(tiny_bundle(tmp_path / "a").path), scene())
        other = tiny_bundle(tmp_path / "b", golden=golden, time_stride=4)
        report = check_golden(streamsed.load(other.path))
        assert report.max_difference == float("inf")
        assert not report.passed


class TestGoldenPictures:
    def test_what_a_model_sees_is_checked_too(self, tmp_path):
        bundle = tiny_av_bundle(tmp_path / "b")
        golden = make_golden(streamsed.load(bundle.path), golden_samples(bundle.sample_rate))
        assert golden.pictures.shape == (16, *SIZE, 3)
        assert golden.picture_times.tolist() == [i / 4 for i in range(16)]
        # Pictures move the posteriors, and end before the sound.
        blind = streamsed.load(bundle.path).posteriors(golden.samples)
        assert np.abs(blind - golden.posteriors).max() > 0.1
        np.testing.assert_allclose(blind[-10:], golden.posteriors[-10:])
        written = write_golden(bundle.path, golden)
        np.testing.assert_array_equal(written.read_golden().pictures, golden.pictures)
        assert check_golden(streamsed.load(bundle.path)).passed

    def test_another_picture_encoder_fails(self, tmp_path):
        bundle = tiny_av_bundle(tmp_path / "b")
        golden = make_golden(streamsed.load(bundle.path), golden_samples(bundle.sample_rate))
        darker = dataclasses.replace(golden, pictures=golden.pictures // 2)
        write_golden(bundle.path, darker)
        assert not check_golden(streamsed.load(bundle.path)).passed

    def test_models_that_hear_alone_have_no_pictures(self, tmp_path):
        bundle = tiny_bundle(tmp_path / "b")
        write_golden(bundle.path, make_golden(streamsed.load(bundle.path), scene()))
        with np.load(bundle.path / "golden.npz") as arrays:
            assert sorted(arrays) == ["event_label", "event_times", "posteriors", "samples"]

    def test_pictures_and_their_times_belong_together(self, tmp_path):
        bundle = tiny_av_bundle(tmp_path / "b")
        golden = make_golden(streamsed.load(bundle.path), golden_samples(bundle.sample_rate))
        with pytest.raises(ConfigError, match=r"golden\.picture_times: expected shape \(16,\)"):
            dataclasses.replace(golden, picture_times=golden.picture_times[:3])
        with pytest.raises(
            ConfigError, match=r"golden\.picture_times: expected as many as there are pictures"
        ):
            dataclasses.replace(golden, picture_times=None)
