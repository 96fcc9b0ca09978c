"""Where a proxy's state comes from: what was saved, then what the control plane tells."""

import logging
import time
from collections.abc import Awaitable, Callable
from random import Random

import trio

from mesh.proto.node_pb2 import Node
from mesh.runtime.bell import Bell
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.control.discovery import Discovery
from mesh.runtime.control.last_good import LastGood, Saver
from mesh.runtime.control.store import Store
from mesh.wire.discovery_client import DiscoveryClient
from mesh.wire.feed import StateDelta
from mesh.wire.feed_codec import Resource

log = logging.getLogger(__name__)

StandIn = Callable[[str], Resource | None]


def nothing(_name: str) -> None:
    """Nothing stands for what cannot be read."""


class StateSource:
    """Keeps a store current."""

    def __init__(
        self,
        store: Store,
        saver: Saver | None,
        applied: Callable[[int], Awaitable[None]],
        bell: Bell,
        chance: Random,
    ) -> None:
        """Nothing is loaded or asked yet.

        Args:
            store: the state.
            saver: of its file, if it is to be saved.
            applied: waits, within limits, until the workers decide by a version.
            bell: rung at each change.
            chance: for jitter.
        """
        self._store, self._saver, self._applied = store, saver, applied
        self._bell, self._chance = bell, chance
        self.last_good: LastGood | None = None
        """What was loaded at start; None as well once the state is current."""
        self.discovery: Discovery | None = None

    @property
    def is_current(self) -> bool:
        """Whether the state is as new as that of its source."""
        return self.discovery.is_current if self.discovery is not None else True

    async def load(self) -> None:
        """Begin with what was saved, if anything was.

        Cancellation: nothing changes.
        """
        if self._saver is None:
            return
        self.last_good = await self._saver.load()
        if self.last_good is not None:
            self._store.load(self.last_good.version, self.last_good.octets)
            age_s = max(0, round(time.time() - self.last_good.saved_at))
            log.warning("serves from the last good state", extra={"age": f"{age_s}s"})

    def follow(
        self,
        services: trio.Nursery,
        server: ControlPlane,
        node: Node,
        on_change: Callable[[StateDelta], None],
        stand_in: StandIn = nothing,
    ) -> None:
        """Ask the control plane, as this node, from now on.

        Args:
            services: runs what it takes.
            server: whom to ask.
            node: who we are.
            on_change: told of each change, when the store has it.
            stand_in: as `Discovery`.
        """

        def changed(delta: StateDelta) -> None:
            on_change(delta)
            if self.is_current:
                self.last_good = None
            self._bell.ring()

        types = self._store.types
        versions = self.last_good.versions if self.last_good is not None else {}
        client = DiscoveryClient(node, types, versions)
        discovery = self.discovery = Discovery(
            server, client, self._store, changed, self._applied, self._chance, stand_in
        )
        services.start_soon(discovery.run)
        services.start_soon(discovery.accept_silence)
        if self._saver is not None:
            services.start_soon(
                self._saver.keep,
                self._store,
                lambda: {type_url: client.retained(type_url) for type_url in types},
                self._bell,
            )
