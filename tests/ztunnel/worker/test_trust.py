"""Tunnels end with the certificates of their two sides, and with a revocation."""

import datetime as dt
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh.observe.metrics import CRL_REJECTIONS
from tests.pki import HOUR, Issued
from tests.ztunnel.worker.raw import stranger
from tests.ztunnel.worker.test_counters import counting
from tests.ztunnel.worker.town import MESH, Town, TownPod, line_of, named, town

pytestmark = [pytest.mark.netns, pytest.mark.slow]

CALLER = MESH.identity("town", "caller")
SOON = dt.timedelta(seconds=2)
LATER = dt.timedelta(seconds=3)


@pytest.fixture
def own() -> Iterator[Town]:
    """A town that need not be whole afterwards."""
    with town() as made:
        made.tell()
        yield made


def short(pod: TownPod, lasts: dt.timedelta = SOON) -> Issued:
    """Papers that end soon; they began an hour ago."""
    return MESH.issue(pod.identity, lasts=HOUR + lasts)


def end_of(papers: Issued) -> float:
    """Certificates end at a whole second."""
    return float(int(papers.not_after))


def echoes(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"echo")
        return connection.recv(100) == b"echo"
    except OSError:
        return False


def until_cut(connection: socket.socket) -> float:
    """When it ends, in seconds since the epoch."""
    while echoes(connection):
        pass
    return time.time()


def echoes_until(connection: socket.socket, at: float) -> bool:
    """Whether it lives so long, in use all the time."""
    while time.time() < at:
        if not echoes(connection):
            return False
    return True


# The end of a certificate.


def test_a_tunnel_ends_with_our_own_certificate_when_no_other_comes(own: Town) -> None:
    shop, web = own.pod("shop"), own.pod("web")
    papers = short(web)
    own.near.certify(web.identity, papers)
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        ended = until_cut(client)
    assert end_of(papers) <= ended < end_of(papers) + 1.5
    near = own.line("near", message="connection complete", direction="outbound", level="error")
    assert near["code"] in {"own_certificate_expired", "tunnel_broken"}  # who is the first to look
    far = own.line("far", message="connection complete", direction="inbound")
    assert far["code"] in {"peer_certificate_expired", "tunnel_broken"}
    told = [
        own.line(who, message="a tunnel ends")["code"]
        for who, line, code in (
            ("near", near, "own_certificate_expired"),
            ("far", far, "peer_certificate_expired"),
        )
        if line["code"] == code
    ]
    assert told, "one of them has ended it, and said why"


def test_a_tunnel_ends_with_the_peers_certificate_when_it_shows_no_other(own: Town) -> None:
    shop = own.pod("shop")
    papers = MESH.issue(CALLER, lasts=HOUR + SOON)
    with shop.serving(8080, named(shop)), stranger(own, shop.ip, papers) as raw:
        stream = raw.connect(f"{shop.ip}:8080")
        assert raw.answer(stream)[b":status"] == b"200"
        raw.wait_goaway()  # some time before: new connections are to come by another tunnel
        assert time.time() < end_of(papers)
        raw.wait_closed()
        assert time.time() >= end_of(papers)
    line = own.line("far", message="a tunnel ends")
    assert (line["code"], line["peer"]) == ("peer_certificate_expired", str(CALLER))
    line = own.line("far", message="connection complete", direction="inbound")
    assert line["code"] == "peer_certificate_expired"


def test_certificates_that_are_renewed_in_time_cut_nothing(own: Town) -> None:
    shop, web = own.pod("shop"), own.pod("web")
    first, last = short(web, LATER), short(web, 2 * SOON + LATER / 3)
    own.near.certify(web.identity, first)
    own.far.certify(shop.identity, short(shop, LATER))
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        own.near.certify(web.identity, last)
        own.far.certify(shop.identity, short(shop, 2 * SOON + LATER / 3))
        assert echoes_until(client, end_of(first) + 0.5)
        with web.dial(shop.ip, 8080) as another:
            line_of(another)
        # And these end like any others.
        ended = until_cut(client)
    assert end_of(last) <= ended < end_of(last) + 1.5


# Revocation.


@pytest.fixture
def lists(tmp_path: Path) -> Callable[..., None]:
    """Writes the lists that both workers of `watchful` read."""

    def write(*revoked: Issued) -> None:
        beside = tmp_path / "new"
        beside.write_bytes(MESH.revoke(*(papers.chain for papers in revoked)))
        beside.rename(tmp_path / "crl.pem")

    return write


@pytest.fixture
def watchful(tmp_path: Path) -> Iterator[Town]:
    """A town whose workers read revocation lists."""
    with town(CRL_PATH=str(tmp_path / "crl.pem")) as made:
        made.tell()
        yield made


def test_a_revoked_client_is_refused_and_counted(
    lists: Callable[..., None], watchful: Town
) -> None:
    shop, papers = watchful.pod("shop"), MESH.issue(CALLER)
    lists(papers)
    watchful.line("far", message="revocation lists")
    counted = counting(watchful.far, CRL_REJECTIONS, reporter="destination")
    with shop.serving(8080, named(shop)):
        with stranger(watchful, shop.ip, papers) as raw:
            raw.wait_closed()
        line = watchful.line("far", message="connection failed", direction="inbound")
        assert line["code"] == "tls_revoked"
        assert counted() == 1
        with stranger(watchful, shop.ip, MESH.issue(CALLER)) as raw:
            assert raw.answer(raw.connect(f"{shop.ip}:8080"))[b":status"] == b"200"


def test_a_revoked_server_is_refused_and_counted(
    lists: Callable[..., None], watchful: Town
) -> None:
    shop, web = watchful.pod("shop"), watchful.pod("web")
    papers = MESH.issue(shop.identity)
    watchful.far.certify(shop.identity, papers)
    lists(papers)
    watchful.line("near", message="revocation lists")
    counted = counting(watchful.near, CRL_REJECTIONS, reporter="source")
    with shop.serving(8080, named(shop)):
        assert web.is_refused(shop.ip, 8080)
    line = watchful.line("near", message="connection complete", direction="outbound")
    assert (line["code"], line["level"]) == ("tls_revoked", "error")
    assert counted() == 1


@pytest.mark.parametrize("side", ["near", "far"])
def test_a_revocation_ends_open_tunnels(
    lists: Callable[..., None], watchful: Town, side: str
) -> None:
    shop, web = watchful.pod("shop"), watchful.pod("web")
    papers = {"near": MESH.issue(shop.identity), "far": MESH.issue(web.identity)}
    watchful.far.certify(shop.identity, papers["near"])
    watchful.near.certify(web.identity, papers["far"])
    lists()
    watchful.line("near", message="revocation lists")
    watchful.line("far", message="revocation lists")
    with shop.serving(8080, named(shop)), web.dial(shop.ip, 8080) as client:
        line_of(client)
        assert echoes(client)
        lists(papers[side])
        until_cut(client)
    assert watchful.line(side, message="a tunnel ends")["code"] == "tls_revoked"
    assert watchful.line(side, message="connection complete")["code"] == "tls_revoked"


def test_lists_that_cannot_be_read_trust_nobody_until_they_can(
    lists: Callable[..., None], watchful: Town
) -> None:
    shop, web = watchful.pod("shop"), watchful.pod("web")
    with shop.serving(8080, named(shop)):
        assert web.is_refused(shop.ip, 8080)
        line = watchful.line("near", level="error", direction="outbound")
        assert line["code"] in {"revocation_unknown", "connect_unanswered", "tunnel_broken"}
        assert watchful.line("near", code="revocation_unknown")
        lists()
        watchful.line("near", message="revocation lists")
        watchful.line("far", message="revocation lists")
        with web.dial(shop.ip, 8080) as client:
            line_of(client)
