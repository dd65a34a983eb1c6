"""Median filter, fusion, event decoder and their chain."""

from __future__ import annotations

from dataclasses import replace

import contracts
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import ndimage

from streamsed import reference
from streamsed.config import ClassPost, FrameClock, PostConfig
from streamsed.errors import ConfigError, StateError
from streamsed.postprocess import (
    Decision,
    EventDecoder,
    OnlineBinaryMedian,
    OnlineMedianFilter,
    PostChain,
    fuse,
    half_step,
    median_filter,
    median_width,
)

# One posterior frame is exactly 10 ms, and boundaries lie on multiples of it.
CLOCK = FrameClock(sample_rate=16000, hop_length=160, window_length=160)
LABELS = ("dog", "cat", "rain")
POST = PostConfig(
    default=ClassPost(
        threshold_on=0.6, threshold_off=0.4, median_seconds=0.05, min_duration=0.03, min_gap=0.02
    ),
    labels={"cat": ClassPost(threshold_on=0.5), "rain": ClassPost(0.5, 0.3, 0.13, 0.0, 0.04)},
)
# The first is cut where its level changes.
MIXED = PostConfig(
    default=ClassPost(0.5, 0.4, 0.03, 0.03, 0.02),
    labels={"dog": ClassPost(0.5, 0.3, 0.05, 0.02, 0.03, "change", 0.08, 0.2, 1.5)},
)


def bursts(frames: int, classes: int, seed: int) -> np.ndarray:
    """Posteriors that wander in and out of the thresholds."""
    rng = np.random.default_rng(seed)
    slow = np.repeat(rng.random((frames // 8 + 1, classes)), 8, axis=0)[:frames]
    return np.clip(slow + 0.3 * rng.standard_normal((frames, classes)), 0, 1).astype(np.float32)


def rows_ready(latency: int):
    return lambda n: max(0, n - latency)


BAD_ROWS = (
    bursts(5, 3, 0).astype(np.int16),
    bursts(5, 3, 0)[0],
    bursts(5, 4, 0),
    np.full((2, 3), np.nan, dtype=np.float32),
    [[0.1, 0.2, 0.3]],
    None,
)

CASES = {
    "median": contracts.StageCase(
        make=lambda: OnlineMedianFilter(3, (7, 3, 1)),
        data=bursts(200, 3, 1),
        outputs_after=rows_ready(3),
        bad_inputs=BAD_ROWS,
    ),
    "median wide": contracts.StageCase(
        make=lambda: OnlineMedianFilter(3, (41, 41, 9), mode="mirror"),
        data=bursts(300, 3, 2),
        outputs_after=rows_ready(20),
        bad_inputs=BAD_ROWS,
    ),
    "median one class": contracts.StageCase(
        make=lambda: OnlineMedianFilter(1, 5, mode="constant", cval=0.5),
        data=bursts(90, 1, 3),
        outputs_after=rows_ready(2),
    ),
    "binary median": contracts.StageCase(
        make=lambda: OnlineBinaryMedian(3, (7, 3, 5)),
        data=bursts(200, 3, 4) > 0.5,
        bad_inputs=(bursts(5, 3, 0), bursts(5, 4, 0) > 0.5, (bursts(5, 3, 0) > 0.5)[0]),
        long_data=np.zeros((400_000, 3), dtype=bool),
    ),
    "decoder": contracts.StageCase(
        make=lambda: EventDecoder(LABELS, CLOCK, POST),
        data=bursts(300, 3, 5),
        join=contracts.concatenate_lists,
        bad_inputs=BAD_ROWS,
    ),
    "chain": contracts.StageCase(
        make=lambda: PostChain(LABELS, CLOCK, POST),
        data=bursts(300, 3, 6),
        join=contracts.concatenate_lists,
        bad_inputs=BAD_ROWS,
    ),
    "decoder with changes": contracts.StageCase(
        make=lambda: EventDecoder(LABELS, CLOCK, MIXED),
        data=bursts(300, 3, 7),
        join=contracts.concatenate_lists,
        bad_inputs=BAD_ROWS,
    ),
    "chain with changes": contracts.StageCase(
        make=lambda: PostChain(LABELS, CLOCK, MIXED),
        data=bursts(300, 3, 8),
        join=contracts.concatenate_lists,
        bad_inputs=BAD_ROWS,
    ),
}


@pytest.mark.parametrize("check", contracts.CHECKS, ids=contracts.check_name)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_stage_contract(case: contracts.StageCase, check) -> None:
    check(case)


@settings(max_examples=60, deadline=None)
@given(sizes=st.lists(st.integers(0, 90), max_size=12), name=st.sampled_from(sorted(CASES)))
def test_any_partition_gives_the_same(sizes: list[int], name: str) -> None:
    contracts.check_partition(CASES[name], sizes)


# --- median filter ---


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    width=st.sampled_from([1, 3, 5, 7, 9, 11, 15, 25, 27, 31]),
    extra=st.integers(0, 60),
    classes=st.integers(1, 6),
    mode=st.sampled_from(["reflect", "mirror", "nearest", "constant", "wrap"]),
)
def test_median_filter_equals_scipy(seed: int, width: int, extra: int, classes: int, mode: str) -> None:
    # Arrays shorter than the window are compared with reference.median_filter: scipy 1.17 is wrong for some.
    array = bursts(width + extra, classes, seed)
    expected = ndimage.median_filter(array, size=(width, 1), mode=mode, cval=0.3)
    np.testing.assert_array_equal(median_filter(array, width, mode, 0.3), expected)


def test_median_filter_converts_float64_and_strides() -> None:
    array = bursts(80, 3, 7)
    expected = median_filter(array, 5)
    np.testing.assert_array_equal(median_filter(array.astype(np.float64), 5), expected)
    np.testing.assert_array_equal(median_filter(np.asfortranarray(array), 5), expected)
    np.testing.assert_array_equal(median_filter(np.repeat(array, 2, axis=0)[::2], 5), expected)
    assert expected.dtype == np.float32


def test_median_filter_of_nothing() -> None:
    for mode in ("reflect", "wrap"):
        assert median_filter(np.empty((0, 4), dtype=np.float32), 7, mode).shape == (0, 4)


@pytest.mark.parametrize(
    ("arguments", "parameter"),
    [
        ({"widths": 4}, "widths"),
        ({"widths": -1}, "widths"),
        ({"widths": [3, 3]}, "widths"),
        ({"widths": 3, "mode": "odd"}, "mode"),
        ({"widths": 3, "mode": "constant", "cval": float("nan")}, "cval"),
    ],
)
def test_median_filter_rejects(arguments: dict, parameter: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{parameter}: expected .*, got "):
        median_filter(bursts(9, 3, 0), **arguments)


def test_median_filter_names_the_nan() -> None:
    array = bursts(50, 3, 0)
    array[41, 2] = np.nan
    with pytest.raises(ConfigError, match="row 41, class 2"):
        median_filter(array, 3)


def test_online_median_refuses_wrap() -> None:
    with pytest.raises(ConfigError, match="mode"):
        OnlineMedianFilter(2, 3, mode="wrap")
    with pytest.raises(ConfigError, match="n_classes"):
        OnlineMedianFilter(0, 3)


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    frames=st.integers(1, 60),
    widths=st.lists(st.sampled_from([1, 3, 5, 9, 13]), min_size=1, max_size=4),
    mode=st.sampled_from(["reflect", "mirror", "nearest", "constant"]),
    sizes=st.lists(st.integers(0, 20), max_size=6),
)
def test_binary_median_equals_the_median(
    seed: int, frames: int, widths: list[int], mode: str, sizes: list[int]
) -> None:
    active = np.random.default_rng(seed).random((frames, len(widths))) < 0.5
    expected = reference.median_filter(active.astype(np.float32), widths, mode, 1.0) > 0.5
    stage = OnlineBinaryMedian(len(widths), widths, mode, True)
    case = contracts.StageCase(make=lambda: stage, data=active)
    np.testing.assert_array_equal(contracts.run_chunks(case, sizes, stage), expected)


def test_binary_median_decides_before_its_window_is_full() -> None:
    stage = OnlineBinaryMedian(1, 7)
    rows = [len(stage.process(np.ones((1, 1), dtype=bool))) for _ in range(8)]
    # Four ones of seven are enough. At the start the reflection counts as well: two frames settle the first
    # two.
    assert rows == [0, 2, 1, 1, 1, 1, 1, 1]
    assert stage.latency_frames == 3


# --- fusion ---


def test_fuse_weights_by_confidence() -> None:
    posteriors = np.array([[[0.0, 1.0]], [[1.0, 0.0]]], dtype=np.float32)
    confidences = np.array([[0.75], [0.25]], dtype=np.float32)
    np.testing.assert_allclose(fuse(posteriors, confidences), [[0.25, 0.75]])
    np.testing.assert_allclose(fuse(posteriors, confidences, [1, 3]), [[0.5, 0.5]])
    np.testing.assert_allclose(fuse(posteriors), [[0.5, 0.5]])
    np.testing.assert_allclose(fuse(posteriors, None, [3, 1]), [[0.25, 0.75]])


def test_fuse_falls_back_to_the_mean_where_nobody_is_sure() -> None:
    posteriors = bursts(60, 25, 1).reshape(3, 20, 25)
    confidences = np.zeros((3, 20), dtype=np.float32)
    np.testing.assert_allclose(fuse(posteriors, confidences), posteriors.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(fuse(posteriors, confidences, [1, 0, 0]), posteriors[0], atol=1e-6)


@pytest.mark.parametrize(
    ("change", "parameter"),
    [
        ({"posteriors": np.zeros((3, 4), dtype=np.float32)}, "posteriors"),
        ({"posteriors": np.zeros((0, 4, 2), dtype=np.float32)}, "posteriors"),
        ({"posteriors": np.zeros((2, 4, 3), dtype=np.int32)}, "posteriors"),
        ({"posteriors": np.full((2, 4, 3), np.nan, dtype=np.float32)}, "posteriors"),
        ({"posteriors": np.full((2, 4, 25), np.inf, dtype=np.float32)}, "posteriors"),
        ({"confidences": np.zeros((2, 5), dtype=np.float32)}, "confidences"),
        ({"confidences": np.full((2, 4), -0.5, dtype=np.float32)}, "confidences"),
        ({"confidences": np.full((2, 4), np.nan, dtype=np.float32)}, "confidences"),
        ({"confidences": np.full((2, 4), np.inf, dtype=np.float32)}, "confidences"),
        ({"weights": [1.0]}, "weights"),
        ({"weights": [0.0, 0.0]}, "weights"),
        ({"weights": [1.0, -1.0]}, "weights"),
        ({"weights": [1.0, float("nan")]}, "weights"),
    ],
)
def test_fuse_rejects(change: dict, parameter: str) -> None:
    arguments = {"posteriors": np.zeros((2, 4, 3), dtype=np.float32), **change}
    with pytest.raises(ConfigError, match=rf"^{parameter}: expected .*, got "):
        fuse(**arguments)


def test_fuse_into_given_memory() -> None:
    posteriors = bursts(60, 25, 1).reshape(3, 20, 25)
    out = np.empty((20, 25), dtype=np.float32)
    assert fuse(posteriors, out=out) is out
    np.testing.assert_array_equal(out, fuse(posteriors))
    read_only = out.copy()
    read_only.flags.writeable = False
    bad = (np.empty((20, 24), dtype=np.float32), np.empty((20, 25)), out.T, posteriors[1], read_only, [1.0])
    for array in bad:
        with pytest.raises(ConfigError, match=r"^out: expected .*, got "):
            fuse(posteriors, out=array)


def test_fuse_of_a_large_array_goes_around_the_cache() -> None:
    rng = np.random.default_rng(0)
    posteriors = rng.random((2, 170_000, 25), dtype=np.float32)
    fused = fuse(posteriors, None, [1, 3])
    np.testing.assert_array_equal(fused[::977], fuse(posteriors[:, ::977], None, [1, 3]))
    np.testing.assert_allclose(fused, 0.25 * posteriors[0] + 0.75 * posteriors[1], atol=1e-6)


def test_fuse_accepts_negative_zero_confidence() -> None:
    posteriors = bursts(8, 3, 1).reshape(2, 4, 3)
    fused = fuse(posteriors, np.full((2, 4), -0.0, dtype=np.float32))
    np.testing.assert_allclose(fused, posteriors.mean(axis=0), atol=1e-6)


# --- decoder ---


def feed(stage, posteriors: np.ndarray) -> list[Decision]:
    """Frame by frame; NaN rows are lost."""
    decisions = []
    t = 0
    while t < len(posteriors):
        run = t
        while run < len(posteriors) and np.isnan(posteriors[run]).any():
            run += 1
        if run > t:
            decisions += stage.gap(run - t)
            t = run
        else:
            decisions += stage.process(posteriors[t : t + 1])
            t += 1
    return decisions + stage.flush()


def check_life(decisions: list[Decision]) -> None:
    """Every number is announced once, in order, and concluded once; never two are open for one label."""
    announced: dict[int, Decision] = {}
    concluded: set[int] = set()
    open_label: dict[str, int] = {}
    last = -1
    for decision in decisions:
        assert decision.decided_frame >= last
        last = decision.decided_frame
        if decision.kind == "onset":
            assert decision.number == len(announced) + 1
            assert decision.label not in open_label
            assert decision.offset is None
            announced[decision.number] = decision
            open_label[decision.label] = decision.number
        else:
            assert announced[decision.number].label == decision.label
            assert decision.number not in concluded
            assert open_label.pop(decision.label) == decision.number
            concluded.add(decision.number)
            if decision.kind == "event":
                assert decision.offset > decision.onset
                assert 0 <= decision.confidence <= 1
                assert 0 <= decision.uncertainty <= 1
    assert concluded == set(announced)


def check_events(decisions: list[Decision], smoothed: np.ndarray, labels, post: PostConfig) -> None:
    """The events are those of the definition."""
    for k, label in enumerate(labels):
        settings_ = post.for_label(label)
        durations = (CLOCK.frames(settings_.min_duration), CLOCK.frames(settings_.min_gap))
        if settings_.method == "change":
            merging = (settings_.merge_absolute, settings_.merge_relative)
            half = half_step(settings_.step_seconds, CLOCK)
            expected = reference.decode_changes(
                smoothed[:, k], settings_.threshold_on, half, *merging, *durations
            )
        else:
            expected = reference.decode(
                smoothed[:, k], settings_.threshold_on, settings_.threshold_off, *durations
            )
        events = [d for d in decisions if d.kind == "event" and d.label == label]
        assert [(d.onset, d.offset, d.spans_gap, d.truncated) for d in events] == [
            (CLOCK.seconds(e.onset), CLOCK.seconds(e.offset), e.spans_gap, e.truncated) for e in expected
        ]
        for decision, event in zip(events, expected, strict=True):
            assert decision.confidence == pytest.approx(event.confidence, abs=1e-6)
            assert decision.uncertainty == pytest.approx(event.uncertainty, abs=1e-5)


class_posts = st.builds(
    lambda on, ratio, median, duration, gap: ClassPost(
        on, on * ratio, median / 100, duration / 100, gap / 100
    ),
    st.sampled_from([0.3, 0.5, 0.75]),
    st.sampled_from([0.4, 0.8, 1.0]),
    st.sampled_from([0, 3, 5, 9]),
    st.integers(0, 6),
    st.integers(0, 5),
)
change_posts = st.builds(
    lambda on, median, duration, gap, half, absolute, relative: ClassPost(
        on, on / 2, median / 100, duration / 100, gap / 100, "change", half / 50, absolute, relative
    ),
    st.sampled_from([0.2, 0.3, 0.5, 0.75]),
    st.sampled_from([0, 3, 9]),
    st.integers(0, 4),
    st.integers(0, 5),
    st.integers(1, 6),
    st.sampled_from([0.05, 0.2, 0.4]),
    st.sampled_from([1.0, 1.5, 3.0]),
)
any_posts = class_posts | change_posts
level_rows = st.lists(
    st.lists(st.sampled_from([0.0, 0.2, 0.4, 0.6, 0.8, 1.0]), min_size=2, max_size=2) | st.none(), max_size=70
)


def as_posteriors(rows: list) -> np.ndarray:
    lost = [np.nan, np.nan]
    return np.array([lost if row is None else row for row in rows], dtype=np.float32).reshape(-1, 2)


@settings(max_examples=400, deadline=None)
@given(rows=level_rows, first=any_posts, second=any_posts)
@example(
    rows=[[1.0, 1.0], None, [1.0, 0.0], [0.4, 0.0], None, None, [1.0, 1.0]],
    first=ClassPost(),
    second=ClassPost(),
)
def test_decoder_equals_the_definition(rows: list, first: ClassPost, second: ClassPost) -> None:
    posteriors = as_posteriors(rows)
    post = PostConfig(labels={"a": first, "b": second})
    decisions = feed(EventDecoder(["a", "b"], CLOCK, post), posteriors)
    check_life(decisions)
    check_events(decisions, posteriors, ["a", "b"], post)


@settings(max_examples=400, deadline=None)
@given(rows=level_rows, first=any_posts, second=any_posts)
def test_chain_equals_the_definition(rows: list, first: ClassPost, second: ClassPost) -> None:
    posteriors = as_posteriors(rows)
    post = PostConfig(labels={"a": first, "b": second})
    chain = PostChain(["a", "b"], CLOCK, post)
    decisions = feed(chain, posteriors)
    check_life(decisions)
    check_events(decisions, reference.smooth_between_losses(posteriors, chain.widths), ["a", "b"], post)


@settings(max_examples=200, deadline=None)
@given(rows=level_rows, first=class_posts, second=class_posts)
def test_chain_announces_at_once_and_resolves_in_time(
    rows: list, first: ClassPost, second: ClassPost
) -> None:
    posteriors = as_posteriors([row for row in rows if row is not None])
    post = PostConfig(labels={"a": first, "b": second})
    chain = PostChain(["a", "b"], CLOCK, post)
    smoothed = median_filter(posteriors, chain.widths)
    is_open = {"a": None, "b": None}
    for t in range(len(posteriors)):
        for decision in chain.process(posteriors[t : t + 1]):
            assert decision.decided_frame == t
            is_open[decision.label] = decision if decision.kind == "onset" else None
        for k, label in enumerate("ab"):
            settings_ = post.for_label(label)
            announcement = is_open[label]
            assert announcement is not None or posteriors[t, k] < settings_.threshold_on
            if announcement is None:
                continue
            # Nothing stays open unconfirmed for longer than promised.
            age = t - announcement.decided_frame
            if age >= chain.latency_frames + chain.widths[k] // 2:
                start = max(0, announcement.decided_frame - chain.latency_frames)
                assert (smoothed[start : t + 1, k] >= np.float32(settings_.threshold_on)).any()


def decisions_of(post: ClassPost, values: list[float | None], chain: bool = False) -> list[tuple]:
    """Kind, onset, offset and decided frame of one class, in frames."""
    config = PostConfig(default=post)
    stage = PostChain(["x"], CLOCK, config) if chain else EventDecoder(["x"], CLOCK, config)
    rows = np.array([[np.nan if value is None else value] for value in values], dtype=np.float32)
    return [
        (d.kind, round(d.onset * 100), None if d.offset is None else round(d.offset * 100), d.decided_frame)
        for d in feed(stage, rows)
    ]


def test_event_is_final_as_soon_as_its_pause_is_too_long() -> None:
    values = [0.0, 0.9, 0.9, 0.1, 0.1, 0.1, 0.1, 0.1]
    assert decisions_of(ClassPost(min_gap=0.0), values) == [("onset", 1, None, 1), ("event", 1, 3, 3)]
    assert decisions_of(ClassPost(min_gap=0.02), values) == [("onset", 1, None, 1), ("event", 1, 3, 5)]


def test_pause_of_min_gap_is_bridged_and_one_more_splits() -> None:
    post = ClassPost(min_gap=0.02)
    bridged = decisions_of(post, [0.9, 0.1, 0.1, 0.9])
    assert bridged == [("onset", 0, None, 0), ("event", 0, 4, 3)]
    split = decisions_of(post, [0.9, 0.1, 0.1, 0.1, 0.9])
    assert [d[0] for d in split] == ["onset", "event", "onset", "event"]


def test_hysteresis_holds_between_the_thresholds() -> None:
    post = ClassPost(threshold_on=0.6, threshold_off=0.3)
    assert decisions_of(post, [0.2, 0.5, 0.7, 0.4, 0.35, 0.2])[-1] == ("event", 1, 5, 5)
    assert decisions_of(post, [0.5, 0.59]) == []


def test_short_event_is_retracted() -> None:
    post = ClassPost(min_duration=0.03)
    assert decisions_of(post, [0.0, 0.9, 0.9, 0.0]) == [("onset", 1, None, 1), ("retract", 1, None, 3)]


def test_gap_longer_than_min_gap_truncates() -> None:
    stage = EventDecoder(["x"], CLOCK, PostConfig(default=ClassPost(min_gap=0.02)))
    stage.process(np.full((4, 1), 0.9, dtype=np.float32))
    (event,) = stage.gap(3)
    assert (event.kind, event.offset, event.truncated, event.spans_gap) == ("event", 0.04, True, False)
    (onset,) = stage.process(np.full((1, 1), 0.9, dtype=np.float32))
    assert (onset.kind, onset.onset, onset.number) == ("onset", 0.07, 2)


def test_gap_within_min_gap_is_spanned() -> None:
    stage = EventDecoder(["x"], CLOCK, PostConfig(default=ClassPost(min_gap=0.02)))
    stage.process(np.full((4, 1), 0.9, dtype=np.float32))
    assert stage.gap(2) == []
    assert stage.process(np.full((1, 1), 0.8, dtype=np.float32)) == []
    (event,) = stage.flush()
    assert (event.offset, event.truncated, event.spans_gap) == (0.07, False, True)
    assert event.confidence == pytest.approx((4 * 0.9 + 0.8) / 5)


def test_event_that_does_not_come_back_after_a_gap_is_truncated() -> None:
    stage = EventDecoder(["x"], CLOCK, PostConfig(default=ClassPost(min_gap=0.03)))
    stage.process(np.full((4, 1), 0.9, dtype=np.float32))
    stage.gap(2)
    decisions = stage.process(np.zeros((4, 1), dtype=np.float32))
    assert [(d.kind, d.offset, d.truncated, d.decided_frame) for d in decisions] == [("event", 0.04, True, 7)]


def test_chain_announces_before_the_median_and_retracts_a_click() -> None:
    post = ClassPost(median_seconds=0.05)
    click = [0.0, 0.0, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0]
    assert decisions_of(post, click, chain=True) == [("onset", 3, None, 3), ("retract", 3, None, 5)]
    steady = [0.0, 0.0, 0.0, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0]
    assert decisions_of(post, steady, chain=True) == [("onset", 3, None, 3), ("event", 3, 7, 9)]


def test_an_announcement_says_where_the_run_began() -> None:
    post = ClassPost(threshold_on=0.6, threshold_off=0.3, median_seconds=0.03)
    values = [0.1, 0.1, 0.4, 0.5, 0.7, 0.7, 0.1, 0.1, 0.1, 0.1]
    assert decisions_of(post, values, chain=True) == [("onset", 2, None, 4), ("event", 2, 6, 7)]
    # Its run may reach back no further than the pause of the event before.
    post = ClassPost(threshold_on=0.6, threshold_off=0.3, min_gap=0.02)
    values = [0.7, 0.1, 0.4, 0.4, 0.4, 0.7, 0.1, 0.1, 0.1]
    assert [d for d in decisions_of(post, values, chain=True) if d[0] == "onset"] == [
        ("onset", 0, None, 0),
        ("onset", 4, None, 5),
    ]


def test_chain_gives_the_smoothed_onset_under_the_announced_number() -> None:
    post = ClassPost(median_seconds=0.05)
    values = [0.0, 0.0, 0.9, 0.0, 0.9, 0.9, 0.9, 0.9, 0.0, 0.0, 0.0, 0.0]
    assert decisions_of(post, values, chain=True) == [("onset", 2, None, 2), ("event", 3, 8, 10)]


def test_chain_smooths_nothing_across_a_gap() -> None:
    post = ClassPost(median_seconds=0.05)
    assert decisions_of(post, [0.9] * 6 + [None] + [0.9] * 6, chain=True) == [
        ("onset", 0, None, 0),
        ("event", 0, 6, 6),
        ("onset", 7, None, 7),
        ("event", 7, 13, 12),
    ]


def test_gap_of_nothing_changes_nothing() -> None:
    case = CASES["chain"]
    stage = case.make()
    parts = []
    for row in np.split(case.data, len(case.data)):
        parts += [stage.process(row), stage.gap(0)]
    assert contracts.concatenate_lists([*parts, stage.flush()]) == contracts.run_whole(case)


@pytest.mark.parametrize("make", [CASES["chain"].make, CASES["decoder"].make], ids=["chain", "decoder"])
def test_gap_is_refused_after_flush_and_when_negative(make) -> None:
    stage = make()
    with pytest.raises(ConfigError, match="frames"):
        stage.gap(-1)
    stage.flush()
    with pytest.raises(StateError):
        stage.gap(1)


def test_chain_counts_past_2_to_31_and_2_to_32_frames() -> None:
    stage = PostChain(["x"], CLOCK, PostConfig(default=ClassPost(median_seconds=0.03)))
    loud = np.full((10, 1), 0.9, dtype=np.float32)
    quiet = np.zeros((10, 1), dtype=np.float32)
    for start in (2**31 - 5, 2**32 - 5, 2**40):
        stage.reset()
        decisions = stage.gap(start) + stage.process(loud) + stage.process(quiet)
        assert [(d.kind, d.decided_frame) for d in decisions] == [("onset", start), ("event", start + 11)]
        assert decisions[1].onset == CLOCK.seconds(start)
        assert decisions[1].offset == CLOCK.seconds(start + 10)


# --- changes of the level ---

STEP = ClassPost(0.5, 0.3, method="change", step_seconds=0.04, merge_absolute=0.2, merge_relative=1.5)


def test_segments_by_hand() -> None:
    # Half a step is 2 frames. Boundary 1 has 0 before it and 0.45 behind: the steepest rise of boundaries
    # 1 to 3 is at 2, from 0 to 0.9. Boundary 4 has 0.8 before it and 0.35 behind: the steepest fall of
    # boundaries 4 to 6 is at 5, from 0.8 to 0.
    values = np.array([0.0, 0.0, 0.9, 0.9, 0.7, 0.0, 0.0, 0.0])
    segments = reference.change_segments(values, 2, 0.2, 1.5)
    assert [(s.start, s.stop) for s in segments] == [(0, 2), (2, 5), (5, 8)]
    assert segments[1].mean == pytest.approx(2.5 / 3, abs=1e-6)
    # Decided when all that boundary 4 is compared with is in: 4 frames from there on.
    assert decisions_of(STEP, list(values)) == [("onset", 2, None, 2), ("event", 2, 5, 7)]


def test_the_extent_does_not_depend_on_the_threshold() -> None:
    values = [0.0] * 4 + [0.5, 0.7, 0.9, 0.9, 0.9, 0.9, 0.7, 0.5] + [0.0] * 8
    for threshold in (0.2, 0.4, 0.6):
        post = replace(STEP, threshold_on=threshold, threshold_off=threshold)
        assert [d[1:3] for d in decisions_of(post, values) if d[0] == "event"] == [(4, 12)]
    assert [d[0] for d in decisions_of(replace(STEP, threshold_on=0.8), values)] == ["onset", "retract"]


def test_shallow_dips_and_small_steps_are_no_cuts() -> None:
    values = [0.0] * 4 + [0.9, 0.9, 0.8, 0.75, 0.8, 0.9, 0.9] + [0.0] * 8
    assert [d[1:3] for d in decisions_of(STEP, values) if d[0] == "event"] == [(4, 11)]
    deep = [0.0] * 4 + [0.9] * 4 + [0.3] * 4 + [0.9] * 4 + [0.0] * 8
    assert [d[1:3] for d in decisions_of(STEP, deep) if d[0] == "event"] == [(4, 8), (12, 16)]
    # A ratio that is not reached merges what a difference would not.
    merged = replace(STEP, merge_relative=4.0)
    assert [d[1:3] for d in decisions_of(merged, deep) if d[0] == "event"] == [(4, 16)]


@pytest.mark.parametrize("level", [0.5, 0.3, 1.0])
def test_a_constant_at_the_threshold_is_one_event_as_long_as_the_stream(level: float) -> None:
    post = replace(STEP, threshold_on=level, threshold_off=level)
    for frames in (1, 2, 3, 500):
        onset, event = decisions_of(post, [level] * frames)
        assert onset == ("onset", 0, None, 0)
        assert event == ("event", 0, frames, frames - 1)
    assert decisions_of(post, [np.nextafter(np.float32(level), np.float32(0)) - 1e-6] * 50) == []


def test_nothing_and_silence_have_no_events() -> None:
    assert decisions_of(STEP, []) == []
    assert decisions_of(STEP, [0.0] * 300, chain=True) == []


def test_a_slow_decay_ends_at_last() -> None:
    # The step filter has no extremum: it is the mean of the segment that tells.
    values = [0.0] * 8 + [0.95 * 0.97**t for t in range(150)] + [0.0] * 20
    (event,) = [d for d in decisions_of(STEP, values, chain=True) if d[0] == "event"]
    assert event[1] == 8
    assert 15 < event[2] < 60
    assert event[3] - event[2] < 4


def test_an_event_goes_on_over_a_loss_that_min_gap_covers() -> None:
    values = [0.0] * 4 + [0.9] * 6 + [None] * 2 + [0.9] * 6 + [0.0] * 6
    for chain in (False, True):
        post = replace(STEP, min_gap=0.02)
        assert [d[:3] for d in decisions_of(post, values, chain)] == [("onset", 4, None), ("event", 4, 18)]
        assert [d[1:3] for d in decisions_of(STEP, values, chain) if d[0] == "event"] == [(4, 10), (12, 18)]
    stage = EventDecoder(["x"], CLOCK, PostConfig(post))
    (onset, event) = feed(stage, np.array([0.9] * 6 + [np.nan] + [0.9] * 6, dtype=np.float32)[:, None])
    assert (event.spans_gap, event.truncated, event.number) == (True, False, onset.number)
    stage.reset()
    (onset, event) = feed(stage, np.array([0.9] * 6 + [np.nan] * 3, dtype=np.float32)[:, None])
    assert (event.offset, event.spans_gap, event.truncated) == (CLOCK.seconds(6), False, True)


def test_a_click_that_comes_to_nothing_is_retracted_a_step_later() -> None:
    post = replace(STEP, step_seconds=0.16)
    values = [0.3] * 20 + [0.6] + [0.3] * 40
    assert decisions_of(post, values, chain=True) == [("onset", 0, None, 20), ("retract", 0, None, 36)]


@settings(max_examples=150, deadline=None)
@given(rows=level_rows, first=change_posts)
def test_changes_are_final_when_promised(rows: list, first: ClassPost) -> None:
    posteriors = as_posteriors([row for row in rows if row is not None])[:, :1]
    chain = PostChain(["a"], CLOCK, PostConfig(first))
    frames = len(posteriors)
    for t in range(frames):
        for decision in chain.process(posteriors[t : t + 1]):
            assert decision.decided_frame == t
            if decision.kind == "event":
                assert t <= round(decision.offset * 100) + chain.final_latency_frames - 1


def test_the_step_filter_is_capped() -> None:
    post = PostConfig(ClassPost(method="change", step_seconds=0.5))
    assert PostChain(["x"], CLOCK, post).final_latency_frames == 50
    assert PostChain(["x"], CLOCK, post, max_step_seconds=0.09).final_latency_frames == 8
    assert PostChain(["x"], CLOCK, post, max_step_seconds=0.0).final_latency_frames == 2


def test_process_members_equals_fuse_then_process() -> None:
    rng = np.random.default_rng(2)
    posteriors = np.stack([bursts(300, 3, seed) for seed in range(4)])
    confidences = rng.random((4, 300)).astype(np.float32)
    weights = [1.0, 2.0, 0.5, 1.0]
    whole = PostChain(LABELS, CLOCK, POST)
    expected = whole.process(fuse(posteriors, confidences, weights)) + whole.flush()
    stage = PostChain(LABELS, CLOCK, POST)
    parts = []
    for cut in (slice(0, 70), slice(70, 70), slice(70, 300)):
        parts += stage.process_members(posteriors[:, cut], confidences[:, cut], weights)
    assert parts + stage.flush() == expected


def test_process_members_needs_a_reset_after_an_error() -> None:
    posteriors = np.stack([bursts(300, 3, seed) for seed in range(2)])
    stage = PostChain(LABELS, CLOCK, POST)
    expected = stage.process_members(posteriors) + stage.flush()
    stage.reset()
    posteriors[1, 200, 1] = np.inf
    with pytest.raises(ConfigError, match="frame 200, class 1"):
        stage.process_members(posteriors)
    with pytest.raises(StateError):
        stage.process(posteriors[0])
    with pytest.raises(ConfigError, match="classes"):
        PostChain(["x"], CLOCK, PostConfig()).process_members(posteriors)
    stage.reset()
    posteriors[1] = bursts(300, 3, 1)
    assert stage.process_members(posteriors) + stage.flush() == expected


@pytest.mark.parametrize("make", [EventDecoder, PostChain])
def test_labels_must_be_different_and_known(make) -> None:
    with pytest.raises(ConfigError, match="labels"):
        make([], CLOCK, PostConfig())
    with pytest.raises(ConfigError, match="labels"):
        make(["a", "a"], CLOCK, PostConfig())
    with pytest.raises(ConfigError, match=r"post\.labels"):
        make(["a"], CLOCK, PostConfig(labels={"b": ClassPost()}))


@pytest.mark.parametrize(
    ("seconds", "cap", "width"),
    [
        (0.0, None, 1),
        (0.01, None, 1),
        (0.03, None, 3),
        (0.04, None, 5),
        (0.07, None, 7),
        (0.5, None, 51),
        (0.5, 0.06, 5),
        (0.5, 0.07, 7),
        (0.5, 0.0, 1),
        (0.5, 0.02, 1),
        (0.03, 0.5, 3),
    ],
)
def test_median_width(seconds: float, cap: float | None, width: int) -> None:
    assert median_width(seconds, CLOCK, float("inf") if cap is None else cap) == width


def test_caps_bound_the_latency() -> None:
    post = PostConfig(default=ClassPost(median_seconds=0.5, min_gap=0.3))
    free = PostChain(["x"], CLOCK, post)
    assert (free.widths, free.latency_frames, free.final_latency_frames) == ((51,), 25, 56)
    capped = PostChain(["x"], CLOCK, post, max_median_seconds=0.06, max_min_gap=0.04)
    assert (capped.widths, capped.latency_frames, capped.final_latency_frames) == ((5,), 2, 7)
    values = np.array([[0.0]] * 5 + [[0.9]] * 20 + [[0.0]] * 20, dtype=np.float32)
    decisions = [d for t in range(len(values)) for d in capped.process(values[t : t + 1])]
    # The first quiet frame is 25; the event is final when it and final_latency_frames - 1 more are in.
    assert decisions[-1].kind == "event"
    assert decisions[-1].decided_frame == 25 + capped.final_latency_frames - 1
