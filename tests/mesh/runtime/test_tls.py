"""What a TLS peer must prove, rule by rule, over real sockets."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from OpenSSL import SSL

from mesh.errors import PeerError
from mesh.model.identity import Identity, IdentityInvalidError
from mesh.runtime import tls
from tests.pki import HOUR, Authority, Issued

MESH = Authority("cluster.local")
WEB = MESH.identity("shop", "web")
DATABASE = MESH.identity("shop", "database")
WEB_PAPERS = MESH.issue(WEB)
DATABASE_PAPERS = MESH.issue(DATABASE)

Outcome = tls.Peer | PeerError


def server_of(issued: Issued, *, pqc_only: bool = False) -> SSL.Context:
    return tls.server_context(issued.key, issued.chain, MESH.roots, pqc_only=pqc_only)


def client_of(issued: Issued, *, pqc_only: bool = False) -> SSL.Context:
    return tls.client_context(issued.key, issued.chain, MESH.roots, pqc_only=pqc_only)


async def judged(
    connection: SSL.Connection, sock: socket.socket, expected: set[Identity] | None = None
) -> Outcome:
    try:
        return await tls.handshake(
            connection, sock, trust_domain="cluster.local", expected=expected
        )
    except PeerError as error:
        # As the proxies do: whoever refuses hangs up. The shutdown leaves the alert readable.
        sock.shutdown(socket.SHUT_WR)
        return error


async def meet(
    server: SSL.Context,
    client: SSL.Context,
    *,
    expected: set[Identity] | None = None,
    prepare: Callable[[SSL.Connection], None] | None = None,
    finish: Callable[[SSL.Connection, SSL.Connection], None] | None = None,
) -> tuple[Outcome, Outcome]:
    """What the server thinks of the client, and the client of the server."""
    near, far = socket.socketpair()
    outcomes: dict[str, Outcome] = {}
    with near, far, trio.fail_after(5):
        near.setblocking(False)
        far.setblocking(False)
        serving = tls.server_connection(server, near)
        dialling = tls.client_connection(client, far)
        if prepare:
            prepare(dialling)

        async def serve() -> None:
            outcomes["client"] = await judged(serving, near)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            outcomes["server"] = await judged(dialling, far, expected)
        if finish:
            finish(serving, dialling)
    return outcomes["client"], outcomes["server"]


async def test_two_workloads_of_one_mesh_learn_who_the_other_is() -> None:
    client, server = await meet(server_of(DATABASE_PAPERS), client_of(WEB_PAPERS))

    assert isinstance(client, tls.Peer)
    assert isinstance(server, tls.Peer)
    assert client.identity == WEB
    assert server.identity == DATABASE
    assert client.not_after == pytest.approx(WEB_PAPERS.not_after, abs=1)


async def test_a_chain_with_an_intermediate_is_followed_to_the_root() -> None:
    mesh = Authority("cluster.local", intermediate=True)
    issued = mesh.issue(WEB)
    context = tls.server_context(issued.key, issued.chain, mesh.roots)
    dialler = tls.client_context(issued.key, issued.chain, mesh.roots)

    client, server = await meet(context, dialler)

    assert isinstance(client, tls.Peer)
    assert isinstance(server, tls.Peer)


async def test_the_post_quantum_key_exchange_is_chosen_first() -> None:
    client, server = await meet(server_of(DATABASE_PAPERS), client_of(WEB_PAPERS))

    assert isinstance(client, tls.Peer)
    assert isinstance(server, tls.Peer)
    assert client.group == server.group == "X25519MLKEM768"


def test_the_environment_cannot_take_the_key_exchange_or_tls_1_3_away(
    tmp_path: Path,
) -> None:
    settings = tmp_path / "openssl.cnf"
    settings.write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
        "[c]\nGroups = P-256\nMinProtocol = TLSv1.2\nMaxProtocol = TLSv1.2\n"
    )
    name = "test_the_post_quantum_key_exchange_is_chosen_first"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", f"{__file__}::{name}"],
        env={**os.environ, "OPENSSL_CONF": str(settings)},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert result.returncode == 0, result.stdout.decode()


async def test_pqc_only_refuses_a_client_of_older_groups() -> None:
    old = client_of(WEB_PAPERS)
    assert SSL._lib.SSL_CTX_set1_curves_list(old._context, b"X25519") == 1

    client, _ = await meet(server_of(DATABASE_PAPERS, pqc_only=True), old)

    assert isinstance(client, tls.TlsHandshakeFailedError)


async def test_tls_1_2_is_refused() -> None:
    old = client_of(WEB_PAPERS)
    old.set_min_proto_version(SSL.TLS1_2_VERSION)
    old.set_max_proto_version(SSL.TLS1_2_VERSION)

    client, server = await meet(server_of(DATABASE_PAPERS), old)

    assert isinstance(client, tls.TlsHandshakeFailedError)
    assert "unsupported protocol" in client.reason
    assert isinstance(server, tls.TlsHandshakeFailedError)


@pytest.mark.parametrize("suite", [b"TLS_CHACHA20_POLY1305_SHA256"])
async def test_a_suite_that_we_do_not_name_is_refused(suite: bytes) -> None:
    other = client_of(WEB_PAPERS)
    other.set_tls13_ciphersuites(suite)

    client, _ = await meet(server_of(DATABASE_PAPERS), other)

    assert isinstance(client, tls.TlsHandshakeFailedError)


async def test_a_client_without_alpn_is_refused_although_openssl_finishes() -> None:
    mute = client_of(WEB_PAPERS)
    mute.set_alpn_protos([b"h2"])
    assert SSL._lib.SSL_CTX_set_alpn_protos(mute._context, SSL._ffi.NULL, 0) == 0

    client, server = await meet(server_of(DATABASE_PAPERS), mute)

    assert isinstance(client, tls.TlsNoAlpnError)
    assert isinstance(server, tls.TlsNoAlpnError)
    assert client.seen == b""


async def test_a_client_that_only_offers_http_1_is_refused_in_the_handshake() -> None:
    other = client_of(WEB_PAPERS)
    other.set_alpn_protos([b"http/1.1"])

    client, server = await meet(server_of(DATABASE_PAPERS), other)

    assert isinstance(client, tls.TlsHandshakeFailedError)
    assert isinstance(server, tls.TlsHandshakeFailedError)


async def test_two_uris_are_refused_on_both_sides() -> None:
    two = MESH.issue(WEB, more_uris=[str(DATABASE)])

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(two))
    _, server = await meet(server_of(two), client_of(WEB_PAPERS))

    assert isinstance(client, tls.TlsIdentitiesError)
    assert client.seen == (str(WEB), str(DATABASE))
    assert isinstance(server, tls.TlsIdentitiesError)


async def test_a_certificate_without_a_uri_is_refused() -> None:
    nobody = MESH.issue(None)
    named = MESH.issue(None, dns=["web.shop.svc"])

    for issued in (nobody, named):
        client, _ = await meet(server_of(DATABASE_PAPERS), client_of(issued))
        assert isinstance(client, tls.TlsIdentitiesError)
        assert client.seen == ()


async def test_a_dns_name_beside_the_identity_does_no_harm() -> None:
    both = MESH.issue(WEB, dns=["web.shop.svc"])

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(both))

    assert isinstance(client, tls.Peer)


async def test_a_uri_of_another_form_is_refused() -> None:
    other = MESH.issue(None, more_uris=["spiffe://cluster.local/web"])

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(other))

    assert isinstance(client, IdentityInvalidError)


async def test_another_trust_domain_is_refused_even_with_our_root() -> None:
    stranger = MESH.issue(Identity("elsewhere.example", "shop", "web"))

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(stranger))
    _, server = await meet(server_of(stranger), client_of(WEB_PAPERS))

    assert isinstance(client, tls.TlsTrustDomainError)
    assert "elsewhere.example" in str(client)
    assert client.wanted == "cluster.local"
    assert isinstance(server, tls.TlsTrustDomainError)


async def test_another_chain_of_the_same_trust_domain_is_refused() -> None:
    forged = Authority("cluster.local").issue(WEB)

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(forged))
    _, server = await meet(server_of(forged), client_of(WEB_PAPERS))

    assert isinstance(client, tls.TlsUntrustedError)
    assert isinstance(server, tls.TlsUntrustedError)


async def test_an_expired_certificate_is_refused_on_both_sides() -> None:
    old = MESH.issue(WEB, begins=-2 * HOUR, lasts=HOUR)

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(old))
    _, server = await meet(server_of(old), client_of(WEB_PAPERS))

    assert isinstance(client, tls.TlsExpiredError)
    assert isinstance(server, tls.TlsExpiredError)


async def test_a_certificate_of_the_future_is_refused() -> None:
    early = MESH.issue(WEB, begins=HOUR, lasts=HOUR)

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(early))

    assert isinstance(client, tls.TlsExpiredError)


async def test_a_certificate_for_the_other_role_is_refused() -> None:
    for_servers = MESH.issue(WEB, usages=[tls.x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
    for_clients = MESH.issue(WEB, usages=[tls.x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH])

    client, _ = await meet(server_of(DATABASE_PAPERS), client_of(for_servers))
    _, server = await meet(server_of(for_clients), client_of(WEB_PAPERS))

    assert isinstance(client, tls.TlsUntrustedError)
    assert isinstance(server, tls.TlsUntrustedError)


async def test_a_client_without_a_certificate_is_refused() -> None:
    bare = SSL.Context(SSL.TLS_METHOD)
    bare.set_alpn_protos([b"h2"])

    client, _ = await meet(server_of(DATABASE_PAPERS), bare)

    assert isinstance(client, tls.TlsNoCertificateError)


async def test_a_server_that_is_not_the_expected_one_is_refused_by_name() -> None:
    _, server = await meet(
        server_of(DATABASE_PAPERS), client_of(WEB_PAPERS), expected={WEB, MESH.identity("a", "b")}
    )

    assert isinstance(server, tls.TlsUnexpectedIdentityError)
    assert server.seen == DATABASE
    assert str(WEB) in str(server)


async def test_nobody_is_expected_when_the_set_is_empty() -> None:
    _, server = await meet(server_of(DATABASE_PAPERS), client_of(WEB_PAPERS), expected=set())

    assert isinstance(server, tls.TlsUnexpectedIdentityError)


async def test_any_of_the_expected_servers_will_do() -> None:
    _, server = await meet(
        server_of(DATABASE_PAPERS), client_of(WEB_PAPERS), expected={WEB, DATABASE}
    )

    assert isinstance(server, tls.Peer)


def resume(dialling: SSL.Connection, session: SSL.Session) -> None:
    """As `set_session`, which refuses a session of another context; OpenSSL itself does not."""
    assert SSL._lib.SSL_set_session(dialling._ssl, session._session) == 1


async def session_of(server: SSL.Context) -> SSL.Session:
    """What a client keeps after a good connection."""
    kept = []

    def read_on(serving: SSL.Connection, dialling: SSL.Connection) -> None:
        # Tickets come after the handshake, with the first octets that are read (RFC 8446 4.6.1).
        serving.send(b"hello")
        assert dialling.recv(5) == b"hello"
        kept.append(dialling.get_session())
        # Without a good end OpenSSL marks the session as not to be resumed.
        serving.shutdown()
        dialling.shutdown()

    await meet(server, client_of(WEB_PAPERS), finish=read_on)
    assert kept[0] is not None
    return kept[0]


async def test_a_server_makes_a_whole_handshake_with_a_client_that_wants_to_resume() -> None:
    server = server_of(DATABASE_PAPERS)
    session = await session_of(server)
    resumed = []

    client, _ = await meet(
        server,
        client_of(WEB_PAPERS),
        prepare=lambda dialling: resume(dialling, session),
        finish=lambda serving, _: resumed.append(SSL._lib.SSL_session_reused(serving._ssl)),
    )

    assert isinstance(client, tls.Peer)
    assert resumed == [0]


async def test_an_old_session_does_not_let_an_expired_certificate_in() -> None:
    server = server_of(DATABASE_PAPERS)
    session = await session_of(server)
    expired = client_of(MESH.issue(WEB, begins=-2 * HOUR, lasts=HOUR))

    client, _ = await meet(server, expired, prepare=lambda dialling: resume(dialling, session))

    assert isinstance(client, tls.TlsExpiredError)


@pytest.mark.parametrize(
    "octets",
    [b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", b"\x16\x03\x01\x00", b"\0" * 600, b""],
    ids=["plain HTTP", "half a record", "zeros", "nothing"],
)
async def test_octets_that_are_not_a_handshake_end_it_with_a_name(octets: bytes) -> None:
    near, far = socket.socketpair()
    with near, far, trio.fail_after(5):
        near.setblocking(False)
        far.sendall(octets)
        far.shutdown(socket.SHUT_WR)
        connection = tls.server_connection(server_of(DATABASE_PAPERS), near)
        with pytest.raises(tls.TlsHandshakeFailedError):
            await tls.handshake(connection, near, trust_domain="cluster.local")


async def test_a_reset_in_the_middle_ends_the_handshake_with_a_name() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    far = socket.create_connection(listener.getsockname())
    near, _ = listener.accept()
    with listener, near, far, trio.fail_after(5):
        near.setblocking(False)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        connection = tls.server_connection(server_of(DATABASE_PAPERS), near)
        with pytest.raises(tls.TlsHandshakeFailedError):
            await tls.handshake(connection, near, trust_domain="cluster.local")


async def test_a_silent_peer_is_the_deadlines_business() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        connection = tls.server_connection(server_of(DATABASE_PAPERS), near)
        with pytest.raises(trio.TooSlowError):
            with trio.fail_after(0.01):
                await tls.handshake(connection, near, trust_domain="cluster.local")


@pytest.mark.parametrize(
    ("key", "chain", "roots", "what"),
    [
        (b"", WEB_PAPERS.chain, MESH.roots, "the private key"),
        (WEB_PAPERS.key, b"", MESH.roots, "the certificate chain"),
        (WEB_PAPERS.key, WEB_PAPERS.chain, b"-----BEGIN", "the root certificates"),
        (DATABASE_PAPERS.key, WEB_PAPERS.chain, MESH.roots, "the certificate"),
    ],
    ids=["no key", "no chain", "no roots", "the key of another certificate"],
)
def test_material_that_cannot_be_used_is_named(
    key: bytes, chain: bytes, roots: bytes, what: str
) -> None:
    with pytest.raises(tls.TlsMaterialError) as caught:
        tls.client_context(key, chain, roots)

    assert caught.value.what == what


def test_the_self_test_passes_with_the_pinned_version() -> None:
    tls.self_test()


def test_the_self_test_names_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "PRIVATE_FUNCTIONS", ("SSL_read", "SSL_teleport"))

    with pytest.raises(tls.ConfigError, match="SSL_teleport"):
        tls.self_test()


def fill(connection: SSL.Connection, octets: bytes) -> None:
    """Send until the socket takes no more."""
    while True:
        connection.send(octets)


async def test_a_blocked_large_write_is_repeated_whole_from_a_buffer_that_moved() -> None:
    received = []

    def push(serving: SSL.Connection, dialling: SSL.Connection) -> None:
        octets = bytes(range(256)) * 1024
        with pytest.raises(SSL.WantWriteError):
            fill(serving, octets)
        moved = bytearray(octets)
        while True:
            try:
                received.append(dialling.recv(65536))
            except SSL.WantReadError:
                break
        # All or nothing: with partial writes on, this would be less than the whole.
        assert serving.send(moved) == len(octets)

    await meet(server_of(DATABASE_PAPERS), client_of(WEB_PAPERS), finish=push)
    assert b"".join(received)[:256] == bytes(range(256))
