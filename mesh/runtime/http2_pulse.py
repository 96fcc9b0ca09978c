"""Whether the peer of a tunnel is still there: PING after a silence, and an end to patience."""

from typing import Final

from mesh.errors import PeerError
from mesh.wire.http2.keepalive import Due, Keepalive

PING_AFTER_SECONDS: Final = 10.0
PATIENCE_SECONDS: Final = 20.0


class PeerSilentError(PeerError):
    """The peer does not answer PING."""

    code = "http2_peer_silent"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__(f"no answer to PING within {PATIENCE_SECONDS:g} s")


class Pulse:
    """What a tunnel has heard of its peer, looked at now and then."""

    __slots__ = ("_keepalive", "heard")

    def __init__(self) -> None:
        """The handshake was a sign of life."""
        self._keepalive: Keepalive | None = None
        self.heard = True
        """Set by whoever reads octets; `due` takes it away."""

    def due(self, now: float) -> Due:
        """What to do, at a time of one monotonic clock."""
        if self._keepalive is None:
            self._keepalive = Keepalive(
                idle_s=PING_AFTER_SECONDS, patience_s=PATIENCE_SECONDS, last_heard=now
            )
        if self.heard:
            self.heard = False
            self._keepalive.heard(now)
        return self._keepalive.on_time(now)
