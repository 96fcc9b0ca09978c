"""A whole node proxy: real processes, killed and replaced, with a real control plane and agent."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.model.address import parse_ip
from mesh.model.workload import TunnelProtocol, Workload
from mesh.proto.workload_pb2 import Address
from mesh.runtime.netns import create_netns, open_netns, remove_netns, socket_in
from mesh.wire.discovery_client import ADDRESS_TYPE, AUTHORIZATION_TYPE
from mesh.wire.workload_api import address_resource
from tests.control_plane import ControlPlane
from tests.pki import Authority
from tests.ztunnel import loopback
from tests.ztunnel.node_agent import NodeAgent, pod
from tests.ztunnel.proxy import PATIENCE_S, Proxy, is_running

pytestmark = [pytest.mark.netns, pytest.mark.slow]

WEB = pod("web")
PORTS = (15001, 15006, 15008)


def workload(name: str, ip: str = "10.9.0.1", node: str = "node-a") -> Address:
    value = Workload(
        uid=f"Kubernetes//Pod/shop/{name}",
        name=name,
        namespace="shop",
        service_account=name,
        addresses=(parse_ip(ip),),
        protocol=TunnelProtocol.HBONE,
        node=node,
        services={},
    )
    return Address.FromString(address_resource(value))


@pytest.fixture
def netns(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "netns"
    create_netns(path)
    loopback.up(path)
    yield path
    remove_netns(path)


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    with ControlPlane(Authority()) as running:
        running.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/web", workload("web"))
        yield running


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[NodeAgent]:
    with NodeAgent(tmp_path / "zds.sock") as listening:
        yield listening


@pytest.fixture
def environ(tmp_path: Path, plane: ControlPlane, agent: NodeAgent) -> dict[str, str]:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(plane.authority.roots)
    return {
        "NODE_NAME": "node-a",
        "POD_NAME": "ztunnel-a",
        "POD_NAMESPACE": "istio-system",
        "XDS_ADDRESS": plane.address,
        "CA_ADDRESS": plane.address,
        "XDS_ROOT_CA": str(roots),
        "CA_ROOT_CA": str(roots),
        "AUTH_TOKEN": "token",
        "INPOD_UDS": str(agent.path),
        "SLUICE_STATE_DIR": str(tmp_path / "state"),
    }


@pytest.fixture
def proxy(environ: dict[str, str]) -> Iterator[Proxy]:
    with Proxy(environ) as running:
        yield running


def connected(netns: Path, port: int = 15008) -> socket.socket:
    """A connection to a listener in the pod, made inside it."""
    descriptor = open_netns(netns)
    try:
        client = socket_in(descriptor)
    finally:
        os.close(descriptor)
    client.settimeout(PATIENCE_S)
    try:
        client.connect(("127.0.0.1", port))
    except OSError:
        client.close()
        raise
    return client


def listens(netns: Path, port: int) -> bool:
    try:
        connected(netns, port).close()
    except ConnectionRefusedError:
        return False
    except ConnectionResetError:  # accepted, and turned away before we had looked
        return True
    return True


def until(condition: Callable[[], bool]) -> None:
    """Look again and again: nothing tells when the kernel or another process is done."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


def serve(agent: NodeAgent, netns: Path) -> None:
    agent.accept()
    assert agent.add(WEB, netns) == ""
    assert agent.snapshot_sent() == ""


def served(listener: socket.socket) -> bool:
    """Whether the other side still has a connection open: it sends nothing, and no end."""
    listener.settimeout(0.3)
    try:
        return listener.recv(1) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


def test_a_pod_is_served_when_the_agent_has_its_answer(
    proxy: Proxy, agent: NodeAgent, netns: Path
) -> None:
    serve(agent, netns)
    assert {port: listens(netns, port) for port in PORTS} == dict.fromkeys(PORTS, True), proxy.lines
    proxy.wait_ready()
    assert agent.remove(WEB.uid) == ""
    until(lambda: not any(listens(netns, port) for port in PORTS))


def test_a_killed_control_process_is_replaced_and_no_connection_notices(
    proxy: Proxy, agent: NodeAgent, netns: Path, plane: ControlPlane
) -> None:
    serve(agent, netns)
    worker = proxy.pid_of("worker-0")
    with connected(netns) as before:
        proxy.kill("control")
        proxy.pid_of("control", 2)
        proxy.wait_line("control has ended: killed by SIGKILL")
        # The successor asks the worker which pods it has; a snapshot may just keep them.
        agent.accept()
        assert agent.keep(WEB.uid) == ""
        assert agent.snapshot_sent() == ""
        proxy.wait_ready()
        # It feeds what comes from now on.
        plane.put(ADDRESS_TYPE, "Kubernetes//Pod/shop/new", workload("new", "10.9.0.2"))
        until(lambda: "Pod/shop/new" in proxy.page("admin", "/config_dump")[1])
        until(lambda: '"upToDate": true' in proxy.page("admin", "/debug/workers")[1])
        assert served(before)
    assert is_running(worker)
    assert not [line for line in proxy.lines if "worker-0 has ended" in line]


def test_a_killed_worker_is_soon_back(proxy: Proxy, agent: NodeAgent, netns: Path) -> None:
    serve(agent, netns)
    proxy.wait_line("certificate\\tidentity")
    began = time.monotonic()
    proxy.kill("worker-0")
    until(lambda: not listens(netns, 15008) or time.monotonic() > began + 0.2)
    until(lambda: listens(netns, 15008))
    # Half a second when nothing else runs; the machine of a test run may be busy.
    assert time.monotonic() - began < 5.0
    proxy.wait_line("worker-0 has ended: killed by SIGKILL")
    proxy.wait_ready()


def test_a_killed_supervisor_takes_its_children_along(
    proxy: Proxy, agent: NodeAgent, netns: Path
) -> None:
    serve(agent, netns)
    children = [proxy.pid_of("control"), proxy.pid_of("worker-0")]
    proxy.process.kill()
    until(lambda: not any(map(is_running, children)))


def test_when_the_agent_goes_its_pods_stay(
    proxy: Proxy, agent: NodeAgent, netns: Path, tmp_path: Path
) -> None:
    serve(agent, netns)
    proxy.wait_ready()
    agent.close()
    until(lambda: proxy.page("readiness", "/healthz/ready")[0] == 500)
    assert listens(netns, 15008)
    with NodeAgent(tmp_path / "zds.sock") as successor:
        successor.accept()
        assert successor.snapshot_sent() == ""  # which knows of no pod
        until(lambda: not listens(netns, 15008))


def test_sigterm_drains_and_ends_well(proxy: Proxy, agent: NodeAgent, netns: Path) -> None:
    serve(agent, netns)
    proxy.process.send_signal(signal.SIGTERM)
    assert agent.has_gone()
    assert proxy.exit_code() == 0
    proxy.wait_line("worker has drained")


def test_a_killed_control_process_in_the_middle_of_a_drain_is_no_reason_to_cut_it_short(
    environ: dict[str, str], agent: NodeAgent, netns: Path
) -> None:
    with Proxy({**environ, "CONNECTION_TERMINATION_DEADLINE": "3s"}) as proxy:
        serve(agent, netns)
        os.kill(proxy.pid_of("worker-0"), signal.SIGSTOP)
        proxy.process.send_signal(signal.SIGTERM)
        proxy.wait_line("control.*drains")
        proxy.kill("control")
        proxy.wait_line("control.*drains", 2)
        os.kill(proxy.pid_of("worker-0"), signal.SIGCONT)
        assert proxy.exit_code() == 0
        proxy.wait_line("drained")


def test_a_worker_that_does_not_end_is_cut_at_the_deadline(
    environ: dict[str, str], agent: NodeAgent, netns: Path
) -> None:
    with Proxy({**environ, "CONNECTION_TERMINATION_DEADLINE": "100ms"}) as proxy:
        serve(agent, netns)
        worker = proxy.pid_of("worker-0")
        os.kill(worker, signal.SIGSTOP)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.exit_code() == 0
        proxy.wait_line("drain_cut")
        assert not is_running(worker)


def test_a_second_interrupt_ends_at_once(proxy: Proxy, agent: NodeAgent, netns: Path) -> None:
    serve(agent, netns)
    os.kill(proxy.pid_of("worker-0"), signal.SIGSTOP)
    proxy.process.send_signal(signal.SIGINT)
    proxy.wait_line("drains")
    proxy.process.send_signal(signal.SIGINT)
    assert proxy.exit_code() == 130


def test_quitquitquit_drains(proxy: Proxy, agent: NodeAgent, netns: Path) -> None:
    serve(agent, netns)
    assert proxy.page("admin", "/quitquitquit", "POST") == (200, "shutdown now\n")
    assert proxy.exit_code() == 0


def test_a_proxy_serves_from_its_last_good_state_while_the_control_plane_is_away(
    environ: dict[str, str], agent: NodeAgent, netns: Path, plane: ControlPlane
) -> None:
    with Proxy(environ) as first:
        serve(agent, netns)
        until((Path(environ["SLUICE_STATE_DIR"]) / "last-good-state").exists)
        first.process.send_signal(signal.SIGTERM)
        assert first.exit_code() == 0
    plane.stop()
    with Proxy(environ) as second:
        second.wait_line(r"last good state\tage=.(\d+)s")
        serve(agent, netns)
        second.wait_ready()
        assert "Pod/shop/web" in second.page("admin", "/config_dump")[1]
        assert "sluice_last_good_state_age_seconds 0.0" not in second.page("stats", "/metrics")[1]
        plane.start()
        second.wait_line("the state is current")
        assert '"lastGoodState": null' in second.page("admin", "/config_dump")[1]
    known = [r for r in plane.asked.queue if r.initial_resource_versions]
    assert known, "it asks for the changes only"


def test_without_control_plane_and_state_the_agent_is_not_even_called(
    environ: dict[str, str], plane: ControlPlane
) -> None:
    plane.stop()
    with Proxy(environ) as proxy:
        proxy.wait_line("worker is here")
        status, words = proxy.page("readiness", "/healthz/ready")
        assert (status, words) == (
            500,
            "not ready, pending: state manager, proxy, workload proxy manager\n",
        )


@pytest.mark.parametrize(
    "variable", ["SLUICE_ADMIN_PORT", "SLUICE_STATS_PORT", "SLUICE_READINESS_PORT"]
)
def test_a_port_that_is_taken_is_a_start_error_that_names_it(
    environ: dict[str, str], variable: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with Proxy({**environ, variable: str(port)}) as proxy:
            assert proxy.exit_code() == 1
            proxy.wait_line(f"{variable}: port {port} .*port_taken")


def test_wrong_settings_are_all_named_at_start(environ: dict[str, str]) -> None:
    with Proxy({**environ, "TLS12_ENABLED": "true", "SECRET_TTL": "long"}) as proxy:
        assert proxy.exit_code() == 1
        proxy.wait_line("TLS12_ENABLED")
        proxy.wait_line("SECRET_TTL")


def test_policies_come_before_the_pods_are_served(
    environ: dict[str, str], agent: NodeAgent, plane: ControlPlane
) -> None:
    with Proxy(environ) as proxy:
        agent.accept()
        acks = [plane.next_request() for _ in range(4)]
        acknowledged = {ack.type_url for ack in acks if ack.response_nonce}
        assert acknowledged == {ADDRESS_TYPE, AUTHORIZATION_TYPE}
        assert plane.signed == [] or str(plane.signed[0][0]).endswith("/sa/web")
        assert proxy.process.poll() is None
