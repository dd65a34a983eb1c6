"""How many members of an ensemble run while the processing of live sound falls behind."""

from __future__ import annotations

from typing import Any

from streamsed.sound_stream import SoundStream

# A backlog from which on members are left out, and one from which on a single one remains: the capture keeps 5 s.
LATE_SECONDS = 1.0
VERY_LATE_SECONDS = 2.5
# Of each second of sound, at least this part is to be gained on a backlog; who gains more catches up by himself.
_LEAST_GAIN = 0.5
# So much sound has to be taken in before it is known whether a backlog shrinks.
_TRIAL_SECONDS = 0.5
# In time is who is later than this by nothing but a step.
IN_TIME_SECONDS = 0.2
# In time for so long, one more member is tried; twice as long after every relapse.
_PATIENCE_SECONDS = 5.0
_LONGEST_PATIENCE_SECONDS = 60.0


class MemberPolicy:
    """Decides from lateness and audio clock alone, so that the same figures give the same decisions.

    Half of the members are left out when processing is more than 1 s behind and gains less than half a second on each
    second of sound, all but one when it is 2.5 s behind. Afterwards they come back one by one.

    Parameters
    ----------
    members : int
        M.

    Attributes
    ----------
    members : int
        M.
    running : int
        How many are to run, 1 to M.
    """

    def __init__(self, members: int) -> None:
        self.members = members
        self.running = members
        self._trial: tuple[float, float] | None = None  # how late, where
        self._in_time_since: float | None = None
        self._patience = _PATIENCE_SECONDS

    def update(self, late_seconds: float, position_seconds: float) -> int:
        """Take how late the newest sound was done with, and where on the audio clock that was; return ``running``."""
        if late_seconds < LATE_SECONDS:
            self._trial = None
            self._recover(late_seconds, position_seconds)
            return self.running
        self._in_time_since = None
        if self._trial is None:
            self._trial = (late_seconds, position_seconds)
            return self.running
        late_before, position_before = self._trial
        taken = position_seconds - position_before
        if taken < _TRIAL_SECONDS:
            return self.running
        self._trial = (late_seconds, position_seconds)
        if late_before - late_seconds < _LEAST_GAIN * taken and self.running > 1:
            if self.running < self.members:
                self._patience = min(2.0 * self._patience, _LONGEST_PATIENCE_SECONDS)
            self.running = 1 if late_seconds >= VERY_LATE_SECONDS else self.running // 2
        return self.running

    def _recover(self, late_seconds: float, position_seconds: float) -> None:
        if late_seconds > IN_TIME_SECONDS:
            self._in_time_since = None
            return
        if self._in_time_since is None:
            self._in_time_since = position_seconds
        if position_seconds - self._in_time_since < self._patience:
            return
        self._in_time_since = position_seconds
        if self.running < self.members:
            self.running += 1
        else:
            self._patience = _PATIENCE_SECONDS


def change_of_members(
    stream: SoundStream[Any], policy: MemberPolicy, late_seconds: float, position_seconds: float, model: str
) -> str | None:
    """Let as many members of ``stream`` take part as ``policy`` says; return what is to be told about it."""
    before, count = stream.members, policy.update(late_seconds, position_seconds)
    if count == before:
        return None
    stream.set_members(count)
    every = policy.members
    if before == every:
        return f"overload: {count} of {every} members of {model} until it has caught up"
    return f"caught up: all {every} members of {model}" if count == every else None
