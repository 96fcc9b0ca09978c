"""The load, the same for every contestant: `python -m bench.load KIND ...`.

serve                     answers requests on 8001, swallows octets on 8002, and answers with a
                          megabyte on 8003
bulk STREAMS SECONDS      sends as fast as it can
requests CONNECTIONS SECONDS   small keep-alive HTTP requests, one at a time on each connection
paced RATE SECONDS        so many of them per second over 32 connections, to see how long they take
bodies CONNECTIONS SECONDS     requests that are answered with a megabyte
calls STREAMS SECONDS     unary gRPC calls on one connection, by h2load
connects AT_A_TIME SECONDS     a new connection for every request
idle CONNECTIONS          opens them, one request each, and keeps them until standard input ends

A client prints one line of JSON. The first half second of each timed kind is warming up. It dials
the server's own address, or the one in BENCH_TARGET.
"""

import json
import os
import re
import resource
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Final

from bench.namespaces import BODY_PORT, CALL_PORT, REQUEST_PORT, SERVER_IP, SINK_PORT

TARGET: Final = os.environ.get("BENCH_TARGET", SERVER_IP)
WARM_SECONDS: Final = 0.5
REQUEST: Final = b"GET / HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\nx-bench: match\r\n\r\n"
RESPONSE: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n"
CHUNK: Final = memoryview(bytes(256 * 1024))
BODY_OCTETS: Final = 1_000_000
MEGABYTE: Final = memoryview(
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\n\r\n" % BODY_OCTETS
    + bytes(BODY_OCTETS)
)
PACED_CONNECTIONS: Final = 32


def serve() -> None:
    """One epoll loop for all ports."""
    epoll = select.epoll()
    kinds = {REQUEST_PORT: Answering, SINK_PORT: Swallowing, BODY_PORT: Sending}
    listeners = {}
    for port, kind in kinds.items():
        listener = socket.create_server((SERVER_IP, port), backlog=4096)
        listener.settimeout(0)
        listeners[listener.fileno()] = listener, kind
        epoll.register(listener, select.EPOLLIN)
    connections: dict[int, Connection] = {}
    print("serving", flush=True)
    while True:
        for fd, _ in epoll.poll():
            if (connection := connections.get(fd)) is not None:
                if not connection.ready():
                    del connections[fd]
                    connection.sock.close()
            else:
                listener, kind = listeners[fd]
                for sock in _accepted(listener):
                    epoll.register(sock, kind.edges)
                    connections[sock.fileno()] = kind(sock)


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    for _ in range(64):
        try:
            sock, _peer = listener.accept()
        except BlockingIOError:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


class Connection:
    """One accepted connection; `ready` says whether it goes on."""

    edges = select.EPOLLIN

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def ready(self) -> bool:
        """Do what can be done now."""
        raise NotImplementedError


class Answering(Connection):
    """Small requests; each fits in one piece."""

    def ready(self) -> bool:
        """Answer one request."""
        try:
            if not self.sock.recv(4096):
                return False
            self.sock.send(RESPONSE)
        except OSError:
            return False
        return True


class Swallowing(Connection):
    """Whatever comes."""

    buffer = bytearray(1024 * 1024)

    def ready(self) -> bool:
        """Read on."""
        return self.sock.recv_into(self.buffer) > 0


class Sending(Connection):
    """Small requests, large answers."""

    edges = select.EPOLLIN | select.EPOLLOUT | select.EPOLLET
    left = memoryview(b"")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        sock.settimeout(0)

    def ready(self) -> bool:
        """Send on, then read the next request."""
        try:
            while True:
                while self.left:
                    self.left = self.left[self.sock.send(self.left) :]
                if not self.sock.recv(4096):
                    return False
                self.left = MEGABYTE
        except BlockingIOError:
            return True
        except OSError:
            return False


def dial(port: int) -> socket.socket:
    """A connection that is ready for small messages."""
    sock = socket.create_connection((TARGET, port), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def bulk(streams: int, seconds: float) -> dict[str, float]:
    """Octets per second that the first proxy takes (what is on the way is small against it)."""
    epoll = select.epoll()
    socks = {}
    for _ in range(streams):
        sock = dial(SINK_PORT)
        sock.settimeout(0)
        socks[sock.fileno()] = sock
        epoll.register(sock, select.EPOLLOUT)
    total = counted = 0
    begins = time.perf_counter() + WARM_SECONDS
    ends = begins + seconds
    while (now := time.perf_counter()) < ends:
        for fd, _ in epoll.poll():
            sent = socks[fd].send(CHUNK)
            total += sent
            if now >= begins:
                counted += sent
    return {"rate": counted / seconds, "total": total}


def requests(connections: int, seconds: float) -> dict[str, float]:
    """Requests per second, and how long one takes."""
    if connections == 1:
        return _one_by_one(seconds)
    epoll = select.epoll()
    socks = {}
    for _ in range(connections):
        sock = dial(REQUEST_PORT)
        sock.send(REQUEST)
        socks[sock.fileno()] = sock
        epoll.register(sock, select.EPOLLIN)
    total = counted = 0
    begins = time.perf_counter() + WARM_SECONDS
    ends = begins + seconds
    while (now := time.perf_counter()) < ends:
        ready = epoll.poll()
        for fd, _ in ready:
            sock = socks[fd]
            if not sock.recv(4096):
                raise ConnectionError("a connection was closed under load")
            sock.send(REQUEST)
        total += len(ready)
        if now >= begins:
            counted += len(ready)
    return {"rate": counted / seconds, "total": total}


def _one_by_one(seconds: float) -> dict[str, float]:
    sock = dial(REQUEST_PORT)
    # Blocking without a deadline: Python's own deadline costs a poll for each call.
    sock.settimeout(None)
    took = []
    begins = time.perf_counter() + WARM_SECONDS
    ends = begins + seconds
    total = 0
    while (now := time.perf_counter()) < ends:
        sock.send(REQUEST)
        if not sock.recv(4096):
            raise ConnectionError("the connection was closed under load")
        total += 1
        if now >= begins:
            took.append(time.perf_counter() - now)
    hundredths = statistics.quantiles(took, n=100)
    return {
        "rate": len(took) / seconds,
        "total": total,
        "p50_us": statistics.median(took) * 1e6,
        "p99_us": hundredths[98] * 1e6,
    }


def paced(rate: int, seconds: float) -> dict[str, float]:
    """How long requests take that begin at given times, whatever the earlier ones do.

    A request that finds no free connection waits for one, and that is part of its time.
    """
    epoll = select.epoll()
    free = [dial(REQUEST_PORT) for _ in range(PACED_CONNECTIONS)]
    socks = {sock.fileno(): sock for sock in free}
    for fd in socks:
        epoll.register(fd, select.EPOLLIN)
    due: dict[int, float] = {}
    took = []
    starts = time.perf_counter()
    begun = 0
    while (now := time.perf_counter()) < starts + WARM_SECONDS + seconds:
        while free and (at := starts + begun / rate) <= now:
            sock = free.pop()
            due[sock.fileno()] = at
            sock.send(REQUEST)
            begun += 1
        wait = max(0.0, starts + begun / rate - now) if free else 1.0
        for fd, _ in epoll.poll(min(wait, 0.001)):
            if not socks[fd].recv(4096):
                raise ConnectionError("a connection was closed under load")
            at = due.pop(fd)
            if at >= starts + WARM_SECONDS:
                took.append(time.perf_counter() - at)
            free.append(socks[fd])
    hundredths = statistics.quantiles(took, n=100)
    return {
        "rate": len(took) / seconds,
        "total": begun,
        "p50_us": statistics.median(took) * 1e6,
        "p99_us": hundredths[98] * 1e6,
    }


def bodies(connections: int, seconds: float) -> dict[str, float]:
    """Octets of answers per second."""
    epoll = select.epoll()
    socks = {}
    left = {}
    for _ in range(connections):
        sock = dial(BODY_PORT)
        sock.send(REQUEST)
        socks[sock.fileno()] = sock
        left[sock.fileno()] = 0
        epoll.register(sock, select.EPOLLIN)
    buffer = bytearray(1024 * 1024)
    total = counted = 0
    begins = time.perf_counter() + WARM_SECONDS
    ends = begins + seconds
    while (now := time.perf_counter()) < ends:
        for fd, _ in epoll.poll():
            got = socks[fd].recv_into(buffer)
            if not got:
                raise ConnectionError("a connection was closed under load")
            if not left[fd]:
                # A proxy may have changed the head; it says its length itself by where it ends.
                head = buffer.index(b"\r\n\r\n", 0, got) + 4
                left[fd] = head + BODY_OCTETS
            left[fd] -= got
            total += got
            counted += got if now >= begins else 0
            if not left[fd]:
                socks[fd].send(REQUEST)
    return {"rate": counted / seconds, "total": total}


def calls(streams: int, seconds: float) -> dict[str, float]:
    """Calls per second; h2load warms up by itself."""
    with tempfile.NamedTemporaryFile() as message:
        message.write(b"\0\0\0\0\5hello")
        message.flush()
        done = subprocess.run(
            ["h2load", f"-m{streams}", "-c1", "-t1", f"-D{round(seconds * 1000)}ms",
             f"--warm-up-time={round(WARM_SECONDS * 1000)}ms", f"-d{message.name}",
             "-Hcontent-type: application/grpc", "-Hte: trailers", "-Hx-bench: match",
             f"http://{TARGET}:{CALL_PORT}/bench.Bench/Call"],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    rate = re.search(r"finished in .*?, ([0-9.]+) req/s", done)
    total = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed", done)
    if rate is None or total is None or total[2] == "0":
        raise ConnectionError(f"h2load says: {done}")
    return {"rate": float(rate[1]), "total": int(total[1]), "failed": int(total[3])}


def connects(at_a_time: int, seconds: float) -> dict[str, float]:
    """Connections per second: dial, one request, one answer, close."""
    epoll = select.epoll()
    socks: dict[int, socket.socket] = {}

    def begin() -> None:
        sock = socket.socket()
        sock.settimeout(0)
        sock.connect_ex((TARGET, REQUEST_PORT))
        socks[sock.fileno()] = sock
        epoll.register(sock, select.EPOLLOUT)

    for _ in range(at_a_time):
        begin()
    total = counted = failed = 0
    starts = time.perf_counter() + WARM_SECONDS
    ends = starts + seconds
    while (now := time.perf_counter()) < ends:
        for fd, events in epoll.poll(1):
            sock = socks[fd]
            try:
                if events & select.EPOLLOUT:
                    sock.send(REQUEST)
                    epoll.modify(fd, select.EPOLLIN)
                    continue
                answered = bool(sock.recv(4096))
            except OSError:
                answered = False
            total += answered
            failed += not answered
            counted += answered and now >= starts
            epoll.unregister(fd)
            del socks[fd]
            sock.close()
            begin()
    return {"rate": counted / seconds, "total": total, "failed": failed}


def idle(connections: int) -> None:
    """Open them, prove each with a request, and keep them."""
    kept = []
    for _ in range(connections):
        sock = dial(REQUEST_PORT)
        sock.send(REQUEST)
        if not sock.recv(4096):
            raise ConnectionError(f"connection {len(kept) + 1} was closed")
        kept.append(sock)
    print("holding", len(kept), flush=True)
    sys.stdin.read()


TIMED: Final = {
    "bulk": bulk,
    "requests": requests,
    "paced": paced,
    "bodies": bodies,
    "calls": calls,
    "connects": connects,
}


def main(words: list[str]) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    match words:
        case ["serve"]:
            serve()
        case ["idle", connections]:
            idle(int(connections))
        case [kind, width, seconds] if kind in TIMED:
            print(json.dumps(TIMED[kind](int(width), float(seconds))), flush=True)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
