"""From a TCP connection to a tunnel: the handshake within its deadline, then HTTP/2 on it."""

import socket
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.runtime import tls
from mesh.runtime.http2_transport import (
    CLIENT_SETTINGS,
    SERVER_SETTINGS,
    OnClose,
    OnStream,
    Tunnel,
    refuse_streams,
)
from mesh.runtime.settings import Http2
from mesh.runtime.worker.credentials import Credential
from mesh.runtime.worker.parts import WorkerParts
from mesh.wire.http2.connection import Connection
from mesh.wire.http2.frames import Role
from mesh.wire.http2.settings import Settings

HANDSHAKE_SECONDS: Final = 10.0
LEAST_CONNECTION_WINDOW: Final = 65_535
"""A connection's window cannot be made smaller than it begins (RFC 9113 section 6.9.2)."""


def settings_of(role: Role, sizes: Http2) -> Settings:
    """What we announce: windows begin small, and grow as far as the configuration lets them."""
    ours = CLIENT_SETTINGS if role is Role.CLIENT else SERVER_SETTINGS
    return replace(
        ours,
        stream_window=min(ours.stream_window, sizes.stream_window_octets),
        connection_window=max(
            LEAST_CONNECTION_WINDOW,
            min(ours.connection_window, sizes.connection_window_octets),
        ),
        max_stream_window=sizes.stream_window_octets,
        max_connection_window=max(LEAST_CONNECTION_WINDOW, sizes.connection_window_octets),
        max_frame=sizes.frame_octets,
    )


async def secure(  # noqa: PLR0913 - the parts that it puts together
    parts: WorkerParts,
    role: Role,
    credential: Credential,
    connection: socket.socket,
    *,
    expected: Collection[Identity] | None = None,
    on_stream: OnStream = refuse_streams,
    on_close: OnClose,
    renew: Callable[[], object] | None = None,
) -> Tunnel:
    """Authenticate both sides and start HTTP/2; the tunnel owns the socket from then on.

    It ends when a certificate of one side does, unless that side shows a newer one meanwhile.

    Args:
        parts: the worker's.
        role: ours.
        credential: who we are.
        connection: a connected, non-blocking socket.
        expected: whom we dialled, any of them; None takes everybody of the trust domain.
        on_stream: as `Tunnel`.
        on_close: as `Tunnel`.
        renew: called some time before the end while streams are open: makes another tunnel to the
            same place. None where we cannot.

    Raises:
        RevocationUnknownError: revocation lists are configured and were never read.
        PeerError: the peer is not who it has to be, or does not speak TLS or HTTP/2. The socket
            stays the caller's.
    """
    if role is Role.CLIENT:
        session = tls.client_connection(credential.client, connection)
    else:
        session = tls.server_connection(credential.server, connection)
    peer: tls.Peer | None = None
    with trio.move_on_after(HANDSHAKE_SECONDS):
        peer = await tls.handshake(
            session,
            connection,
            trust_domain=credential.certificate.identity.trust_domain,
            expected=expected,
        )
    if peer is None:
        raise tls.TlsHandshakeFailedError(f"not finished within {HANDSHAKE_SECONDS:g} s")
    parts.trust.check(role, peer)

    def closed(tunnel: Tunnel, reason: MeshError | None) -> None:
        parts.trust.forget(tunnel)
        on_close(tunnel, reason)

    host = str(connection.getpeername()[0]) if connection.family != socket.AF_UNIX else ""
    tunnel = Tunnel(
        parts.reactor,
        parts.buffers,
        session,
        connection,
        Connection(role, settings_of(role, parts.http2), parts.windows),
        peer=peer.identity,
        on_stream=on_stream,
        on_close=closed,
    )
    held = credential.certificate
    parts.trust.watch(tunnel, role, (held.identity, held.not_after), peer, host, renew)
    return tunnel
