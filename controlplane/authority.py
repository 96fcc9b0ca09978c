"""The mesh's certificate authority: its key and root, made at the first start and kept."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from controlplane.state_files import (
    PRIVATE,
    PUBLIC,
    StateUnusableError,
    locked,
    read_private,
    read_whole,
    write_whole,
)

KEY_FILE: Final = "ca-key.pem"
ROOT_FILE: Final = "root-cert.pem"
ROOT_LASTS: Final = dt.timedelta(days=3650)
BACKDATED: Final = dt.timedelta(minutes=2)
"""Peers whose clock is a little behind must not find a new certificate to be of the future."""
_RESTORE: Final = "restore both files together, or remove both to begin a new mesh"


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs. The key does not leave the process."""

    key: ec.EllipticCurvePrivateKey
    root: x509.Certificate
    trust_domain: str

    @property
    def roots(self) -> bytes:
        """What peers trust: PEM."""
        return self.root.public_bytes(Encoding.PEM)

    def __repr__(self) -> str:
        return f"Authority({self.trust_domain})"


def load_authority(state: Path, trust_domain: str, now: dt.datetime) -> Authority:
    """The authority of a state folder; made there when there is none.

    Raises:
        StateUnusableError: a full disk, no right, or files that do not fit together or are not
            for this trust domain.
    """
    with locked(state):
        key = _load_key(state / KEY_FILE, may_make=not (state / ROOT_FILE).exists())
        root = _load_root(state / ROOT_FILE, key, trust_domain, now)
    return Authority(key, root, trust_domain)


def _load_key(path: Path, *, may_make: bool) -> ec.EllipticCurvePrivateKey:
    pem = read_private(path)
    if pem is None:
        if not may_make:
            raise StateUnusableError(path, f"is missing beside {ROOT_FILE}", _RESTORE)
        return make_key(path)
    return read_key(path, pem)


def make_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """A new P-256 key, kept in a file that nobody else may read.

    Raises:
        StateUnusableError: it cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(path, pem, PRIVATE)
    return key


def read_key(path: Path, pem: bytes) -> ec.EllipticCurvePrivateKey:
    """The P-256 key in a file.

    Raises:
        StateUnusableError: it holds something else.
    """
    try:
        key = load_pem_private_key(pem, None)
    except (ValueError, TypeError):
        raise StateUnusableError(path, "holds no key in PEM", _RESTORE) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise StateUnusableError(path, "holds another key than P-256", _RESTORE)
    return key


def _load_root(
    path: Path, key: ec.EllipticCurvePrivateKey, trust_domain: str, now: dt.datetime
) -> x509.Certificate:
    pem = read_whole(path)
    if pem is None:
        root = _make_root(key, trust_domain, now)
        write_whole(path, root.public_bytes(Encoding.PEM), PUBLIC)
        return root
    try:
        root = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise StateUnusableError(path, "holds no certificate in PEM", _RESTORE) from None
    if root.public_key() != key.public_key():
        raise StateUnusableError(path, f"is not the certificate of {KEY_FILE}", _RESTORE)
    names = [
        str(each.value) for each in root.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ]
    if names != [trust_domain]:
        said = f"is for the trust domain {', '.join(names)}, not {trust_domain}"
        raise StateUnusableError(path, said, "choose another --state, or that --trust-domain")
    if root.not_valid_after_utc <= now:
        raise StateUnusableError(path, "has expired", "remove it: its key then gets a new one")
    return root


def _make_root(
    key: ec.EllipticCurvePrivateKey, trust_domain: str, now: dt.datetime
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, trust_domain)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + ROOT_LASTS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


LEAF_USAGE: Final = _usage(signs_certificates=False)
