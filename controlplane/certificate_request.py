"""A certificate request (PKCS #10): its key, once it is proven that the caller holds it.

Names and extensions in a request mean nothing here: whose certificate it becomes is decided by who
asks for it.
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from mesh.errors import PeerError

MAX_OCTETS: Final = 16 * 1024
CURVES: Final = frozenset({"secp256r1", "secp384r1"})
RSA_BITS: Final = range(2048, 4096 + 1)


class CertificateRequestInvalidError(PeerError):
    """A certificate request that cannot be read, is not signed by its key, or has a bad key."""

    code = "certificate_request_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what is wrong with it."""
        super().__init__(f"certificate request: {reason}")
        self.reason = reason


def requested_key(pem: str) -> CertificatePublicKeyTypes:
    """The key that a request asks a certificate for.

    Raises:
        CertificateRequestInvalidError: see there.
    """
    if len(pem) > MAX_OCTETS:
        raise CertificateRequestInvalidError(f"more than {MAX_OCTETS} octets")
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        public = request.public_key()
        _check_key(public)
        is_signed = request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise CertificateRequestInvalidError("is not a PKCS #10 request in PEM") from None
    if not is_signed:
        raise CertificateRequestInvalidError("is not signed by its own key")
    return public


def _check_key(public: CertificatePublicKeyTypes) -> None:
    match public:
        case ec.EllipticCurvePublicKey() if public.curve.name in CURVES:
            return
        case rsa.RSAPublicKey() if public.key_size in RSA_BITS:
            return
        case _:
            mend = "its key must be P-256, P-384 or RSA of 2048 to 4096 bits"
            raise CertificateRequestInvalidError(mend)
