"""Several sources at once: a session for each, one model, one stream of records."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from functools import partial

from streamsed.config import require
from streamsed.errors import Overload, StateError
from streamsed.service.batcher import MicroBatcher
from streamsed.service.dispatcher import CycleCallback, Dispatcher, EventCallback, RecordCallback
from streamsed.service.listening import Listening
from streamsed.service.session import Session
from streamsed.service.settings import SessionSettings
from streamsed.service.stats import SessionStats
from streamsed.sound_stream import SoundModel
from streamsed.sources.base import Source
from streamsed.types import Cycle, Event, Record, Summary


class SessionGroup(Listening):
    """A running ``listen`` to several sources; used as a :class:`Session`. Made by ``listen``.

    Every source has a session of its own: its records are those that it has alone, and they come in the order in
    which they are decided, with the name of the source. They share the networks, whose runs take the lanes of all
    sources that wait for them (:class:`~streamsed.service.batcher.MicroBatcher`). A source that fails ends with
    its summary and the others go on; what ended the first one is raised at the end. An Overload ends all, as it is the
    processing of all that fell behind.

    Parameters
    ----------
    sources : sequence of Source
        At least one.
    detectors : sequence of SoundModel
    settings : sequence of SessionSettings
        Of each source.
    on_event, on_record, on_cycle : callable, optional
        As in ``listen``: called by one thread, whatever the number of sources.

    Attributes
    ----------
    sessions : tuple of Session
    source_names : tuple of str
        As the records call them.
    error : Exception or None
        What ended the first of those that did not end by themselves.

    Raises
    ------
    ConfigError
        If two sources have the same name, or settings are wrong.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        detectors: Sequence[SoundModel],
        settings: Sequence[SessionSettings],
        on_event: EventCallback | None = None,
        on_record: RecordCallback | None = None,
        on_cycle: CycleCallback | None = None,
    ) -> None:
        super().__init__()
        require(bool(sources), "sources", "at least one", sources)
        names = [item.source_name for item in settings]
        twice = [name for name, count in Counter(names).items() if count > 1]
        require(not twice, "source_name", "a different one for each source", twice)
        batcher = MicroBatcher()
        self._dispatcher = Dispatcher(on_record, on_event, self._queue, on_cycle=on_cycle)
        self._once = settings[0].once
        self.sessions = tuple(
            Session(
                source,
                detectors,
                item,
                on_event=None,
                on_record=partial(self._take, number),
                batcher=batcher,
            )
            for number, (source, item) in enumerate(zip(sources, settings, strict=True))
        )
        self.source_names = tuple(names)
        self._guard = threading.Lock()
        self._asked_for = False  # started or closed
        self._ended = False
        self._waiter = threading.Thread(target=self._wait_for_all, name="streamsed group", daemon=True)

    def start(self) -> SessionGroup:
        """Open all sources, or none if one of them cannot be opened, and begin; does nothing the second time.

        Raises
        ------
        DeviceNotFound, FormatError
            If a source cannot be opened.
        StateError
            After the end.
        """
        with self._guard:
            if self._ended:
                raise StateError("start: expected a new group of sessions, got one that has ended")
            if self._asked_for:
                return self
            self._asked_for = True
        try:
            for session in self.sessions:
                session.open()
            self._dispatcher.start()
            for session in self.sessions:
                session.begin()
            self._waiter.start()
        except BaseException:
            self._abandon()
            raise
        return self

    def _abandon(self) -> None:
        """End what has not begun, or not all of it."""
        self._ended = True
        self._dispatcher.let_producer_pass()
        for session in self.sessions:
            session.close()
        self._dispatcher.end()
        self._queue.close()

    def stop(self) -> None:
        """Ask for the end of all sources and return at once; for signal handlers and any thread.

        Open events are closed, the last record of each source is its summary.
        """
        for session in self.sessions:
            session.stop()

    def close(self) -> None:
        """Ask for the end and wait for it; the records left can still be iterated over."""
        self.stop()
        with self._guard:
            begun = self._waiter.ident is not None
            self._asked_for = True
        if not begun:
            self._abandon()
            return
        self._queue.let_producer_pass()
        self._dispatcher.let_producer_pass()
        for session in self.sessions:
            session.close()
        self.wait()

    def wait(self) -> None:
        """Wait until all that was started has ended, without asking for it."""
        if self._waiter.ident is None:
            return
        while self._waiter.is_alive():
            self._waiter.join(0.2)
        self._dispatcher.close()

    def run(self) -> dict[str, Summary]:
        """Listen until the end, records going to the callbacks, and return the summaries by source.

        Raises
        ------
        DeviceLost, Overload, FormatError
            What ended the first source that failed.
        """
        for _ in self:
            pass
        return self.summaries

    @property
    def _is_new(self) -> bool:
        return not self._asked_for

    def _take(self, number: int, record: Record) -> None:
        """Take a record of a session, in its dispatcher's thread."""
        self._dispatcher.put(record)
        if isinstance(record, (Event, Cycle)) and record.label == self._once:
            self.stop()
        if isinstance(record, Summary):
            error = self.sessions[number].error
            with self._guard:
                self.error = self.error or error
            if isinstance(error, Overload):
                self.stop()

    def _wait_for_all(self) -> None:
        for session in self.sessions:
            session.wait()
            self.error = self.error or session.error
        self._ended = True
        self._dispatcher.end()

    # ---- what is going on
    # -------------------------------------------------------------------------------------

    @property
    def detectors(self) -> tuple[SoundModel, ...]:
        """The models, which all sources share."""
        return self.sessions[0].detectors

    @property
    def lacks_pictures(self) -> bool:
        """Whether a model takes pictures and a source has none; known once they are open."""
        return any(session.lacks_pictures for session in self.sessions)

    @property
    def stats(self) -> dict[str, SessionStats]:
        """How each source is doing, by name; may be read from any thread. Callbacks are those of the group."""
        return {session.source_name: session.stats for session in self.sessions}

    @property
    def summaries(self) -> dict[str, Summary]:
        """The last record of each source that has ended, by name."""
        found = {session.source_name: session.summary for session in self.sessions}
        return {name: summary for name, summary in found.items() if summary is not None}

    @property
    def callback_errors(self) -> int:
        """Calls of ``on_event``, ``on_record`` and ``on_cycle`` that raised."""
        return self._dispatcher.callback_errors
