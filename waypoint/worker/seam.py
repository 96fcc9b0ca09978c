"""What a worker asks of the engine that serves HTTP and routes."""

from collections.abc import Callable
from typing import Protocol

from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.routing.waypoint import Called
from mesh.runtime.http.link import Link
from mesh.state.changes import Changes
from mesh.wire.feed_answers import MetricRow


class Engine(Protocol):
    """Serves what speaks HTTP, or may, and what has routes.

    All calls are in the reactor's turn, or in a task's.
    """

    def takes(self, destination: Called, peer: Identity) -> bool:
        """Whether it serves this port for this client; what it leaves is TCP without routes."""

    def serve(self, destination: Called, link: Link, peer: Identity, far: SocketAddress) -> None:
        """Serve a stream whose CONNECT was answered with 200.

        Args:
            destination: What was called.
            link: The client's; nobody uses it yet.
            peer: Who calls.
            far: From where.
        """

    def judging(
        self, destination: Called, peer: Identity, far: SocketAddress
    ) -> Callable[[], None]:
        """What judges a connection that somebody else passes, whenever policies change.

        It raises a MeshError when the connection may not go on.
        """

    def changed(self, changes: Changes) -> None:
        """A part of a state version is in force."""

    def configured(self, names: frozenset[str]) -> None:
        """These configuration resources came, changed or went; never without a name."""

    def rows(self) -> list[MetricRow]:
        """What was counted."""

    def tick(self) -> None:
        """Another second."""

    def drain(self) -> None:
        """No new requests on connections that could do without; what is under way goes on."""

    def close(self) -> None:
        """End everything now."""

    async def wait_empty(self) -> None:
        """Until nothing is under way.

        Cancellation: changes nothing.
        """
