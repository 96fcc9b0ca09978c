"""What a client speaks, by its first octets, on a link that goes on as if nobody had looked."""

import re
from collections.abc import Callable
from enum import Enum
from typing import Final

from mesh.errors import MeshError
from mesh.runtime.http.link import Link, LinkUser
from waypoint.worker.engine.timers import Timer, Timers

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TLS_HANDSHAKE: Final = 0x16
LOOKED_AT: Final = 24
"""Octets that suffice to tell."""

_METHOD: Final = re.compile(
    rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|TRACE|PATCH) (?:/|\*|https?:)|CONNECT \S"
)


class Spoken(Enum):
    """What it is."""

    HTTP1 = "http/1.1"
    HTTP2 = "h2"
    TLS = "tls"
    OTHER = "other"


def spoken(octets: bytes, *, is_http: bool) -> Spoken | None:
    """What a connection that begins so speaks; None: more is needed.

    Args:
        octets: the first ones.
        is_http: it is HTTP, and only the version is asked for.
    """
    if octets[:LOOKED_AT] == PREFACE[: len(octets)]:
        return Spoken.HTTP2 if len(octets) >= len(PREFACE) else None
    if is_http:
        return Spoken.HTTP1
    if octets[:1] == bytes((TLS_HANDSHAKE,)):
        return Spoken.TLS
    if _METHOD.match(octets):
        return Spoken.HTTP1
    is_open = len(octets) < LOOKED_AT and octets.partition(b" ")[0].isalpha()
    return None if is_open and octets.isupper() and b"\n" not in octets else Spoken.OTHER


class Peek(LinkUser):
    """Listens first, and hands what it has heard to who comes next."""

    __slots__ = ("_decide", "_is_over", "_on_lost", "_timer", "has_ended", "link", "octets")

    def __init__(
        self,
        link: Link,
        decide: Callable[["Peek"], bool],
        on_lost: Callable[[MeshError | None], None],
    ) -> None:
        """Not begun before `start`.

        Args:
            link: the client's.
            decide: called when more has come, or time is up; whether that was enough: then the
                callee has taken the link over.
            on_lost: called when the client leaves before that.
        """
        self.link = link
        self.octets = bytearray()
        self.has_ended = False
        self._decide = decide
        self._on_lost = on_lost
        self._is_over = False
        self._timer: Timer | None = None

    @property
    def is_late(self) -> bool:
        """Whether there will be no more to look at."""
        return self.has_ended or self._timer is None

    def start(self, timers: Timers, seconds: float) -> None:
        """Listen, for so long."""
        self._timer = timers.after(seconds, self._late)
        self.link.use(self)

    def give_up(self) -> None:
        """Reset the client."""
        if not self._is_over:
            self._end()
            self.link.reset()

    def _late(self) -> None:
        self._timer = None
        self._try()

    def _try(self) -> None:
        if not self._is_over and self._decide(self):
            self._end()

    def _end(self) -> None:
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the link says.

    def received(self, octets: memoryview) -> None:
        """The first octets; they are credited by who takes over."""
        self.octets += octets
        self._try()

    def ended(self) -> None:
        """The client says no more."""
        self.has_ended = True
        self._try()

    def lost(self, error: MeshError | None) -> None:
        """The client is gone."""
        if not self._is_over:
            self._end()
            self._on_lost(error)

    def writable(self) -> None:
        """Nothing is written yet."""


class Peeked(Link):
    """A link from which something was read already."""

    __slots__ = ("_has_ended", "_link", "_octets")

    def __init__(self, peek: Peek) -> None:
        """What was heard comes first."""
        self._link = peek.link
        self._octets = bytes(peek.octets)
        self._has_ended = peek.has_ended

    @property
    def is_full(self) -> bool:
        """As the link."""
        return self._link.is_full

    def use(self, user: LinkUser) -> None:
        """From now on this user hears of it, from the first octet."""
        octets, self._octets = self._octets, b""
        self._link.use(user)
        if octets:
            user.received(memoryview(octets))
        if self._has_ended:
            self._has_ended = False
            user.ended()

    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """As the link."""
        self._link.write(octets)

    def end(self) -> None:
        """As the link."""
        self._link.end()

    def credit(self, octets: int) -> None:
        """As the link."""
        self._link.credit(octets)

    def reset(self) -> None:
        """As the link."""
        self._link.reset()
