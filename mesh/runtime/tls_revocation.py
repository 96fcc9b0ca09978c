"""Certificate revocation lists (RFC 5280 section 5): who is not to be trusted any more.

1. The whole chain that a handshake has verified is looked at, each certificate with the lists of
   its issuer. Only a list that the issuer has signed counts.
2. An issuer without a list says nothing against its certificates; a list past its time still says
   what it says.
3. When lists are configured and none could ever be read, nobody is trusted. Once there were good
   ones, a file that cannot be read takes nothing away: the last good ones hold.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mesh.errors import PeerError, UnavailableError
from mesh.runtime.manifests_watch import FolderWatch, WatchFailedError

LOOK_S: Final = 30.0
"""How often to look at the file although nothing has told of a change."""

CONFIG_MAP: Final = "..data"
"""What changes in a folder that Kubernetes mounts."""

_PEM: Final = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)

log = logging.getLogger(__name__)


class TlsRevokedError(PeerError):
    """A certificate of the peer's chain is on a revocation list of its issuer."""

    code = "tls_revoked"

    def __init__(self, serial: int) -> None:
        """Keep the certificate's number."""
        super().__init__(f"the peer's certificate is revoked: serial number {serial:x}")
        self.serial = serial


class RevocationUnknownError(UnavailableError):
    """Revocation lists are configured, and could not be read: nobody is trusted until they can."""

    code = "revocation_unknown"

    def __init__(self, reason: str) -> None:
        """Keep what is wrong with them."""
        super().__init__(f"the revocation lists cannot be read, so nobody is trusted: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True, eq=False)
class RevocationList:
    """One list, with what is asked of it."""

    crl: x509.CertificateRevocationList
    serials: frozenset[int]


def read_lists(octets: bytes) -> tuple[RevocationList, ...]:
    """The lists of a file: PEM, one after the other, or a single one in DER.

    Raises:
        ValueError: it is neither, or holds none.
    """
    pieces = _PEM.findall(octets)
    crls = (
        [x509.load_pem_x509_crl(piece) for piece in pieces]
        if pieces
        else [x509.load_der_x509_crl(octets)]
    )
    return tuple(
        RevocationList(crl, frozenset(entry.serial_number for entry in crl)) for crl in crls
    )


class Revocations:
    """The lists of one file, or none at all."""

    def __init__(self, path: str) -> None:
        """Nothing is read yet; an empty path never refuses anybody."""
        self._path = Path(path) if path else None
        self._seen: tuple[int, ...] = ()
        self._lists: tuple[RevocationList, ...] = ()
        self._signed: dict[tuple[int, bytes], bool] = {}
        self._is_read = False
        self.problem = "not read yet" if path else ""
        """Why the file cannot be read just now; empty when it can."""

    @property
    def are_configured(self) -> bool:
        """Whether there is a file at all."""
        return self._path is not None

    @property
    def are_unknown(self) -> bool:
        """Whether nobody may be trusted, because no list could ever be read."""
        return self._path is not None and not self._is_read

    def check(self, chain: Sequence[x509.Certificate]) -> None:
        """Pass a chain, leaf first and root last, of which no certificate is revoked.

        Raises:
            TlsRevokedError: one is.
            RevocationUnknownError: nobody can tell.
        """
        if self.are_unknown:
            raise RevocationUnknownError(self.problem)
        for certificate, issuer in zip(chain, chain[1:], strict=False):
            if any(
                certificate.serial_number in each.serials and self._is_of(each, issuer)
                for each in self._lists
            ):
                raise TlsRevokedError(certificate.serial_number)

    def _is_of(self, each: RevocationList, issuer: x509.Certificate) -> bool:
        if each.crl.issuer != issuer.subject:
            return False
        key = issuer.public_key()
        if not isinstance(key, EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey):
            return False
        name = id(each), key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if name not in self._signed:
            self._signed[name] = _is_signed(each.crl, key)
        return self._signed[name]

    async def keep(self, on_change: Callable[[], None]) -> None:
        """Read the file now and whenever it changes; tell what comes of it.

        Args:
            on_change: called when other lists are in force.

        Cancellation: the last lists stay in force.
        """
        if self._path is None:
            return
        try:
            with FolderWatch((CONFIG_MAP, self._path.name)) as watch:
                watch.add(self._path.parent)
                await self._keep(on_change, watch.wait_changed)
        except WatchFailedError as error:
            log.error("looks only now and then", extra={"code": error.code, "error": str(error)})  # noqa: TRY400 - the words say it
            await self._keep(on_change, trio.sleep_forever)

    async def _keep(
        self, on_change: Callable[[], None], wait_changed: Callable[[], Awaitable[None]]
    ) -> None:
        while True:
            if await self.refresh():
                on_change()
            with trio.move_on_after(LOOK_S):
                await wait_changed()

    async def refresh(self) -> bool:
        """Read the file if it has changed; whether other lists are in force.

        Cancellation: nothing changes.
        """
        if self._path is None:
            return False
        try:
            seen = _signature(self._path)
            if seen == self._seen:
                return False
            lists = await trio.to_thread.run_sync(_read_blocking, self._path)
        except (OSError, ValueError) as error:
            self._fail(error.strerror or str(error) if isinstance(error, OSError) else str(error))
            return False
        self._seen, self._lists = seen, lists
        self._signed.clear()
        self._is_read, self.problem = True, ""
        revoked = sum(len(each.serials) for each in lists)
        log.info("revocation lists", extra={"lists": len(lists), "revoked": revoked})
        return True

    def _fail(self, reason: str) -> None:
        if reason == self.problem:
            return
        self.problem, self._seen = reason, ()
        log.error(
            "revocation lists cannot be read: nobody is trusted"
            if self.are_unknown
            else "revocation lists cannot be read: the last ones hold",
            extra={
                "code": RevocationUnknownError.code,
                "file": str(self._path),
                "error": reason,
            },
        )


def _signature(path: Path) -> tuple[int, ...]:
    """What changes whenever the file does."""
    told = path.stat()
    return told.st_dev, told.st_ino, told.st_mtime_ns, told.st_size


def _read_blocking(path: Path) -> tuple[RevocationList, ...]:
    return read_lists(path.read_bytes())


def _is_signed(
    crl: x509.CertificateRevocationList,
    key: EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey,
) -> bool:
    try:
        return crl.is_signature_valid(key)
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError):
        return False
