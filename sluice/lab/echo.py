"""The built-in echo server: answers with what it was asked, as JSON.

It behaves as the public echo servers of Gateway API's conformance suite do, over HTTP/1.1 and TCP.
Run by its path, without site packages, and with a thread for each connection: there may be a
hundred of these processes, and none has much to do. It imports nothing of ours.
"""

import json
import os
import re
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress

READY_VARIABLE = "SLUICE_ECHO_READY"
"""The variable with the number of a descriptor to write to once it listens."""

MAX_HEAD_OCTETS = 1 << 20
DEFAULT_PORT = 3000
_CHUNK_OCTETS = 1 << 16
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_STATUS_PATH = re.compile(r"/status/([1-9]\d\d)")
_LATER_PATH = re.compile(r"/(?:ws|retry)(?:[/?]|$)")
"""What the public echo server does there comes with waypoints; until then it is 501."""
_WITHOUT_BODY = frozenset({204, 304})
_SPLIT_QUERY = re.compile(r"[?&]delay=([^&]*)")


class _GoneError(Exception):
    """The client has ended the connection, or speaks no HTTP/1."""


class _Reader:
    """Octets of one connection, a line or a number at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._octets = bytearray()

    def line(self) -> bytes:
        while True:
            line, found, rest = self._octets.partition(b"\n")
            if found:
                self._octets = rest
                return bytes(line).rstrip(b"\r")
            if len(self._octets) > MAX_HEAD_OCTETS:
                raise _GoneError
            self._more()

    def skip(self, octets: int) -> None:
        while octets > len(self._octets):
            octets -= len(self._octets)
            self._octets.clear()
            self._more()
        del self._octets[:octets]

    def _more(self) -> None:
        received = self._connection.recv(_CHUNK_OCTETS)
        if not received:
            raise _GoneError
        self._octets += received


def seconds(text: str) -> float:
    """A duration as Go writes it (`1m30s`); 0 when it is none."""
    return sum(float(number) * _UNITS_S[unit] for number, unit in _DURATION.findall(text))


def _canonical(name: str) -> str:
    """A header's name as Go's library spells it: `X-Request-Id`."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _headers(reader: _Reader) -> Iterator[tuple[str, str]]:
    while line := reader.line():
        name, _, value = line.decode("latin-1").partition(":")
        yield _canonical(name.strip()), value.strip()


def _read_body(reader: _Reader, headers: Mapping[str, list[str]]) -> None:
    if "chunked" in headers.get("Transfer-Encoding", [""])[-1].lower():
        while size := int(reader.line().partition(b";")[0], 16):
            reader.skip(size + 2)
        while reader.line():
            pass
    else:
        reader.skip(int(headers.get("Content-Length", ["0"])[0]))


def _who() -> dict[str, str]:
    known = {"namespace": "NAMESPACE", "ingress": "INGRESS_NAME", "service": "SERVICE_NAME"}
    return {
        field: os.environ.get(name, "") for field, name in (*known.items(), ("pod", "POD_NAME"))
    }


def _asked_headers(headers: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    for value in headers.get("X-Echo-Set-Header", []):
        for pair in value.split(","):
            name, found, content = pair.partition(":")
            if found:
                yield name.strip(), content.strip()


def _answer(method: str, target: str, proto: str, headers: Mapping[str, list[str]]) -> bytes:
    shown = {name: values for name, values in headers.items() if name != "Host"}
    port = os.environ.get("HTTP_PORT", str(DEFAULT_PORT))
    body: dict[str, object] = {
        "path": target,
        "host": headers.get("Host", [""])[0],
        "method": method,
        "proto": proto,
        "headers": shown,
        "httpPort": port,
        **_who(),
    }
    return json.dumps(body, indent=1).encode() + b"\n"


def _respond(
    connection: socket.socket, request: tuple[str, str, str], headers: Mapping[str, list[str]]
) -> bool:
    """Answer one request; whether the connection goes on."""
    method, target, proto = request
    delay = _SPLIT_QUERY.search(target)
    if delay:
        threading.Event().wait(seconds(delay.group(1)))
    wanted = _STATUS_PATH.match(target)
    status = int(wanted.group(1)) if wanted else 200
    if _LATER_PATH.match(target):
        status = 501
    wishes = headers.get("Connection", [""])[0].lower()
    goes_on = wishes != "close" and (proto != "HTTP/1.0" or wishes == "keep-alive")
    body = _answer(method, target, proto, headers)
    lines = [
        f"HTTP/1.1 {status} {'OK' if status == 200 else 'Echo'}",
        "Content-Type: application/json",
        "X-Content-Type-Options: nosniff",
        *(f"{name}: {value}" for name, value in _asked_headers(headers)),
        f"Connection: {'keep-alive' if goes_on else 'close'}",
    ]
    if status in _WITHOUT_BODY:
        body = b""
    else:
        lines.append(f"Content-Length: {len(body)}")
    head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    connection.sendall(head + (b"" if method == "HEAD" else body))
    return goes_on


def serve_http(connection: socket.socket, client: str) -> None:
    """Answer the requests of one connection until it ends."""
    reader = _Reader(connection)
    goes_on = True
    while goes_on:
        words = reader.line().decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise _GoneError
        headers: dict[str, list[str]] = {}
        for name, value in _headers(reader):
            headers.setdefault(name, []).append(value)
        if headers.get("Expect", [""])[0].lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        _read_body(reader, headers)
        print(f"Echoing back request made to {words[1]} to client ({client})", flush=True)
        goes_on = _respond(connection, (words[0], words[1], words[2]), headers)


def serve_tcp(connection: socket.socket, client: str) -> None:
    """Greet, and answer the words that a test may say, a line each."""
    reader = _Reader(connection)
    connection.sendall(b"Gateway API Test TCP Server\n")
    while True:
        word = reader.line().decode(errors="replace").strip()
        print(f"Echoing back request made to {word} to client ({client})", flush=True)
        answers = {
            "PING": "PONG",
            "IS_TLS": "false",
            "TEST": json.dumps({"request": word} | _who()),
        }
        connection.sendall(answers.get(word, word).encode() + b"\n")


def _serve(connection: socket.socket, address: tuple[str, int]) -> None:
    host = address[0].removeprefix("::ffff:")
    client = f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
    serve = serve_tcp if os.environ.get("TCP_ECHO_SERVER") else serve_http
    with connection, suppress(OSError, ValueError, _GoneError):
        serve(connection, client)


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=4096
        )
    return socket.create_server(("", port), backlog=4096)


def main() -> None:
    """Serve for ever."""
    variable = "TCP_PORT" if os.environ.get("TCP_ECHO_SERVER") else "HTTP_PORT"
    listener = _listen(int(os.environ.get(variable, str(DEFAULT_PORT))))
    ready = os.environ.get(READY_VARIABLE)
    if ready:
        os.write(int(ready), b"\n")
        os.close(int(ready))
    threading.stack_size(256 * 1024)
    while True:
        try:
            connection, address = listener.accept()
        except OSError as error:  # out of descriptors: those that are open go on
            print(f"accept: {error}", file=sys.stderr, flush=True)
            threading.Event().wait(0.1)
            continue
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_serve, args=(connection, address), daemon=True).start()


if __name__ == "__main__":
    main()
