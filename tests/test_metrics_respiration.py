"""Sensitivity, specificity and score as the ICBHI challenge counts them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamsed.errors import ConfigError
from streamsed.metrics import detected_label_counts, icbhi_score, label_counts
from streamsed.types import CYCLE_LABELS

TRUTH = ["normal"] * 4 + ["crackle"] * 3 + ["wheeze"] * 2 + ["both"]
GUESS = [
    *["normal", "normal", "normal", "wheeze"],
    *["crackle", "both", "normal"],
    *["wheeze", "crackle"],
    "both",
]


def test_four_classes_count_the_own_label_alone():
    score = icbhi_score(TRUTH, GUESS)
    assert score.sensitivity == pytest.approx((1 + 1 + 1) / 6)
    assert score.specificity == pytest.approx(3 / 4)
    assert score.score == pytest.approx((0.5 + 0.75) / 2)
    assert score.labels == CYCLE_LABELS
    np.testing.assert_array_equal(score.confusion, [[3, 0, 1, 0], [1, 1, 0, 1], [0, 1, 1, 0], [0, 0, 0, 1]])


def test_two_classes_of_a_model_of_four_count_every_abnormal_label():
    score = icbhi_score(TRUTH, GUESS, classes=2)
    assert score.sensitivity == pytest.approx(5 / 6)
    assert score.specificity == icbhi_score(TRUTH, GUESS).specificity
    assert score.labels == ("normal", "abnormal")
    np.testing.assert_array_equal(score.confusion, [[3, 1], [1, 5]])


def test_labels_of_a_model_of_two_classes():
    guess = ["normal" if label == "normal" else "abnormal" for label in GUESS]
    merged, own = icbhi_score(TRUTH, GUESS, classes=2), icbhi_score(TRUTH, guess, classes=2)
    assert (merged.sensitivity, merged.specificity) == (own.sensitivity, own.specificity)
    with pytest.raises(ConfigError, match="estimate"):
        icbhi_score(TRUTH, guess, classes=4)


labels = st.integers(0, 3)


@settings(deadline=None)
@given(st.lists(st.tuples(labels, labels), min_size=1, max_size=40))
def test_counts_agree_with_the_definition(pairs):
    truth, guess = np.array(pairs).T
    score = icbhi_score(truth, guess)
    abnormal = truth > 0
    sensitivity = (guess == truth)[abnormal].mean() if abnormal.any() else math.nan
    specificity = (guess == 0)[~abnormal].mean() if (~abnormal).any() else math.nan
    assert score.sensitivity == pytest.approx(sensitivity, nan_ok=True)
    assert score.specificity == pytest.approx(specificity, nan_ok=True)
    assert score.score == pytest.approx((sensitivity + specificity) / 2, nan_ok=True)
    merged = label_counts(truth, guess).merged().score()
    two = icbhi_score(truth, guess, classes=2)
    np.testing.assert_array_equal(merged.confusion, two.confusion)
    named = icbhi_score([CYCLE_LABELS[i] for i in truth], [CYCLE_LABELS[i] for i in guess])
    np.testing.assert_array_equal(named.confusion, score.confusion)


def test_intervals_draw_whole_patients():
    patients = [name for name in "abcdefgh" for _ in range(20)]
    truth = ["normal", "crackle"] * 80
    guess = [label if patient > "b" else "wheeze" for label, patient in zip(truth, patients, strict=True)]
    by_patient = label_counts(truth, guess, patients).intervals(seed=3)
    by_cycle = label_counts(truth, guess).intervals(seed=3)
    assert by_patient.score.value == by_cycle.score.value == pytest.approx(0.75)
    assert by_patient.score.high - by_patient.score.low > 1.5 * (by_cycle.score.high - by_cycle.score.low)
    assert by_patient.score.low < 0.75 < by_patient.score.high


def test_detected_cycles_are_matched_and_missed_ones_are_wrong():
    true = {"a": [(0.0, 2.0, "normal"), (2.0, 4.0, "crackle"), (4.0, 6.0, "wheeze")]}
    found = {
        "a": [(0.1, 2.1, "normal"), (2.1, 3.0, "crackle"), (3.0, 6.0, "wheeze")],
        "b": [(0.0, 1.0, "both")],
    }
    counts = detected_label_counts(true, found)
    score = counts.score()
    # (2.1, 3) overlaps (2, 4) by 45 %; (3, 6) and (4, 6) match.
    np.testing.assert_array_equal(score.missed, [0, 1, 0, 0])
    np.testing.assert_array_equal(score.extra, [0, 1, 0, 1])
    assert score.sensitivity == pytest.approx(1 / 2)
    assert score.specificity == 1
    assert counts.merged().score().sensitivity == pytest.approx(1 / 2)
    np.testing.assert_array_equal(counts.merged().score().missed, [0, 1])


def test_labels_by_overlap_do_not_depend_on_boundaries():
    true = {"a": [(0.0, 2.0, "normal"), (2.0, 4.0, "crackle"), (8.0, 9.0, "both")]}
    found = {"a": [(0.0, 0.4, "crackle"), (0.4, 1.0, "normal"), (1.0, 1.6, "normal"), (1.6, 5.0, "crackle")]}
    score = detected_label_counts(true, found, matching="overlap").score()
    np.testing.assert_array_equal(score.confusion, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_array_equal(score.missed, [0, 0, 0, 1])
    assert score.extra.sum() == 0
    assert score.sensitivity == pytest.approx(1 / 2)


def test_true_boundaries_give_the_score_of_the_labels():
    times = [(float(i), i + 1.0) for i in range(len(TRUTH))]
    true = {"a": [(*time, label) for time, label in zip(times, TRUTH, strict=True)]}
    found = {"a": [(*time, label) for time, label in zip(times, GUESS, strict=True)]}
    for matching in ("iou", "overlap"):
        score = detected_label_counts(true, found, matching=matching).score()
        np.testing.assert_array_equal(score.confusion, icbhi_score(TRUTH, GUESS).confusion)
        assert score.missed.sum() == score.extra.sum() == 0


@pytest.mark.parametrize(
    "truth, guess, message",
    [
        (["normal"], ["rhonchus"], "estimate.*rhonchus"),
        (["normal"], [], "estimate"),
        ([], [], "truth"),
        ([0], [4], "estimate"),
        ([0], [-1], "estimate"),
    ],
)
def test_labels_that_are_none(truth, guess, message):
    with pytest.raises(ConfigError, match=message):
        icbhi_score(truth, guess)


def test_parameters_that_are_none():
    with pytest.raises(ConfigError, match="classes"):
        icbhi_score([0], [0], classes=3)
    with pytest.raises(ConfigError, match="groups"):
        label_counts([0, 1], [0, 1], ["a"])
    with pytest.raises(ConfigError, match="matching"):
        detected_label_counts({"a": []}, {}, matching="nearest")
    with pytest.raises(ConfigError, match="at least one recording"):
        detected_label_counts({}, {})
