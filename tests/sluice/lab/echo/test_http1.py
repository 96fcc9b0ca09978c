"""HTTP/1.1 of the echo server."""

import http.client
import json
import socket
from collections.abc import Iterator

import pytest

from tests.sluice.lab.echo.servers import Running, basic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Running]]:
    with basic(tmp_path_factory.mktemp("echo") / "log", {}) as found:
        yield found.http, found.server


@pytest.fixture(scope="module")
def port(made: tuple[int, Running]) -> int:
    return made[0]


@pytest.fixture(scope="module")
def server(made: tuple[int, Running]) -> Running:
    return made[1]


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
    assert answer["httpPort"] == str(client.port)


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


def test_it_writes_down_who_asked(client: http.client.HTTPConnection, server: Running) -> None:
    client.request("GET", "/written")
    client.getresponse().read()
    host, port = client.sock.getsockname()

    line = f"Echoing back request made to /written to client ({host}:{port})"
    assert line in server.lines()


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


def retry(client: http.client.HTTPConnection, query: str) -> int:
    """The status of one request to `/retry`; 0 when the connection is reset."""
    try:
        client.request("GET", f"/retry/a?{query}")
        response = client.getresponse()
        response.read()
    except ConnectionResetError:
        client.close()
        return 0
    return response.status


def test_the_first_requests_of_each_id_fail_with_the_status_that_is_asked(
    client: http.client.HTTPConnection,
) -> None:
    for who in ("one", "two"):
        query = f"uuid={who}&succeedAfter=2&responseCode=503"
        assert [retry(client, query) for _ in range(4)] == [503, 503, 200, 200]


def test_without_a_status_the_first_requests_end_in_a_reset(
    client: http.client.HTTPConnection,
) -> None:
    query = "uuid=three&succeedAfter=2&delayRetry=1ms"
    assert [retry(client, query) for _ in range(3)] == [0, 0, 200]


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/retry/a", 400),
        ("/retry/a?uuid=9&succeedAfter=2&responseCode=x", 400),
        ("/status/abc", 400),
        ("/?delay=soon", 500),
        ("/ws", 400),
        ("/health", 200),
    ],
)
def test_what_makes_no_sense_has_a_status_too(
    client: http.client.HTTPConnection, target: str, status: int
) -> None:
    client.request("GET", target)
    response = client.getresponse()
    assert response.read()
    assert response.status == status
