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
MOST_WISHES: Final = 1024


class CertificateMissingError(UnavailableError):
    """There is no certificate for an identity (yet)."""

    code = "certificate_missing"


@dataclass(eq=False)
class Credential:
    """One identity's certificate and what TLS needs of it."""

    certificate: Certificate
    pqc_only: bool

    @cached_property
    def server(self) -> SSL.Context:
        """For connections that come to the workload."""
        held = self.certificate
        return tls.server_context(held.key, held.chain, held.roots, pqc_only=self.pqc_only)

    @cached_property
    def client(self) -> SSL.Context:
        """For connections that the workload makes."""
        held = self.certificate
        return tls.client_context(held.key, held.chain, held.roots, pqc_only=self.pqc_only)


@dataclass(slots=True, eq=False)
class _Wish:
    arrived: trio.Event
    until: float
    """When to ask again."""


class Credentials:
    """What the control process has sent; whoever needs more says so."""

    def __init__(self, *, pqc_only: bool = False) -> None:
        """Start with nothing; `pqc_only` refuses every key exchange that is not post-quantum."""
        self._pqc_only = pqc_only
        self._held: dict[Identity, Credential] = {}
        self._reasons: dict[Identity, str] = {}
        self._waiting: dict[Identity, _Wish] = {}
        self._wanted, self.wishes = trio.open_memory_channel[Identity](MOST_WISHES)
        """`wishes` is where to read whose certificates are waited for."""

    def put(self, certificate: Certificate) -> None:
        """Use this one from the next handshake on."""
        self._held[certificate.identity] = Credential(certificate, self._pqc_only)
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

    def until(self, identity: Identity) -> float:
        """When the newest certificate ends, in seconds since the epoch; 0 when there is none."""
        held = self._held.get(identity)
        return 0.0 if held is None else held.certificate.not_after

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
        with trio.move_on_after(WAIT_SECONDS):
            await self._wish(identity).wait()
        if (held := self._held.get(identity)) is not None:
            return held
        reason = self._reasons.get(identity, f"none came within {WAIT_SECONDS:g} s")
        raise CertificateMissingError(f"no certificate for {identity}: {reason}")

    def awaited(self) -> tuple[Identity, ...]:
        """Whose certificates connections wait for: to be told to a new control process."""
        return tuple(self._waiting)

    def _wish(self, identity: Identity) -> trio.Event:
        """What happens when there is news; asked for once while somebody waits."""
        now = trio.current_time()
        wish = self._waiting.get(identity)
        if wish is not None and now < wish.until:
            return wish.arrived
        try:
            self._wanted.send_nowait(identity)
        except trio.WouldBlock:
            raise CertificateMissingError(f"too many are awaited already: {identity}") from None
        if wish is None:
            wish = self._waiting[identity] = _Wish(trio.Event(), now)
        wish.until = now + WAIT_SECONDS
        return wish.arrived

    def _wake(self, identity: Identity) -> None:
        if (wish := self._waiting.pop(identity, None)) is not None:
            wish.arrived.set()
