"""Foreign clients and servers around a proxy of our connections: both versions on either side."""

import hashlib
import http.client
import http.server
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection, serve

from mesh.wire.http2.settings import Settings
from tests.interop.http2_server import pattern, serving
from tests.interop.http_proxy import (
    MakeClient,
    MakeServer,
    Running,
    http1_client,
    http1_server,
    http2_client,
    http2_server,
    running_proxy,
)

LARGE = 3_000_000


def run(*command: str) -> bytes:
    finished = subprocess.run(command, capture_output=True, timeout=50, check=False)
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout


class Handler(http.server.BaseHTTPRequestHandler):
    """`GET /N`: N octets; `GET /chunked/N`: in chunks; `GET /close/N`: without a length."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        kind, _, size = self.path[1:].rpartition("/")
        content = pattern(int(size))
        self.send_response(200)
        self.send_header("x-host", self.headers["host"])
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(content), 7001):
                piece = content[at : at + 7001]
                self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        if kind != "close":
            self.send_header("Content-Length", str(len(content)))
        else:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", self.path[1:])
        self.end_headers()

    def do_POST(self) -> None:
        digest = hashlib.sha256(self._content()).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(digest)))
        self.end_headers()
        self.wfile.write(digest)

    def _content(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        found = b""
        while size := int(self.rfile.readline(), 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        pass


class Httpd(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Connections are reset when the proxy ends."""


@contextmanager
def running_httpd() -> Iterator[int]:
    """The standard library's server on a port of loopback."""
    with Httpd(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield httpd.server_address[1]
        httpd.shutdown()
        thread.join()


@contextmanager
def through(make_server: MakeServer, make_client: MakeClient) -> Iterator[Running]:
    """A proxy, and an upstream of the client side's version."""
    if make_client is http1_client:
        with running_httpd() as port, running_proxy(port, make_server, make_client) as running:
            yield running
    else:
        with (
            serving(Settings()) as server,
            running_proxy(server.port, make_server, make_client) as running,
        ):
            yield running


@pytest.fixture(scope="module")
def plain() -> Iterator[Running]:
    with through(http1_server, http1_client) as running:
        yield running


@pytest.fixture(
    scope="module",
    params=[
        (http2_server, http1_client),
        (http2_server, http2_client),
    ],
    ids=["h2-h1", "h2-h2"],
)
def second(request: pytest.FixtureRequest) -> Iterator[Running]:
    with through(*request.param) as running:
        yield running


@pytest.fixture(scope="module")
def mixed() -> Iterator[Running]:
    with through(http1_server, http2_client) as running:
        yield running


@pytest.mark.parametrize("path", ["/0", "/11", f"/{LARGE}"])
@pytest.mark.parametrize("kind", ["", "/chunked", "/close"])
def test_curl_gets_content_however_it_is_framed(plain: Running, path: str, kind: str) -> None:
    found = run("curl", "-sS", f"http://127.0.0.1:{plain.port}{kind}{path}")
    assert found == pattern(int(path[1:]))


def test_curl_uses_a_connection_again(plain: Running) -> None:
    url = f"http://127.0.0.1:{plain.port}/5"
    said = run("curl", "-sS", "-w", "%{num_connects}", url, url, url)
    assert said.decode().split(pattern(5).decode("latin-1"))[1:] == ["1", "0", "0"]


@pytest.mark.parametrize("more", [[], ["-HTransfer-Encoding: chunked"], ["-HExpect: 100-continue"]])
def test_curl_sends_content(plain: Running, tmp_path: Path, more: list[str]) -> None:
    content = tmp_path / "content"
    content.write_bytes(pattern(LARGE))
    url = f"http://127.0.0.1:{plain.port}/"
    found = run("curl", "-sS", "-m20", "--data-binary", f"@{content}", *more, url)
    assert found.decode() == hashlib.sha256(pattern(LARGE)).hexdigest()


def test_curl_gets_a_head(plain: Running) -> None:
    said = run("curl", "-sSI", f"http://127.0.0.1:{plain.port}/12345").decode().lower()
    assert "content-length: 12345\r\n" in said


def test_an_absolute_target_wins_over_host(plain: Running) -> None:
    proxy, url = f"http://127.0.0.1:{plain.port}", "http://shop.example:81/3"
    said = run("curl", "-sSi", "-x", proxy, "-Hhost: other", url).decode().lower()
    assert "x-host: shop.example:81\r\n" in said


def test_http_1_0_clients_get_answers(plain: Running) -> None:
    url = f"http://127.0.0.1:{plain.port}/chunked/100"
    assert run("curl", "-sS", "--http1.0", url) == pattern(100)


def test_requests_keeps_its_session(plain: Running) -> None:
    url = f"http://127.0.0.1:{plain.port}"
    with requests.Session() as session:
        for size in (0, 1, 100_000):
            assert session.get(f"{url}/{size}", timeout=10).content == pattern(size)
        answer = session.post(url, data=iter([b"a" * 1000, b"b" * 70_000]), timeout=10)
        assert answer.text == hashlib.sha256(b"a" * 1000 + b"b" * 70_000).hexdigest()


def test_http_client_reads_what_it_asked_for(plain: Running) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", plain.port, timeout=10)
    for size in (3, 0, 70_000):
        connection.request("GET", f"/{size}")
        assert connection.getresponse().read() == pattern(size)
    connection.close()


def test_pipelined_requests_are_answered_in_order(plain: Running) -> None:
    sizes = [5, 70_000, 0, 1, 300]
    asked = b"".join(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % size for size in sizes)
    with socket.create_connection(("127.0.0.1", plain.port), timeout=10) as client:
        client.sendall(asked + b"GET /2 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        whole = b""
        while piece := client.recv(65_536):
            whole += piece
    for size in [*sizes, 2]:
        head, _, whole = whole.partition(b"\r\n\r\n")
        assert b"content-length: %d" % size in head
        assert whole[:size] == pattern(size)
        whole = whole[size:]
    assert whole == b""


@pytest.mark.slow
def test_h2load_keeps_many_http_1_connections_busy(plain: Running) -> None:
    url = f"http://127.0.0.1:{plain.port}/100"
    said = run("h2load", "--h1", "-n600", "-c32", url).decode()
    assert "succeeded, 0 failed, 0 errored" in said


def test_websockets_pass_both_ways() -> None:
    def echo(connection: ServerConnection) -> None:
        for message in connection:
            connection.send(message)

    with serve(echo, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with (
            running_proxy(server.socket.getsockname()[1]) as running,
            connect(f"ws://127.0.0.1:{running.port}/", compression=None) as client,
        ):
            for message in ("hello", b"\0" * 200_000, ""):
                client.send(message)
                assert client.recv(10) == message
            client.close(1000)
            assert client.close_code == 1000
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("size", [0, 11, LARGE])
def test_nghttp_and_curl_get_content(second: Running, size: int) -> None:
    url = f"http://127.0.0.1:{second.port}/{size}"
    assert run("nghttp", url) == pattern(size)
    assert run("curl", "-sS", "--http2-prior-knowledge", url) == pattern(size)


@pytest.mark.slow
def test_h2load_gets_every_answer(second: Running) -> None:
    url = f"http://127.0.0.1:{second.port}/100"
    said = run("h2load", "-n2000", "-c2", "-m50", url).decode()
    assert "succeeded, 0 failed, 0 errored" in said


def test_h2load_sends_content_on_many_streams(second: Running, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(pattern(200_000))
    url = f"http://127.0.0.1:{second.port}/sum"
    said = run("h2load", "-n100", "-c2", "-m20", f"--data={content}", url).decode()
    assert "100 succeeded, 0 failed, 0 errored" in said


def test_trailers_pass(second: Running, tmp_path: Path) -> None:
    content = tmp_path / "content"
    content.write_bytes(pattern(1000))
    url = f"http://127.0.0.1:{second.port}/sum"
    found = run("nghttp", f"--data={content}", "--trailer=x-end: yes", url)
    assert found.decode() == hashlib.sha256(pattern(1000)).hexdigest()


@pytest.mark.parametrize("size", [0, 11, LARGE])
def test_an_http_1_client_reaches_an_http_2_server(mixed: Running, size: int) -> None:
    assert run("curl", "-sS", f"http://127.0.0.1:{mixed.port}/{size}") == pattern(size)


def test_trailers_of_http_2_become_chunked_ones(mixed: Running) -> None:
    url = f"http://127.0.0.1:{mixed.port}/sum"
    said = run("curl", "-sSi", "--data-binary", "abc", url).decode()
    assert hashlib.sha256(b"abc").hexdigest() in said
    assert said.endswith("x-trailer: there\r\n")
