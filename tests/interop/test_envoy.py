"""Envoy, which shares no code with us, as the other side of HBONE."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio

from bench import envoy, sluice
from bench.namespaces import (
    CLIENT_IP,
    REQUEST_PORT,
    SERVER_IP,
    SINK_PORT,
    Cable,
    cable,
    inside,
)
from bench.processes import Started
from mesh.model.names import HBONE_PORT
from mesh.runtime import tls
from tests.pki import Authority, Issued

pytestmark = [pytest.mark.netns, pytest.mark.slow]

MESH = Authority()
CLIENT = MESH.identity("bench", "client")
SERVER = MESH.identity("bench", "server")
CLIENT_PAPERS = MESH.issue(CLIENT)
SERVER_PAPERS = MESH.issue(SERVER)
PORTS = (REQUEST_PORT, SINK_PORT)


@pytest.fixture
def wires() -> Iterator[Cable]:
    """Two pods and the application in one of them."""
    with cable("interop", redirect=True) as made:
        application = Started(inside(made.server, sys.executable, "-m", "bench.load", "serve"))
        try:
            application.wait_line("serving")
            yield made
        finally:
            application.stop()


def load(wires: Cable, *words: str) -> dict[str, float]:
    """Let the client pod work; what it says at the end."""
    done = subprocess.run(
        inside(wires.client, sys.executable, "-m", "bench.load", *words),
        capture_output=True,
        check=False,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, float] = json.loads(done.stdout)
    return found


def socket_in(namespace: str) -> socket.socket:
    """A TCP socket of another namespace, made by a child that goes there for good."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    program = (
        "import socket, sys; out = socket.socket(fileno=int(sys.argv[1]));"
        "made = socket.socket(); socket.send_fds(out, [b'.'], [made.fileno()])"
    )
    with ours, its:
        subprocess.run(
            inside(namespace, sys.executable, "-c", program, str(its.fileno())),
            pass_fds=[its.fileno()],
            check=True,
        )
        _, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
    return socket.socket(fileno=descriptors[0])


def test_the_envoy_pair_carries_requests_and_bulk(wires: Cable) -> None:
    with (
        envoy.running(wires.server, envoy.server(SERVER_PAPERS, CLIENT, PORTS)),
        envoy.running(wires.client, envoy.client(CLIENT_PAPERS, SERVER)),
    ):
        assert load(wires, "requests", "4", "0.1")["total"] > 0
        assert load(wires, "bulk", "2", "0.1")["total"] > 0


async def shake_hands_with_envoy(wires: Cable, papers: Issued) -> tls.Peer:
    """Our client side of TLS against the Envoy in the server pod."""
    with socket_in(wires.client) as sock, trio.fail_after(5):
        sock.connect((SERVER_IP, HBONE_PORT))
        sock.setblocking(False)
        context = tls.client_context(papers.key, papers.chain, MESH.roots)
        connection = tls.client_connection(context, sock)
        return await tls.handshake(
            connection, sock, trust_domain=MESH.trust_domain, expected={SERVER}
        )


async def test_our_tls_client_and_an_envoy_server_authenticate_each_other(wires: Cable) -> None:
    with envoy.running(wires.server, envoy.server(SERVER_PAPERS, CLIENT, PORTS)):
        peer = await shake_hands_with_envoy(wires, CLIENT_PAPERS)

    assert peer.identity == SERVER


async def test_our_tls_server_and_an_envoy_client_authenticate_each_other(wires: Cable) -> None:
    with (
        socket_in(wires.server) as listener,
        envoy.running(wires.client, envoy.client(CLIENT_PAPERS, SERVER)),
        socket_in(wires.client) as application,
        trio.fail_after(10),
    ):
        listener.bind((SERVER_IP, HBONE_PORT))
        listener.listen()
        application.connect((SERVER_IP, REQUEST_PORT))  # redirected to Envoy, which dials us
        listener.setblocking(False)
        await trio.lowlevel.wait_readable(listener)
        accepted, far = listener.accept()
        with accepted:
            accepted.setblocking(False)
            context = tls.server_context(SERVER_PAPERS.key, SERVER_PAPERS.chain, MESH.roots)
            connection = tls.server_connection(context, accepted)
            peer = await tls.handshake(connection, accepted, trust_domain=MESH.trust_domain)

    assert far[0] == CLIENT_IP
    assert peer.identity == CLIENT


def test_our_worker_tunnels_to_an_envoy_server(wires: Cable) -> None:
    pods = sluice.world(CLIENT, SERVER)
    with (
        envoy.running(wires.server, envoy.server(SERVER_PAPERS, CLIENT, PORTS)),
        sluice.running(wires.client, CLIENT, CLIENT_PAPERS, pods),
    ):
        assert load(wires, "requests", "4", "0.1")["total"] > 0
        assert load(wires, "bulk", "2", "0.1")["total"] > 0
        assert load(wires, "connects", "8", "0.1")["failed"] == 0


def test_an_envoy_client_tunnels_to_our_worker(wires: Cable) -> None:
    pods = sluice.world(CLIENT, SERVER)
    with (
        sluice.running(wires.server, SERVER, SERVER_PAPERS, pods),
        envoy.running(wires.client, envoy.client(CLIENT_PAPERS, SERVER)),
    ):
        assert load(wires, "requests", "4", "0.1")["total"] > 0
        assert load(wires, "bulk", "2", "0.1")["total"] > 0
        assert load(wires, "connects", "8", "0.1")["failed"] == 0
