"""Peers that say nothing: real silence, and workers whose clocks run fast."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress

import pytest
from OpenSSL import SSL

from mesh.observe.metrics import LABELS, REFUSED, TRAFFIC
from mesh.runtime import tls
from mesh.runtime.netns import inside
from mesh.wire.feed_answers import read_metrics
from tests.ztunnel.worker.test_counters import counting
from tests.ztunnel.worker.town import MESH, Town, named, town

pytestmark = [pytest.mark.netns, pytest.mark.slow]


@pytest.fixture(scope="module")
def built_hurried() -> Iterator[Town]:
    with town(module="tests.ztunnel.worker.hurried") as made:
        yield made


@pytest.fixture
def hurried(built_hurried: Town) -> Town:
    """A town where the state says that the stranger has a proxy; what it has, a test says."""
    built_hurried.tell()  # takes the tunnels of an earlier test away
    built_hurried.tell([built_hurried.pod("stranger").workload()])
    built_hurried.settle()
    return built_hurried


def never_answer(accepted: socket.socket) -> None:
    """Take whatever comes, and say nothing."""
    while accepted.recv(65_536):
        pass


def never_answer_in_tls(accepted: socket.socket) -> None:
    """Shake hands, and then say nothing."""
    papers = MESH.issue(MESH.identity("town", "stranger"))
    accepted.settimeout(None)
    session = SSL.Connection(tls.server_context(papers.key, papers.chain, papers.roots), accepted)
    session.set_accept_state()
    with suppress(SSL.Error):
        session.do_handshake()
        while session.recv(65_536):
            pass


def test_a_client_that_says_nothing_is_hung_up_on_and_counted(hurried: Town) -> None:
    counted = counting(hurried.far, REFUSED, reporter="destination", code="tls_handshake_failed")
    shop, stranger = hurried.pod("shop"), hurried.pod("stranger")
    with stranger.dial(shop.ip, 15008) as client:
        assert client.recv(1) == b""
    line = hurried.line("far", message="connection failed", direction="inbound")
    assert line["code"] == "tls_handshake_failed"
    assert line["error"] == "TLS handshake failed: not finished within 10 s"
    assert counted() == 1
    # Nobody else has waited for it.
    with shop.serving(8080, named(shop)), hurried.pod("web").dial(shop.ip, 8080) as client:
        assert client.recv(1) == b"s"


def test_a_server_that_says_nothing_ends_the_connection(hurried: Town) -> None:
    stranger = hurried.pod("stranger")
    with stranger.serving(15008, never_answer):
        assert hurried.pod("web").is_refused(stranger.ip, 8080)
    line = hurried.line("near", message="connection complete", direction="outbound")
    assert line["code"] == "tls_handshake_failed"
    assert line["error"] == "TLS handshake failed: not finished within 10 s"


def test_a_connect_that_nobody_answers_ends_the_connection(hurried: Town) -> None:
    stranger = hurried.pod("stranger")
    with stranger.serving(15008, never_answer_in_tls):
        assert hurried.pod("web").is_refused(stranger.ip, 8080)
    line = hurried.line("near", message="connection complete", direction="outbound")
    assert line["code"] == "connect_unanswered"
    assert line["error"] == "no answer to CONNECT: none within 15 s"


def test_a_blocked_tunnel_port_is_told_with_a_hint(hurried: Town) -> None:
    stranger = hurried.pod("stranger")
    with inside(stranger.netns):
        block = ["iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "15008", "-j", "DROP"]
        subprocess.run(block, check=True)
    try:
        assert hurried.pod("web").is_refused(stranger.ip, 8080)
    finally:
        with inside(stranger.netns):
            subprocess.run([*block[:1], "-D", *block[2:]], check=True)
    line = hurried.line("near", message="connection complete", direction="outbound")
    assert (line["code"], line["level"]) == ("hbone_blocked", "error")
    assert str(line["error"]).endswith("maybe a NetworkPolicy is blocking HBONE port 15008")
    flags = {
        dict(zip(LABELS, row[1], strict=True))["response_flags"]
        for row in read_metrics(hurried.near.ask("metrics"))
        if row[0] == TRAFFIC
    }
    assert "NETWORK_POLICY" in flags
