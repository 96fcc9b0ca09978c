"""Accepts connections until cancelled, and survives running out of descriptors."""

import errno
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Final

import trio

_BURST: Final = 64
_PAUSE_SECONDS: Final = 0.1
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


async def accept_all(
    listener: socket.socket,
    nursery: trio.Nursery,
    serve: Callable[[socket.socket], Awaitable[None]],
) -> None:
    """Start `serve` with each connection, until the listener is closed; it owns the socket then.

    Out of descriptors or memory, accepting pauses: the kernel's backlog holds the newcomers, and
    the connections that live go on.
    """
    paused = False
    while True:
        try:
            await trio.lowlevel.wait_readable(listener)
        except trio.ClosedResourceError:
            return
        try:
            for _ in range(_BURST):
                accepted, _peer = listener.accept()
                paused = False
                nursery.start_soon(serve, accepted)
        except BlockingIOError:
            continue
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                log.debug("a connection ended before it was accepted: %s", error)
                continue
            if not paused:
                log.warning("accepting pauses (%s): code=descriptors_exhausted", error.strerror)
                paused = True
            await trio.sleep(_PAUSE_SECONDS)
