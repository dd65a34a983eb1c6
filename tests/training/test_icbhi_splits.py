"""Random, official and patient-wise splits of cycles, and what leaks in them."""

from __future__ import annotations

import icbhi_layout as layout
import numpy as np
import pytest

from streamsed.errors import ConfigError
from training.data.icbhi import (
    AnnotatedCycle,
    IcbhiData,
    LungRecording,
    all_cycles,
    hold_out,
    leaks,
    official_split,
    patient_folds,
    random_splits,
    read_icbhi,
)


def made_up(patients=20, recordings=3, seed=0):
    """Data of patients with one to eight cycles a recording; abnormal ones are rarer."""
    rng = np.random.default_rng(seed)
    made = []
    for patient in range(patients):
        for number in range(recordings):
            labels = rng.choice(4, rng.integers(1, 9), p=(0.6, 0.2, 0.15, 0.05))
            cycles = tuple(AnnotatedCycle(i, i + 1.0, bool(k & 1), bool(k & 2)) for i, k in enumerate(labels))
            name = f"{patient}_{number}b1_Tc_sc_Meditron"
            part = "train" if patient % 3 or (patient == 3 and number) else "test"
            fields = (str(patient), f"{number}b1", "Tc", "sc", "Meditron", 4000, 9.0)
            made.append(LungRecording(name, None, *fields, cycles, part, None))
    return IcbhiData(tuple(made), ())


def identities(cycles):
    return {(item.recording.name, item.number) for item in cycles}


def assert_divided(split, cycles):
    assert identities(split.train) | identities(split.test) == identities(cycles)
    assert not identities(split.train) & identities(split.test)


def share_of(cycles, label, every):
    return sum(item.label == label for item in cycles) / sum(item.label == label for item in every)


def test_random_splits_are_of_cycles_and_leak():
    data = made_up()
    cycles = all_cycles(data)
    splits = random_splits(data, seed=4)
    assert len(splits) == 10
    for split in splits:
        assert_divided(split, cycles)
        assert len(split.train) == round(0.8 * len(cycles))
        assert len(leaks(split).patients) > 10
        assert leaks(split).recordings
    assert len({frozenset(identities(split.test)) for split in splits}) == 10
    assert random_splits(data, seed=4, n=3) == splits[:3]
    assert random_splits(data, seed=5, n=1) != splits[:1]


def test_the_official_split_and_its_leak():
    data = made_up()
    split = official_split(data)
    assert {item.part for item in split.train_recordings} == {"train"}
    assert {item.part for item in split.test_recordings} == {"test"}
    found = leaks(split)
    assert found.patients == ("3",)
    assert found.recordings == ()
    assert found.test_cycles == sum(item.recording.patient == "3" for item in split.test)
    clean = official_split(data, drop_shared=True)
    assert leaks(clean).patients == ()
    assert clean.test == split.test


def test_patient_folds_share_nobody_and_are_alike():
    data = made_up(patients=60)
    cycles = all_cycles(data)
    folds = patient_folds(data, 5, seed=0)
    assert sum(len(fold.test) for fold in folds) == len(cycles)
    for fold in folds:
        assert_divided(fold, cycles)
        assert leaks(fold) == ((), (), 0)
        for label in ("normal", "crackle", "wheeze", "both"):
            assert share_of(fold.test, label, cycles) == pytest.approx(0.2, abs=0.05)
    assert patient_folds(data, 5, seed=0) == folds
    assert patient_folds(data, 5, seed=1) != folds


@pytest.mark.parametrize("by", ["cycle", "recording", "patient"])
def test_cycles_are_held_out(by):
    cycles = all_cycles(made_up(patients=40))
    split = hold_out(cycles, 0.2, seed=1, by=by)
    assert_divided(split, cycles)
    for label in ("normal", "crackle", "wheeze"):
        assert share_of(split.test, label, cycles) == pytest.approx(0.2, abs=0.06)
    found = leaks(split)
    assert bool(found.patients) == (by != "patient")
    assert bool(found.recordings) == (by == "cycle")
    assert hold_out(cycles, 0.2, seed=1, by=by) == split
    assert hold_out(cycles, 0.2, seed=2, by=by) != split


@pytest.mark.parametrize(
    "divide, message",
    [
        (lambda data: random_splits(data, 0, n=0), "^n:"),
        (lambda data: random_splits(data, 0, train=1.0), "^train:"),
        (lambda data: random_splits(data, 0, train=0.001), "^train:"),
        (lambda data: random_splits(data, -1), "^seed:"),
        (lambda data: patient_folds(data, 1, 0), "^k:"),
        (lambda data: patient_folds(data, 5, 0), "^k: expected from 2 to 4, the number of patients"),
        (lambda data: patient_folds(data, 2, -1), "^seed:"),
        (lambda data: hold_out(all_cycles(data), 0.6, 0), "^share:"),
        (lambda data: hold_out(all_cycles(data), 0.2, 0, by="ward"), "^by:"),
        (lambda data: hold_out(all_cycles(data.recordings[:2]), 0.2, 0), "^by:"),
        (lambda data: official_split(IcbhiData(data.recordings[:1], ())), "^split:"),
    ],
)
def test_divisions_that_are_impossible(tmp_path, divide, message):
    data = read_icbhi(layout.write_icbhi(tmp_path))
    with pytest.raises(ConfigError, match=message):
        divide(data)
