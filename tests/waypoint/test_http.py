"""HTTP through a waypoint: real clients, node proxies and endpoints around a real waypoint."""

import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from mesh.model.routes import (
    Attachment,
    Backend,
    FilterProgram,
    Filters,
    HeaderChange,
    PathMatch,
    PathMatchKind,
    RequestMatch,
    Route,
    RouteKind,
    RouteRule,
)
from mesh.model.workload import AppProtocol, Port, Service, Workload
from tests.waypoint.edge import SELF, Edge
from tests.ztunnel.worker.town import MESH

pytestmark = [pytest.mark.netns, pytest.mark.slow]

HONEY = "10.80.0.30"


@pytest.fixture(autouse=True)
def _leave_nothing_open(shared: Edge) -> Iterator[None]:
    """Connections to endpoints are kept; the next test may want to see none."""
    yield
    shared.tell()


def http_service(edge: Edge, name: str, ip: str, *pods: str) -> tuple[Service, list[Workload]]:
    service, workloads = edge.bound(name, ip, *pods)
    port = (Port(80, 8080, AppProtocol.HTTP11),)
    return replace(service, ports=port), [
        replace(one, services={service.key: port}) for one in workloads
    ]


def answer(name: str) -> Callable[[socket.socket], None]:
    """A little HTTP/1.1 server: says who it is, and what it was asked."""

    def serve(connection: socket.socket) -> None:
        reader = connection.makefile("rb")
        while line := reader.readline():
            fields = []
            while (field := reader.readline()) not in {b"\r\n", b""}:
                fields.append(field.strip())
            content = name.encode() + b" " + line.strip() + b"\n" + b"\n".join(fields)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)
            )

    return serve


def ask(connection: http.client.HTTPConnection, path: str = "/") -> tuple[int, str]:
    connection.request("GET", path)
    found = connection.getresponse()
    return found.status, found.read().decode()


def dialled(edge: Edge, ip: str, pod: str = "web") -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(ip)
    connection.sock = edge.place.pod(pod).dial(ip, 80)
    return connection


def test_a_request_goes_through_and_says_who_calls(shared: Edge) -> None:
    honey, pods = http_service(shared, "honey", HONEY, "shop")
    shared.tell(pods, [honey])
    with shared.place.pod("shop").serving(8080, answer("shop")):
        client = dialled(shared, HONEY)
        status, said = ask(client, "/jar?full=1")
        assert status == 200
        assert said.startswith("shop GET /jar?full=1 HTTP/1.1")
        assert str(MESH.identity("town", "web")) in said
        assert ask(client)[0] == 200
        client.close()
    shared.proxy.wait_line(r'request complete\t.*path="/jar\?full=1".*response_code=200')


def routed(service: Service, *rules: RouteRule, kind: RouteKind = RouteKind.HTTP) -> Route:
    return Route(
        kind=kind,
        namespace="town",
        name=f"to-{service.name}",
        parents=(Attachment(service.key),),
        rules=rules,
    )


def to(service: Service, **fields: object) -> Backend:
    return Backend(service=service.key, port=80, **fields)


def test_a_route_steers_and_its_change_is_in_force_for_an_open_connection(shared: Edge) -> None:
    honey, pods = http_service(shared, "honey", HONEY, "shop")
    comb, others = http_service(shared, "comb", "10.80.0.31", "bakery")
    by_path = (RequestMatch(path=PathMatch(PathMatchKind.PREFIX, "/comb")),)
    stamp = Filters(request_headers=HeaderChange(put=(("x-stamped", "yes"),)))
    route = routed(
        honey,
        RouteRule(matches=by_path, filters=stamp, backends=(to(comb),)),
        RouteRule(backends=(to(honey),)),
    )
    shared.tell([*pods, *others], [honey, comb], [SELF, route])
    place = shared.place
    with (
        place.pod("shop").serving(8080, answer("shop")),
        place.pod("bakery").serving(8080, answer("bakery")),
    ):
        client = dialled(shared, HONEY)
        assert ask(client)[1].startswith("shop")
        _, said = ask(client, "/comb/1")
        assert said.startswith("bakery")
        assert "x-stamped: yes" in said
        shared.tell(
            [*pods, *others], [honey, comb], [SELF, routed(honey, RouteRule(matches=by_path))]
        )
        assert ask(client)[0] == 404
        assert ask(client, "/comb")[0] == 500
        shared.tell([*pods, *others], [honey, comb])
        assert ask(client, "/comb")[1].startswith("shop")
        client.close()


# What is no HTTP.

PLUM = "10.80.0.32"


def spoken(service: Service, workloads: list[Workload], speaks: AppProtocol) -> Service:
    port = (Port(80, 8080, speaks),)
    workloads[:] = [replace(one, services={service.key: port}) for one in workloads]
    return replace(service, ports=port)


def greet(name: str) -> Callable[[socket.socket], None]:
    """Speaks first, then says everything back."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(f"{name}\n".encode())
        while octets := connection.recv(65_536):
            connection.sendall(octets)

    return serve


def said_by(client: socket.socket) -> str:
    """The first line, or nothing if the connection is reset."""
    try:
        return client.makefile().readline().strip()
    except ConnectionResetError:
        return ""


def test_a_tcp_route_splits_connections_and_a_bad_share_is_reset(shared: Edge) -> None:
    plum, pods = shared.bound("plum", PLUM, "shop")
    damson, others = shared.bound("damson", "10.80.0.33", "bakery")
    backends = (
        to(plum, weight=2),
        to(damson, weight=2),
        Backend(weight=1, problem="route_backend_missing"),
    )
    route = routed(plum, RouteRule(backends=backends), kind=RouteKind.TCP)
    shared.tell([*pods, *others], [plum, damson], [SELF, route])
    place = shared.place
    with (
        place.pod("shop").serving(8080, greet("shop")),
        place.pod("bakery").serving(8080, greet("bakery")),
    ):
        seen = set()
        for _ in range(40):
            with place.pod("web").dial(PLUM, 80) as client:
                seen.add(said_by(client))
            if len(seen) == 3:
                break
        assert seen == {"shop", "bakery", ""}


def test_on_a_port_of_unknown_protocol_http_is_seen_and_anything_else_goes_through(
    shared: Edge,
) -> None:
    plum, pods = shared.bound("plum", PLUM, "shop")
    plum = spoken(plum, pods, AppProtocol.UNKNOWN)
    shared.tell(pods, [plum])
    place = shared.place
    with place.pod("shop").serving(8080, greet("shop")), place.pod("web").dial(PLUM, 80) as raw:
        assert said_by(raw) == "shop"  # it spoke first
        raw.sendall(b"*1\r\n$4\r\nPING\r\n")
        assert raw.recv(100) == b"*1\r\n$4\r\nPING\r\n"
    with place.pod("shop").serving(8080, answer("shop")):
        client = dialled(shared, PLUM)
        assert ask(client, "/seen")[1].startswith("shop GET /seen")
        client.close()
    shared.proxy.wait_line(r'request complete\t.*path="/seen"')


def test_a_tls_route_goes_by_the_server_name_and_the_octets_stay_as_they_are(
    shared: Edge, tmp_path: Path
) -> None:
    plum, pods = shared.bound("plum", PLUM, "shop")
    plum = spoken(plum, pods, AppProtocol.TLS)
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = MESH.issue(MESH.identity("town", "shop"))
    certificate.write_bytes(made.chain)
    key.write_bytes(made.key)
    route = replace(
        routed(plum, RouteRule(backends=(to(plum),)), kind=RouteKind.TLS),
        hostnames=("a.example",),
    )
    shared.tell(pods, [plum], [SELF, route])
    place = shared.place
    there = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    there.load_cert_chain(certificate, key)

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), there.wrap_socket(connection, server_side=True) as secured:
            secured.sendall(b"secret\n")
            secured.recv(1)

    here = ssl.create_default_context()
    here.check_hostname = False
    here.verify_mode = ssl.CERT_NONE
    with place.pod("shop").serving(8080, serve):
        with here.wrap_socket(place.pod("web").dial(PLUM, 80), server_hostname="a.example") as own:
            assert own.recv(100) == b"secret\n"
        with pytest.raises(OSError), place.pod("web").dial(PLUM, 80) as client:  # noqa: PT011 - reset, or closed
            here.wrap_socket(client, server_hostname="b.example")


def test_a_users_filter_runs_in_a_process_of_its_own_and_is_replaced_while_it_serves(
    shared: Edge,
) -> None:
    honey, pods = http_service(shared, "honey", HONEY, "shop")
    route = routed(
        honey, RouteRule(filters=Filters(extensions=("town/stamp",)), backends=(to(honey),))
    )

    def stamping(word: str) -> FilterProgram:
        source = (
            "from waypoint.filter import Filter\n"
            "class Stamp(Filter):\n"
            "    def request(self, request):\n"
            f"        request.headers['x-stamp'] = '{word}'\n"
        )
        return FilterProgram(namespace="town", name="stamp", source=source, budget_s=5.0)

    with shared.place.pod("shop").serving(8080, answer("shop")):
        shared.tell(pods, [honey], [SELF, route, stamping("one")])
        client = dialled(shared, HONEY)
        wait_for(lambda: "x-stamp: one" in ask(client)[1])
        shared.tell(pods, [honey], [SELF, route, stamping("two")])
        wait_for(lambda: "x-stamp: two" in ask(client)[1])
        shared.tell(pods, [honey], [SELF, route])
        assert ask(client)[0] == 500
        client.close()


def wait_for(is_so: Callable[[], bool]) -> None:
    """A filter is loaded a moment after it was told."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
