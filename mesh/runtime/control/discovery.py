"""Discovery: what the control plane tells of the mesh, as it changes.

1. A response is used as soon as it is there, and acknowledged when every worker decides by it (at
   the start: when it is known, until each type has been heard of).
2. A resource that cannot be used is rejected alone; what we had under its name stays.
3. When the stream ends, the state stays as it is, and a new stream asks for the changes since.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from typing import Final

import trio

from mesh.errors import MeshError, PeerError, UnavailableError
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.control.retries import Retries
from mesh.runtime.control.store import Store
from mesh.runtime.grpc_bridge.client import GrpcFailedError, GrpcStream, Method
from mesh.wire.configuration import CONFIGURATION_TYPE, configuration_from_bytes
from mesh.wire.configuration_values import configuration_fields
from mesh.wire.discovery_client import (
    ADDRESS_TYPE,
    AUTHORIZATION_TYPE,
    METHOD,
    DiscoveryClient,
    Offered,
    decode_response,
)
from mesh.wire.feed import Configured, StateDelta
from mesh.wire.feed_codec import Resource
from mesh.wire.workload_api import address_from_bytes, authorization_from_bytes

DELTA: Final[Method[DeltaDiscoveryRequest, DeltaDiscoveryResponse]] = Method(
    METHOD, DeltaDiscoveryRequest.SerializeToString, decode_response
)
FIRST_DELAY_S: Final = 0.01
MOST_DELAY_S: Final = 15.0
SLICE: Final = 200
"""Resources that are read without letting anybody else run."""

PIECE: Final = 500
"""Resources that make one version: a response of more is several."""

SILENCE_S: Final = 5.0
"""After so long without word about a type, what we have of it is taken for current."""

log = logging.getLogger(__name__)


def _configured(octets: bytes, name: str) -> Configured:
    value = configuration_from_bytes(octets, name)  # nothing that a worker could not read
    return Configured(name, *configuration_fields(value))


READERS: Final[Mapping[str, Callable[[bytes, str], Resource]]] = {
    ADDRESS_TYPE: address_from_bytes,
    AUTHORIZATION_TYPE: authorization_from_bytes,
    CONFIGURATION_TYPE: _configured,
}


@dataclass(slots=True)
class Counts:
    """For the metrics."""

    messages: dict[str, int] = field(default_factory=dict)
    octets: dict[str, int] = field(default_factory=dict)
    terminations: dict[str, int] = field(default_factory=dict)

    def message(self, response: DeltaDiscoveryResponse) -> None:
        """A response has come."""
        url = response.type_url
        self.messages[url] = self.messages.get(url, 0) + 1
        self.octets[url] = self.octets.get(url, 0) + response.ByteSize()

    def termination(self, reason: str) -> None:
        """A stream has ended."""
        self.terminations[reason] = self.terminations.get(reason, 0) + 1


Applied = Callable[[int], Awaitable[None]]
Stream = GrpcStream[DeltaDiscoveryRequest, DeltaDiscoveryResponse]


class Discovery:
    """The client of the workload API."""

    def __init__(  # noqa: PLR0913, PLR0917 - made at one place, out of parts that are each their own
        self,
        server: ControlPlane,
        client: DiscoveryClient,
        store: Store,
        on_change: Callable[[StateDelta], None],
        applied: Applied,
        chance: Random,
        stand_in: Callable[[str], Resource | None] = lambda _name: None,
    ) -> None:
        """Nothing is asked before `run`.

        Args:
            server: the control plane.
            client: who we are and what is retained.
            store: where the state is kept.
            on_change: told of each change, when the store has it.
            applied: waits, within limits, until the workers decide by a version.
            chance: for jitter.
            stand_in: what to hold for a name whose resource cannot be read here and was never held
                before; None for nothing.
        """
        self._stand_in = stand_in
        self._server, self._client, self._store = server, client, store
        self._on_change, self._applied, self._chance = on_change, applied, chance
        self._first_word = trio.Event()
        self.counts = Counts()
        self.is_connected = False
        """Whether a stream is open on which something was said."""

        self.is_current = False
        """Whether the state has been as new as the control plane's in this process."""

    async def run(self) -> None:
        """Follow the control plane for ever.

        Cancellation: ends the stream.
        """
        retries = Retries(self._chance, FIRST_DELAY_S, MOST_DELAY_S)
        while True:
            try:
                await self._follow()
                reason, code, words = "Complete", "stream_ended", "by the control plane"
            except GrpcFailedError as error:
                reason = "Error" if self.is_connected else "ConnectionError"
                code, words = error.code, str(error)
            except (UnavailableError, PeerError) as error:
                reason, code, words = "Error", error.code, str(error)
            if self.is_connected:
                retries.succeed()
            self.is_connected = False
            self.counts.termination(reason)
            delay_s, level = retries.again()
            log.log(
                level,
                "no discovery",
                extra={
                    "code": code,
                    "reason": reason,
                    "error": words,
                    "retry": f"{delay_s:.2f}s",
                },
            )
            await trio.sleep(delay_s)

    async def _follow(self) -> None:
        metadata = await self._server.metadata()
        client = await self._server.client()
        try:
            async with client.stream(DELTA, metadata) as stream:
                for request in self._client.first_requests():
                    stream.send(request)
                await self._obey(stream)
        finally:
            client.close()

    async def _obey(self, stream: Stream) -> None:
        while (response := await stream.receive()) is not None:
            if not self.is_connected:
                log.info("discovery", extra={"server": self._server.address})
            self.is_connected = True
            self._first_word.set()
            self.counts.message(response)
            stream.send(await self._take(response))

    async def accept_silence(self) -> None:
        """A server that says nothing of a type for SILENCE_S after it began has nothing new of it.

        For a state from the disk only: nothing else may begin by silence.

        Cancellation: nothing changes.
        """
        await self._first_word.wait()
        await trio.sleep(SILENCE_S)
        if not self.is_current and not self._store.is_empty:
            self.become_current()

    def become_current(self) -> None:
        """What we have is what there is: workers may be brought to it, whoever fed them before."""
        self.is_current = True
        self._store.begin()
        log.info("the state is current", extra={"version": self._store.version})
        self._on_change(StateDelta(self._store.version, last=True))

    async def _take(self, response: DeltaDiscoveryResponse) -> DeltaDiscoveryRequest:
        received = self._client.receive(response)
        resources, rejected = await read_all(received.type_url, received.offered)
        for name in rejected:
            if not self._store.holds(received.type_url, name):
                one = self._stand_in(name)
                resources.update({} if one is None else {name: one})
        await self._apply(received.type_url, resources, received.removed)
        answer = self._client.accept(received, rejected)
        for name, reason in {**rejected, **received.misnamed}.items():
            log.warning(
                "resource is rejected",
                extra={"code": "resource_rejected", "resource": name, "error": reason},
            )
        log.debug(
            "discovery response",
            extra={
                "type": received.type_url,
                "resources": len(resources),
                "removed": len(received.removed),
                "version": self._store.version,
            },
        )
        if self._client.is_synced and not self.is_current:
            self.become_current()
        # Until it is current, workers may keep what a predecessor of ours has fed them.
        if self.is_current:
            await self._applied(self._store.version)
        return answer

    async def _apply(
        self, type_url: str, resources: Mapping[str, Resource], removed: tuple[str, ...]
    ) -> None:
        """Change the store, in several versions when it is much; removals come first."""
        names = iter(resources)
        while True:
            piece = {name: resources[name] for name in islice(names, PIECE)}
            self._on_change(self._store.apply(type_url, piece, removed))
            removed = ()
            if len(piece) < PIECE:
                return
            await trio.lowlevel.checkpoint()


async def read_all(
    type_url: str, offered: tuple[Offered, ...]
) -> tuple[dict[str, Resource], dict[str, str]]:
    """The resources by name, and the reasons why others cannot be used.

    Cancellation: nothing changes.
    """
    read = READERS[type_url]
    resources: dict[str, Resource] = {}
    rejected: dict[str, str] = {}
    for position, one in enumerate(offered):
        if position % SLICE == SLICE - 1:
            await trio.lowlevel.checkpoint()
        try:
            resources[one.name] = read(one.octets, one.name)
        except MeshError as error:
            rejected[one.name] = str(error)
    return resources, rejected
