"""Whether the tunnels that are open may still be trusted: certificates end, and are revoked.

1. TLS judges a peer once. A tunnel that lives longer than a certificate of its two sides goes on
   only if that side has another one: ours is what we hold now, the peer's what it has shown in a
   later handshake from the same address. A peer that shows none (no foreign proxy does for the sake
   of an old tunnel) keeps its streams while the control plane still has its identity there.
2. Some time before, a tunnel takes no new streams, so that these get a new tunnel. Where streams go
   on, its client makes one for their sake: with it both sides prove what they have.
3. Who is on a revocation list that comes to be in force loses its tunnels at once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import trio

from mesh.errors import MeshError, PeerError, UnavailableError
from mesh.model.address import AddressInvalidError, parse_ip
from mesh.model.identity import Identity
from mesh.observe.access_log import Direction
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime import tls
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.tls_revocation import Revocations, TlsRevokedError
from mesh.runtime.worker.credentials import Credentials
from mesh.state.world import World
from mesh.wire.http2.frames import Role

LEAVE_SECONDS: Final = 60.0
"""How long before its end a tunnel takes no new streams, at most; at most a quarter of its time."""

LOOK_SECONDS: Final = 0.25
"""Less often nobody looks, and all that is due by then is done together."""

LONGEST_SECONDS: Final = 60.0
"""Looked at all the same: the clock may have been set."""

log = logging.getLogger(__name__)


class OwnCertificateExpiredError(UnavailableError):
    """Our own certificate has ended, and no other has come: its tunnels end."""

    code = "own_certificate_expired"

    def __init__(self, identity: Identity) -> None:
        """Keep whose it was."""
        super().__init__(f"the certificate of {identity} has expired, and no other has come")
        self.identity = identity


class PeerCertificateExpiredError(PeerError):
    """The peer's certificate has ended, it has shown no other, and is not known there any more."""

    code = "peer_certificate_expired"

    def __init__(self, identity: Identity) -> None:
        """Keep whose it was."""
        super().__init__(f"the certificate of {identity} has expired, and no other was shown")
        self.identity = identity


Vouch = Callable[[Identity, str], bool]
"""Whether the control plane still has somebody with this identity at this address."""

Pair = tuple[Identity, Identity, str]
"""Who we are, who the peer is, and its address."""


@dataclass(slots=True, eq=False)
class _Watched:
    """A tunnel, and what its handshake was made with."""

    tunnel: Tunnel
    role: Role
    own: Identity
    own_until: float
    peer: tls.Peer
    host: str
    renew: Callable[[], object] | None
    until: float = 0.0
    """When it would end, as of the last look."""
    due: float = 0.0
    """When to look at it again."""

    @property
    def pair(self) -> Pair:
        """Between whom it is."""
        return self.own, self.peer.identity, self.host


@dataclass(frozen=True, slots=True)
class _Exchanged:
    """Until when the newest certificates last that a pair has shown each other."""

    ours: float
    peers: float


def is_known(world: World, network: str, identity: Identity, host: str) -> bool:
    """Whether somebody in a network has this address and this identity, as the state says it."""
    try:
        ip = parse_ip(host)
    except AddressInvalidError:
        return False
    return any(each.identity == identity for each in world.workloads_at(network, ip))


class Trust:
    """The open tunnels of a worker, until their certificates end."""

    def __init__(
        self,
        credentials: Credentials,
        revocations: Revocations,
        metrics: TrafficMetrics,
        vouch: Vouch,
        clock: Callable[[], float],
    ) -> None:
        """Watch nothing yet.

        Args:
            credentials: what we hold now.
            revocations: whom nobody trusts.
            metrics: where refusals are counted.
            vouch: for who shows no newer certificate.
            clock: seconds since the epoch.
        """
        self._credentials = credentials
        self._revocations = revocations
        self._metrics = metrics
        self._vouch = vouch
        self._clock = clock
        self._watched: dict[Tunnel, _Watched] = {}
        self._exchanged: dict[Pair, _Exchanged] = {}
        self._soonest = float("inf")
        self._woken = trio.Event()

    def check(self, role: Role, peer: tls.Peer) -> None:
        """Pass a peer that is not revoked.

        Raises:
            TlsRevokedError: it is.
            RevocationUnknownError: nobody can tell.
        """
        try:
            self._revocations.check(peer.chain)
        except TlsRevokedError:
            self._metrics.observe_revoked(_direction(role))
            raise

    def watch(
        self,
        tunnel: Tunnel,
        role: Role,
        own: tuple[Identity, float],
        peer: tls.Peer,
        host: str,
        renew: Callable[[], object] | None,
    ) -> None:
        """From now on it ends in time, unless `forget` comes before.

        Args:
            tunnel: it.
            role: ours in it.
            own: who we are there, and until when our certificate lasts.
            peer: the other side.
            host: the other side's address.
            renew: makes another tunnel to the same place, for the proof; None where we cannot.
        """
        if not self._revocations.are_configured:
            peer = replace(peer, chain=())  # nobody will ask for it again
        one = _Watched(tunnel, role, *own, peer, host, renew)
        before = self._exchanged.get(one.pair, _Exchanged(0.0, 0.0))
        self._exchanged[one.pair] = _Exchanged(
            max(before.ours, one.own_until), max(before.peers, peer.not_after)
        )
        self._watched[tunnel] = one
        self._plan(one, min(one.own_until, peer.not_after))

    def forget(self, tunnel: Tunnel) -> None:
        """It is closed. Twice is fine."""
        self._watched.pop(tunnel, None)

    async def run(self) -> None:
        """End tunnels when it is time for that.

        Cancellation: nothing is ended any more.
        """
        while True:
            wait_s = min(max(self._soonest - self._clock(), LOOK_SECONDS), LONGEST_SECONDS)
            with trio.move_on_after(wait_s):
                await self._woken.wait()
            self._woken = trio.Event()
            self.look()

    async def keep_revocations(self) -> None:
        """Read the revocation lists again and again, and end what they forbid.

        Cancellation: the last lists stay in force.
        """
        await self._revocations.keep(self._judge_again)

    def look(self) -> None:
        """Do what is due."""
        now = self._clock()
        self._soonest = float("inf")
        for one in list(self._watched.values()):
            if one.due <= now:
                self._decide(one, now)
            self._soonest = min(self._soonest, one.due)
        for pair in [pair for pair, last in self._exchanged.items() if last.peers <= now]:
            del self._exchanged[pair]

    def _decide(self, one: _Watched, now: float) -> None:
        own_until = max(one.own_until, self._credentials.until(one.own))
        shown = self._exchanged.get(one.pair, _Exchanged(one.own_until, one.peer.not_after))
        until = min(own_until, shown.peers)
        if until <= now:
            self._end_or_vouch(one, own_until, now)
            return
        one.tunnel.drain()
        is_proved = min(shown.ours, until) > one.until
        if one.tunnel.streams and one.renew is not None and not is_proved:
            one.renew()
        self._plan(one, until)

    def _end_or_vouch(self, one: _Watched, own_until: float, now: float) -> None:
        one.due = float("inf")
        if own_until <= now:
            self._end(one, OwnCertificateExpiredError(one.own))
        elif self._vouch(one.peer.identity, one.host):
            one.tunnel.drain()
            one.due = min(now + LONGEST_SECONDS, own_until)
        else:
            self._end(one, PeerCertificateExpiredError(one.peer.identity))

    def _plan(self, one: _Watched, until: float) -> None:
        """Look again some time before the end; in the last moments, at the end itself."""
        left_s = until - self._clock()
        one.until = until
        ahead_s = min(LEAVE_SECONDS, left_s / 4)
        one.due = until if ahead_s < LOOK_SECONDS else until - ahead_s
        if one.due < self._soonest:
            self._soonest = one.due
            self._woken.set()

    def _judge_again(self) -> None:
        for one in list(self._watched.values()):
            try:
                self.check(one.role, one.peer)
            except MeshError as error:
                self._end(one, error)

    def _end(self, one: _Watched, error: MeshError) -> None:
        code = getattr(error, "code", "")
        log.warning(
            "a tunnel ends",
            extra={
                "code": code,
                "error": str(error),
                "peer": str(one.peer.identity),
                "streams": one.tunnel.streams,
            },
        )
        self.forget(one.tunnel)
        one.tunnel.cut(error)


def _direction(role: Role) -> Direction:
    return Direction.OUTBOUND if role is Role.CLIENT else Direction.INBOUND
