"""HTTP through a waypoint: real clients, node proxies and endpoints around a real waypoint."""

import http.client
import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from mesh.model.routes import (
    Attachment,
    Backend,
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
    shared.place.settle()
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
    shared.place.settle()
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
