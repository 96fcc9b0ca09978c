"""A certificate that an echo makes for itself; nobody has reason to trust it."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from sluice.lab.echo.settings import Who

_LIVES: Final = timedelta(days=3650)


def load_own(context: ssl.SSLContext, who: Who) -> None:
    """Make a key and a self-signed certificate, and give them to a context."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "echo")])
    now = datetime.now(UTC)
    names = {"localhost", "echo", *(part for part in (who.service, who.pod) if part)}
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + _LIVES)
        .add_extension(
            x509.SubjectAlternativeName(map(x509.DNSName, sorted(names))), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    # The standard library takes certificates from files only: one without a name will do.
    descriptor = os.memfd_create("certificate")
    try:
        os.write(descriptor, certificate.public_bytes(Encoding.PEM) + private)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
