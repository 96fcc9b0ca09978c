"""What tests of bad peers share: a second client that keeps working, and the worker's memory."""

import http.client
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from mesh.model.workload import AppProtocol, Port, Service, Workload
from tests.waypoint.edge import Edge

Serve = Callable[[socket.socket], None]
RST: Final = b"\1\0\0\0\0\0\0\0"
"""A linger that makes the close a reset."""
MOST_GROWTH: Final = 24 * 1024 * 1024
"""Octets by which a worker may grow for one bad peer, however much that one sends: windows of the
tunnels before and behind, and what a head may hold."""


def spoken(
    edge: Edge, name: str, ip: str, pod: str, speaks: AppProtocol
) -> tuple[Service, list[Workload]]:
    """A service of one pod, and what its port speaks."""
    service, workloads = edge.bound(name, ip, pod)
    port = (Port(80, 8080, speaks),)
    return replace(service, ports=port), [
        replace(one, services={service.key: port}) for one in workloads
    ]


def read_head(connection: socket.socket) -> bytes:
    """Read to the end of a request's head."""
    octets = b""
    while b"\r\n\r\n" not in octets:
        piece = connection.recv(65_536)
        if not piece:
            raise ConnectionError
        octets += piece
    return octets


def good(connection: socket.socket) -> None:
    """A server that does as it should."""
    while True:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ngood")


def resetting(connection: socket.socket) -> None:
    """Let the connection's close be a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)


def resident(pid: int) -> int:
    """How much memory a process holds, in octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


@dataclass
class Bystander:
    """A client that asks a good service without pause, on one connection."""

    edge: Edge
    ip: str
    answers: int = 0
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    begun: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """The thread."""
        connection = http.client.HTTPConnection(self.ip, timeout=10)
        try:
            connection.sock = self.edge.place.pod("web").dial(self.ip, 80)
            while not self.stop.wait(0.005):
                connection.request("GET", "/bystander")
                answer = connection.getresponse()
                if (answer.status, answer.read()) != (200, b"good"):
                    self.failures.append(str(answer.status))
                self.answers += 1
                self.begun.set()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            self.begun.set()
            connection.close()


@contextmanager
def undisturbed(edge: Edge, ip: str) -> Iterator[None]:
    """All the while, and afterwards, another client is answered; the worker's memory is bounded."""
    worker = edge.proxy.pid_of("worker-0")
    before = resident(worker)
    bystander = Bystander(edge, ip)
    thread = threading.Thread(target=bystander.run)
    thread.start()
    bystander.begun.wait()
    most = before
    try:
        yield
        most = resident(worker)
        seen = bystander.answers
        while bystander.answers < seen + 3 and thread.is_alive():
            most = max(most, resident(worker))
            thread.join(0.005)
    finally:
        bystander.stop.set()
        thread.join()
    assert bystander.failures == []
    assert most - before < MOST_GROWTH
    assert edge.proxy.pid_of("worker-0") == worker
    assert not [line for line in edge.proxy.lines if "Traceback" in line]
