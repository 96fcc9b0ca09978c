"""The log of every program: one line per event, in one form.

1. A record's `extra` fields are the line's fields, in order; a refusal has its `code` among them.
2. Plain lines are `time level scope message k=v ...`, separated by tabs; a JSON line is one object.
3. Processes share the pipe: a write holds whole lines and never more than the kernel writes in one
   piece, so that lines are not mixed.
4. Lines are written by a thread: who reads the log slowly slows us only when MAX_LINES are waiting,
   and no line is lost.
"""

import json
import logging
import os
import queue
import select
import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from mesh.observe.access_log import Field, one_line, plain_line

STANDARD_OUTPUT: Final = 1
STANDARD_ERROR: Final = 2
MAX_LINES: Final = 10_000
MAX_LINE_OCTETS: Final = 16 * 1024
WRITE_OCTETS: Final = select.PIPE_BUF
ACCEPTING: Final = "trio.serve_listeners"
"""Says ten times a second that descriptors have run out, with a traceback that tells nothing."""
CHATTY: Final = ("hpack",)
"""At `debug` these would write every header down, also secrets; who wants that names them."""
FLUSH_SECONDS: Final = 2.0
TRACE: Final = 5
OFF: Final = logging.CRITICAL + 10
LEVELS: Final = {
    "trace": TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "off": OFF,
}
"""Of two words for a level, lines have the latter."""

STANDARD_FIELDS: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", (), None)).keys() | {"message", "asctime", "taskName"}
)


def configure(levels: str, *, descriptor: int = STANDARD_OUTPUT, is_json: bool = False) -> None:
    """Send this process's log to a descriptor, in place of where it went.

    Args:
        levels: as `set_levels` takes them; what is no level is passed over.
        descriptor: stays the caller's.
        is_json: JSON lines rather than plain ones.
    """
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    handler = LineHandler(descriptor)
    handler.setFormatter(JsonLines() if is_json else PlainLines())
    root.addHandler(handler)
    logging.getLogger(ACCEPTING).addFilter(_without_trace)
    for scope in CHATTY:
        set_level(scope, "info")
    set_levels(levels)


def _without_trace(record: logging.LogRecord) -> bool:
    """Let a record through as one line."""
    record.exc_info = None
    return True


def set_levels(written: str) -> list[str]:
    """Obey a list such as `info,access=debug`; `::` may stand for a dot, as in RUST_LOG.

    Returns:
        The parts that are no level, as they were written; the others are obeyed.
    """
    wrong = []
    for scope, level in parts(written):
        if level.lower() in LEVELS:
            set_level(scope, level)
        else:
            wrong.append(f"{scope}={level}" if scope else level)
    return wrong


def set_level(scope: str, level: str) -> None:
    """Log a scope (empty: everything) from a level on; an unknown level changes nothing."""
    number = LEVELS.get(level.lower())
    if number is not None:
        logging.getLogger(scope or None).setLevel(number)


def parts(written: str) -> list[tuple[str, str]]:
    """(scope, level) of each part of a list such as `info,access=debug`."""
    found = []
    for part in filter(None, (part.strip() for part in written.split(","))):
        scope, _, level = part.rpartition("=")
        found.append((scope.replace("::", "."), level))
    return found


def level_name(number: int) -> str:
    """The word for a level: that of the next lower one that has a word."""
    found = [name for name, level in LEVELS.items() if level <= number and level != OFF]
    return found[-1] if found else "trace"


def fields_of(record: logging.LogRecord) -> Iterator[tuple[str, Field]]:
    """What was given as `extra`."""
    for name, value in vars(record).items():
        if name not in STANDARD_FIELDS:
            yield name, value


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class PlainLines(logging.Formatter):
    """Tab separated, as Istio's node proxy writes them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; the traceback of an error follows on lines of its own."""
        fields = list(fields_of(record))
        message = one_line(record.getMessage())
        said = plain_line(message, fields) if fields else message
        line = f"{_time(record)}\t{level_name(record.levelno)}\t{record.name}\t{said}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


class JsonLines(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; the traceback of an error is the field `stack`."""
        line: dict[str, object] = {
            "level": level_name(record.levelno),
            "time": _time(record),
            "scope": record.name,
            "message": record.getMessage(),
            **dict(fields_of(record)),
        }
        if record.exc_info:
            line["stack"] = self.formatException(record.exc_info)
        return json.dumps(line, separators=(",", ":"), default=str)


class LineHandler(logging.Handler):
    """Gives lines to a thread, which writes them to a descriptor that others write to as well."""

    def __init__(self, descriptor: int) -> None:
        """Write to a descriptor that stays the caller's."""
        super().__init__()
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes | None] = queue.Queue(MAX_LINES)
        # Now, not with the first line: whoever writes that may be in a pod's namespaces, and a
        # thread stays where it was begun.
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line; wait when too many are waiting."""
        self._lines.put(self.format(record).encode(errors="replace")[:MAX_LINE_OCTETS] + b"\n")

    def close(self) -> None:
        """Write what is queued, within FLUSH_SECONDS."""
        if self._thread.is_alive():
            self._lines.put(None)
            self._thread.join(FLUSH_SECONDS)
        super().close()

    def _write_all(self) -> None:
        while (first := self._lines.get()) is not None:
            for piece in pieces(self._waiting(first)):
                self._write(piece)

    def _waiting(self, first: bytes) -> Iterator[bytes]:
        """This line and all that wait behind it."""
        yield first
        for _ in range(MAX_LINES):
            try:
                line = self._lines.get_nowait()
            except queue.Empty:
                return
            if line is None:
                self._lines.put(None)  # the end, for the caller
                return
            yield line

    def _write(self, octets: bytes) -> None:
        left = memoryview(octets)
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                select.select([], [self._descriptor], [])
            except OSError:
                return  # nobody reads the log any more: the mesh goes on


def pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Whole lines, joined up to WRITE_OCTETS; a longer line goes alone."""
    gathered = bytearray()
    for line in lines:
        if gathered and len(gathered) + len(line) > WRITE_OCTETS:
            yield bytes(gathered)
            gathered.clear()
        gathered += line
    if gathered:
        yield bytes(gathered)
