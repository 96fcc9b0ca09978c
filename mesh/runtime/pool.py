"""Tunnels that several connections share: one pool per source workload.

1. Key: where to, which workload (by uid) and which identities are accepted there. The source is
   the pool's owner, so a tunnel never carries another workload's connection.
2. One caller per key dials; the others wait for it and share its failure, too.
3. A tunnel holds at most STREAM_LIMIT streams, and comes back when streams end.
4. `evict` takes a changed or vanished workload's tunnels out at once; their live streams go on.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.runtime.http2_transport import Tunnel

STREAM_LIMIT: Final = 100
IDLE_SECONDS: Final = 300.0


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


@dataclass(slots=True, eq=False)
class _Pooled:
    tunnel: Tunnel
    last_used: float


class Pool:
    """The tunnels of one source workload."""

    def __init__(
        self,
        dial: Callable[[PoolKey], Awaitable[Tunnel]],
        clock: Callable[[], float] = trio.current_time,
    ) -> None:
        """`dial` makes an authenticated tunnel or raises a MeshError."""
        self._dial = dial
        self._clock = clock
        self._tunnels: dict[PoolKey, list[_Pooled]] = {}
        self._attempts: dict[PoolKey, _Attempt] = {}

    async def tunnel(self, key: PoolKey) -> Tunnel:
        """A tunnel with room for one more stream, which the caller must open before it awaits.

        Raises:
            MeshError: what `dial` raised, to all who waited for it.
        """
        while True:
            for pooled in self._tunnels.get(key, ()):
                if not pooled.tunnel.closing and pooled.tunnel.streams < STREAM_LIMIT:
                    pooled.last_used = self._clock()
                    return pooled.tunnel
            if (attempt := self._attempts.get(key)) is None:
                await self._create(key)
                continue
            await attempt.finished.wait()
            if attempt.error is not None:
                raise attempt.error

    async def _create(self, key: PoolKey) -> None:
        attempt = self._attempts[key] = _Attempt()
        try:
            tunnel = await self._dial(key)
        except MeshError as error:
            attempt.error = error
            raise
        else:
            pooled = _Pooled(tunnel, self._clock())
            self._tunnels.setdefault(key, []).append(pooled)
        finally:
            del self._attempts[key]
            attempt.finished.set()

    def forget(self, tunnel: Tunnel) -> None:
        """A tunnel is closed."""
        for key, pooled in self._tunnels.items():
            kept = [one for one in pooled if one.tunnel is not tunnel]
            if len(kept) < len(pooled):
                self._replace(key, kept)
                return

    def evict(self, workloads: Iterable[str]) -> None:
        """These workloads have changed or are gone: no new stream on their tunnels."""
        gone = frozenset(workloads)
        for key in [key for key in self._tunnels if key.workload in gone]:
            for pooled in self._tunnels.pop(key):
                pooled.tunnel.drain()

    def sweep(self) -> None:
        """Drain what nobody has used for IDLE_SECONDS; call it now and then."""
        oldest = self._clock() - IDLE_SECONDS
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
        for tunnel in [pooled.tunnel for many in self._tunnels.values() for pooled in many]:
            tunnel.tick(self._clock())

    def close(self) -> None:
        """Close all tunnels, and with them their streams."""
        tunnels = [pooled.tunnel for many in self._tunnels.values() for pooled in many]
        self._tunnels.clear()
        for tunnel in tunnels:
            tunnel.close()

    def _replace(self, key: PoolKey, kept: list[_Pooled]) -> None:
        if kept:
            self._tunnels[key] = kept
        else:
            del self._tunnels[key]
