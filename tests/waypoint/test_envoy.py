"""Stock Envoy, with a certificate of the mesh, as a client of the waypoint's tunnel port."""

import http.client
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from bench import envoy
from bench.processes import Started
from mesh.model.workload import AppProtocol, Port
from tests.waypoint.edge import IDENTITY, Edge
from tests.ztunnel.worker.town import MESH

pytestmark = [pytest.mark.netns, pytest.mark.slow]

FIG = "10.80.0.60"
PORT = 9000
SIZE = 5_000_000


@contextmanager
def dialling(edge: Edge, authority: str) -> Iterator[Started]:
    """Envoy beside the waypoint: what comes to its port is tunnelled to an authority."""
    papers = MESH.issue(MESH.identity("town", "web"))
    address = {"socket_address": {"address": "127.0.0.1", "port_value": PORT}}
    listener = {
        "name": "out",
        "address": address,
        "filter_chains": [{"filters": [envoy.tunnelled("hbone", authority)]}],
    }
    cluster = envoy.hbone_cluster("hbone", papers, IDENTITY, edge.pod.ip)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(envoy.bootstrap([listener], [cluster]), file)
        file.flush()
        words = ("-c", file.name, "--concurrency", "1", "--disable-hot-restart")
        there = f"--net=/proc/{os.getpid()}/fd/{edge.pod.netns}"
        process = Started(["nsenter", there, envoy.binary(), *words, "--log-level", "info"])
        try:
            envoy.wait_listening(process)
            yield process
        finally:
            process.stop()


def large(connection: socket.socket) -> None:
    """Answers every request with many octets, and the request's content with its size."""
    reader = connection.makefile("rb")
    while line := reader.readline():
        size = 0
        while (field := reader.readline().lower()) not in {b"\r\n", b""}:
            if field.startswith(b"content-length:"):
                size = int(field.partition(b":")[2])
        content = b"%d" % len(reader.read(size)) if line.startswith(b"POST") else bytes(SIZE)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(content), content)
        )


def test_envoy_tunnels_requests_to_a_waypoint(shared: Edge) -> None:
    fig, pods = shared.bound("fig", FIG, "shop")
    port = (Port(80, 8080, AppProtocol.HTTP11),)
    fig, pods = replace(fig, ports=port), [replace(one, services={fig.key: port}) for one in pods]
    shared.tell(pods, [fig])
    with shared.place.pod("shop").serving(8080, large), dialling(shared, f"{FIG}:80"):
        client = http.client.HTTPConnection("fig")
        client.sock = shared.pod.dial("127.0.0.1", PORT)
        for number in range(3):
            client.request("GET", f"/by-envoy/{number}")
            assert client.getresponse().read() == bytes(SIZE)
        client.request("POST", "/", bytes(SIZE))
        assert client.getresponse().read() == b"%d" % SIZE
        client.close()
    said = shared.proxy.wait_line(r'request complete\t.*path="/by-envoy/2".*')[0]
    assert f'src.identity="{MESH.identity("town", "web")}"' in said
    shared.tell()


def test_envoy_is_refused_what_is_not_the_waypoints(shared: Edge) -> None:
    shared.tell()
    with dialling(shared, "10.79.0.4:8080"):
        assert shared.pod.is_refused("127.0.0.1", PORT)
    shared.proxy.wait_line(r'connection failed\t.*code="route_not_this_waypoint"')
