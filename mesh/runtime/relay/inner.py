"""The two loops that touch OpenSSL, and the two that touch a socket.

This module is the seam for a compiled twin: integers and buffers in, integers out, no trio, no log,
no exception across it. It calls OpenSSL through the handle that pyOpenSSL keeps private, since
`Connection.recv_into` allocates and copies; `mesh.runtime.tls` checks these handles at start, and
pyproject pins the versions exactly.

1. Edge-triggered: read until the other side has no more, write until it takes no more.
2. OpenSSL keeps its errors per thread: one connection's left-over would be taken for the next
   one's, so whoever sees an error clears the queue.
3. A blocked `write_tls` must be repeated with the same octets (OpenSSL has framed them already).
"""

import socket
from collections.abc import Sequence
from typing import Final

from OpenSSL import SSL

_lib = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001 - see above
_ffi = SSL._ffi  # type: ignore[attr-defined]  # noqa: SLF001 - see above
_read = _lib.SSL_read
_write = _lib.SSL_write
_get_error = _lib.SSL_get_error
_clear = _lib.ERR_clear_error

MORE: Final = 0
"""The buffer is full: there may be more."""
DRAINED: Final = 1
"""Nothing is left for now; an edge will come."""
ENDED: Final = 2
"""The peer has closed in good order."""
BROKEN: Final = 3
"""The connection is lost, or is not TLS any more."""
BLOCKED: Final = 4
"""The other side takes no more for now; an edge will come."""
DONE: Final = 5
"""All octets are written."""

NOTHING: Final = -1
"""A socket has or takes nothing for now."""
FAILED: Final = -2
"""A socket is broken: reset, most often."""

_WANT_READ: Final = 2
_WANT_WRITE: Final = 3
_ZERO_RETURN: Final = 6
_MOST_PIECES: Final = 512
"""Linux takes at most 1,024 pieces at once (IOV_MAX)."""


class TlsBuffer:
    """A buffer with the pointer that OpenSSL needs; made once, reused for all connections."""

    __slots__ = ("octets", "pointer", "size", "view")

    def __init__(self, size: int) -> None:
        """Take the memory: `size` octets."""
        self.octets = bytearray(size)
        self.view = memoryview(self.octets)
        self.pointer = _ffi.from_buffer(self.octets)
        self.size = size


def read_tls(connection: SSL.Connection, buffer: TlsBuffer) -> tuple[int, int]:
    """Fill the buffer with plaintext: (octets, MORE | DRAINED | ENDED | BROKEN)."""
    ssl = connection._ssl  # noqa: SLF001 - see above
    pointer, size = buffer.pointer, buffer.size
    filled = 0
    while filled < size:
        got = _read(ssl, pointer + filled, size - filled)
        if got > 0:
            filled += got
            continue
        error = _get_error(ssl, got)
        if error in (_WANT_READ, _WANT_WRITE):
            return filled, DRAINED
        _clear()
        return filled, ENDED if error == _ZERO_RETURN else BROKEN
    return filled, MORE


def write_tls(connection: SSL.Connection, buffer: TlsBuffer, end: int) -> int:
    """Encrypt and send all of buffer[:end]: DONE | BLOCKED | BROKEN."""
    ssl = connection._ssl  # noqa: SLF001 - see above
    sent = _write(ssl, buffer.pointer, end)
    if sent > 0:
        return DONE
    if _get_error(ssl, sent) in (_WANT_READ, _WANT_WRITE):
        return BLOCKED
    _clear()
    return BROKEN


def receive(source: socket.socket, into: memoryview) -> int:
    """Octets read (0 is end of file), NOTHING, or FAILED."""
    try:
        return source.recv_into(into)
    except BlockingIOError:
        return NOTHING
    except OSError:
        return FAILED


def send(sink: socket.socket, pieces: Sequence[memoryview | bytearray | bytes]) -> int:
    """Octets taken (0 when full), or FAILED."""
    try:
        if len(pieces) == 1:
            return sink.send(pieces[0])
        return sink.sendmsg(pieces[:_MOST_PIECES])
    except BlockingIOError:
        return 0
    except OSError:
        return FAILED
