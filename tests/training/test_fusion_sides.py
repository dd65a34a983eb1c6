"""Side inputs of training scenes: aligned by time or by index, missing where there is none, taken away on purpose."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fusion needs the train extra")

from streamsed.config import FrameClock, LogMelConfig  # noqa: E402
from streamsed.errors import ConfigError  # noqa: E402
from training.data.adapters import Recording  # noqa: E402
from training.features import Side  # noqa: E402
from training.fusion.missing import with_missing  # noqa: E402
from training.fusion.settings import FusionSettings, SideSettings  # noqa: E402
from training.fusion.sides import SceneSides, by_index, posterior_times  # noqa: E402
from training.nets.fusion_crnn import SideInput  # noqa: E402
from training.recordings import RecordingSource  # noqa: E402

PAPER = LogMelConfig(
    sample_rate=22100, n_fft=2048, window_length=2048, hop_length=366, n_mels=128, center=True
)
AUDITORY = SideSettings(features=3, max_age_seconds=0.2)
VISUAL = SideSettings(features=2)
BOTH = FusionSettings(("spectral", "auditory", "visual"), auditory=AUDITORY, visual=VISUAL)


def recording(name, duration=10.0):
    return Recording(Path(f"{name}.wav"), name, "", "train", duration)


def source_of(*recordings, seconds=10.0):
    return RecordingSource(tuple(recordings), 22100, seconds, equal=False, description="made up")


def numbered(count, width, hop, first=0.0):
    """Embedding i is i everywhere, and known at first + i hop."""
    return np.full((count, width), np.arange(count)[:, None], np.float32), first + hop * np.arange(count)


def test_posterior_times_are_the_ends_of_the_last_frames():
    left = LogMelConfig(sample_rate=16000, hop_length=160, window_length=512)
    found = posterior_times(left, FrameClock(16000, 160, 512, 4), 3)
    np.testing.assert_allclose(found, [(480 + 512) / 16000, (1120 + 512) / 16000, (1760 + 512) / 16000])
    centred = posterior_times(PAPER, FrameClock(22100, 366, 2048, 4), 2)
    np.testing.assert_allclose(centred, [(3 * 366 + 1024) / 22100, (7 * 366 + 1024) / 22100])


def test_a_frame_gets_what_is_known_when_it_is_computed():
    times = np.array([0.5, 1.0, 1.5])
    heard = numbered(100, 3, hop=0.06, first=0.96)
    seen = numbered(3, 2, hop=0.5)
    sides = SceneSides(
        BOTH, source_of(recording("a")), {"auditory": lambda _: heard, "visual": lambda _: seen}, times
    )
    auditory, visual = sides(0)
    assert auditory.present.tolist() == [0, 1, 1]
    assert auditory.features[:, 0].tolist() == [0, 0, 9]
    assert visual.present.tolist() == [1, 1, 0]
    assert visual.features[:, 1].tolist() == [1, 2, 0]
    assert auditory.features.dtype == visual.present.dtype == torch.float32


def test_later_pieces_of_a_recording_get_their_own_embeddings():
    seen = numbered(200, 2, hop=0.1)
    settings = FusionSettings(("visual",), visual=VISUAL)
    sides = SceneSides(settings, source_of(recording("a", 20.0)), {"visual": lambda _: seen}, np.array([0.5]))
    assert sides(0)[0].features[0, 0] == 5
    assert sides(1)[0].features[0, 0] == 105
    by_number = SceneSides(
        FusionSettings(("visual",), alignment="index", visual=VISUAL),
        source_of(recording("a", 20.0)),
        {"visual": lambda _: seen},
        np.array([0.5]),
    )
    with pytest.raises(ConfigError, match=r"alignment = 'index': expected recordings of one scene"):
        by_number(1)


def test_a_recording_without_pictures_has_none():
    videos = {"a": numbered(150, 2, hop=1 / 15), "b": None}
    settings = FusionSettings(("spectral", "visual"), visual=VISUAL)
    times = posterior_times(PAPER, FrameClock(22100, 366, 2048, 4), 151)
    sides = SceneSides(
        settings,
        source_of(recording("a"), recording("b")),
        {"visual": lambda item: videos[item.recording_id]},
        times,
    )
    assert sides(0)[0].present.min() == 1
    assert sides(1)[0].present.max() == 0
    assert sides(1)[0].features.shape == (151, 2)
    assert sides(1)[0].features.abs().max() == 0


def test_embeddings_go_by_their_number_as_in_the_paper():
    times = posterior_times(PAPER, FrameClock(22100, 366, 2048, 4), 151)
    values, present = by_index(numbered(150, 2, 0.0)[0], times, 0.25)
    np.testing.assert_array_equal(values[:, 0], [*range(150), 149])
    assert present.all()
    values, present = by_index(numbered(151, 2, 0.0)[0], times, 0.2)
    np.testing.assert_array_equal(values[:, 1], range(151))
    # A clip of 4 s: what follows is nothing.
    values, present = by_index(numbered(60, 2, 0.0)[0], times, 0.2)
    np.testing.assert_array_equal(present, np.arange(151) < 63)
    values, present = by_index(np.zeros((0, 2), np.float32), times, 0.2)
    assert not present.any()
    values, present = by_index(numbered(200, 2, 0.0)[0], times, 0.2)
    np.testing.assert_array_equal(values[:, 0], range(151))


def test_what_is_kept_in_memory_is_read_once():
    reads = []

    def read(item):
        reads.append(item.recording_id)
        return numbered(10, 2, hop=0.1)

    settings = FusionSettings(("visual",), visual=VISUAL)
    source = source_of(recording("a"), recording("b"))
    sides = SceneSides(settings, source, {"visual": read}, np.array([0.5]), kept_bytes=8)
    assert [float(sides(index)[0].features[0, 0]) for index in (0, 0, 1, 1)] == [5.0] * 4
    # There is room for one of them.
    assert reads == ["a", "b", "b"]


def test_embeddings_of_another_width_are_refused():
    settings = FusionSettings(("visual",), visual=VISUAL)
    sides = SceneSides(
        settings, source_of(recording("a")), {"visual": lambda _: numbered(9, 7, 0.1)}, np.array([0.5])
    )
    with pytest.raises(ConfigError, match=r"fusion\.visual\.features: expected the extracted 7, got 2"):
        sides(0)


def batch(count=400, frames=40):
    generator = torch.Generator().manual_seed(3)
    return tuple(
        Side(torch.rand((count, frames, width), generator=generator) + 1.0, torch.ones(count, frames))
        for width in (3, 2)
    )


def missing(seed=0, **changes):
    settings = FusionSettings(
        ("spectral", "auditory", "visual"),
        auditory=AUDITORY,
        visual=SideSettings(features=2, **changes),
        missing_seconds=(0.5, 1.0),
    )
    return with_missing(batch(), settings, 0.1, torch.Generator().manual_seed(seed))


def test_whole_clips_miss_their_pictures_as_often_as_asked():
    auditory, visual = missing(missing_clips=0.3)
    assert torch.equal(auditory.features, batch()[0].features)
    share = visual.present.mean(1)
    assert set(share.tolist()) == {0.0, 1.0}
    assert 0.2 < 1.0 - share.mean() < 0.4
    assert torch.equal(visual.features.abs().amax(2) > 0, visual.present > 0)


def test_spans_without_pictures_are_as_long_as_asked():
    _, visual = missing(missing_spans=1.0)
    runs = (visual.present == 0).sum(1)
    assert runs.max() <= 10
    # Each frame is about as likely to be missing as any other.
    by_frame = (visual.present == 0).float().mean(0)
    assert by_frame.min() > 0.5 * by_frame.mean()
    assert by_frame.max() < 1.6 * by_frame.mean()
    # One span: presence changes at most twice.
    assert visual.present.diff(dim=1).abs().sum(1).max() <= 2


def test_what_is_missing_follows_from_the_generator():
    assert torch.equal(
        missing(seed=1, missing_spans=0.5)[1].present, missing(1, missing_spans=0.5)[1].present
    )
    assert not torch.equal(missing(1, missing_spans=0.5)[1].present, missing(2, missing_spans=0.5)[1].present)
    assert all(torch.equal(*pair) for pair in zip(missing()[1], batch()[1], strict=True))


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        (("spectral",), ()),
        (("spectral", "visual"), (SideInput("visual", 2, 4),)),
        (("auditory", "spectral"), (SideInput("auditory", 3, 16),)),
        (("visual", "spectral", "auditory"), (SideInput("auditory", 3, 16), SideInput("visual", 2, 4))),
        (("visual",), (SideInput("visual", 2, 16),)),
        (("auditory",), (SideInput("auditory", 3, 64),)),
        (("auditory", "visual"), (SideInput("auditory", 3, 64), SideInput("visual", 2, 16))),
    ],
)
def test_projections_are_as_wide_as_in_the_paper(inputs, expected):
    settings = FusionSettings(inputs, auditory=AUDITORY, visual=VISUAL)
    assert settings.net_sides == expected
    assert settings.spectral == ("spectral" in inputs)


def test_a_width_of_its_own_replaces_that_of_the_paper():
    settings = FusionSettings(("visual",), visual=SideSettings(features=2, embedding=5))
    assert settings.net_sides == (SideInput("visual", 2, 5),)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"inputs": ()}, "inputs: expected some of"),
        ({"inputs": ("spectral", "smell")}, "inputs: expected some of"),
        ({"inputs": ("spectral", "spectral")}, "inputs: expected some of"),
        ({"inputs": ("spectral", "auditory")}, r"fusion\.auditory: expected a section"),
        ({"alignment": "nearest"}, "alignment: expected time or index"),
        ({"missing_seconds": (2.0, 1.0)}, "missing_seconds: expected a shortest and a longest time"),
    ],
)
def test_settings_are_checked(values, message):
    with pytest.raises(ConfigError, match=message):
        FusionSettings(**values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"features": 0}, "features: expected at least 1"),
        ({"features": 4, "embedding": -1}, "embedding: expected 0 or more"),
        ({"features": 4, "max_age_seconds": 0.0}, "max_age_seconds: expected seconds above 0"),
        ({"features": 4, "missing_clips": 1.5}, r"missing_clips: expected a share in \[0, 1\]"),
        ({"features": 4, "missing_spans": -0.5}, r"missing_spans: expected a share in \[0, 1\]"),
    ],
)
def test_sides_are_checked(values, message):
    with pytest.raises(ConfigError, match=message):
        SideSettings(**values)
