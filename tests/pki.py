"""A throwaway certificate authority for tests and benchmarks."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from mesh.model.identity import Identity

BOTH_ROLES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
HOUR = dt.timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Issued:
    """A key and its chain, PEM; the chain is leaf first and has no root."""

    key: bytes
    chain: bytes
    roots: bytes
    """The issuing authority's own root: what its peers trust."""
    not_after: float


class Authority:
    """A root (and, when asked, an intermediate) that signs whatever it is asked to."""

    def __init__(self, trust_domain: str = "cluster.local", *, intermediate: bool = False) -> None:
        """Make the keys; another `Authority` of the same trust domain is another chain."""
        self.trust_domain = trust_domain
        self._between = b""
        root_key = self._root_key = ec.generate_private_key(ec.SECP256R1())
        root = _authority_certificate("root", root_key.public_key(), "root", root_key)
        self.roots = root.public_bytes(Encoding.PEM)
        self._root_name = root.subject
        self._key, self._name = root_key, root.subject
        if intermediate:
            self._key = ec.generate_private_key(ec.SECP256R1())
            between = _authority_certificate("between", self._key.public_key(), "root", root_key)
            self._name = between.subject
            self._between = between.public_bytes(Encoding.PEM)

    def identity(self, namespace: str = "default", account: str = "default") -> Identity:
        """An identity of this trust domain."""
        return Identity(self.trust_domain, namespace, account)

    def issue(
        self,
        identity: Identity | None,
        *,
        more_uris: Sequence[str] = (),
        dns: Sequence[str] = (),
        begins: dt.timedelta = -HOUR,
        lasts: dt.timedelta = 25 * HOUR,
        usages: Sequence[ObjectIdentifier] = BOTH_ROLES,
    ) -> Issued:
        """A fresh key and its certificate.

        Args:
            identity: the first URI; None leaves it out.
            more_uris: further URIs, of any form.
            dns: DNS names beside the URIs.
            begins: when it starts to be valid, from now (a negative span is in the past).
            lasts: how long from then; `begins + lasts < 0` has expired.
            usages: the extended key usages; empty leaves the extension out.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        start = dt.datetime.now(dt.UTC) + begins
        uris = ([str(identity)] if identity else []) + list(more_uris)
        names = [
            *(x509.UniformResourceIdentifier(uri) for uri in uris),
            *(x509.DNSName(name) for name in dns),
        ]
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + lasts)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        leaf = builder.sign(self._key, hashes.SHA256())
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        chain = leaf.public_bytes(Encoding.PEM) + self._between
        return Issued(pem, chain, self.roots, (start + lasts).timestamp())

    def revoke(self, *chains: bytes, by_root: bool = False, lasts: dt.timedelta = HOUR) -> bytes:
        """A revocation list (PEM) with the first certificate of each chain (PEM).

        Args:
            chains: whose certificates.
            by_root: sign as the root, and not as the one who issues.
            lasts: how long the list holds; a negative span is over.
        """
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._root_name if by_root else self._name)
            .last_update(now - 24 * HOUR)
            .next_update(now + lasts)
        )
        for chain in chains:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(x509.load_pem_x509_certificates(chain)[0].serial_number)
                .revocation_date(now)
                .build()
            )
        key = self._root_key if by_root else self._key
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def sign_request(self, request: bytes, lasts_s: float) -> bytes:
        """The chain for a request (PEM) of somebody who keeps the key; names as asked."""
        asked = x509.load_pem_x509_csr(request)
        names = asked.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        start = dt.datetime.now(dt.UTC)
        leaf = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([]))
            .issuer_name(self._name)
            .public_key(asked.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + dt.timedelta(seconds=lasts_s))
            .add_extension(names.value, critical=True)
            .add_extension(x509.ExtendedKeyUsage(BOTH_ROLES), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return leaf.public_bytes(Encoding.PEM) + self._between


def _authority_certificate(
    name: str,
    public: ec.EllipticCurvePublicKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 48 * HOUR)
        .not_valid_after(now + 240 * HOUR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
