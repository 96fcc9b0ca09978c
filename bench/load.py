"""The load, the same for every contestant: `python -m bench.load KIND ...`.

serve                     answers requests on 8001, swallows octets on 8002
bulk STREAMS SECONDS      sends as fast as it can
requests CONNECTIONS SECONDS   small keep-alive HTTP requests, one at a time on each connection
connects AT_A_TIME SECONDS     a new connection for every request
idle CONNECTIONS          opens them, one request each, and keeps them until standard input ends

A client prints one line of JSON. The first half second of each timed kind is warming up.
"""

import json
import resource
import select
import socket
import statistics
import sys
import time
from typing import Final

from bench.namespaces import REQUEST_PORT, SERVER_IP, SINK_PORT

WARM_SECONDS: Final = 0.5
REQUEST: Final = b"GET / HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\n\r\n"
RESPONSE: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nhello\n"
CHUNK: Final = memoryview(bytes(256 * 1024))


def serve() -> None:
    """One epoll loop for both ports."""
    epoll = select.epoll()
    listeners = {}
    for port in (REQUEST_PORT, SINK_PORT):
        listener = socket.create_server((SERVER_IP, port), backlog=4096)
        listener.settimeout(0)
        listeners[listener.fileno()] = listener, port
        epoll.register(listener, select.EPOLLIN)
    answering: dict[int, socket.socket] = {}
    swallowing: dict[int, socket.socket] = {}
    buffer = bytearray(1024 * 1024)
    print("serving", flush=True)
    while True:
        for fd, _ in epoll.poll():
            if (sock := answering.get(fd)) is not None:
                if _answer(sock):
                    continue
                del answering[fd]
                sock.close()
            elif (sock := swallowing.get(fd)) is not None:
                if sock.recv_into(buffer):
                    continue
                del swallowing[fd]
                sock.close()
            else:
                listener, port = listeners[fd]
                _accept(listener, epoll, answering if port == REQUEST_PORT else swallowing)


def _accept(listener: socket.socket, epoll: select.epoll, into: dict[int, socket.socket]) -> None:
    for _ in range(64):
        try:
            sock, _peer = listener.accept()
        except BlockingIOError:
            return
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        epoll.register(sock, select.EPOLLIN)
        into[sock.fileno()] = sock


def _answer(sock: socket.socket) -> bool:
    """Answer one request (they fit in one piece); False at the end."""
    try:
        if not sock.recv(4096):
            return False
        sock.send(RESPONSE)
    except OSError:
        return False
    return True


def dial(port: int) -> socket.socket:
    """A connection that is ready for small messages."""
    sock = socket.create_connection((SERVER_IP, port), timeout=10)
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


def connects(at_a_time: int, seconds: float) -> dict[str, float]:
    """Connections per second: dial, one request, one answer, close."""
    epoll = select.epoll()
    socks: dict[int, socket.socket] = {}

    def begin() -> None:
        sock = socket.socket()
        sock.settimeout(0)
        sock.connect_ex((SERVER_IP, REQUEST_PORT))
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


def main(words: list[str]) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    match words:
        case ["serve"]:
            serve()
        case ["idle", connections]:
            idle(int(connections))
        case ["bulk" | "requests" | "connects" as kind, width, seconds]:
            kinds = {"bulk": bulk, "requests": requests, "connects": connects}
            print(json.dumps(kinds[kind](int(width), float(seconds))), flush=True)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
