"""Clip F1 and mean average precision, against scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

from streamsed.errors import ConfigError
from streamsed.metrics import clip_counts, clip_metrics, clip_ranking, segment_metrics

LABELS = ("bark", "rain", "siren", "speech")


@pytest.fixture(scope="module")
def drawn():
    """Tags of 60 recordings and noisy posteriors of them, as mappings and as matrices."""
    rng = np.random.default_rng(0)
    truth = rng.random((60, 4)) < (0.5, 0.3, 0.1, 0.6)
    scores = np.clip(0.6 * truth + rng.random((60, 4)) * 0.6, 0, 1).round(2)
    names = [f"clip{i:02d}" for i in range(60)]

    def tags(matrix):
        return {
            name: {LABELS[k] for k in np.flatnonzero(row)} for name, row in zip(names, matrix, strict=True)
        }

    posteriors = {
        name: dict(zip(LABELS, row.tolist(), strict=True)) for name, row in zip(names, scores, strict=True)
    }
    return truth, scores, tags(truth), tags(scores >= 0.5), posteriors


def test_f1_is_that_of_scikit_learn(drawn):
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, scores, reference, estimated, _ = drawn
    report = clip_metrics(reference, estimated, labels=LABELS)
    options = {"y_true": truth, "y_pred": scores >= 0.5}
    assert report.micro.f1 == pytest.approx(sklearn.f1_score(**options, average="micro"))
    assert report.macro.f1 == pytest.approx(sklearn.f1_score(**options, average="macro"))
    for name in ("precision", "recall", "f1"):
        expected = getattr(sklearn, f"{name}_score")(**options, average=None)
        assert [getattr(report.per_class[label], name) for label in LABELS] == pytest.approx(list(expected))
    assert report.files == 60
    assert report.micro.reference == truth.sum()


def test_mean_average_precision_is_that_of_scikit_learn(drawn):
    sklearn = pytest.importorskip("sklearn.metrics")
    truth, scores, reference, _, posteriors = drawn
    ranking = clip_ranking(reference, posteriors)
    assert ranking.mean == pytest.approx(sklearn.average_precision_score(truth, scores, average="macro"))
    assert list(ranking.per_class.values()) == pytest.approx(
        list(sklearn.average_precision_score(truth, scores, average=None))
    )
    assert ranking.recordings == 60


def test_it_is_the_segment_score_of_one_segment_a_recording(drawn):
    _, _, reference, estimated, _ = drawn

    def events(tags):
        return {name: [(0.0, 10.0, label) for label in labels] for name, labels in tags.items()}

    expected = segment_metrics(events(reference), events(estimated), segment_length=10.0)
    found = clip_metrics(reference, estimated)
    assert found.micro == expected.micro
    assert found.macro == expected.macro
    assert found.per_class == expected.per_class


def test_intervals_draw_recordings(drawn):
    _, _, reference, estimated, _ = drawn
    intervals = clip_counts(reference, estimated).f1_intervals(resamples=300)
    for interval in (intervals.micro, intervals.macro, *intervals.per_class.values()):
        assert interval.low < interval.value < interval.high


def test_a_recording_of_one_side_has_no_tags_on_the_other():
    report = clip_metrics({"a": ["bark"], "b": []}, {"a": ["bark", "bark"], "c": ["rain"]})
    assert (report.files, report.micro.reference, report.micro.estimated) == (3, 1, 2)
    assert report.micro.true_positives == 1
    assert math.isnan(report.per_class["rain"].f1)


def test_labels_without_a_recording_have_no_average_precision():
    scores = {"a": {"bark": 0.9, "rain": 0.1}, "b": {"bark": 0.2, "rain": 0.3}}
    ranking = clip_ranking({"a": {"bark"}}, scores)
    assert ranking.per_class["bark"] == ranking.mean == 1.0
    assert math.isnan(ranking.per_class["rain"])
    assert math.isnan(clip_ranking({}, {}).mean)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: clip_metrics({"a": "bark"}, {}), "tags: expected a collection of labels, got 'bark'"),
        (
            lambda: clip_metrics({"a": ["bark"]}, {}, labels=["rain"]),
            "labels: expected every label that occurs",
        ),
        (lambda: clip_metrics({}, {}, empty_output="one"), "empty_output"),
        (lambda: clip_ranking({"a": ["bark"]}, {"b": {"bark": 1.0}}), r"tagged recording, got \['a'\]"),
        (lambda: clip_ranking({"a": ["bark"]}, {"a": {"rain": 1.0}}), r"labels of the reference.*\['bark'\]"),
        (lambda: clip_ranking({}, {"a": {"bark": 1.0}, "b": {}}), r"posteriors\['b'\]: expected the labels"),
        (lambda: clip_ranking({}, {"a": {"bark": math.nan}}), "scores: expected finite values"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(ConfigError, match=message):
        call()
