"""Tells when a PulseAudio (or PipeWire) server moves our recording to another source.

When a source disappears while another exists, the server moves its recordings there. The capturing side
sees nothing of it: blocks keep coming, no flag is set. Only the server knows, so its client library is
asked, through ctypes, since it is there whenever the path can occur: ALSA's pulse plugin needs it too.
Without the library there is nothing to watch, and the watch stays silent.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)

# Values of libpulse's public headers (pulse/def.h, pulse/channelmap.h).
_NO_AUTOSPAWN = 1
_CONTEXT_READY = 4
_CONTEXT_FAILED = 5
_CONTEXT_TERMINATED = 6
_SUBSCRIBE_SOURCE_OUTPUT = 0x0008
_CHANNELS_MAX = 32


# Recordings of this process that are being watched, by their index at the server.
_claimed: set[int | None] = set()
_claims_guard = threading.Lock()


class _SampleSpec(ctypes.Structure):
    _fields_ = (("format", ctypes.c_int), ("rate", ctypes.c_uint32), ("channels", ctypes.c_uint8))


class _ChannelMap(ctypes.Structure):
    _fields_ = (("channels", ctypes.c_uint8), ("map", ctypes.c_int * _CHANNELS_MAX))


class _SourceOutputInfo(ctypes.Structure):
    """The head of pa_source_output_info (pulse/introspect.h); later fields are not needed."""

    _fields_ = (
        ("index", ctypes.c_uint32),
        ("name", ctypes.c_char_p),
        ("owner_module", ctypes.c_uint32),
        ("client", ctypes.c_uint32),
        ("source", ctypes.c_uint32),
        ("sample_spec", _SampleSpec),
        ("channel_map", _ChannelMap),
        ("buffer_usec", ctypes.c_uint64),
        ("source_usec", ctypes.c_uint64),
        ("resample_method", ctypes.c_char_p),
        ("driver", ctypes.c_char_p),
        ("proplist", ctypes.c_void_p),
    )


class _SourceInfo(ctypes.Structure):
    """The head of pa_source_info."""

    _fields_ = (("name", ctypes.c_char_p), ("index", ctypes.c_uint32))


_NOTIFY = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
_EVENT = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_void_p)
_OUTPUT_INFO = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(_SourceOutputInfo), ctypes.c_int, ctypes.c_void_p
)
_SOURCE_INFO = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.POINTER(_SourceInfo), ctypes.c_int, ctypes.c_void_p
)


def _library() -> Any:
    """Load libpulse and declare what is used of it; None where it is not installed."""
    try:
        library = ctypes.CDLL(ctypes.util.find_library("pulse") or "libpulse.so.0")
    except OSError:
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int
    for name, result, arguments in (
        ("pa_mainloop_new", pointer, ()),
        ("pa_mainloop_free", None, (pointer,)),
        ("pa_mainloop_get_api", pointer, (pointer,)),
        ("pa_mainloop_iterate", number, (pointer, number, pointer)),
        ("pa_mainloop_wakeup", None, (pointer,)),
        ("pa_context_new", pointer, (pointer, ctypes.c_char_p)),
        ("pa_context_connect", number, (pointer, ctypes.c_char_p, number, pointer)),
        ("pa_context_disconnect", None, (pointer,)),
        ("pa_context_unref", None, (pointer,)),
        ("pa_context_get_state", number, (pointer,)),
        ("pa_context_set_state_callback", None, (pointer, _NOTIFY, pointer)),
        ("pa_context_set_subscribe_callback", None, (pointer, _EVENT, pointer)),
        ("pa_context_subscribe", pointer, (pointer, number, pointer, pointer)),
        ("pa_context_get_source_output_info_list", pointer, (pointer, _OUTPUT_INFO, pointer)),
        ("pa_context_get_source_info_by_index", pointer, (pointer, ctypes.c_uint32, _SOURCE_INFO, pointer)),
        ("pa_operation_unref", None, (pointer,)),
        ("pa_proplist_gets", ctypes.c_char_p, (pointer, ctypes.c_char_p)),
    ):
        function = getattr(library, name)
        function.restype = result
        function.argtypes = list(arguments)
    return library


class PulseWatch:
    """Watches to which source the server has connected the newest recording of this process.

    Parameters
    ----------
    server : str or None
        Address of the server; None: as PulseAudio's own clients find it.
    on_change : callable, optional
        Called from the watching thread when there is something to :meth:`take_change`.

    Notes
    -----
    Several microphones in one process each watch the recording that was the newest when they started and
    that no other one watches, see :meth:`follow_newest`; who opens several waits for the answer in between.
    """

    def __init__(self, server: str | None = None, on_change: Callable[[], object] | None = None) -> None:
        self._server = server
        self._on_change = on_change
        self._library = _library()
        self._guard = threading.Lock()
        self._loop: int | None = None
        self._context: int | None = None
        self._output: int | None = None  # index of our recording at the server
        self._source: int | None = None
        self._source_name: str | None = None
        self._change: tuple[str, str] | None = None
        self._following = False
        self._due = False
        self._asking = False
        self._stop = threading.Event()
        self._answered = threading.Event()  # which recording is ours is known, or that none is
        self._newest: tuple[int, int] | None = None
        self._thread = threading.Thread(target=self._run, name="streamsed pulse watch", daemon=True)
        # The C side keeps raw pointers to these.
        self._callbacks = (
            _NOTIFY(self._on_state),
            _EVENT(self._on_event),
            _OUTPUT_INFO(self._on_output),
            _SOURCE_INFO(self._on_source),
        )

    def start(self) -> None:
        """Connect in the background; nothing happens where there is no libpulse or no server."""
        if self._library is not None:
            self._thread.start()

    def follow_newest(self) -> None:
        """From now on watch this process's newest recording; call it when a stream has just been opened."""
        with self._guard:
            self._let_go()
            self._following = self._due = True
        self._answered.clear()
        self._wake()

    def wait_for_answer(self, timeout_seconds: float) -> None:
        """Wait until it is known which recording is watched: one that begins later could be taken for it."""
        if self._thread.is_alive():
            self._answered.wait(timeout_seconds)

    def _let_go(self) -> None:
        with _claims_guard:
            _claimed.discard(self._output)
        self._output = self._source = self._source_name = self._change = None

    def pause(self) -> None:
        """Watch nothing until the next :meth:`follow_newest`."""
        with self._guard:
            self._following = False
            self._let_go()

    @property
    def source_name(self) -> str | None:
        """Name of the source that is recorded, once it is known."""
        with self._guard:
            return self._source_name

    def take_change(self) -> tuple[str, str] | None:
        """Return (old, new) source names if the recording has been moved since the last call, else None."""
        with self._guard:
            change, self._change = self._change, None
            return change

    def close(self) -> None:
        """Disconnect and end the thread."""
        self._stop.set()
        self.pause()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(2.0)

    def _wake(self) -> None:
        with self._guard:
            if self._loop is not None:
                self._library.pa_mainloop_wakeup(self._loop)

    def _run(self) -> None:
        if not self._connected_once():
            self._answered.set()
            return  # no such server here: the device is not one of its sources
        while not self._stop.wait(0.5):  # it went away: a successor may come
            self._connected_once()

    def _connected_once(self) -> bool:
        """Serve one connection until it ends; False if there never was one."""
        library = self._library
        loop = library.pa_mainloop_new()
        context = library.pa_context_new(library.pa_mainloop_get_api(loop), b"streamsed watch")
        with self._guard:
            self._loop, self._context = loop, context
        self._due, self._asking = True, False
        library.pa_context_set_state_callback(context, self._callbacks[0], None)
        library.pa_context_set_subscribe_callback(context, self._callbacks[1], None)
        address = self._server.encode() if self._server else None
        ready = False
        if library.pa_context_connect(context, address, _NO_AUTOSPAWN, None) >= 0:
            while not self._stop.is_set():
                if library.pa_mainloop_iterate(loop, 1, None) < 0:
                    break
                state = library.pa_context_get_state(context)
                if state in (_CONTEXT_FAILED, _CONTEXT_TERMINATED):
                    break
                if state == _CONTEXT_READY:
                    ready = True
                    self._ask_if_due()
        with self._guard:
            self._loop = self._context = None
        library.pa_context_disconnect(context)
        library.pa_context_unref(context)
        library.pa_mainloop_free(loop)
        return ready

    def _ask_if_due(self) -> None:
        """Ask for the list of recordings, never twice at a time: every answer makes the loop turn again."""
        if not self._due or self._asking or not self._following:
            return
        self._due, self._asking = False, True
        self._newest = None
        operation = self._library.pa_context_get_source_output_info_list(
            self._context, self._callbacks[2], None
        )
        if operation:
            self._library.pa_operation_unref(operation)
        else:
            self._asking = False

    def _on_state(self, context: int, _: Any) -> None:
        if self._library.pa_context_get_state(context) == _CONTEXT_READY:
            operation = self._library.pa_context_subscribe(context, _SUBSCRIBE_SOURCE_OUTPUT, None, None)
            if operation:
                self._library.pa_operation_unref(operation)

    def _on_event(self, _context: int, _kind: int, _index: int, _: Any) -> None:
        self._due = True

    def _on_output(self, _context: int, info: Any, end: int, _: Any) -> None:
        """Take one recording of the list; the call with ``end`` set closes it."""
        if end == 0:
            output = info.contents
            process = self._library.pa_proplist_gets(output.proplist, b"application.process.id")
            ours = process is not None and process.decode(errors="replace") == str(os.getpid())
            wanted = output.index == self._output or (self._output is None and output.index not in _claimed)
            if ours and wanted and (self._newest is None or output.index > self._newest[0]):
                self._newest = (output.index, output.source)
            return
        self._asking = False
        with self._guard:
            if not self._following:
                return
            if self._newest is None:
                # The device is not one of the server's; recordings that begin later are those of others.
                self._following = self._output is not None
                self._answered.set()
                return
            index, source = self._newest
            with _claims_guard:
                _claimed.add(index)
            self._output = index
            self._answered.set()
            moved, self._source = self._source != source, source
        if moved:
            operation = self._library.pa_context_get_source_info_by_index(
                self._context, source, self._callbacks[3], None
            )
            if operation:
                self._library.pa_operation_unref(operation)

    def _on_source(self, _context: int, info: Any, end: int, _: Any) -> None:
        if end != 0:
            return
        name = info.contents.name.decode(errors="replace")
        with self._guard:
            before, self._source_name = self._source_name, name
            if not self._following or before is None or before == name:
                return
            self._change = (before, name)
        if self._on_change is not None:
            self._on_change()
        _log.info("the sound server moved the recording from %s to %s", before, name)
