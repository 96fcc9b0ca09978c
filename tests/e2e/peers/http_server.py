"""The standard library's HTTP server in a pod, on the port that it is given.

`GET /N`: N octets. `GET /chunked/N`: in chunks. `POST`: the hash of what came, and how it came.
"""

import hashlib
import http.server
import json
import socket
import sys
from collections.abc import Iterator

from tests.e2e.peers.pattern import pattern

PIECE = 65_536


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, size = self.path[1:].rpartition("/")
        content = memoryview(pattern(int(size)))
        self.send_response(200)
        if kind != "chunked":
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            return
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Trailer", "x-sum")
        self.end_headers()
        for at in range(0, len(content), PIECE):
            piece = content[at : at + PIECE]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\nx-sum: %b\r\n\r\n" % hashlib.sha256(content).hexdigest().encode())

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", self.path[1:])
        self.end_headers()

    def do_POST(self) -> None:
        digest, size = hashlib.sha256(), 0
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        for piece in self._chunks() if chunked else self._sized():
            digest.update(piece)
            size += len(piece)
        said = {"sum": digest.hexdigest(), "size": size, "chunked": chunked}
        if chunked:
            said["trailers"] = self._trailers()
        answer = json.dumps({**said, "headers": dict(self.headers.items())}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _sized(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length", "0"))
        while left:
            piece = self.rfile.read(min(left, PIECE))
            if not piece:
                raise EOFError
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self.rfile.readline().split(b";")[0], 16):
            yield self.rfile.read(size)
            self.rfile.readline()

    def _trailers(self) -> dict[str, str]:
        found = {}
        while (line := self.rfile.readline().strip()) != b"":
            name, _, value = line.decode().partition(":")
            found[name.lower()] = value.strip()
        return found

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nobody reads it."""


class Server(http.server.ThreadingHTTPServer):
    """Of both families, with a thread for each connection."""

    address_family = socket.AF_INET6
    daemon_threads = True
    request_queue_size = 512


if __name__ == "__main__":
    Server(("::", int(sys.argv[1])), Handler).serve_forever()
