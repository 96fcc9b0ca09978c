"""Certificate requests: what a key must be, and how it is proven."""

import base64
import contextlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from controlplane.certificate_request import (
    MAX_OCTETS,
    CertificateRequestInvalidError,
    requested_key,
)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
P256 = ec.generate_private_key(ec.SECP256R1())


def request(key: Key, signer: Key | None = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    signed = builder.sign(key, digest)
    if signer is None:
        return signed.public_bytes(Encoding.PEM)
    # The signature of another key over the same request.
    der = bytearray(signed.public_bytes(Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM)


@pytest.mark.parametrize(
    "key",
    [P256, ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)],
    ids=["P-256", "P-384", "RSA 2048"],
)
def test_these_keys_are_taken(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    assert requested_key(request(key).decode()) == key.public_key()


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP521R1()),
        ec.generate_private_key(ec.SECP256K1()),
        rsa.generate_private_key(65537, 1024),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-521", "secp256k1", "RSA 1024", "Ed25519"],
)
def test_other_keys_are_refused(key: Key) -> None:
    with pytest.raises(CertificateRequestInvalidError, match="its key must be"):
        requested_key(request(key).decode())


def test_a_request_must_be_signed_by_its_own_key() -> None:
    with pytest.raises(CertificateRequestInvalidError):
        requested_key(request(P256, P256).decode())


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "not a request",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        request(P256).decode()[:200],
        request(P256).decode() + "x" * MAX_OCTETS,
        "\u00e9",
    ],
)
def test_what_is_no_request_is_refused(pem: str) -> None:
    with pytest.raises(CertificateRequestInvalidError):
        requested_key(pem)


@given(st.binary(max_size=20), st.integers(0, 250))
def test_a_damaged_request_is_taken_or_refused(damage: bytes, at: int) -> None:
    der = bytearray(x509.load_pem_x509_csr(request(P256)).public_bytes(Encoding.DER))
    der[at : at + len(damage)] = damage
    body = base64.encodebytes(bytes(der)).decode()
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    with contextlib.suppress(CertificateRequestInvalidError):
        requested_key(pem)
