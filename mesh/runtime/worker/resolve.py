"""Addresses of hostnames that the state leaves to DNS, by the system's resolver.

It asks from the node's own namespace, in a thread, and remembers for a while: the resolver of the C
library does not tell how long an answer holds.
"""

import socket
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.model.address import Ip, parse_ip

MOST_NAMES: Final = 4096
KEEP_SECONDS: Final = 10.0
RESOLVE_SECONDS: Final = 5.0


class NameUnknownError(UnavailableError):
    """A workload is known by its hostname only, and DNS has no address for it."""

    code = "name_unknown"


class Resolver:
    """A bounded memory in front of the system's resolver."""

    def __init__(self, clock: Callable[[], float] = trio.current_time) -> None:
        """Know nothing."""
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, tuple[Ip, ...]]] = OrderedDict()

    async def addresses(self, hostname: str) -> tuple[Ip, ...]:
        """All addresses, at least one.

        Raises:
            NameUnknownError: there is none, or no answer within RESOLVE_SECONDS.

        Cancellation: the question goes on in its thread; nobody waits for it.
        """
        now = self._clock()
        if (known := self._known.get(hostname)) is not None and known[0] > now:
            return known[1]
        found: tuple[Ip, ...] = ()
        with trio.move_on_after(RESOLVE_SECONDS):
            found = await _ask(hostname)
        if not found:
            raise NameUnknownError(f"no address for {hostname}")
        self._known[hostname] = (now + KEEP_SECONDS, found)
        self._known.move_to_end(hostname)
        while len(self._known) > MOST_NAMES:
            self._known.popitem(last=False)
        return found


async def _ask(hostname: str) -> tuple[Ip, ...]:
    try:
        answers = await trio.socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NameUnknownError(f"{hostname}: {error}") from error
    texts = dict.fromkeys(str(name[0]).partition("%")[0] for *_, name in answers)
    return tuple(parse_ip(text) for text in texts)
