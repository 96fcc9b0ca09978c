"""Mutual TLS between proxies: contexts, the handshake, and what a peer must prove.

1. TLS 1.3 only, suites and key exchange groups named here, so that neither OpenSSL's defaults nor
   an `OPENSSL_CONF` in the environment decide them.
2. A server never resumes: no session cache, no tickets. A resumed session skips the chain, and so
   would let an expired client certificate in.
3. OpenSSL checks the chain, the dates and the purpose (RFC 5280). We check what it does not: that
   ALPN chose `h2`, that there is exactly one URI SAN, the trust domain, the expected identity.
4. A context that has made a connection cannot be changed: each renewal makes a new one.
5. A client has finished its handshake before the server judges it: only an answer to its first
   request proves that it was let in.
"""

import os
import socket
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto

from mesh.errors import ConfigError, MeshError, PeerError, UnavailableError
from mesh.model.identity import Identity

ALPN: Final = b"h2"
SUITES: Final = b"TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"
PQ_GROUP: Final = "X25519MLKEM768"
GROUPS: Final = f"{PQ_GROUP}:X25519:P-256:P-384"
PRIVATE_FUNCTIONS: Final = (
    "SSL_read",
    "SSL_write",
    "SSL_get_error",
    "ERR_clear_error",
    "SSL_get_verify_result",
    "X509_verify_cert_error_string",
    "SSL_CTX_set1_curves_list",
)
"""What we and `relay.inner` call of OpenSSL although pyOpenSSL does not offer it."""

# pyOpenSSL's own handles to OpenSSL; self_test() checks at start that they have what we need.
_lib = SSL._lib  # type: ignore[attr-defined]  # noqa: SLF001 - see PRIVATE_FUNCTIONS
_ffi = SSL._ffi  # type: ignore[attr-defined]  # noqa: SLF001 - see PRIVATE_FUNCTIONS

_PURPOSE_WORDS: Final = ("no peer certificate", "peer did not return a certificate")


class TlsHandshakeFailedError(PeerError):
    """The two sides could not agree, or the peer went away in the middle."""

    code = "tls_handshake_failed"

    def __init__(self, reason: str) -> None:
        """Keep OpenSSL's reason, or the kernel's."""
        super().__init__(f"TLS handshake failed: {reason}")
        self.reason = reason


class TlsNoCertificateError(PeerError):
    """A client without a certificate."""

    code = "tls_no_certificate"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__("the peer sent no certificate, and mutual TLS needs one")


class TlsUntrustedError(PeerError):
    """The peer's chain does not end at one of our roots, or is not fit for its purpose."""

    code = "tls_untrusted"

    def __init__(self, reason: str) -> None:
        """Keep OpenSSL's verdict."""
        super().__init__(f"the peer's certificate is not trusted: {reason}")
        self.reason = reason


class TlsExpiredError(PeerError):
    """A certificate of the peer's chain is out of date, or not yet in force."""

    code = "tls_expired"

    def __init__(self, reason: str) -> None:
        """Keep OpenSSL's verdict."""
        super().__init__(f"the peer's certificate is out of its time: {reason}")
        self.reason = reason


class TlsNoAlpnError(PeerError):
    """The peer did not agree to speak HTTP/2."""

    code = "tls_no_alpn"

    def __init__(self, seen: bytes) -> None:
        """Keep the protocol that was chosen, empty when none was."""
        found = seen.decode("latin-1") or "nothing"
        super().__init__(f"ALPN chose {found}, and HBONE needs h2")
        self.seen = seen


class TlsIdentitiesError(PeerError):
    """A certificate with no URI, or with more than one: nobody can say who that is."""

    code = "tls_two_identities"

    def __init__(self, seen: tuple[str, ...]) -> None:
        """Keep the URIs in the certificate's order."""
        listed = ", ".join(seen) or "none"
        super().__init__(f"the peer's certificate must have exactly one URI, seen: {listed}")
        self.seen = seen


class TlsTrustDomainError(PeerError):
    """A good certificate of another mesh."""

    code = "tls_trust_domain"

    def __init__(self, seen: Identity, wanted: str) -> None:
        """Keep the peer's identity and our trust domain."""
        super().__init__(f"the peer is {seen}, and trust domain {wanted} is wanted")
        self.seen, self.wanted = seen, wanted


class TlsUnexpectedIdentityError(PeerError):
    """A good server, but not the one that was dialled."""

    code = "tls_unexpected_identity"

    def __init__(self, seen: Identity, wanted: Collection[Identity]) -> None:
        """Keep who answered and who was expected."""
        listed = ", ".join(sorted(str(identity) for identity in wanted)) or "nobody"
        super().__init__(f"the peer is {seen}, and {listed} was expected")
        self.seen, self.wanted = seen, frozenset(wanted)


class TlsMaterialError(UnavailableError):
    """Our own key, chain or roots cannot be used; whoever fetched them keeps the previous ones."""

    code = "tls_material_invalid"

    def __init__(self, what: str, reason: str) -> None:
        """Keep which part is bad and why."""
        super().__init__(f"{what} cannot be used: {reason}")
        self.what, self.reason = what, reason


@dataclass(frozen=True, slots=True)
class Peer:
    """What a finished handshake has proved."""

    identity: Identity
    group: str
    """The key exchange, such as `X25519MLKEM768`."""
    not_after: float
    """When the peer's certificate ends, in seconds since the epoch."""
    chain: tuple[x509.Certificate, ...]
    """As it was verified: the leaf first, the root last."""


def self_test() -> None:
    """Check that this pyOpenSSL has the private parts that we drive, before anything is served.

    Raises:
        ConfigError: another version than the pinned one is installed.
    """
    missing = [f"SSL._lib.{name}" for name in PRIVATE_FUNCTIONS if not hasattr(_lib, name)]
    if not hasattr(_ffi, "from_buffer"):
        missing.append("SSL._ffi.from_buffer")
    connection = SSL.Connection(_context(pqc_only=False), None)
    handle = getattr(connection, "_ssl", None)
    if handle is None:
        missing.append("SSL.Connection._ssl")
    if missing:
        raise ConfigError((f"pyOpenSSL lacks {', '.join(missing)}: install the pinned version",))
    _lib.ERR_clear_error()
    got = _lib.SSL_read(handle, _ffi.from_buffer(bytearray(16)), 16)
    # A connection without a role cannot read: the call must fail, and its error must be readable.
    if got > 0 or _lib.SSL_get_error(handle, got) == 0:
        raise ConfigError(("SSL_read answers unexpectedly: install the pinned pyOpenSSL",))
    _lib.ERR_clear_error()


def server_context(
    key: bytes, chain: bytes, roots: bytes, *, pqc_only: bool = False
) -> SSL.Context:
    """A context for inbound HBONE: mutual TLS 1.3, ALPN `h2`, no resumption.

    Args:
        key: our private key, PEM, no password.
        chain: our certificate and its intermediates, PEM, leaf first, no root.
        roots: the certificates to trust, PEM.
        pqc_only: refuse every key exchange but X25519MLKEM768.

    Raises:
        TlsMaterialError: one of them cannot be read, or key and leaf do not match.
    """
    context = _context(pqc_only=pqc_only)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
    context.set_alpn_select_callback(_choose_protocol)
    _load(context, key, chain, roots)
    return context


def client_context(
    key: bytes, chain: bytes, roots: bytes, *, pqc_only: bool = False
) -> SSL.Context:
    """A context for outbound HBONE; arguments and errors as `server_context`."""
    context = _context(pqc_only=pqc_only)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_verify(SSL.VERIFY_PEER)
    context.set_alpn_protos([ALPN])
    _load(context, key, chain, roots)
    return context


def server_connection(context: SSL.Context, sock: socket.socket) -> SSL.Connection:
    """A connection that accepts on `sock`, which must be non-blocking and stay open as long."""
    connection = SSL.Connection(context, sock)
    connection.set_accept_state()
    return connection


def client_connection(context: SSL.Context, sock: socket.socket) -> SSL.Connection:
    """A connection that dials on `sock`, which must be connected and non-blocking. No SNI."""
    connection = SSL.Connection(context, sock)
    connection.set_connect_state()
    return connection


async def handshake(
    connection: SSL.Connection,
    sock: socket.socket | trio.socket.SocketType,
    *,
    trust_domain: str,
    expected: Collection[Identity] | None = None,
) -> Peer:
    """Finish the handshake and judge the peer; the role is the connection's.

    Args:
        connection: made by `server_connection` or `client_connection`.
        sock: the socket that it was made on, or trio's view of the same descriptor.
        trust_domain: the one that the peer must belong to.
        expected: whom we dialled, any of them; None takes everybody of the trust domain.

    Raises:
        PeerError: one of this module's leaves, or IdentityInvalidError for a URI of another form.

    Cancellation: leaves the handshake half done; the caller closes the socket in any case but
        success, and owns the deadline.
    """
    await _shake_hands(connection, sock)
    protocol = connection.get_alpn_proto_negotiated()
    if protocol != ALPN:
        raise TlsNoAlpnError(protocol)
    certificate = connection.get_peer_certificate(as_cryptography=True)
    verdict = _lib.SSL_get_verify_result(connection._ssl)  # noqa: SLF001 - see PRIVATE_FUNCTIONS
    if certificate is None:
        raise TlsNoCertificateError
    if verdict != _lib.X509_V_OK:
        raise _untrusted(verdict)
    identity = _identity_of(certificate)
    if identity.trust_domain != trust_domain:
        raise TlsTrustDomainError(identity, trust_domain)
    if expected is not None and identity not in expected:
        raise TlsUnexpectedIdentityError(identity, expected)
    not_after = certificate.not_valid_after_utc.timestamp()
    chain = tuple(connection.get_verified_chain(as_cryptography=True) or ())
    return Peer(identity, connection.get_group_name() or "", not_after, chain)


async def _shake_hands(
    connection: SSL.Connection, sock: socket.socket | trio.socket.SocketType
) -> None:
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            await trio.lowlevel.wait_readable(sock)
        except SSL.WantWriteError:
            await trio.lowlevel.wait_writable(sock)
        except SSL.SysCallError as error:
            raise TlsHandshakeFailedError(_system_reason(error)) from error
        except SSL.Error as error:
            raise _failure(connection, error) from error
        else:
            await trio.lowlevel.checkpoint()
            return


def _system_reason(error: SSL.SysCallError) -> str:
    number = error.args[0] if error.args else -1
    return os.strerror(number) if isinstance(number, int) and number > 0 else "the peer hung up"


def _failure(connection: SSL.Connection, error: SSL.Error) -> MeshError:
    """Name what ended a handshake: our verdict about the peer's chain, or OpenSSL's reason."""
    verdict = _lib.SSL_get_verify_result(connection._ssl)  # noqa: SLF001 - see PRIVATE_FUNCTIONS
    reason = _reason(error)
    if "certificate verify failed" in reason and verdict != _lib.X509_V_OK:
        return _untrusted(verdict)
    if any(words in reason for words in _PURPOSE_WORDS):
        return TlsNoCertificateError()
    return TlsHandshakeFailedError(reason)


def _reason(error: SSL.Error | crypto.Error) -> str:
    """OpenSSL's queue as text: its entries are (library, function, reason)."""
    entries = error.args[0] if error.args else ()
    if not isinstance(entries, list):
        return str(error) or type(error).__name__
    return ", ".join(str(entry[-1]) for entry in entries) or type(error).__name__


def _untrusted(verdict: int) -> MeshError:
    text = _ffi.string(_lib.X509_verify_cert_error_string(verdict)).decode("latin-1")
    if verdict in (_lib.X509_V_ERR_CERT_HAS_EXPIRED, _lib.X509_V_ERR_CERT_NOT_YET_VALID):
        return TlsExpiredError(text)
    return TlsUntrustedError(text)


def _identity_of(certificate: x509.Certificate) -> Identity:
    """The only URI of a certificate, as an identity; other kinds of names do not count."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        raise TlsIdentitiesError(()) from None
    except ValueError as error:  # OpenSSL takes extensions that cryptography cannot read
        raise TlsUntrustedError(f"unreadable: {error}") from error
    uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
    if len(uris) != 1:
        raise TlsIdentitiesError(uris)
    return Identity.parse(uris[0])


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """`h2`, or an alert: the empty answer ends the handshake (RFC 7301 section 3.2)."""
    del connection
    return ALPN if ALPN in offered else b""


def _context(*, pqc_only: bool) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_max_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(SUITES)
    groups = PQ_GROUP if pqc_only else GROUPS
    # pyOpenSSL offers one NIST curve at a time only; a list in our order needs the C function.
    handle = context._context  # noqa: SLF001 - see PRIVATE_FUNCTIONS
    if _lib.SSL_CTX_set1_curves_list(handle, groups.encode()) != 1:
        _lib.ERR_clear_error()
        raise ConfigError((f"OpenSSL does not know the key exchange groups {groups}",))
    # A blocked write is repeated as a whole, perhaps from another buffer (`relay.inner`, rule 3);
    # the 34 KiB of record buffers of an idle connection go back to the allocator.
    context.clear_mode(_lib.SSL_MODE_ENABLE_PARTIAL_WRITE)
    context.set_mode(_lib.SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL.MODE_RELEASE_BUFFERS)
    return context


def _load(context: SSL.Context, key: bytes, chain: bytes, roots: bytes) -> None:
    certificates = _certificates("the certificate chain", chain)
    store = context.get_cert_store()
    if store is None:
        raise TlsMaterialError("the trust store", "OpenSSL has made none")
    try:
        context.use_certificate(certificates[0])
        for intermediate in certificates[1:]:
            context.add_extra_chain_cert(intermediate)
        context.use_privatekey(_private_key(key))
        context.check_privatekey()
        for root in _certificates("the root certificates", roots):
            store.add_cert(crypto.X509.from_cryptography(root))
    except (SSL.Error, crypto.Error) as error:
        raise TlsMaterialError("the certificate", _reason(error)) from error


def _certificates(what: str, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise TlsMaterialError(what, str(error)) from error


def _private_key(pem: bytes) -> EllipticCurvePrivateKey | RSAPrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise TlsMaterialError("the private key", str(error)) from error
    if isinstance(key, EllipticCurvePrivateKey | RSAPrivateKey):
        return key
    raise TlsMaterialError("the private key", f"{type(key).__name__} is neither EC nor RSA")
