"""Which DNS servers are asked for names that are not ours."""

from contextlib import suppress
from pathlib import Path
from typing import Final

from mesh.errors import MeshError
from mesh.model.address import SocketAddress, parse_ip

RESOLV_CONF: Final = Path("/etc/resolv.conf")
PORT: Final = 53
MOST_SERVERS: Final = 3
"""As many as the C library takes."""
LOOK_SECONDS: Final = 5.0


def servers_of(text: str) -> tuple[SocketAddress, ...]:
    """The servers that a resolver's configuration names; what is no address is passed over."""
    found: list[SocketAddress] = []
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                found.append(SocketAddress(parse_ip(words[1]), PORT))
            except MeshError:
                continue
    return tuple(found[:MOST_SERVERS])


class Servers:
    """The servers as of now; the file is read anew when it has changed."""

    def __init__(self, given: tuple[SocketAddress, ...], path: Path = RESOLV_CONF) -> None:
        """Take those that are given; without any, those of the file."""
        self._given = given
        self._path = path
        self._found: tuple[SocketAddress, ...] = ()
        self._until = float("-inf")

    def now(self, now: float) -> tuple[SocketAddress, ...]:
        """In the order in which they are asked; none when nobody is known.

        Args:
            now: seconds; the file is looked at every LOOK_SECONDS at most.
        """
        if self._given or now < self._until:
            return self._given or self._found
        self._until = now + LOOK_SECONDS
        with suppress(OSError):  # it is being replaced, most often: what was known holds
            self._found = servers_of(self._path.read_text(errors="replace"))
        return self._found
