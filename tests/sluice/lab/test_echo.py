"""The echo server, as a process of its own on loopback."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from sluice.lab import echo

WHO = {"NAMESPACE": "shop", "POD_NAME": "web-1", "SERVICE_NAME": "web"}


@contextmanager
def server(log: Path, more: Mapping[str, str], port_variable: str) -> Iterator[int]:
    """A running echo server: its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    readable, writable = os.pipe()
    words = [sys.executable, "-SEI", str(Path(echo.__file__))]
    variables = {**WHO, **more, port_variable: str(port), echo.READY_VARIABLE: str(writable)}
    with log.open("wb") as out:
        process = subprocess.Popen(words, env=variables, stdout=out, pass_fds=(writable,))
    os.close(writable)
    try:
        assert os.read(readable, 1) == b"\n"
        yield port
    finally:
        os.close(readable)
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("echo") / "log"


@pytest.fixture(scope="module")
def port(log: Path) -> Iterator[int]:
    with server(log, {}, "HTTP_PORT") as found:
        yield found


@pytest.fixture
def client(port: int) -> Iterator[http.client.HTTPConnection]:
    made = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    yield made
    made.close()


def test_it_answers_with_what_it_was_asked(client: http.client.HTTPConnection) -> None:
    client.request("PUT", "/a?b=c", body=b"data", headers={"x-some-THING": "1", "Host": "web.shop"})
    response = client.getresponse()
    answer = json.loads(response.read())

    assert response.status == 200
    assert response.headers["Content-Type"] == "application/json"
    assert answer["path"] == "/a?b=c"
    assert answer["host"] == "web.shop"
    assert answer["method"] == "PUT"
    assert answer["proto"] == "HTTP/1.1"
    assert answer["headers"]["X-Some-Thing"] == ["1"]
    assert "Host" not in answer["headers"]
    assert (answer["namespace"], answer["pod"], answer["service"]) == ("shop", "web-1", "web")
    assert answer["httpPort"] == os.fspath(str(client.port))


def test_it_sets_the_headers_that_it_is_told_to(client: http.client.HTTPConnection) -> None:
    client.request("GET", "/", headers={"X-Echo-Set-Header": "A: b,C:d,E:"})
    response = client.getresponse()
    response.read()

    assert (response.headers["A"], response.headers["C"], response.headers["E"]) == ("b", "d", "")


def test_one_connection_serves_many_requests_of_all_kinds(
    client: http.client.HTTPConnection,
) -> None:
    for method, path, status, has_body in [
        ("GET", "/status/418", 418, True),
        ("GET", "/status/204", 204, False),
        ("HEAD", "/", 200, False),
        ("GET", "/?delay=10ms", 200, True),
    ]:
        client.request(method, path)
        response = client.getresponse()
        assert (response.status, bool(response.read())) == (status, has_body)
    client.request(
        "POST",
        "/",
        body=iter([b"one", b"two"]),
        encode_chunked=True,
        headers={"Transfer-Encoding": "chunked"},
    )
    assert client.getresponse().read()
    client.request("GET", "/last")
    assert json.loads(client.getresponse().read())["path"] == "/last"


@pytest.mark.parametrize("path", ["/ws", "/retry/a?uuid=1&succeedAfter=2"])
def test_what_it_does_not_do_yet_is_no_answer_of_200(
    client: http.client.HTTPConnection, path: str
) -> None:
    client.request("GET", path)
    response = client.getresponse()
    response.read()
    assert response.status == 501


def test_it_writes_down_who_asked(client: http.client.HTTPConnection, log: Path) -> None:
    client.request("GET", "/written")
    client.getresponse().read()
    host, port = client.sock.getsockname()

    line = f"Echoing back request made to /written to client ({host}:{port})"
    assert line in log.read_text().splitlines()


@pytest.mark.parametrize(
    "garbage", [b"\0\1\2\n", b"GET /\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
def test_garbage_ends_its_own_connection_only(
    port: int, client: http.client.HTTPConnection, garbage: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", port), 5) as end:
        end.sendall(garbage)
        assert end.recv(100) == b""
    client.request("GET", "/")
    assert client.getresponse().status == 200


def test_in_tcp_mode_it_speaks_first_and_answers_words(tmp_path: Path) -> None:
    with (
        server(tmp_path / "log", {"TCP_ECHO_SERVER": "1"}, "TCP_PORT") as port,
        socket.create_connection(("127.0.0.1", port), 5) as end,
        end.makefile("rw") as lines,
    ):
        assert lines.readline() == "Gateway API Test TCP Server\n"
        for word, answer in (("PING", "PONG"), ("IS_TLS", "false")):
            lines.write(f"{word}\n")
            lines.flush()
            assert lines.readline() == f"{answer}\n"
        lines.write("TEST\n")
        lines.flush()
        assert json.loads(lines.readline())["pod"] == "web-1"


@pytest.mark.parametrize(
    ("text", "expected"), [("1s", 1.0), ("1m30s", 90.0), ("250ms", 0.25), ("soon", 0.0)]
)
def test_durations_are_read_as_go_writes_them(text: str, expected: float) -> None:
    assert echo.seconds(text) == pytest.approx(expected)
