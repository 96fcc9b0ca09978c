"""A waypoint in a town: real processes in the pod that is not captured, a real control plane."""

import socket
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.routes import Waypoint
from mesh.model.workload import (
    AppProtocol,
    GatewayAddress,
    NetworkAddress,
    Port,
    Service,
    TunnelProtocol,
    Workload,
)
from mesh.proto.configuration_pb2 import Configuration as ConfigurationMessage
from mesh.proto.workload_pb2 import Address
from mesh.wire.configuration import (
    CONFIGURATION_TYPE,
    configuration_to_bytes,
)
from mesh.wire.configuration_values import Configuration, configuration_name
from mesh.wire.discovery_client import ADDRESS_TYPE
from mesh.wire.feed_codec import resource_name
from mesh.wire.workload_api import address_resource
from tests.control_plane import ControlPlane
from tests.ztunnel.proxy import Proxy
from tests.ztunnel.worker.town import MESH, OUTSIDE, SECONDS, Town, TownPod, network_address

GATEWAY: Final = "edge"
PLANE_PORT: Final = 15012
VIP: Final = "10.80.0.250"
"""Of the waypoint itself; connections go to its pod."""
IDENTITY: Final = Identity(MESH.trust_domain, "town", GATEWAY)
OURS: Final = GatewayAddress(NetworkAddress("", parse_ip(VIP)), 15008)
SELF: Final = Waypoint(
    namespace="town",
    name=GATEWAY,
    addresses=(parse_ip(VIP),),
    serves_services=True,
    serves_workloads=True,
)


def edge_workload(pod: TownPod) -> Workload:
    """What the state says of the waypoint's pod."""
    key = f"town/{GATEWAY}.town.svc.cluster.local"
    return pod.workload(
        uid=f"Kubernetes//Pod/town/{GATEWAY}",
        name=GATEWAY,
        service_account=GATEWAY,
        workload_name=GATEWAY,
        canonical_name=GATEWAY,
        services={key: (Port(15008, 15008),)},
    )


def edge_service() -> Service:
    """The waypoint's own service: its VIP."""
    return Service(
        name=GATEWAY,
        namespace="town",
        hostname=f"{GATEWAY}.town.svc.cluster.local",
        addresses=(network_address(VIP),),
        ports=(Port(15008, 15008),),
    )


@dataclass(slots=True)
class Edge:
    """Everything that a test may touch."""

    place: Town
    plane: ControlPlane
    environ: Mapping[str, str]
    proxy: Proxy
    acknowledged: set[str] = field(default_factory=set)

    @property
    def pod(self) -> TownPod:
        """The waypoint's."""
        return self.place.pod(OUTSIDE)

    def bound(
        self,
        name: str,
        ip: str,
        *pods: str,
        waypoint: GatewayAddress | None = OURS,
        protocol: TunnelProtocol = TunnelProtocol.HBONE,
    ) -> tuple[Service, list[Workload]]:
        """A TCP service (port 80, at 8080 there) whose clients go through the waypoint."""
        hostname = f"{name}.town.svc.cluster.local"
        service = Service(
            name=name,
            namespace="town",
            hostname=hostname,
            addresses=(network_address(ip),),
            ports=(Port(80, 8080, AppProtocol.TCP),),
            waypoint=waypoint,
        )
        port = (Port(80, 8080, AppProtocol.TCP),)
        return service, [
            self.place.pod(pod).workload(services={service.key: port}, protocol=protocol)
            for pod in pods
        ]

    def tell(
        self,
        workloads: Iterable[Workload] = (),
        services: Iterable[Service] = (),
        configuration: Iterable[Configuration] = (SELF,),
    ) -> None:
        """Make this the state of the node proxies, of the control plane and of the waypoint."""
        told = {workload.uid: workload for workload in (*workloads, edge_workload(self.pod))}
        usual = (pod.workload() for pod in self.place.pods.values() if pod.name != OUTSIDE)
        everything = [*told.values(), *(one for one in usual if one.uid not in told)]
        offered = [*services, edge_service()]
        self.place.tell(everything, offered)
        offer(self.plane, [*everything, *offered], configuration)
        self.wait_applied()

    def wait_applied(self) -> None:
        """Return when every worker decides by what was told last."""
        while not set(self.plane.last_nonce.values()) <= self.acknowledged:
            self.acknowledged.add(self.plane.next_request().response_nonce)


def offer(
    plane: ControlPlane,
    addresses: Iterable[Workload | Service],
    configuration: Iterable[Configuration],
) -> None:
    """Make this all that the control plane tells."""
    wanted = {
        ADDRESS_TYPE: {
            resource_name(one): Address.FromString(address_resource(one)) for one in addresses
        },
        CONFIGURATION_TYPE: {
            configuration_name(one): ConfigurationMessage.FromString(configuration_to_bytes(one))
            for one in configuration
        },
    }
    for type_url, resources in wanted.items():
        for name in plane.resources.get(type_url, {}).keys() - resources.keys():
            plane.remove(type_url, name)
        for name, message in resources.items():
            held = plane.resources.get(type_url, {}).get(name)
            if held is None or held[1] != message:
                version = "1" if held is None else str(int(held[0]) + 1)
                plane.put(type_url, name, message, version)


@contextmanager
def reaching(pod: TownPod, at: int, port: int) -> Iterator[None]:
    """Let a pod reach a server of ours at a port of its own loopback.

    The server itself stays in the test's namespace: threads of gRPC's would keep whichever they
    begin in, for all that gRPC does in this process.
    """

    def serve(accepted: socket.socket) -> None:
        with socket.create_connection(("localhost", port), SECONDS) as far:
            for end in (accepted, far):
                end.settimeout(None)
            back = threading.Thread(target=_carry, args=(far, accepted), daemon=True)
            back.start()
            _carry(accepted, far)
            back.join()

    with pod.serving(at, serve):
        yield


def _carry(source: socket.socket, sink: socket.socket) -> None:
    try:
        while octets := source.recv(65_536):
            sink.sendall(octets)
    except OSError:
        pass
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextmanager
def edge(place: Town, folder: Path, **environment: str) -> Iterator[Edge]:
    """Start a waypoint, with a state in which nothing is bound to it."""
    pod = place.pod(OUTSIDE)
    roots = folder / "roots.pem"
    roots.write_bytes(MESH.roots)
    with ControlPlane(MESH) as plane, reaching(pod, PLANE_PORT, plane.port):
        offer(plane, [edge_workload(pod), edge_service()], [SELF])
        environ = {
            "NODE_NAME": "near",
            "POD_NAME": GATEWAY,
            "POD_NAMESPACE": "town",
            "SERVICE_ACCOUNT": GATEWAY,
            "GATEWAY_NAME": GATEWAY,
            "INSTANCE_IP": pod.ip,
            "XDS_ADDRESS": f"https://localhost:{PLANE_PORT}",
            "CA_ADDRESS": f"https://localhost:{PLANE_PORT}",
            "XDS_ROOT_CA": str(roots),
            "CA_ROOT_CA": str(roots),
            "AUTH_TOKEN": "token",
            "SLUICE_STATE_DIR": str(folder / "state"),
            "IPV6_ENABLED": "true",
            "CONNECTION_TERMINATION_DEADLINE": "1s",
            **environment,
        }
        with Proxy(environ, pod.netns, "waypoint") as proxy:
            yield Edge(place, plane, environ, proxy)
