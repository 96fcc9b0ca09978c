"""The certificate API: `istio.v1.auth.IstioCertificateService/CreateCertificate`.

Everything here runs in threads of the server's pool, beside the trio thread: what it reads is
frozen, and replaced as a whole.
"""

import datetime as dt
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import DecodeError

from controlplane.admission import Admission
from controlplane.authority import Authority
from controlplane.callers import Caller, ImpersonationInvalidError
from controlplane.certificate_request import CertificateRequestInvalidError, requested_key
from controlplane.issue import workload_certificate
from controlplane.metrics import Metrics
from controlplane.pods import Pods
from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.proto.certificate_pb2 import IstioCertificateRequest, IstioCertificateResponse
from mesh.runtime.grpc_bridge.server import Call, UnaryMethod

SERVICE: Final = "istio.v1.auth.IstioCertificateService"
METHOD: Final = "CreateCertificate"
IMPERSONATED: Final = "ImpersonatedIdentity"
MAX_REQUEST_OCTETS: Final = 64 * 1024

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateService:
    """Signs for whoever may ask."""

    authority: Authority
    admission: Admission
    pods: Callable[[], Pods]
    """The live pods, by the newest manifests."""
    lasts: dt.timedelta
    """How long a certificate lasts that nobody asks to last less."""
    now: Callable[[], dt.datetime]
    metrics: Metrics

    @property
    def method(self) -> UnaryMethod:
        """For the server."""
        return UnaryMethod(SERVICE, METHOD, self.accept)

    def accept(self, call: Call) -> Callable[[bytes], bytes]:
        """Judge a caller; what it may ask for is judged with its request.

        Raises:
            CallerRefusedError: one of its kinds.
        """
        self.metrics.requests.inc()
        try:
            caller = self.admission.caller(call.metadata, self.pods())
        except MeshError as error:
            self._refused(error, call.peer)
            raise

        def answer(octets: bytes) -> bytes:
            try:
                return self.sign(caller, octets)
            except MeshError as error:
                self._refused(error, call.peer)
                raise

        return answer

    def sign(self, caller: Caller, octets: bytes) -> bytes:
        """Answer one request.

        Raises:
            ImpersonationRefusedError: one of its kinds.
            CertificateRequestInvalidError: the request cannot be used.
        """
        request = _decoded(octets)
        identity = self.admission.identity(caller, _wanted(request), self.pods())
        public = requested_key(request.csr)
        lasts = self._lifetime(request.validity_duration)
        leaf = workload_certificate(self.authority, identity, public, lasts, self.now())
        self._signed(caller, identity, leaf)
        pem = leaf.public_bytes(Encoding.PEM)
        chain = [pem.decode(), self.authority.roots.decode()]
        return IstioCertificateResponse(cert_chain=chain).SerializeToString()

    def _lifetime(self, asked_s: int) -> dt.timedelta:
        """What was asked for, up to ours; nothing sensible asked for gives ours."""
        if 0 < asked_s < self.lasts.total_seconds():
            return dt.timedelta(seconds=asked_s)
        return self.lasts

    def _signed(self, caller: Caller, identity: Identity, leaf: x509.Certificate) -> None:
        self.metrics.signed.inc()
        log.info(
            "certificate signed",
            extra={
                "code": "certificate_signed",
                "identity": str(identity),
                "caller": str(caller),
                "serial": f"{leaf.serial_number:x}",
                "until": leaf.not_valid_after_utc.isoformat(),
            },
        )

    def _refused(self, error: MeshError, peer: str) -> None:
        self.metrics.refused.labels(error.code).inc()
        log.warning(
            "certificate refused", extra={"code": error.code, "reason": str(error), "peer": peer}
        )


def _decoded(octets: bytes) -> IstioCertificateRequest:
    if len(octets) > MAX_REQUEST_OCTETS:
        raise CertificateRequestInvalidError(f"more than {MAX_REQUEST_OCTETS} octets")
    try:
        return IstioCertificateRequest.FromString(octets)
    except DecodeError:
        raise CertificateRequestInvalidError("cannot be decoded") from None


def _wanted(request: IstioCertificateRequest) -> str | None:
    """The identity asked for; None when the request names none: the caller's own."""
    if IMPERSONATED not in request.metadata.fields:
        return None
    field = request.metadata.fields[IMPERSONATED]
    if field.WhichOneof("kind") == "null_value":
        return None
    if field.WhichOneof("kind") != "string_value":
        raise ImpersonationInvalidError("it is no string")
    return field.string_value
