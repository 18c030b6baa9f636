"""Room 4, the door: structured logs, one line an event, written off the event loop.

May import: standard library, app, structlog.

Events are put in a queue and written by a thread, many at a time: a slow or full sink never holds
up an answer. If it cannot keep up, the oldest waiting events are dropped and counted.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any, TextIO

import structlog
from structlog.typing import FilteringBoundLogger

from app.http.request_context import REQUEST_ID
from app.log_text import Mask, describe, frames, render, safe

_QUEUE_MAX_EVENTS = 10_000
_GATHER_SECONDS = 0.05
_QUIET_SECONDS = 2.0
_PAUSE_SECONDS = 0.005
# Whose informative lines are ours to show; of everybody else's packages we want warnings only,
# since some of them write whole requests at lower levels.
_OURS = ("app", "adapters", "chatcore", "uvicorn")


def get_logger(part: str) -> FilteringBoundLogger:
    """Return the logger of one part of the service."""
    logger: FilteringBoundLogger = structlog.get_logger(part=part)
    return logger


class Logs:
    """The one sink of all log events of this process.

    Args:
        stream: Where lines go.
        as_json: JSON lines, or lines for people.
        secrets: Texts that must never appear; replaced wherever they would.
    """

    def __init__(self, stream: TextIO, *, as_json: bool, secrets: Sequence[str] = ()) -> None:
        self._write = _writer_to(stream)
        self._as_json = as_json
        self._mask = Mask(secrets)
        self._waiting: deque[MutableMapping[str, Any]] = deque(maxlen=_QUEUE_MAX_EVENTS)
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._put = 0
        self._written = 0
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="logs", daemon=True)
        self._thread.start()

    def put(self, event: MutableMapping[str, Any]) -> None:
        """Take an event; costs no input or output."""
        self._put += 1
        self._waiting.append(event)
        if not self._wake.is_set():
            self._wake.set()

    def flush(self) -> None:
        """Wait until what waits is written, for two seconds at most."""
        give_up_at = time.monotonic() + _QUIET_SECONDS
        self._wake.set()
        while self._written < self._put and time.monotonic() < give_up_at:
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Write what waits and stop, within two seconds."""
        self._stop.set()
        self._wake.set()
        self._thread.join(_QUIET_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            self._write_waiting()
            self._stop.wait(_GATHER_SECONDS)
        self._write_waiting()

    def _write_waiting(self) -> None:
        with self._writing:
            lines = []
            while self._waiting:
                lines.append(self._line(self._waiting.popleft()))
                self._written += 1
            # Counted only where nothing waits: then what was put and not written was dropped.
            lost = self._put - self._written
            if lost > 0 and not self._waiting:
                self._written += lost
                dropped = {"level": "warning", "event": "logs_dropped", "count": lost}
                lines.append(self._line(dropped))
            # A sink that is gone must not take the service with it.
            with contextlib.suppress(OSError, ValueError):
                self._write("".join(f"{line}\n" for line in lines))

    def _line(self, event: MutableMapping[str, Any]) -> str:
        try:
            line = render({"time": time.time(), **event}, as_json=self._as_json)
        except Exception:  # noqa: BLE001  # one event that cannot be shown must not end all logging
            broken = {"level": "error", "event": "log_line_broken", "of": safe(event.get("event"))}
            line = render({"time": time.time(), **broken}, as_json=self._as_json)
        return self._mask.hide(line)


def _writer_to(stream: TextIO) -> Callable[[str], None]:
    """Return what writes to a stream.

    Past Python's own buffer where that can be: a pipe that nobody reads blocks whoever writes, and
    the interpreter, which flushes its streams at its end, would wait for that thread for ever.
    """
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError):

        def write_text(text: str) -> None:
            stream.write(text)
            stream.flush()

        return write_text

    def write_bytes(text: str) -> None:
        left = memoryview(text.encode(errors="backslashreplace"))
        while left:
            left = left[os.write(descriptor, left) :]

    return write_bytes


class _Queued:
    """What structlog calls at the end: every level does the same."""

    def __init__(self, logs: Logs) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = logs.put


class _FromLogging(logging.Handler):
    """Takes the records of the standard library's loggers into the same stream."""

    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first line of the message: further ones hold tracebacks and reprs of data."""
        event: dict[str, Any] = {
            "level": record.levelname.lower(),
            "event": safe(record.getMessage().partition("\n")[0]),
            "part": record.name,
        }
        if record.exc_info and record.exc_info[1] is not None:
            event["error"] = record.exc_info[1]
        self._logs.put(_finish(None, "", event))


def _finish(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add what only the moment knows, and turn exceptions into text while they are fresh."""
    event["time"] = time.time()
    request_id = REQUEST_ID.get()
    if request_id:
        event.setdefault("request_id", request_id)
    error = event.get("error")
    if isinstance(error, BaseException):
        event["error"] = describe(error)
        if error.__traceback__ is not None:
            event["at"] = frames(error.__traceback__)
    return event


def _as_arguments(_: object, __: str, event: MutableMapping[str, Any]) -> tuple[Any, Any]:
    return (event,), {}


def configure_logs(
    *,
    level: str,
    log_format: str | None = None,
    secrets: Sequence[str] = (),
    stream: TextIO | None = None,
) -> Logs:
    """Send all logs of this process, ours and the libraries', through one sink.

    Args:
        level: Least important level of ours to log.
        log_format: `console`, `json`, or None to choose by what the stream is.
        secrets: Texts that must never appear.
        stream: Where lines go; None is standard error.
    """
    # Whoever starts us may have closed it.
    sink = stream or sys.stderr or io.StringIO()
    as_json = not sink.isatty() if log_format is None else log_format == "json"
    logs = Logs(sink, as_json=as_json, secrets=secrets)
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, _finish, _as_arguments],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _Queued(logs),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_FromLogging(logs)]
    root.setLevel(max(number, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(number)
    logging.captureWarnings(capture=True)
    return logs
