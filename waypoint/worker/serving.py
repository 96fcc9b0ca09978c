"""What a worker serves with: its listener, the tunnels of clients, the links to endpoints."""

import socket
from collections.abc import Callable

from mesh.runtime.worker.accept import Acceptor
from mesh.state.changes import Changes
from mesh.wire.feed_answers import MetricRow
from waypoint.worker.context import Context
from waypoint.worker.inbound import Inbound
from waypoint.worker.seam import Engine
from waypoint.worker.tcp import Tcp
from waypoint.worker.upstream import Spawn, Upstreams

MakeEngine = Callable[[Context, Upstreams, Spawn], Engine]


class Serving:
    """One per worker."""

    def __init__(
        self,
        context: Context,
        listener: socket.socket,
        spawn: Spawn,
        make_engine: MakeEngine | None = None,
    ) -> None:
        """Take over the listener; nothing is accepted before `begin`.

        Args:
            context: The worker's.
            listener: Bound, and listening.
            spawn: Starts tasks that end with the worker.
            make_engine: What serves HTTP; without it, all is TCP.
        """
        self._context = context
        self._listener = listener
        self._acceptor: Acceptor | None = None
        self._has_ended = False
        self._upstreams = Upstreams(context, spawn)
        self._engine = None if make_engine is None else make_engine(context, self._upstreams, spawn)
        tcp = Tcp(context, self._upstreams)
        self._inbound = Inbound(context, spawn, tcp, self._engine)

    def begin(self) -> None:
        """Accept from now on. Twice is fine."""
        if self._acceptor is None and not self._has_ended:
            self._acceptor = Acceptor(self._context.reactor, self._listener, self._inbound.serve)

    def changed(self, changes: Changes) -> None:
        """A part of a state version is in force."""
        if changes.moved:
            self._upstreams.evict(changes.moved)
        if self._engine is not None:
            self._engine.changed(changes)

    def configured(self, names: frozenset[str]) -> None:
        """These configuration resources came, changed or went."""
        if names and self._engine is not None:
            self._engine.configured(names)

    def rows(self) -> list[MetricRow]:
        """What was counted."""
        engine = self._engine
        return [*self._context.metrics.rows(), *(engine.rows() if engine is not None else ())]

    def tick(self) -> None:
        """Keep-alive, and another look at what paused."""
        self._inbound.tick()
        self._upstreams.tick()
        if self._acceptor is not None:
            self._acceptor.resume()
        if self._engine is not None:
            self._engine.tick()

    def drain(self) -> None:
        """No new connections; what is open may end by itself. Twice is fine."""
        self._has_ended = True
        if self._acceptor is not None:
            self._acceptor.close()
        self._listener.close()
        self._inbound.drain()
        if self._engine is not None:
            self._engine.drain()

    async def wait_empty(self) -> None:
        """Until the last connection has ended.

        Cancellation: changes nothing.
        """
        await self._context.flows.wait_empty()
        if self._engine is not None:
            await self._engine.wait_empty()

    def close(self) -> None:
        """End every connection."""
        self.drain()
        self._context.flows.stop()
        if self._engine is not None:
            self._engine.close()
        self._upstreams.close()
        self._inbound.close()
