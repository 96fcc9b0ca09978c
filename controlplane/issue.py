"""Certificates that the authority signs: for workloads, and for the control plane's own server.

A leaf names exactly one thing, is never an authority, and never outlives the root.
"""

import datetime as dt
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier

from controlplane.authority import BACKDATED, LEAF_USAGE, Authority
from mesh.model.identity import Identity
from mesh.runtime.grpc_bridge.server import KeyPair

BOTH_ROLES: Final = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
SERVER_ROLE: Final = (ExtendedKeyUsageOID.SERVER_AUTH,)


def workload_certificate(
    authority: Authority,
    identity: Identity,
    public: CertificatePublicKeyTypes,
    lasts: dt.timedelta,
    now: dt.datetime,
) -> x509.Certificate:
    """The certificate of a workload: one URI, for both ends of a connection."""
    uri = x509.UniformResourceIdentifier(str(identity))
    return _leaf(authority, public, [uri], BOTH_ROLES, now, lasts)


def server_key_pair(
    authority: Authority, names: Sequence[str], lasts: dt.timedelta, now: dt.datetime
) -> KeyPair:
    """A fresh key and a certificate for a server of these host names and IP addresses."""
    key = ec.generate_private_key(ec.SECP256R1())
    found = [_server_name(name) for name in names]
    leaf = _leaf(authority, key.public_key(), found, SERVER_ROLE, now, lasts)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return KeyPair(pem, leaf.public_bytes(Encoding.PEM))


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _leaf(
    authority: Authority,
    public: CertificatePublicKeyTypes,
    names: Sequence[x509.GeneralName],
    roles: Sequence[ObjectIdentifier],
    now: dt.datetime,
    lasts: dt.timedelta,
) -> x509.Certificate:
    ends = min(now + lasts, authority.root.not_valid_after_utc)
    signer = authority.root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    known_by = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(authority.root.subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(max(now - BACKDATED, authority.root.not_valid_before_utc))
        .not_valid_after(ends)
        .add_extension(LEAF_USAGE, critical=True)
        .add_extension(x509.ExtendedKeyUsage(roles), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(known_by, critical=False)
        # RFC 5280 section 4.1.2.6: with an empty subject the name must be critical.
        .add_extension(x509.SubjectAlternativeName(names), critical=True)
        .sign(authority.key, hashes.SHA256())
    )
