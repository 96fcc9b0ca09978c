"""TCP and UDP of the echo server."""

import json
import socket
from pathlib import Path

import pytest

from sluice.lab.echo.settings import ADVANCED
from tests.sluice.lab.echo.servers import free_ports, running


def test_in_tcp_mode_it_speaks_first_and_answers_words(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    variables = {"TCP_ECHO_SERVER": "1", "TCP_PORT": str(port)}
    with (
        running(tmp_path / "log", variables),
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
        told = json.loads(lines.readline())
    assert (told["pod"], told["tcpport"], told["isTLS"]) == ("web-1", str(port), False)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_is_answered(tmp_path: Path, host: str) -> None:
    (port,) = free_ports(1)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        running(tmp_path / "log", {"UDP_ECHO_SERVER": "1", "UDP_PORT": str(port)}),
        socket.socket(family, socket.SOCK_DGRAM) as end,
    ):
        end.settimeout(5)
        end.sendto(b"hello", (host, port))
        told = json.loads(end.recv(10_000))
    assert told == {
        "request": "hello",
        "namespace": "shop",
        "ingress": "",
        "service": "web",
        "pod": "web-1",
    }


def test_echo_advanced_lets_the_client_of_tcp_speak_first(tmp_path: Path) -> None:
    http, secure, grpc, tcp = map(str, free_ports(4))
    words = [ADVANCED, f"--port={http}", f"--tls={secure}", f"--grpc={grpc}", f"--tcp={tcp}"]
    with (
        running(tmp_path / "log", {}, [*words, "--metrics=1"]) as server,
        socket.create_connection(("127.0.0.1", int(tcp)), 5) as end,
    ):
        end.sendall(b"hello")
        told = json.loads(end.recv(10_000))
        assert "argument --metrics does nothing here" in server.lines()
    assert (told["request"], told["pod"], told["tcpport"]) == ("hello", "web-1", tcp)
