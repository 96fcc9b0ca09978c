"""The discovery service: one trio task per stream, one publication for all of them."""

import logging
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import trio

from controlplane.admission import Admission, live_pod
from controlplane.callers import Caller, WaypointNodeError
from controlplane.metrics import Metrics
from controlplane.pods import Pods
from mesh.errors import MeshError
from mesh.runtime.grpc_bridge.server import Call, StreamMethod
from mesh.runtime.grpc_bridge.server_stream import ServerStream
from mesh.wire.discovery_catalogue import Published
from mesh.wire.discovery_server import (
    Acknowledged,
    DiscoveryRequestInvalidError,
    DiscoveryStream,
    Rejected,
)

SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
METHOD: Final = "DeltaAggregatedResources"
FIRST_REQUEST_S: Final = 10.0
MAX_CLIENTS: Final = 4096
"""That are remembered after they have gone."""

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Client:
    """One stream, or what is remembered of it."""

    caller: Caller
    peer: str
    machine: DiscoveryStream
    waypoint: str = ""
    """`namespace/name` of its Gateway, when it is a waypoint."""
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    connected: bool = True
    failure: MeshError | None = None
    news: trio.Event = field(default_factory=trio.Event)

    @property
    def name(self) -> str:
        """The node that it speaks for."""
        node = self.machine.node
        return "" if node is None else node.node_name or node.id

    @property
    def kind(self) -> str:
        """`ztunnel` or `waypoint`; empty until it has said so."""
        node = self.machine.node
        return "" if node is None else node.id.partition("~")[0]

    @property
    def pod(self) -> str:
        """`NAMESPACE/NAME` of the pod that it is; empty until it has said so."""
        node = self.machine.node
        return "" if node is None else f"{node.namespace}/{node.pod}"

    def wake(self) -> None:
        """There may be something to say."""
        self.news.set()


class Discovery:
    """Tells every client what is published. Lives in the trio thread, but for `accept`."""

    def __init__(
        self, admission: Admission, pods: Callable[[], Pods], published: Published, metrics: Metrics
    ) -> None:
        """Begin with what is published now; `pods` are the live ones by the newest manifests."""
        self.published = published
        self._admission, self._pods, self._metrics = admission, pods, metrics
        self._clients: dict[str, Client] = {}
        """By node id, the newest stream of each."""
        self._open: set[Client] = set()
        self._streams = 0

    @property
    def method(self) -> StreamMethod:
        """For the server."""
        return StreamMethod(SERVICE, METHOD, self.accept)

    def clients(self) -> Iterator[Client]:
        """Who is connected, and who was and has not come back."""
        return iter(self._clients.values())

    def publish(self, published: Published) -> None:
        """Tell every client; one whose pod has gone is sent away."""
        self.published = published
        pods = self._pods()
        for client in self._open:
            client.failure = self._gone(client, pods)
            if client.failure is not None:
                client.scope.cancel()
            else:
                client.machine.publish(published)
                client.wake()
        for node_id, client in list(self._clients.items()):
            if not client.connected and self._gone(client, pods) is not None:
                del self._clients[node_id]

    def accept(self, call: Call) -> Callable[[ServerStream], Awaitable[None]]:
        """Judge a caller, in a thread of the server's pool.

        Raises:
            CallerRefusedError: one of its kinds.
        """
        try:
            pods = self._pods()
            caller = self._admission.caller(call.metadata, pods)
            waypoint = self._admission.reader(caller, pods)
        except MeshError as error:
            self._log_end("stream refused", error, call.peer, "")
            raise

        async def serve(stream: ServerStream) -> None:
            await self._serve(caller, waypoint, stream)

        return serve

    def _gone(self, client: Client, pods: Pods) -> MeshError | None:
        """Why a caller is to be sent away, if it is."""
        caller = client.caller
        try:
            if client.waypoint and self._admission.reader(caller, pods) != client.waypoint:
                raise WaypointNodeError(f"{caller} was of {client.waypoint}")
            if caller.pod:
                live_pod(caller, pods)
        except MeshError as error:
            return error
        return None

    async def _serve(self, caller: Caller, waypoint: str, stream: ServerStream) -> None:
        self._streams += 1
        machine = DiscoveryStream(self.published, f"{self._streams}-")
        client = Client(caller, stream.peer, machine, waypoint)
        self._open.add(client)
        self._metrics.connected.inc()
        failure: MeshError | None = None
        try:
            with client.scope:
                await self._converse(client, stream)
            if client.failure is not None:
                raise client.failure
        except* MeshError as group:
            failure = _first(group)
        finally:
            client.connected = False
            self._open.discard(client)
            self._metrics.connected.dec()
            self._log_end("stream ended", failure, client.peer, client.name)
        if failure is not None:
            raise failure

    async def _converse(self, client: Client, stream: ServerStream) -> None:
        async with trio.open_nursery() as both:
            both.start_soon(self._send, client, stream)
            with trio.move_on_after(FIRST_REQUEST_S) as patience:
                is_open = await self._receive(client, stream)
            if patience.cancelled_caught:
                raise DiscoveryRequestInvalidError(f"none within {FIRST_REQUEST_S:g} s")
            while is_open:
                is_open = await self._receive(client, stream)
            both.cancel_scope.cancel()

    async def _receive(self, client: Client, stream: ServerStream) -> bool:
        """Take one request; whether there was one."""
        octets = await stream.receive()
        if octets is None:
            return False
        is_new = client.machine.node is None
        event = client.machine.receive(octets)
        if is_new:
            self._met(client)
        match event:
            case Rejected(type_url, reason):
                self._metrics.rejects.labels(_short(type_url)).inc()
                log.warning(
                    "response rejected",
                    extra={
                        "code": "discovery_rejected",
                        "node": client.name,
                        "type": _short(type_url),
                        "reason": reason,
                    },
                )
            case Acknowledged() | None:
                pass
        client.wake()
        return True

    def _met(self, client: Client) -> None:
        node = client.machine.node
        if node is None:
            return
        self._admission.node(client.caller, node, client.waypoint)
        self._clients.pop(node.id, None)
        self._clients[node.id] = client
        gone = [key for key, each in self._clients.items() if not each.connected]
        for key in gone[: max(0, len(gone) - MAX_CLIENTS)]:
            del self._clients[key]
        log.info(
            "stream opened",
            extra={
                "code": "stream_opened",
                "node": client.name,
                "id": node.id,
                "caller": str(client.caller),
                "peer": client.peer,
            },
        )

    async def _send(self, client: Client, stream: ServerStream) -> None:
        while True:
            client.news = trio.Event()
            response = client.machine.next_response()
            if response is None:
                await client.news.wait()
                continue
            await stream.send(response)
            self._metrics.pushes.inc()

    def _log_end(self, words: str, error: MeshError | None, peer: str, node: str) -> None:
        if error is None:
            log.info(words, extra={"code": "stream_ended", "node": node, "peer": peer})
            return
        self._metrics.refused.labels(error.code).inc()
        extra = {"code": error.code, "reason": str(error), "node": node, "peer": peer}
        log.warning(words, extra=extra)


def _first(group: BaseExceptionGroup[MeshError]) -> MeshError:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


def _short(type_url: str) -> str:
    return type_url.rpartition(".")[2]
