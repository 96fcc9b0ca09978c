"""A small control plane for tests: real gRPC over real TLS, with just enough behaviour."""

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from mesh.model.identity import Identity
from mesh.proto.certificate_pb2 import IstioCertificateRequest, IstioCertificateResponse
from mesh.proto.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from mesh.wire.discovery_client import METHOD
from tests.pki import Authority

CA_METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
PATIENCE_S = 10.0


@dataclass
class ControlPlane:
    """Serves resources by delta discovery, and signs whatever it is asked to."""

    authority: Authority
    server_name: str = "localhost"
    port: int = 0
    resources: dict[str, dict[str, tuple[str, Message]]] = field(default_factory=dict)
    """By type URL and name: version and message."""

    asked: "queue.Queue[DeltaDiscoveryRequest]" = field(default_factory=queue.Queue)
    """Every discovery request, as it came."""

    signed: list[tuple[Identity, Mapping[str, str]]] = field(default_factory=list)
    """Every certificate request: for whom, and the call's metadata."""

    last_nonce: dict[str, str] = field(default_factory=dict)
    """Of the newest response, by type URL."""

    refuse_certificates: bool = False
    lasts_s: float = 3600.0
    _streams: list["queue.Queue[DeltaDiscoveryResponse | None]"] = field(default_factory=list)
    _nonces: Iterator[int] = field(default_factory=lambda: iter(range(1, 1_000_000)))
    _server: grpc.Server | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def address(self) -> str:
        return f"https://localhost:{self.port}"

    def start(self) -> None:
        """Listen, again at the same port when it did before."""
        issued = self.authority.issue(None, dns=[self.server_name])
        self._server = grpc.server(ThreadPoolExecutor(16), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Methods(self),))
        credentials = grpc.ssl_server_credentials([(issued.key, issued.chain)])
        self.port = self._server.add_secure_port(f"localhost:{self.port}", credentials)
        self._server.start()

    def stop(self) -> None:
        """Cut every stream."""
        if self._server is not None:
            with self._lock:
                for stream in self._streams:
                    stream.put(None)
                self._streams.clear()
            self._server.stop(0).wait()
            self._server = None

    def put(self, type_url: str, name: str, message: Message, version: str = "1") -> None:
        """Add or change a resource, and tell everybody."""
        with self._lock:
            self.resources.setdefault(type_url, {})[name] = (version, message)
            self._push(self._response(type_url, [name], []))

    def remove(self, type_url: str, name: str) -> None:
        """Remove a resource, and tell everybody."""
        with self._lock:
            del self.resources[type_url][name]
            self._push(self._response(type_url, [], [name]))

    def next_request(self) -> DeltaDiscoveryRequest:
        """The next discovery request that nobody has looked at."""
        return self.asked.get(timeout=PATIENCE_S)

    def _push(self, response: DeltaDiscoveryResponse) -> None:
        for stream in self._streams:
            stream.put(response)

    def _response(
        self, type_url: str, names: list[str], removed: list[str]
    ) -> DeltaDiscoveryResponse:
        response = DeltaDiscoveryResponse(
            type_url=type_url, nonce=str(next(self._nonces)), removed_resources=removed
        )
        self.last_nonce[type_url] = response.nonce
        for name in names:
            version, message = self.resources[type_url][name]
            resource = response.resources.add(name=name, version=version)
            resource.resource.Pack(message)
        return response

    def discover(
        self, requests: Iterator[DeltaDiscoveryRequest], _: grpc.ServicerContext
    ) -> Iterator[DeltaDiscoveryResponse]:
        """One stream."""
        responses: queue.Queue[DeltaDiscoveryResponse | None] = queue.Queue()
        with self._lock:
            self._streams.append(responses)

        def listen() -> None:
            try:
                for request in requests:
                    if not request.response_nonce:
                        with self._lock:
                            responses.put(self._first(request))
                    self.asked.put(request)
            except grpc.RpcError:
                pass
            responses.put(None)

        threading.Thread(target=listen, daemon=True).start()
        yield from iter(responses.get, None)
        with self._lock:
            if responses in self._streams:
                self._streams.remove(responses)

    def _first(self, request: DeltaDiscoveryRequest) -> DeltaDiscoveryResponse:
        held = self.resources.get(request.type_url, {})
        known = request.initial_resource_versions
        changed = [name for name, (version, _) in held.items() if known.get(name) != version]
        return self._response(request.type_url, changed, [n for n in known if n not in held])

    def sign(
        self, request: IstioCertificateRequest, context: grpc.ServicerContext
    ) -> IstioCertificateResponse:
        """One certificate."""
        meant = MessageToDict(request.metadata).get("ImpersonatedIdentity")
        identity = Identity.parse(str(meant)) if meant else None
        if identity is not None:
            metadata = {str(key): str(value) for key, value in context.invocation_metadata()}
            self.signed.append((identity, metadata))
        if self.refuse_certificates:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "request authentication failure")
        chain = self.authority.sign_request(request.csr.encode(), self.lasts_s)
        return IstioCertificateResponse(cert_chain=[chain.decode(), self.authority.roots.decode()])


class _Methods(grpc.GenericRpcHandler):
    """Paths to functions."""

    def __init__(self, plane: ControlPlane) -> None:
        self._handlers: dict[str, Callable[[], grpc.RpcMethodHandler]] = {
            METHOD: lambda: grpc.stream_stream_rpc_method_handler(
                plane.discover,
                request_deserializer=DeltaDiscoveryRequest.FromString,
                response_serializer=DeltaDiscoveryResponse.SerializeToString,
            ),
            CA_METHOD: lambda: grpc.unary_unary_rpc_method_handler(
                plane.sign,
                request_deserializer=IstioCertificateRequest.FromString,
                response_serializer=IstioCertificateResponse.SerializeToString,
            ),
        }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handler = self._handlers.get(str(details.method))
        return handler() if handler else None
