"""Tunnels that a worker opens to other proxies: pooled, renewed in time, and never somebody else's.

A tunnel is for an address, a workload and the identities that are expected there. When the state
no longer says that these belong together, nothing new goes through it.
"""

import logging
from collections.abc import Callable, Collection
from functools import partial
from typing import Final

from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.runtime.http2_transport import Tunnel
from mesh.runtime.pool import DestinationChangedError, Limits, Pool, PoolKey
from mesh.runtime.worker.dial import ConnectTimedOutError, Way, dial
from mesh.runtime.worker.failures import HboneBlockedError
from mesh.runtime.worker.parts import WorkerParts
from mesh.runtime.worker.pending import UNSERVED
from mesh.runtime.worker.secure import secure
from mesh.state.world import World
from mesh.wire.http2.errors import GoingAwayError, StreamsExhaustedError
from mesh.wire.http2.frames import Role

NOTHING_SENT: Final = (
    *UNSERVED,
    DestinationChangedError,
    GoingAwayError,
    StreamsExhaustedError,
)
"""By these a request on a tunnel has served nobody: another tunnel may be tried."""

Spawn = Callable[..., object]
"""Starts a coroutine function with its arguments as a task."""

log = logging.getLogger(__name__)


class Tunnels:
    """Those of one source workload."""

    def __init__(
        self,
        parts: WorkerParts,
        world: World,
        way: Way,
        limits: Limits,
        identity: Callable[[], Identity],
        spawn: Spawn,
    ) -> None:
        """Nothing is open yet.

        Args:
            parts: The worker's.
            world: By which tunnels fit.
            way: How to dial.
            limits: Of the pool.
            identity: Who we are, now.
            spawn: Starts tasks that end with the source.
        """
        self._parts = parts
        self._world = world
        self._way = way
        self._identity = identity
        self._spawn = spawn
        self.pool = Pool(self._dial, limits)

    def evict(self, workloads: Collection[str]) -> None:
        """These have changed: no new stream on a tunnel to somebody else's address or identity."""
        self.pool.evict(workloads, self._fits)

    def tick(self) -> None:
        """Keep-alive, and no tunnel for nobody."""
        self.pool.tick()
        self.pool.sweep()

    def close(self) -> None:
        """End every tunnel."""
        self.pool.close()

    def _fits(self, key: PoolKey) -> bool:
        workload = self._world.workload(key.workload)
        return (
            workload is not None
            and key.connect_to.ip in workload.addresses
            and workload.identity in key.expected
        )

    async def _dial(self, key: PoolKey) -> Tunnel:
        credential = await self._parts.credentials.of(self._identity())
        try:
            connection = await dial(self._way, key.connect_to)
        except ConnectTimedOutError as error:
            raise HboneBlockedError(str(error)) from error
        try:
            return await secure(
                self._parts,
                Role.CLIENT,
                credential,
                connection,
                expected=key.expected,
                on_close=self._closed,
                renew=partial(self._spawn, self._renew, key),
            )
        except BaseException:
            connection.close()
            raise

    async def _renew(self, key: PoolKey) -> None:
        """Streams go on in a tunnel whose certificates end soon: show ours, and see the peer's."""
        if self._fits(key):
            try:
                await self.pool.renew(key)
            except MeshError as error:
                fields = {"code": error.code, "error": str(error), "to": str(key.connect_to)}
                log.warning("no new certificate was exchanged", extra=fields)

    def _closed(self, tunnel: Tunnel, _reason: MeshError | None) -> None:
        self.pool.forget(tunnel)  # each stream's own line names its ending
