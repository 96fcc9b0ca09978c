"""Tunnels that several connections share: one pool per source workload.

1. Key: where to, which workload (by uid) and which identities are accepted there. The source is
   the pool's owner, so a tunnel never carries another workload's connection.
2. One caller per key dials; the others wait for it and share its failure, too.
3. A tunnel holds at most so many streams, and comes back when streams end.
4. `evict` takes a changed or vanished workload's tunnels out at once; their live streams go on.
   One that is being made fails for all who wait for it: they decide anew.
"""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.errors import MeshError, UnavailableError
from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.runtime.http2_transport import Tunnel

STREAM_LIMIT: Final = 100
IDLE_SECONDS: Final = 300.0


class DestinationChangedError(UnavailableError):
    """What a tunnel was to be made to has changed meanwhile: decide anew."""

    code = "destination_changed"


class PoolClosedError(UnavailableError):
    """The source workload is gone, and its tunnels with it."""

    code = "pool_closed"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how far a tunnel is shared."""

    streams: int = STREAM_LIMIT
    idle_s: float = IDLE_SECONDS


@dataclass(frozen=True, slots=True)
class PoolKey:
    """What must be equal for two connections to share a tunnel."""

    connect_to: SocketAddress
    workload: str
    """The uid; empty for a peer that is no workload of its own."""
    expected: frozenset[Identity]


@dataclass(slots=True, eq=False)
class _Attempt:
    finished: trio.Event = field(default_factory=trio.Event)
    error: MeshError | None = None


NO_OTHER_LIMITS: Final = Limits()


@dataclass(slots=True, eq=False)
class _Pooled:
    tunnel: Tunnel
    last_used: float


class Pool:
    """The tunnels of one source workload."""

    def __init__(
        self,
        dial: Callable[[PoolKey], Awaitable[Tunnel]],
        limits: Limits = NO_OTHER_LIMITS,
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """`dial` makes an authenticated tunnel or raises a MeshError."""
        self._dial = dial
        self._limits = limits
        self._clock = clock
        self._tunnels: dict[PoolKey, list[_Pooled]] = {}
        self._attempts: dict[PoolKey, _Attempt] = {}
        self._closed = False
        self._leaving: dict[Tunnel, None] = {}
        """Evicted, with streams that go on."""

    def ready(self, key: PoolKey) -> Tunnel | None:
        """A tunnel with room for one more stream, which the caller must open before it awaits."""
        limit = self._limits.streams
        for pooled in self._tunnels.get(key, ()):
            tunnel = pooled.tunnel
            if tunnel.streams < limit and tunnel.room:
                pooled.last_used = self._clock()
                return tunnel
        return None

    async def tunnel(self, key: PoolKey) -> Tunnel:
        """As `ready`; a new one when there is none.

        Raises:
            MeshError: what `dial` raised, to all who waited for it.
        """
        while True:
            if (tunnel := self.ready(key)) is not None:
                return tunnel
            if self._closed:
                raise PoolClosedError("the pool of the source workload is closed")
            if (attempt := self._attempts.get(key)) is None:
                return await self._create(key)
            await attempt.finished.wait()
            if attempt.error is not None:
                raise attempt.error

    async def renew(self, key: PoolKey) -> None:
        """Make one more tunnel, whatever there is; one that is being made just now will do.

        Raises:
            MeshError: what `dial` raised.
        """
        if not self._closed and key not in self._attempts:
            await self._create(key)

    async def _create(self, key: PoolKey) -> Tunnel:
        attempt = self._attempts[key] = _Attempt()
        try:
            tunnel = await self._dial(key)
        except MeshError as error:
            attempt.error = error
            raise
        finally:
            if self._attempts.get(key) is attempt:
                del self._attempts[key]
            attempt.finished.set()
        if attempt.error is not None:
            tunnel.close()
            raise attempt.error
        self._tunnels.setdefault(key, []).append(_Pooled(tunnel, self._clock()))
        return tunnel

    def forget(self, tunnel: Tunnel) -> None:
        """A tunnel is closed."""
        self._leaving.pop(tunnel, None)
        for key, pooled in self._tunnels.items():
            kept = [one for one in pooled if one.tunnel is not tunnel]
            if len(kept) < len(pooled):
                self._replace(key, kept)
                return

    def evict(self, workloads: Collection[str], fits: Callable[[PoolKey], bool]) -> None:
        """No new stream on tunnels that do not lead where they should any more.

        Args:
            workloads: what has changed, or is gone.
            fits: whether a key still says the truth about its workload.
        """
        for key in [key for key in self._tunnels if key.workload in workloads and not fits(key)]:
            for pooled in self._tunnels.pop(key):
                self._leaving[pooled.tunnel] = None
                pooled.tunnel.drain()
        for key in [key for key in self._attempts if key.workload in workloads and not fits(key)]:
            self._attempts.pop(key).error = DestinationChangedError(f"{key.workload} has changed")

    def sweep(self) -> None:
        """Drain what nobody has used for so long; call it now and then."""
        oldest = self._clock() - self._limits.idle_s
        idle = [
            pooled.tunnel
            for many in self._tunnels.values()
            for pooled in many
            if pooled.tunnel.streams == 0 and pooled.last_used < oldest
        ]
        for tunnel in idle:
            tunnel.drain()

    def tick(self) -> None:
        """Keep-alive for all tunnels; call it once per interval."""
        for tunnel in self._all():
            tunnel.tick(self._clock())

    def close(self) -> None:
        """Close all tunnels, and with them their streams; there will be no more."""
        self._closed = True
        for attempt in self._attempts.values():
            attempt.error = PoolClosedError("the pool was closed while it dialled")
        tunnels = self._all()
        self._tunnels.clear()
        self._leaving.clear()
        for tunnel in tunnels:
            tunnel.close()

    def _all(self) -> list[Tunnel]:
        pooled = [one.tunnel for many in self._tunnels.values() for one in many]
        return [*pooled, *self._leaving]

    def _replace(self, key: PoolKey, kept: list[_Pooled]) -> None:
        if kept:
            self._tunnels[key] = kept
        else:
            del self._tunnels[key]
