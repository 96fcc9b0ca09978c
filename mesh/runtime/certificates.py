"""Keys, certificate requests, and what a certificate authority answered.

1. A key is made for each request and never leaves the node proxy.
2. An answer is used only when the leaf has our key and names exactly the identity that was asked
   for, the chain leads to the roots that came along, and it is valid now.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from mesh.errors import PeerError
from mesh.model.identity import Identity
from mesh.wire.feed import Certificate


class CertificateUnfitError(PeerError):
    """A certificate authority's answer (or a certificate file) that cannot be used."""

    code = "certificate_unfit"

    def __init__(self, identity: Identity, reason: str) -> None:
        """Keep whose it was to be, and what is wrong with it."""
        super().__init__(f"certificate for {identity}: {reason}")
        self.identity, self.reason = identity, reason


@dataclass(frozen=True, slots=True)
class KeyAndRequest:
    """A fresh key and the request for its certificate, both PEM."""

    key: bytes
    request: bytes


@dataclass(frozen=True, slots=True)
class Described:
    """One certificate, for people."""

    pem: bytes
    serial: int
    not_before: float
    not_after: float
    """Seconds since the epoch."""


def make_request(identity: Identity) -> KeyAndRequest:
    """A P-256 key, and a request with an empty subject and the identity as critical URI."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(str(identity))])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyAndRequest(pem, request.public_bytes(Encoding.PEM))


def checked_answer(
    identity: Identity, key: bytes, answer: Sequence[str], now: float, *, named: bool = True
) -> tuple[Certificate, float]:
    """What an authority's answer gives.

    Args:
        identity: whose certificate was asked for.
        key: PEM of the key of the request.
        answer: PEM texts: the leaf, intermediates, and last the roots (perhaps several in one).
        now: seconds since the epoch.
        named: whether the leaf must name the identity (a dedicated proxy takes what it is given).

    Returns:
        The certificate, and since when it is valid (seconds since the epoch).

    Raises:
        CertificateUnfitError: with what is wrong.
    """
    if len(answer) < 2:
        raise CertificateUnfitError(identity, f"{len(answer)} certificates instead of a chain")
    try:
        chain = [one for text in answer[:-1] for one in _certificates(text.encode())]
        roots = _certificates(answer[-1].encode())
    except ValueError as error:
        raise CertificateUnfitError(identity, f"not PEM: {error}") from None
    return _checked(identity, key, chain, roots, now, named=named)


def from_files(
    identity: Identity, key: bytes, chain: bytes, roots: bytes, now: float
) -> tuple[Certificate, float]:
    """The same of PEM files that somebody else has made; the leaf must name the identity.

    Raises:
        CertificateUnfitError: with what is wrong.
    """
    try:
        return _checked(identity, key, _certificates(chain), _certificates(roots), now, named=True)
    except ValueError as error:
        raise CertificateUnfitError(identity, f"not PEM: {error}") from None


def describe(pem: bytes) -> list[Described]:
    """Each certificate of a PEM text that was checked before, in order."""
    return [
        Described(
            one.public_bytes(Encoding.PEM),
            one.serial_number,
            one.not_valid_before_utc.timestamp(),
            one.not_valid_after_utc.timestamp(),
        )
        for one in _certificates(pem)
    ]


def renewal_time(not_before: float, not_after: float, now: float, chance: float) -> float:
    """When to ask for the next one: in the middle of its life, a little spread.

    Args:
        not_before: of the certificate (seconds since the epoch).
        not_after: of the certificate.
        now: at once, when the middle has passed.
        chance: a random number from 0 to 1: up to a tenth of the life earlier.
    """
    life = not_after - not_before
    return max(now, not_before + life / 2 - life * 0.1 * chance)


def _certificates(pem: bytes) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(pem)


def _checked(
    identity: Identity,
    key: bytes,
    chain: list[x509.Certificate],
    roots: list[x509.Certificate],
    now: float,
    *,
    named: bool,
) -> tuple[Certificate, float]:
    leaf = chain[0]
    if named and (names := _uris(leaf)) != [str(identity)]:
        raise CertificateUnfitError(identity, f"it names {', '.join(names) or 'nobody'}")
    if not _has_key(leaf, key):
        raise CertificateUnfitError(identity, "it is of another key")
    if not leaf.not_valid_before_utc.timestamp() <= now + CLOCK_SLACK_S:
        raise CertificateUnfitError(identity, f"not valid before {leaf.not_valid_before_utc}")
    if leaf.not_valid_after_utc.timestamp() <= now:
        raise CertificateUnfitError(identity, f"expired at {leaf.not_valid_after_utc}")
    if not _leads_to(chain, roots):
        raise CertificateUnfitError(identity, "its chain does not lead to the roots")
    certificate = Certificate(
        identity, key, _pem(chain), _pem(roots), leaf.not_valid_after_utc.timestamp()
    )
    return certificate, leaf.not_valid_before_utc.timestamp()


CLOCK_SLACK_S = dt.timedelta(minutes=5).total_seconds()
"""An authority's clock may be a little ahead."""


def _uris(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.value.get_values_for_type(x509.UniformResourceIdentifier)


def _has_key(leaf: x509.Certificate, key: bytes) -> bool:
    try:
        ours = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError):
        return False
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    return ours.public_bytes(*form) == leaf.public_key().public_bytes(*form)


def _leads_to(chain: list[x509.Certificate], roots: list[x509.Certificate]) -> bool:
    """Each is issued by the next, the last by a root (or is one)."""
    issued = zip(chain, chain[1:], strict=False)
    if not all(_is_issued_by(one, issuer) for one, issuer in issued):
        return False
    return chain[-1] in roots or any(_is_issued_by(chain[-1], root) for root in roots)


def _is_issued_by(one: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _pem(certificates: list[x509.Certificate]) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
