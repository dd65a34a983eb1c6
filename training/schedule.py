"""Learning rates over a training, as factors of the one in the settings."""

from __future__ import annotations

import enum
import math

from streamsed.config import require


class Schedule(enum.Enum):
    """How the learning rate goes."""

    # Linear warm-up times a half cosine down to a hundredth.
    COSINE = "cosine"
    # exp(-5 (1 - step / N)^2) over the warm-up, then constant (Tarvainen and Valpola 2017; papers 000 and 002).
    EXPONENTIAL_WARM_UP = "exponential_warm_up"
    # A half cosine from the full rate to 0, again in every cycle (Huang et al. 2017, eq. 2; paper 004, eq. 1).
    CYCLIC_COSINE = "cyclic_cosine"
    # The exponential warm-up, then a decay by MEAN_TEACHER_DECAY at every step (paper 002, section 4.3.1).
    MEAN_TEACHER = "mean_teacher"


MEAN_TEACHER_DECAY = 0.99995


def factor(schedule: Schedule, step: int, total_steps: int, warm_up_steps: int, cycles: int = 1) -> float:
    """Return what to multiply the learning rate with.

    Parameters
    ----------
    schedule : Schedule
    step : int
        Optimiser steps done.
    total_steps : int
        Of the whole training.
    warm_up_steps : int
        Not used by the cyclic schedule.
    cycles : int
        Of the cyclic schedule; its period is ceil(total_steps / cycles).

    Returns
    -------
    float
        Within [0, 1].

    Raises
    ------
    ConfigError
        If a count makes no sense.
    """
    require(total_steps >= 1, "total_steps", "at least 1", total_steps)
    require(warm_up_steps >= 0, "warm_up_steps", "0 or more", warm_up_steps)
    require(cycles >= 1, "cycles", "at least 1", cycles)
    if schedule is Schedule.COSINE:
        warm_up = min(1.0, (step + 1) / max(1, warm_up_steps))
        return warm_up * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total_steps))))
    if schedule is Schedule.EXPONENTIAL_WARM_UP:
        done = min(1.0, step / warm_up_steps) if warm_up_steps > 0 else 1.0
        return math.exp(-5.0 * (1.0 - done) ** 2)
    if schedule is Schedule.MEAN_TEACHER:
        after = MEAN_TEACHER_DECAY ** max(0, step - warm_up_steps)
        return factor(Schedule.EXPONENTIAL_WARM_UP, step, total_steps, warm_up_steps) * after
    period = math.ceil(total_steps / cycles)
    return 0.5 * (math.cos(math.pi * (step % period) / period) + 1.0)
