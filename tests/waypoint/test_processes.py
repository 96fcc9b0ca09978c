"""A whole waypoint: killed and replaced part by part, renewed, drained, asked about itself."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.model.routes import Attachment, Route, RouteKind
from tests.waypoint.edge import GATEWAY, IDENTITY, SELF, Edge, edge
from tests.ztunnel.proxy import PATIENCE_S, Proxy, is_running
from tests.ztunnel.worker.town import Town, line_of, named

pytestmark = [pytest.mark.netns, pytest.mark.slow]

BREAD = "10.80.0.20"
CAKE = "10.80.0.21"
ROUTE = Route(
    kind=RouteKind.TCP,
    namespace="town",
    name="bread",
    parents=(Attachment("town/nobody.town.svc.cluster.local"),),
)


def until(condition: Callable[[], bool]) -> None:
    """Look again and again: nothing tells when another process is done."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


@pytest.fixture
def own(place: Town, tmp_path: Path) -> Iterator[Edge]:
    """A waypoint that the test may break, with a service bound to it."""
    with edge(place, tmp_path) as running:
        running.proxy.wait_ready()
        bread, pods = running.bound("bread", BREAD, "shop")
        running.tell(pods, [bread], [SELF, ROUTE])
        yield running


def answers(own: Edge, vip: str = BREAD) -> bool:
    """Whether a connection through the waypoint reaches an application."""
    try:
        with own.place.pod("web").dial(vip, 80) as client:
            return line_of(client) == f"shop sees {own.pod.ip}"
    except (OSError, EOFError):
        return False


def test_a_killed_control_process_is_replaced_and_no_connection_notices(own: Edge) -> None:
    shop, web = own.place.pod("shop"), own.place.pod("web")
    worker = own.proxy.pid_of("worker-0")
    with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as before:
        line_of(before)
        own.proxy.kill("control")
        own.proxy.wait_line("control has ended: killed by SIGKILL")
        assert answers(own), "the worker decides by what it has"
        own.proxy.pid_of("control", 2)
        own.proxy.wait_ready()
        own.acknowledged.clear()
        cake, pods = own.bound("cake", CAKE, "shop")
        own.tell(pods, [cake])
        assert answers(own, CAKE), "the successor feeds what comes from now on"
        before.sendall(b"still here")
        assert before.recv(100) == b"still here"
    assert is_running(worker)


def test_a_killed_worker_is_soon_back(own: Edge) -> None:
    shop = own.place.pod("shop")
    with shop.serving(8080, named(shop)):
        assert answers(own)
        own.proxy.kill("worker-0")
        own.proxy.wait_line("worker-0 has ended: killed by SIGKILL")
        until(lambda: answers(own))
        own.proxy.wait_ready()


def test_a_killed_supervisor_takes_its_children_along(own: Edge) -> None:
    children = [own.proxy.pid_of("control"), own.proxy.pid_of("worker-0")]
    own.proxy.process.kill()
    until(lambda: not any(map(is_running, children)))


def test_sigterm_drains_and_ends_well(own: Edge) -> None:
    shop, web = own.place.pod("shop"), own.place.pod("web")
    with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as client:
        line_of(client)
        own.proxy.process.send_signal(signal.SIGTERM)
        own.proxy.wait_line("control.*drains")
        client.sendall(b"going on")
        assert client.recv(100) == b"going on"
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
        assert own.proxy.exit_code() == 0
    own.proxy.wait_line("worker has drained")


def test_what_does_not_end_is_cut_at_the_drains_deadline(own: Edge) -> None:
    shop, web = own.place.pod("shop"), own.place.pod("web")
    with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as client:
        line_of(client)
        own.proxy.process.send_signal(signal.SIGTERM)
        assert own.proxy.exit_code() == 0
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_the_certificate_is_renewed_and_used(place: Town, tmp_path: Path) -> None:
    with edge(place, tmp_path) as running:
        running.plane.lasts_s = 4.0
        running.proxy.wait_ready()
        bread, pods = running.bound("bread", BREAD, "shop")
        running.tell(pods, [bread])
        shop, web = place.pod("shop"), place.pod("web")
        with shop.serving(8080, named(shop)), web.dial(BREAD, 80) as before:
            line_of(before)
            running.proxy.wait_line(rf'certificate\tidentity="{IDENTITY}"', 3)
            assert answers(running)
            # Its tunnels have shown a newer certificate meanwhile, or it would have ended.
            before.sendall(b"still here")
            assert before.recv(100) == b"still here"


def test_a_waypoint_without_certificate_is_not_ready(place: Town, tmp_path: Path) -> None:
    with edge(place, tmp_path, CA_ADDRESS="") as running:
        running.proxy.wait_line("the state is current")
        running.proxy.wait_line("certificates_off")
        until(lambda: "workers" not in running.proxy.page("readiness", "/healthz/ready")[1])
        assert running.proxy.page("readiness", "/healthz/ready") == (
            500,
            "not ready, pending: certificate\n",
        )


def test_a_waypoint_begins_by_its_last_good_state(own: Edge) -> None:
    state = Path(own.environ["SLUICE_STATE_DIR"]) / "last-good-state"
    until(lambda: state.exists() and b"Route/TCP/town/bread" in state.read_bytes())
    own.proxy.process.send_signal(signal.SIGTERM)
    assert own.proxy.exit_code() == 0
    own.plane.resources["hidden"] = {}
    held, own.plane.resources = own.plane.resources, {}
    own.plane.stop()
    with Proxy(own.environ, own.pod.netns, "waypoint") as again:
        again.wait_line(r"last good state\tage=.(\d+)s")
        assert "Route" in again.page("admin", "/config_dump")[1]
        own.plane.resources = held
        own.plane.start()
        again.wait_line("the state is current")
        again.wait_ready()


def test_its_pages_say_what_it_knows(own: Edge) -> None:
    shop = own.place.pod("shop")
    with shop.serving(8080, named(shop)):
        assert answers(own)
    status, body = own.proxy.page("admin", "/config_dump")
    dump = json.loads(body)
    assert status == 200
    assert {one["hostname"] for one in dump["services"]} == {
        "bread.town.svc.cluster.local",
        "edge.town.svc.cluster.local",
    }
    kinds = [next(iter(one)) for one in dump["configuration"]]
    assert kinds == ["Route", "Waypoint"]
    assert dump["config"]["gateway"] == f"town/{GATEWAY}"
    assert dump["certificates"][0]["identity"] == str(IDENTITY)
    own.proxy.wait_line("connection complete")
    metrics = own.proxy.page("stats", "/metrics")[1]
    opened = [line for line in metrics.splitlines() if "tcp_connections_opened_total{" in line]
    assert any('reporter="waypoint"' in line and 'source_workload="web"' in line for line in opened)
    assert 'istio_build{component="waypoint"' in metrics


def test_log_levels_can_be_set_while_it_runs(own: Edge) -> None:
    assert own.proxy.page("admin", "/logging?level=access=debug", "POST")[0] == 200
    shop = own.place.pod("shop")
    with shop.serving(8080, named(shop)):
        assert answers(own)
    own.proxy.wait_line("connection opened")


def test_quitquitquit_drains(own: Edge) -> None:
    assert own.proxy.page("admin", "/quitquitquit", "POST") == (200, "shutdown now\n")
    assert own.proxy.exit_code() == 0


def test_the_control_plane_hears_which_gateway_it_serves(own: Edge) -> None:
    own.plane.stop()
    own.plane.start()
    while not (request := own.plane.next_request()).node.id:
        pass
    assert request.node.id.startswith(f"waypoint~{own.pod.ip}~{GATEWAY}.town~")
    assert request.node.metadata["GATEWAY_NAME"] == GATEWAY


def test_a_port_that_is_taken_is_a_start_error_that_names_it(own: Edge) -> None:
    with own.pod.listen(0, "127.0.0.1") as taken:
        environ = {**own.environ, "SLUICE_ADMIN_PORT": str(taken.getsockname()[1])}
        with Proxy(environ, own.pod.netns, "waypoint") as proxy:
            assert proxy.exit_code() == 1
            proxy.wait_line("SLUICE_ADMIN_PORT: port .* cannot be opened.*port_taken")


def test_a_tunnel_port_that_is_taken_is_a_start_error(own: Edge) -> None:
    own.proxy.process.send_signal(signal.SIGTERM)
    assert own.proxy.exit_code() == 0
    with own.pod.listen(15008), Proxy(own.environ, own.pod.netns, "waypoint") as proxy:
        assert proxy.exit_code() == 1
        proxy.wait_line("cannot listen on port 15008")


def test_wrong_settings_are_all_named_at_start(own: Edge) -> None:
    environ = {**own.environ, "GATEWAY_NAME": "", "SECRET_TTL": "long"}
    with Proxy(environ, own.pod.netns, "waypoint") as proxy:
        assert proxy.exit_code() == 1
        proxy.wait_line("waypoint: GATEWAY_NAME")
        proxy.wait_line("waypoint: SECRET_TTL")


def test_two_workers_share_the_port(place: Town, tmp_path: Path) -> None:
    with edge(place, tmp_path, WAYPOINT_WORKER_THREADS="2") as running:
        running.proxy.wait_line("worker is here", 2)
        running.proxy.wait_ready()
        bread, pods = running.bound("bread", BREAD, "shop")
        running.tell(pods, [bread])
        shop = place.pod("shop")
        with shop.serving(8080, named(shop)):
            os.kill(running.proxy.pid_of("worker-0"), signal.SIGKILL)
            running.proxy.wait_line("worker-0 has ended")
            until(lambda: answers(running))
