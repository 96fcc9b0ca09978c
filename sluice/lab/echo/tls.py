"""TLS in front of an echo, by the standard library: lighter at the start than ours of the mesh."""

import socket
import ssl
import threading
from typing import Final

from sluice.lab.echo.answers import Secured
from sluice.lab.echo.settings import Port, Settings, Speech

_HANDSHAKE_S: Final = 10.0
_SUITES: Final = {
    "ECDHE-ECDSA-AES128-GCM-SHA256": "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384": "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305": "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256": "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384": "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305": "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
"""The registry's names of TLS 1.2's suites; OpenSSL has names of its own for them."""


class _Named(ssl.SSLSocket):
    """Remembers which name the client asked for."""

    server_name = ""


class TlsServer:
    """Does the server's side of handshakes."""

    def __init__(self, settings: Settings) -> None:
        """Load the certificate, unless the echo has to make its own, which waits for a client.

        Raises:
            OSError: a file cannot be read, or holds no certificate.
        """
        self._settings = settings
        self._lock = threading.Lock()
        self._contexts: dict[Speech, ssl.SSLContext] = {}
        if not settings.is_advanced:
            for port in settings.ports:
                if port.is_secure:
                    self._context(port.speech)

    def secure(self, connection: socket.socket, port: Port) -> tuple[socket.socket, Secured]:
        """The connection once its handshake is done, and what was agreed.

        Raises:
            OSError: the handshake failed.
        """
        context = self._context(port.speech)
        connection.settimeout(_HANDSHAKE_S)
        end = context.wrap_socket(connection, server_side=True)
        end.settimeout(None)
        suite = (end.cipher() or ("", "", 0))[0]
        certificate = end.getpeercert(binary_form=True)
        shown = () if certificate is None else (ssl.DER_cert_to_PEM_cert(certificate),)
        return end, Secured(
            version=end.version() or "",
            server_name=end.server_name if isinstance(end, _Named) else "",
            protocol=end.selected_alpn_protocol() or "",
            cipher=_SUITES.get(suite, suite),
            certificates=shown,
        )

    def _context(self, speech: Speech) -> ssl.SSLContext:
        with self._lock:
            if speech not in self._contexts:
                self._contexts[speech] = _new_context(self._settings, speech)
            return self._contexts[speech]


def _new_context(settings: Settings, speech: Speech) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.sslsocket_class = _Named
    context.sni_callback = _remember
    match speech:
        case Speech.GRPC:
            context.set_alpn_protocols(["h2"])
        case Speech.TCP:
            pass
        case _:
            context.set_alpn_protocols(["h2", "http/1.1"])
    _load(context, settings)
    if settings.client_authorities:
        context.load_verify_locations(settings.client_authorities)
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _load(context: ssl.SSLContext, settings: Settings) -> None:
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except FileNotFoundError:
        if not settings.is_advanced:
            raise
        # The public image brings the files that its arguments name; here it makes them.
        from sluice.lab.echo.certificate import load_own  # noqa: PLC0415 - only when it is needed

        load_own(context, settings.who)


def _remember(end: ssl.SSLSocket | ssl.SSLObject, name: str, _: ssl.SSLContext) -> None:
    if isinstance(end, _Named):
        end.server_name = name or ""
