"""The live service: threads, watchdog, back-pressure, shutdown.

Capture runs in PortAudio's own thread, a worker reads and detects, a dispatcher runs callbacks, and the
microphone's supervisor watches the device::

    with streamsed.listen(device=0, model="everyday") as microphone:
        for record in microphone: ...            # or: async for record in microphone

    streamsed.listen(on_event=print).run()       # callbacks, until the end

    session = streamsed.listen(on_event=print)   # callbacks, in the background
    session.start(); ...; session.close()

    with streamsed.listen(device=[0, 1]) as group:   # several microphones at once, one model
        for record in group: print(record)

Constructing checks the arguments and loads the model; what goes wrong later (DeviceLost, Overload,
FormatError at a file's end) is raised by iterating, ``run()`` or leaving the context, after the summary has
been delivered. :meth:`Session.stop` may be called from a signal handler: the iteration then ends normally,
with the summary.
"""

from streamsed.service.group import SessionGroup
from streamsed.service.opening import ListenOptions, listen
from streamsed.service.pool import DetectorPool, PoolStats
from streamsed.service.pool_lane import LaneStats, PoolLane
from streamsed.service.session import Session
from streamsed.service.stats import SessionStats

__all__ = [
    "DetectorPool",
    "LaneStats",
    "ListenOptions",
    "PoolLane",
    "PoolStats",
    "Session",
    "SessionGroup",
    "SessionStats",
    "listen",
]
