"""HTTP clients in a pod: what they saw is printed as JSON."""

import hashlib
import json
import socket
import sys

import requests
from websockets.sync.client import connect

from tests.e2e.peers.pattern import pattern

SECONDS = 20


def keep(url: str) -> object:
    """`requests` with one session: sizes of answers, and on how many connections they came."""
    opened = set()
    sizes = []
    with requests.Session() as session:
        for size in (0, 1, 100_000, 7):
            answer = session.get(f"{url}/{size}", timeout=SECONDS, stream=True)
            connection = answer.raw.connection
            opened.add(connection.sock.getsockname() if connection else None)
            sizes.append(len(answer.content))
        streamed = session.post(url, data=iter([b"a" * 1000, b"b" * 70_000]), timeout=SECONDS)
    return {"sizes": sizes, "connections": len(opened - {None}), "posted": streamed.json()}


def pipeline(host: str, port: str) -> object:
    """Requests sent at once; the answers in the order in which they came."""
    sizes = [5, 70_000, 0, 1, 300]
    asked = b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % size for size in sizes)
    with socket.create_connection((host, int(port)), SECONDS) as client:
        client.sendall(asked + b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        whole = b""
        while piece := client.recv(65_536):
            whole += piece
    right = []
    for size in [*sizes, 2]:
        head, _, whole = whole.partition(b"\r\n\r\n")
        is_long = f"content-length: {size}".encode() in head.lower()
        right.append(is_long and whole[:size] == pattern(size))
        whole = whole[size:]
    return {"right": right, "left": len(whole)}


def trailers(host: str, port: str) -> object:
    """A chunked upload with trailers: what the server saw."""
    with socket.create_connection((host, int(port)), SECONDS) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntrailer: x-end\r\n"
            b"connection: close\r\n\r\n5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\nx-end: there\r\n\r\n"
        )
        whole = b""
        while piece := client.recv(65_536):
            whole += piece
    return json.loads(whole.partition(b"\r\n\r\n")[2])


def half(host: str, port: str) -> object:
    """A client that sends no more after its request: it is answered all the same."""
    with socket.create_connection((host, int(port)), SECONDS) as client:
        client.sendall(b"GET /70000 HTTP/1.1\r\nhost: a\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        whole = b""
        while piece := client.recv(65_536):
            whole += piece
    return {"right": whole.partition(b"\r\n\r\n")[2] == pattern(70_000)}


def websocket(url: str) -> object:
    """Frames there and back, small and large, and a clean end."""
    came = []
    with connect(url, compression=None, max_size=None) as client:
        for message in ("hello", b"\0" * 300_000, "", pattern(1_000_000)):
            client.send(message)
            came.append(client.recv(SECONDS) == message)
        waiter = client.ping()
        ponged = waiter.wait(SECONDS)
        client.close(1000, "done")
    return {"came": came, "ponged": ponged, "code": client.close_code}


def download(url: str) -> object:
    """The hash of an answer that does not fit into anybody's memory limit."""
    digest = hashlib.sha256()
    with requests.get(url, timeout=SECONDS, stream=True) as answer:
        for piece in answer.iter_content(1 << 16):
            digest.update(piece)
    return digest.hexdigest()


if __name__ == "__main__":
    json.dump(globals()[sys.argv[1]](*sys.argv[2:]), sys.stdout)
