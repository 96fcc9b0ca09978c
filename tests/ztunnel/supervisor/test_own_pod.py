"""The node proxy's own metrics over mutual TLS: a whole proxy, and a peer of another make."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mesh.model.address import parse_ip
from mesh.model.identity import Identity
from mesh.model.policy import (
    Action,
    Authorization,
    Match,
    PolicyScope,
    StringMatch,
    StringMatchKind,
)
from mesh.model.workload import TunnelProtocol, Workload
from mesh.proto import security_pb2
from mesh.proto.workload_pb2 import Address
from mesh.wire.discovery_client import ADDRESS_TYPE, AUTHORIZATION_TYPE
from mesh.wire.workload_api import address_resource, authorization_resource
from tests.control_plane import ControlPlane
from tests.pki import Authority
from tests.ztunnel.node_agent import NodeAgent
from tests.ztunnel.proxy import PATIENCE_S, Proxy
from tests.ztunnel.worker.raw import RawPeer

pytestmark = [pytest.mark.netns, pytest.mark.slow]

HOST = "127.0.0.1"
METRICS = 15020
OWN = "Kubernetes//Pod/istio-system/ztunnel-a"
SCRAPER = Identity("cluster.local", "monitoring", "prometheus")
NO_SCRAPER = Authorization(
    name="no-scraper",
    namespace="istio-system",
    scope=PolicyScope.NAMESPACE,
    action=Action.DENY,
    rules=(
        (
            (
                Match(
                    principals=(
                        StringMatch(StringMatchKind.EXACT, str(SCRAPER).removeprefix("spiffe://")),
                    )
                ),
            ),
        ),
    ),
)


class Here:
    """This namespace, as a pod that a peer dials from."""

    def dial(self, host: str, port: int) -> socket.socket:
        return socket.create_connection((host, port), PATIENCE_S)


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(Authority()) as running:
        yield running


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[NodeAgent]:
    with NodeAgent(tmp_path / "zds.sock") as listening:
        yield listening


@pytest.fixture
def proxy(tmp_path: Path, plane: ControlPlane, agent: NodeAgent) -> Iterator[Proxy]:
    """Without any pod of the mesh; its node's state is another node's pod, and nothing else."""
    roots = tmp_path / "roots.pem"
    roots.write_bytes(plane.authority.roots)
    put(plane, "web", "shop", "10.9.0.1")
    environ = {
        "NODE_NAME": "node-a",
        "POD_NAME": "ztunnel-a",
        "POD_NAMESPACE": "istio-system",
        "SERVICE_ACCOUNT": "ztunnel",
        "XDS_ADDRESS": plane.address,
        "CA_ADDRESS": plane.address,
        "XDS_ROOT_CA": str(roots),
        "CA_ROOT_CA": str(roots),
        "AUTH_TOKEN": "token",
        "INPOD_UDS": str(agent.path),
        "SLUICE_STATS_PORT": str(METRICS),
    }
    with Proxy(environ) as running:
        agent.accept()
        agent.snapshot_sent()
        running.wait_ready()
        yield running


def put(plane: ControlPlane, name: str, namespace: str, ip: str, account: str = "web") -> None:
    value = Workload(
        uid=f"Kubernetes//Pod/{namespace}/{name}",
        name=name,
        namespace=namespace,
        service_account=account,
        addresses=(parse_ip(ip),),
        protocol=TunnelProtocol.HBONE,
        node="node-a" if ip == HOST else "node-b",
        services={},
    )
    plane.put(ADDRESS_TYPE, value.uid, Address.FromString(address_resource(value)))


def tell(plane: ControlPlane) -> None:
    """The state gets the proxy's own pod."""
    put(plane, "ztunnel-a", "istio-system", HOST, "ztunnel")


def listens(port: int) -> bool:
    try:
        Here().dial(HOST, port).close()
    except ConnectionRefusedError:
        return False
    return True


def until(condition: Callable[[], bool]) -> None:
    """Look again and again: nothing tells when another process is done."""
    for _ in range(1000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise TimeoutError


def scraper(plane: ControlPlane) -> RawPeer:
    papers = plane.authority.issue(SCRAPER)
    return RawPeer(Here(), HOST, papers, papers.roots)


def status(plane: ControlPlane, port: int) -> bytes:
    with scraper(plane) as peer:
        return peer.answer(peer.connect(f"{HOST}:{port}"))[b":status"]


def scraped(plane: ControlPlane) -> bytes:
    with scraper(plane) as peer:
        stream = peer.connect(f"{HOST}:{METRICS}")
        assert peer.answer(stream)[b":status"] == b"200"
        peer.send(stream, b"GET /metrics HTTP/1.1\r\nHost: ztunnel\r\n\r\n")
        return b"".join(iter(lambda: peer.read(stream), b""))


def test_its_metrics_are_served_to_peers_of_the_mesh_and_nothing_else_is(
    proxy: Proxy, plane: ControlPlane
) -> None:
    assert not listens(15008)  # the state does not have the proxy's own pod
    tell(plane)
    until(lambda: listens(15008))
    page = scraped(plane)
    assert b"istio_build" in page
    assert b"workload_manager_active_proxy_count 0.0" in page
    admin = int(proxy.wait_line(r"\tpages\t.*\badmin=(\d+)")[1])
    assert [status(plane, port) for port in (admin, 15000, 15021, 8080)] == [b"403"] * 4
    assert status(plane, 15008) == b"503"
    assert [listens(port) for port in (15001, 15006)] == [False, False]
    proxy.wait_line("code=.?route_not_offered")
    line = proxy.wait_line(r"connection complete.*dst.hbone_addr=\S*:15020.*")[0]
    assert f'src.identity="{SCRAPER}"' in line
    assert 'dst.identity="spiffe://cluster.local/ns/istio-system/sa/ztunnel"' in line
    proxy.wait_ready()


def test_policies_of_its_namespace_apply(proxy: Proxy, plane: ControlPlane) -> None:
    tell(plane)
    until(lambda: listens(15008))
    assert status(plane, METRICS) == b"200"
    message = security_pb2.Authorization.FromString(authorization_resource(NO_SCRAPER))
    plane.put(AUTHORIZATION_TYPE, "istio-system/no-scraper", message)
    until(lambda: "no-scraper" in proxy.page("admin", "/config_dump")[1])
    until(lambda: status(plane, METRICS) == b"401")


def test_it_survives_a_crash_of_control_and_goes_with_its_pod(
    proxy: Proxy, plane: ControlPlane, agent: NodeAgent
) -> None:
    tell(plane)
    until(lambda: listens(15008))
    proxy.kill("control")
    agent.accept()
    agent.snapshot_sent()
    proxy.wait_line("own metrics are served in the mesh", 2)
    assert b"istio_build" in scraped(plane)
    plane.remove(ADDRESS_TYPE, OWN)
    until(lambda: not listens(15008))


def test_who_speaks_no_tls_gets_nothing(proxy: Proxy, plane: ControlPlane) -> None:
    tell(plane)
    until(lambda: listens(15008))
    with Here().dial(HOST, 15008) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""
    proxy.wait_line("tls_handshake_failed")
