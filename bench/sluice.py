"""Our own worker, fed by the benchmark itself: no control plane, no supervisor.

The worker is told what a control process would tell it: who lives where, one certificate, one pod.
"""

import array
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final, TypeVar

from bench.namespaces import (
    CALL_PORT,
    CLIENT_IP,
    REQUEST_PORT,
    SERVER_IP,
    SERVICE_IP,
    WAYPOINT_IP,
    inside,
    path_of,
)
from bench.processes import Started
from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.names import HBONE_PORT
from mesh.model.policy import Authorization
from mesh.model.routes import (
    Attachment,
    Backend,
    Filters,
    HeaderChange,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
    ValueMatch,
    ValueMatchKind,
    Waypoint,
)
from mesh.model.workload import (
    AppProtocol,
    GatewayAddress,
    NetworkAddress,
    Port,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.wire.configuration_values import Configuration, configuration_fields, configuration_name
from mesh.wire.feed import (
    MAX_PACKET_OCTETS,
    AddPod,
    Answer,
    Applied,
    Certificate,
    Configured,
    HelloEnd,
    PodInfo,
    PodListening,
    Query,
    StateDelta,
    ToWorker,
)
from mesh.wire.feed_codec import Message, decode, encode, state_packets
from tests.pki import Issued

MessageT = TypeVar("MessageT")

ANSWER_SECONDS: Final = 20.0
SERVICE_HOST: Final = "bench.bench.svc.cluster.local"
SERVICE_KEY: Final = f"bench/{SERVICE_HOST}"
ENVIRONMENT: Final = {
    "NODE_NAME": "bench",
    "POD_NAME": "ztunnel-bench",
    "POD_NAMESPACE": "istio-system",
    "SERVICE_ACCOUNT": "ztunnel",
    "ZTUNNEL_WORKER_THREADS": "1",
    "RUST_LOG": "error",
}


def world(client: Identity, server: Identity) -> tuple[Workload, Workload]:
    """The two pods at the ends of a cable, on two nodes."""
    pods = ((client, CLIENT_IP, "near"), (server, SERVER_IP, "far"))
    near, far = (
        Workload(
            uid=uid_of(identity),
            name=identity.service_account,
            namespace=identity.namespace,
            service_account=identity.service_account,
            trust_domain=identity.trust_domain,
            addresses=(parse_ip(ip),),
            protocol=TunnelProtocol.HBONE,
            node=node,
            services={},
        )
        for identity, ip, node in pods
    )
    return near, far


def uid_of(identity: Identity) -> str:
    """The uid of a pod of the bench, as Kubernetes pods have it."""
    return f"Kubernetes//Pod/{identity.namespace}/{identity.service_account}"


class Worker:
    """A worker process and the control end of its feed, blocking."""

    def __init__(self, process: Started, feed: socket.socket) -> None:
        """Take over a SOCK_SEQPACKET socket."""
        self.process = process
        self._feed = feed
        self._feed.settimeout(ANSWER_SECONDS)
        self._version = 0
        self._number = 0
        self._routes: set[str] = set()

    def say(self, message: ToWorker, descriptor: int | None = None) -> None:
        """Send one message; the descriptor stays the caller's."""
        rights = (
            []
            if descriptor is None
            else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        )
        self._feed.sendmsg([encode(message)], rights)

    def hear(self) -> tuple[Message, list[int]]:
        """The next message, and the descriptors that came along.

        Raises:
            TimeoutError: none came.
            ConnectionError: the worker has ended.
        """
        packet, descriptors, _, _ = socket.recv_fds(self._feed, MAX_PACKET_OCTETS, 1)
        if not packet:
            raise ConnectionError("the worker has ended")
        return decode(packet), descriptors

    def wait(self, kind: type[MessageT]) -> MessageT:
        """Read on until a message of this kind comes; errors as `hear`."""
        while True:
            message, descriptors = self.hear()
            for descriptor in descriptors:
                os.close(descriptor)
            if isinstance(message, kind):
                return message

    def greet(self) -> None:
        """Begin the conversation, as each control process does."""
        self.say(Query(0, "hello"))
        self.wait(HelloEnd)

    def tell(
        self,
        workloads: Iterable[Workload],
        services: Iterable[Service] = (),
        policies: Iterable[Authorization] = (),
        configuration: Iterable[Configuration] = (),
    ) -> None:
        """Make this the whole state, and wait until it is in force."""
        self._bring(
            StateDelta(
                self._version + 1,
                last=True,
                reset=True,
                workloads=tuple(workloads),
                services=tuple(services),
                policies=tuple(policies),
                configuration=tuple(map(_configured, configuration)),
            )
        )

    def only(self, routes: Sequence[Route]) -> None:
        """Keep these of the routes that `change` has put."""
        gone = tuple(self._routes - {configuration_name(route) for route in routes})
        self._routes -= set(gone)
        self._bring(StateDelta(self._version + 1, last=True, removed_configuration=gone))
        self.change(routes)

    def change(self, routes: Iterable[Route]) -> None:
        """Put these among the routes, and wait until they are in force."""
        changed = tuple(map(_configured, routes))
        self._routes.update(one.key for one in changed)
        self._bring(StateDelta(self._version + 1, last=True, configuration=changed))

    def _bring(self, delta: StateDelta) -> None:
        self._version = delta.version
        for packet in state_packets(delta):
            self._feed.sendall(packet)
        self.wait(Applied)

    def ask(self, topic: str) -> bytes:
        """The whole answer to a question."""
        self._number += 1
        self.say(Query(self._number, topic))
        body = b""
        while True:
            part = self.wait(Answer)
            body += part.body
            if part.last:
                return body

    def certify(self, identity: Identity, issued: Issued) -> None:
        """Give it a certificate."""
        self.say(Certificate(identity, issued.key, issued.chain, issued.roots, issued.not_after))

    def add(self, pod: PodInfo, netns: int) -> None:
        """Let it serve a pod.

        Raises:
            ValueError: it cannot; the message has its reason.
        """
        self.say(AddPod(pod), netns)
        if error := self.wait(PodListening).error:
            raise ValueError(error)


def _configured(value: Configuration) -> Configured:
    return Configured(configuration_name(value), *configuration_fields(value))


@contextmanager
def worker(
    module: str = "ztunnel.worker", namespace: str = "", **environment: str
) -> Iterator[Worker]:
    """A worker process that has been greeted, until the block ends.

    Args:
        module: whose.
        namespace: where it runs; empty is here.
        environment: more than ENVIRONMENT.

    Raises:
        RuntimeError: it does not answer; the message has what it said.
    """
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with its:
            command = [sys.executable, "-m", module, str(its.fileno()), "0"]
            process = Started(
                inside(namespace, *command) if namespace else command,
                keep=(its.fileno(),),
                env={**os.environ, **ENVIRONMENT, **environment},
            )
        fed = Worker(process, ours)
        try:
            with _blaming(process):
                fed.greet()
            yield fed
        finally:
            process.stop()


@contextmanager
def _blaming(process: Started) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        said = "\n".join(process.lines[-30:])
        raise RuntimeError(f"the worker does not serve ({error}):\n{said}") from error


def pod_of(identity: Identity) -> PodInfo:
    """What an agent says about the pod of an identity."""
    account = identity.service_account
    return PodInfo(uid_of(identity), account, identity.namespace, account)


@contextmanager
def running(
    namespace: str, us: Identity, issued: Issued, workloads: tuple[Workload, ...]
) -> Iterator[Started]:
    """A worker that serves the pod `us` in a namespace, until the block ends.

    Raises:
        RuntimeError: it does not listen; the message has what it said.
    """
    with worker() as fed:
        netns = os.open(path_of(namespace), os.O_RDONLY | os.O_CLOEXEC)
        try:
            with _blaming(fed.process):
                fed.tell(workloads)
                fed.certify(us, issued)
                fed.add(pod_of(us), netns)
        finally:
            os.close(netns)
        yield fed.process


@contextmanager
def waypoint(
    namespace: str,
    us: Identity,
    issued: Issued,
    server: Identity,
    ports: Sequence[int],
    routes: Iterable[Route] = (),
) -> Iterator[Worker]:
    """A waypoint's worker before SERVICE_IP, until the block ends; `server` has SERVER_IP.

    Raises:
        RuntimeError: it does not listen; the message has what it said.
    """
    environment = {
        "GATEWAY_NAME": us.service_account,
        "POD_NAME": us.service_account,
        "POD_NAMESPACE": us.namespace,
        "SERVICE_ACCOUNT": us.service_account,
        "INSTANCE_IP": WAYPOINT_IP,
        "WAYPOINT_WORKER_THREADS": "1",
    }
    address = NetworkAddress("", parse_ip(WAYPOINT_IP))
    service = Service(
        name="bench",
        namespace=us.namespace,
        hostname=SERVICE_HOST,
        addresses=(NetworkAddress("", parse_ip(SERVICE_IP)),),
        ports=tuple(Port(port, port, _protocol(port)) for port in ports),
        waypoint=GatewayAddress(address, HBONE_PORT),
    )
    endpoint = replace(world(us, server)[1], services={service.key: service.ports})
    itself = Waypoint(namespace=us.namespace, name=us.service_account, addresses=(address.ip,))
    with worker("waypoint.worker", namespace, **environment) as fed:
        with _blaming(fed.process):
            fed.tell([endpoint], [service], configuration=[itself, *routes])
            fed.certify(us, issued)
        yield fed


def _protocol(port: int) -> AppProtocol:
    return AppProtocol.GRPC if port == CALL_PORT else AppProtocol.HTTP11


def route(
    name: str,
    service: str,
    *,
    port: int = REQUEST_PORT,
    rules: int = 1,
    value: str = "match",
    told: str = "",
) -> Route:
    """A route whose last rule takes requests with this `x-bench`, and adds a header to them.

    `told`, when given, is put into a header of the answers.
    """
    backend = Backend(service=service, port=port)
    added = Filters(
        request_headers=HeaderChange(add=(("x-added", "by-the-waypoint"),)),
        response_headers=HeaderChange(put=(("x-told", told),)) if told else None,
    )
    values = [f"{name}-{number}" for number in range(rules - 1)] + [value]
    return Route(
        kind=RouteKind.HTTP,
        namespace="bench",
        name=name,
        parents=(Attachment(service, port),),
        rules=tuple(
            RouteRule(
                matches=(
                    RequestMatch(headers=(ValueMatch("x-bench", ValueMatchKind.EXACT, value),)),
                ),
                filters=added,
                backends=(backend,),
            )
            for value in values
        ),
    )


def python(namespace: str, *words: str) -> list[str]:
    """The command line of a Python module of ours in a namespace."""
    return inside(namespace, sys.executable, "-m", *words)
