"""Work on many items by several processes."""

from __future__ import annotations

import dataclasses
import functools
import operator

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from streamsed.errors import ConfigError
from training.features import Split, prepare
from training.jobs import run_jobs
from training.recipe import Recipe


@pytest.mark.parametrize("workers", [1, 2])
def test_jobs_give_their_results_in_order_and_errors_to_the_caller(workers):
    upper = functools.partial(operator.methodcaller, "upper")
    results = run_jobs(["c", "a", 7, "b"], upper, workers)
    assert [next(results), next(results)] == ["C", "A"]
    with pytest.raises(AttributeError, match="upper"):
        next(results)
    assert list(run_jobs([], upper, workers)) == []
    with pytest.raises(ConfigError, match="workers: expected at least one process, got 0"):
        list(run_jobs(["a"], upper, 0))


def test_scenes_are_the_same_whoever_makes_them(tiny_recipe, tmp_path):
    # The class of the fixture is local to it, which no other process can find.
    plain = Recipe(**{field.name: getattr(tiny_recipe, field.name) for field in dataclasses.fields(Recipe)})
    made = []
    for workers in (1, 2):
        data = dataclasses.replace(
            plain.data, workers=workers, cache=str(tmp_path / str(workers)), validation_scenes=3
        )
        made.append(prepare(dataclasses.replace(plain, data=data), Split.VALIDATION))
    one, two = made
    assert len(one) == len(two) == 3
    for index in range(3):
        for first, second in zip(one[index][:5], two[index][:5], strict=True):
            np.testing.assert_array_equal(np.asarray(first), np.asarray(second))
