import math

import pytest

from streamsed.errors import ConfigError
from training.schedule import Schedule, factor


def rates(schedule, total, warm_up=0, cycles=1):
    return [factor(schedule, step, total, warm_up, cycles) for step in range(total)]


def test_cosine_warms_up_and_falls_to_a_hundredth():
    found = rates(Schedule.COSINE, 1000, 100)
    assert found[0] == pytest.approx(0.01, rel=1e-3)
    assert max(found) == found[99] == pytest.approx(0.976, abs=0.002)
    assert found[100:] == sorted(found[100:], reverse=True)
    assert found[-1] == pytest.approx(0.01, abs=1e-4)


def test_exponential_warm_up_is_that_of_mean_teacher():
    found = rates(Schedule.EXPONENTIAL_WARM_UP, 100, 50)
    assert found[0] == pytest.approx(math.exp(-5))
    assert found[25] == pytest.approx(math.exp(-1.25))
    assert found[50:] == [1.0] * 50


def test_without_a_warm_up_the_rate_is_constant():
    assert rates(Schedule.EXPONENTIAL_WARM_UP, 4) == [1.0] * 4


def test_cycles_begin_at_the_full_rate_and_end_near_zero():
    found = rates(Schedule.CYCLIC_COSINE, 90, cycles=3)
    for start in (0, 30, 60):
        assert found[start] == 1.0
        assert found[start + 15] == pytest.approx(0.5)
        assert 0 < found[start + 29] < 0.01
    # The paper counts from 1 and rounds the period up.
    expected = [0.5 * (math.cos(math.pi * ((t - 1) % 34) / 34) + 1) for t in range(1, 101)]
    assert rates(Schedule.CYCLIC_COSINE, 100, cycles=3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [((0, 0, 0), "total_steps"), ((0, 5, -1), "warm_up_steps"), ((0, 5, 0, 0), "cycles")],
)
def test_counts_that_make_no_sense(arguments, name):
    with pytest.raises(ConfigError, match=name):
        factor(Schedule.COSINE, *arguments)
