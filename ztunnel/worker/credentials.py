"""The keys and certificates of this node's workloads, as TLS contexts.

1. A context is never changed once it was used: each renewal makes new ones, and live tunnels keep
   the old ones until they end.
2. A failed renewal takes nothing away; it only answers those who wait for a first certificate.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import trio
from OpenSSL import SSL

from mesh.errors import UnavailableError
from mesh.model.identity import Identity
from mesh.runtime import tls
from mesh.wire.feed import Certificate

WAIT_SECONDS: Final = 10.0


class CertificateMissingError(UnavailableError):
    """There is no certificate for an identity (yet)."""

    code = "certificate_missing"


@dataclass(eq=False)
class Credential:
    """One identity's certificate and what TLS needs of it."""

    certificate: Certificate

    @cached_property
    def server(self) -> SSL.Context:
        """For connections that come to the workload."""
        held = self.certificate
        return tls.server_context(held.key, held.chain, held.roots)

    @cached_property
    def client(self) -> SSL.Context:
        """For connections that the workload makes."""
        held = self.certificate
        return tls.client_context(held.key, held.chain, held.roots)


class Credentials:
    """What the control process has sent; whoever needs more says so."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._held: dict[Identity, Credential] = {}
        self._reasons: dict[Identity, str] = {}
        self._waiting: dict[Identity, trio.Event] = {}
        self.wanted, self.wishes = trio.open_memory_channel[Identity](1024)

    def put(self, certificate: Certificate) -> None:
        """Use this one from the next handshake on."""
        self._held[certificate.identity] = Credential(certificate)
        self._reasons.pop(certificate.identity, None)
        self._wake(certificate.identity)

    def fail(self, identity: Identity, reason: str) -> None:
        """There will be none for now."""
        self._reasons[identity] = reason
        self._wake(identity)

    def forget(self, identity: Identity) -> None:
        """No workload here has this identity any more."""
        self._held.pop(identity, None)
        self._reasons.pop(identity, None)

    def identities(self) -> tuple[Identity, ...]:
        """Whose certificates are here."""
        return tuple(self._held)

    async def of(self, identity: Identity) -> Credential:
        """The credential, as soon as there is one.

        Raises:
            CertificateMissingError: refused, or not here within WAIT_SECONDS.
        """
        if (held := self._held.get(identity)) is not None:
            return held
        arrived = self._waiting.setdefault(identity, trio.Event())
        try:
            self.wanted.send_nowait(identity)
        except trio.WouldBlock:
            raise CertificateMissingError(f"too many certificates are awaited: {identity}") from None
        with trio.move_on_after(WAIT_SECONDS):
            await arrived.wait()
        if (held := self._held.get(identity)) is not None:
            return held
        reason = self._reasons.get(identity, f"none came within {WAIT_SECONDS:g} s")
        raise CertificateMissingError(f"no certificate for {identity}: {reason}")

    def _wake(self, identity: Identity) -> None:
        if (arrived := self._waiting.pop(identity, None)) is not None:
            arrived.set()
