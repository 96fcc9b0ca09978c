"""What requests are answered with."""

import json

import pytest

from sluice.lab.echo.answers import Answer, Echo, Peer, Request, Secured, seconds
from sluice.lab.echo.settings import Who

PEER = Peer("10.0.0.1:5", "3000")


def ask(echo: Echo, target: str = "/", peer: Peer = PEER, **headers: str) -> Answer:
    named = {name.replace("_", "-"): [value] for name, value in headers.items()}
    return echo.answer(Request(peer, "GET", target, "HTTP/1.1", "web", named))


@pytest.fixture
def echo() -> Echo:
    return Echo(Who("shop", "", "web", "web-1"), "3000")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1s", 1.0), ("1m30s", 90.0), ("250ms", 0.25), (".5s", 0.5), ("0", 0.0)],
)
def test_durations_are_read_as_go_writes_them(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["soon", "1", "1s later", ""])
def test_what_is_no_duration_is_none(text: str) -> None:
    assert seconds(text) is None


def test_an_answer_waits_as_long_as_it_is_told(echo: Echo) -> None:
    assert ask(echo, "/?delay=1s").delay_s == 1
    failing = ask(echo, "/retry/?uuid=1&succeedAfter=1&responseCode=500&delayRetry=2s&delay=1s")
    assert (failing.status, failing.delay_s) == (500, 3)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("A:b,C:d", {"A": "b", "C": "d"}),
        ("A: b , E:", {"A": "b", "E": ""}),
        ("a-b:1,a-b:2", {"a-b": "1,2"}),
        ("Empty", {"Empty": ""}),
        ("Content-Length:5,:x,", {}),
    ],
)
def test_headers_are_set_as_they_are_asked_for(
    echo: Echo, asked: str, expected: dict[str, str]
) -> None:
    headers = dict(ask(echo, X_Echo_Set_Header=asked).headers)
    del headers["Content-Type"], headers["X-Content-Type-Options"]
    assert headers == expected


def test_a_request_over_tls_shows_the_handshake(echo: Echo) -> None:
    peer = PEER._replace(tls=Secured("TLSv1.3", "web.shop", "h2", "TLS_AES_128_GCM_SHA256", ()))
    assert json.loads(ask(echo, peer=peer).body)["tls"] == {
        "version": "TLSv1.3",
        "serverName": "web.shop",
        "negotiatedProtocol": "h2",
        "cipherSuite": "TLS_AES_128_GCM_SHA256",
    }
    assert "tls" not in json.loads(ask(echo).body)


def test_an_echo_without_a_port_of_its_own_shows_the_one_that_was_asked() -> None:
    assert json.loads(ask(Echo(Who(), "")).body)["httpPort"] == "3000"
