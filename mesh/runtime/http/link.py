"""An octet link and who uses it: what HTTP connections stand on.

A link is a stream of a tunnel, or a TCP socket (`stream_link`, `socket_link`). All calls, both
ways, are plain functions in the reactor's turn.

1. Reading: a link hands over at most `WINDOW_OCTETS` that its user has not credited. A user that
   is slow credits late, and so the sender stops.
2. Writing: `write` takes everything, and keeps what does not fit now. A user that has a choice
   stops when `is_full`, until `writable`: a link keeps at most `FULL_OCTETS` and one piece more.
3. After `lost`, or after the user's own `reset`, nothing is called any more.
"""

from abc import ABC, abstractmethod
from typing import Final

from mesh.errors import MeshError

WINDOW_OCTETS: Final = 256 * 1024
FULL_OCTETS: Final = 64 * 1024


class LinkUser(ABC):
    """Who reads a link."""

    __slots__ = ()

    @abstractmethod
    def received(self, octets: memoryview) -> None:
        """Some octets, valid during this call only."""

    @abstractmethod
    def ended(self) -> None:
        """The other side sends no more; it may still read."""

    @abstractmethod
    def lost(self, error: MeshError | None) -> None:
        """The link is gone, both ways; None when that is no fault (both ends had ended)."""

    @abstractmethod
    def writable(self) -> None:
        """It was full, and takes more now."""


class Link(ABC):
    """An octet stream in both directions."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether more than `FULL_OCTETS` wait to be sent; `writable` follows when not any more."""

    @abstractmethod
    def use(self, user: LinkUser) -> None:
        """From now on this user hears of it; what had come earlier comes at once."""

    @abstractmethod
    def write(self, octets: bytes | bytearray | memoryview) -> None:
        """Send; copied if it cannot be sent now. Nothing after `end`, `reset` or `lost`."""

    @abstractmethod
    def end(self) -> None:
        """Half-close, after what was written."""

    @abstractmethod
    def credit(self, octets: int) -> None:
        """So many of the received octets are done with."""

    @abstractmethod
    def reset(self) -> None:
        """Give it up now, both ways; its user hears nothing more."""
