"""Accepting connections, and surviving when the descriptors run out.

1. A listener is a descriptor of the reactor: what it accepts is served in the same turn, and only
   what has to wait gets a task.
2. Some descriptors are kept back for dialling on behalf of what was accepted. When only those are
   left, accepting pauses: the kernel's backlog holds the newcomers, the connections that live go
   on, and `resume` tries again.
"""

import errno
import logging
import os
import resource
import socket
from collections.abc import Callable
from typing import Final

from mesh.runtime.relay.reactor import Reactor
from mesh.runtime.worker.sockets import SocketName

BURST: Final = 64
"""How many are accepted before others have their turn."""
RESERVE: Final = 256
"""Descriptors kept back, or an eighth of them all where that is less."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)

Serve = Callable[[socket.socket, SocketName], None]


def highest_descriptor() -> int:
    """Below which descriptors may be taken for newcomers (they are numbered from below)."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft - min(RESERVE, soft // 8)


class Acceptor:
    """One listener; it stays its owner's."""

    def __init__(self, reactor: Reactor, listener: socket.socket, serve: Serve) -> None:
        """Begin. `serve` owns each connection that it is given, and does not wait."""
        self._reactor = reactor
        self._listener = listener
        self._serve = serve
        self._highest = highest_descriptor()
        self.paused = False
        self._begin()

    def _begin(self) -> None:
        # After a bug in serving one connection it begins anew: the next one is another.
        self._reactor.register(self._listener.fileno(), self._ready, self._begin)

    def close(self) -> None:
        """Accept no more. Twice is fine."""
        if self._listener.fileno() >= 0:
            self._reactor.unregister(self._listener.fileno())
        self.paused = False

    def resume(self) -> None:
        """Try again if accepting is paused; call it now and then."""
        if self.paused:
            self._accept()

    def _ready(self, _events: int) -> None:
        self._accept()

    def _accept(self) -> None:
        listener, serve = self._listener, self._serve
        if listener.fileno() < 0:
            return
        try:
            self._check_descriptors()
            for _ in range(BURST):
                serve(*listener.accept())
        except BlockingIOError:
            self._go_on()
        except OSError as error:
            if error.errno in _EXHAUSTED:
                self._pause(error)
            else:
                log.debug("a connection ended before it was accepted: %s", error)
                self._reactor.schedule(self._accept)
        else:
            self._reactor.schedule(self._accept)

    def _check_descriptors(self) -> None:
        """Look which descriptor would be next."""
        probe = os.dup(self._listener.fileno())
        os.close(probe)
        if probe >= self._highest:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _pause(self, error: OSError) -> None:
        if not self.paused:
            log.warning(
                "accepting pauses: %s", error.strerror, extra={"code": "descriptors_exhausted"}
            )
            self.paused = True

    def _go_on(self) -> None:
        if self.paused:
            log.info("accepting goes on")
            self.paused = False
