"""A whole control plane in this process, on loopback, and clients that speak to it over TLS."""

import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import yaml
from google.protobuf.struct_pb2 import Struct

from controlplane.app import Ports, run
from controlplane.options import ServeOptions, parse
from controlplane.tokens import Subject, load_token_key, mint
from mesh.model.fields import Json
from mesh.model.identity import Identity
from mesh.proto.certificate_pb2 import IstioCertificateRequest, IstioCertificateResponse
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.proto.node_pb2 import Node
from mesh.proto.status_pb2 import Status
from mesh.runtime.certificates import make_request
from mesh.runtime.grpc_bridge.client import GrpcClient, GrpcStream, Method, Target
from mesh.wire.discovery_catalogue import ADDRESS_TYPE, AUTHORIZATION_TYPE
from mesh.wire.discovery_client import METHOD

PATIENCE_S = 10.0
HOST = "127.0.0.1"
DISCOVER = Method(
    METHOD, DeltaDiscoveryRequest.SerializeToString, DeltaDiscoveryResponse.FromString
)
SIGN = Method(
    "/istio.v1.auth.IstioCertificateService/CreateCertificate",
    IstioCertificateRequest.SerializeToString,
    IstioCertificateResponse.FromString,
)
PROXY = Subject(
    namespace="istio-system", service_account="ztunnel", pod="ztunnel-a", pod_uid="u-a", node="a"
)
"""Who the node proxy of node `a` is."""


def pod(
    namespace: str,
    name: str,
    *,
    account: str = "default",
    node: str = "a",
    uid: str = "",
    phase: str = "Running",
    ip: str = "",
    labels: dict[str, Json] | None = None,
) -> dict[str, Json]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": uid or f"u-{name}",
            "labels": labels or {},
        },
        "spec": {"serviceAccountName": account, "nodeName": node, "containers": []},
        "status": {
            "phase": phase,
            "podIPs": [{"ip": ip}] if ip else [],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


PROXIES: tuple[dict[str, Json], ...] = tuple(
    pod("istio-system", f"ztunnel-{node}", account="ztunnel", node=node, uid=f"u-{node}")
    for node in "ab"
)


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what only a page tells."""
    with trio.fail_after(PATIENCE_S):
        while not await is_so():  # noqa: ASYNC110 - a page has no event
            await trio.sleep(0.005)


class Control:
    """A running control plane, and its folder."""

    def __init__(self, folder: Path) -> None:
        self.manifests, self.state = folder / "manifests", folder / "state"
        self.manifests.mkdir(exist_ok=True)
        self.ports = Ports(0, 0)
        self.generation = 0

    def options(self, *more: str) -> ServeOptions:
        options = parse(
            [
                *("--manifests", str(self.manifests), "--state", str(self.state)),
                *("--listen", f"{HOST}:0", "--monitoring-listen", f"{HOST}:0", *more),
            ]
        )
        assert isinstance(options, ServeOptions)
        return options

    # The folder.

    def write(self, name: str, *objects: dict[str, Json]) -> int:
        """Put objects into a file of this name; the generation that has them."""
        return self.write_text(name, yaml.safe_dump_all(objects))

    def write_text(self, name: str, text: str) -> int:
        beside = self.state.with_name("beside")
        beside.write_text(text)
        beside.rename(self.manifests / f"{name}.yaml")
        return self.touch()

    def remove(self, name: str) -> int:
        (self.manifests / f"{name}.yaml").unlink()
        return self.touch()

    def touch(self) -> int:
        self.generation += 1
        beside = self.state.with_name("beside")
        beside.write_text(f"{self.generation}\n")
        beside.rename(self.manifests / ".generation")
        return self.generation

    # Clients.

    @property
    def roots(self) -> bytes:
        return (self.state / "root-cert.pem").read_bytes()

    def token(self, subject: Subject = PROXY) -> str:
        return mint(load_token_key(self.state), subject, time.time())

    @contextlib.contextmanager
    def client(self, name: str = "istiod.istio-system.svc") -> Iterator[GrpcClient]:
        client = GrpcClient(Target(f"{HOST}:{self.ports.grpc}", self.roots, name))
        try:
            yield client
        finally:
            client.close()

    async def certificate(
        self,
        wanted: str | None = None,
        token: str | None = None,
        *,
        csr: bytes | None = None,
        seconds: int = 3600,
        cluster: str = "Kubernetes",
    ) -> list[str]:
        """The chain that the CA gives."""
        metadata = Struct()
        if wanted is not None:
            metadata.update({"ImpersonatedIdentity": wanted})
        made = make_request(Identity("cluster.local", "any", "any")).request
        request = IstioCertificateRequest(
            csr=(made if csr is None else csr).decode(),
            validity_duration=seconds,
            metadata=metadata,
        )
        said = self.token() if token is None else token
        headers = [("authorization", f"Bearer {said}"), ("clusterid", cluster)]
        with self.client() as client, trio.fail_after(PATIENCE_S):
            answer = await client.unary(SIGN, request, headers)
        return list(answer.cert_chain)

    @asynccontextmanager
    async def discovery(
        self, token: str | None = None, node_id: str = "", node: str = "a", gateway: str = ""
    ) -> AsyncIterator["Talk"]:
        """An open discovery stream."""
        headers = [("authorization", f"Bearer {token or self.token()}")]
        with self.client() as client:
            async with client.stream(DISCOVER, headers) as stream:
                yield Talk(stream, node_id or node_id_of(node), node, gateway)

    # Pages.

    async def page(self, path: str, host: str = HOST) -> tuple[int, str]:
        answer = b""
        async with await trio.open_tcp_stream(host, self.ports.http) as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            async for chunk in stream:
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body.decode()

    async def syncz(self) -> dict[str, Json]:
        status, body = await self.page("/debug/syncz")
        assert status == 200
        page: dict[str, Json] = json.loads(body)
        return page

    async def wait_taken(self, generation: int) -> None:
        """Until the manifests of a generation are in force."""

        async def is_taken() -> bool:
            return (await self.syncz())["generation"] == generation

        await until(is_taken)


def node_id_of(node: str) -> str:
    return f"ztunnel~192.0.2.9~ztunnel-{node}.istio-system~istio-system.svc.cluster.local"


class Talk:
    """One discovery stream, as a client that answers everything at once."""

    def __init__(
        self,
        stream: GrpcStream[DeltaDiscoveryRequest, DeltaDiscoveryResponse],
        node_id: str,
        node: str,
        gateway: str = "",
    ) -> None:
        self._stream = stream
        metadata = Struct()
        metadata.update({"NODE_NAME": node})
        if gateway:
            metadata.update({"GATEWAY_NAME": gateway})
        self._node = Node(id=node_id, metadata=metadata)

    def ask(
        self,
        type_url: str = ADDRESS_TYPE,
        *,
        versions: dict[str, str] | None = None,
        subscribe: list[str] | None = None,
        unsubscribe: list[str] | None = None,
    ) -> None:
        self._stream.send(
            DeltaDiscoveryRequest(
                node=self._node,
                type_url=type_url,
                initial_resource_versions=versions or {},
                resource_names_subscribe=subscribe or [],
                resource_names_unsubscribe=unsubscribe or [],
            )
        )

    def answer(self, response: DeltaDiscoveryResponse, rejection: str = "") -> None:
        refusal = Status(code=3, message=rejection) if rejection else None
        self._stream.send(
            DeltaDiscoveryRequest(
                type_url=response.type_url, response_nonce=response.nonce, error_detail=refusal
            )
        )

    async def next(self, rejection: str = "") -> DeltaDiscoveryResponse:
        """The next response, answered."""
        with trio.fail_after(PATIENCE_S):
            response = await self._stream.receive()
        assert response is not None
        self.answer(response, rejection)
        return response

    async def both(self) -> tuple[DeltaDiscoveryResponse, DeltaDiscoveryResponse]:
        """Ask for both types, as node proxies do; the first answers."""
        self.ask(ADDRESS_TYPE)
        self.ask(AUTHORIZATION_TYPE)
        return await self.next(), await self.next()


@asynccontextmanager
async def control(folder: Path, *flags: str) -> AsyncIterator[Control]:
    """Run one over a folder that has the manifests of two node proxies."""
    plane = Control(folder)
    plane.write("proxies", *PROXIES)
    async with running(plane, *flags):
        yield plane


@asynccontextmanager
async def running(plane: Control, *flags: str) -> AsyncIterator[None]:
    """Run one, perhaps again."""
    async with trio.open_nursery() as nursery:
        plane.ports = await nursery.start(run, plane.options(*flags))
        yield
        nursery.cancel_scope.cancel()
