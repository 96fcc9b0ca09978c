"""Where certificates come from: a certificate authority, or files."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.model.identity import Identity
from mesh.proto.certificate_pb2 import IstioCertificateRequest, IstioCertificateResponse
from mesh.runtime.certificates import checked_answer, from_files, make_request
from mesh.runtime.control.control_plane import ControlPlane
from mesh.runtime.grpc_bridge.client import GrpcClient, Method
from mesh.runtime.settings import CertificateFiles
from mesh.wire.feed import Certificate

CREATE: Final = Method(
    "/istio.v1.auth.IstioCertificateService/CreateCertificate",
    IstioCertificateRequest.SerializeToString,
    IstioCertificateResponse.FromString,
)
CALL_S: Final = 5.0


class CertificateFileError(UnavailableError):
    """A certificate file that cannot be read just now."""

    code = "certificate_file"


class AuthorityLateError(UnavailableError):
    """The certificate authority does not answer in time."""

    code = "authority_late"


class NoCertificatesError(UnavailableError):
    """No source of certificates is configured (`CA_ADDRESS` is empty)."""

    code = "certificates_off"


class Authority:
    """A certificate authority, asked over gRPC."""

    def __init__(
        self,
        server: ControlPlane,
        cluster_id: str,
        ttl_s: float,
        clock: Callable[[], float],
        *,
        impersonates: bool,
    ) -> None:
        """Nothing is asked yet.

        Args:
            server: the authority.
            cluster_id: told with each call.
            ttl_s: how long certificates are to last.
            clock: seconds since the epoch.
            impersonates: whether to ask in the name of others (a shared proxy), or for whoever the
                token is.
        """
        self._server, self._cluster_id, self._ttl_s = server, cluster_id, ttl_s
        self._clock, self._impersonates = clock, impersonates

    async def fetch(self, identity: Identity) -> tuple[Certificate, float]:
        """A fresh key's certificate, and since when it is valid.

        Raises:
            MeshError: nobody there, refused, or an answer that cannot be used.

        Cancellation: the call is cancelled.
        """
        made = make_request(identity)
        request = IstioCertificateRequest(
            csr=made.request.decode(), validity_duration=round(self._ttl_s)
        )
        if self._impersonates:
            request.metadata.update({"ImpersonatedIdentity": str(identity)})
        metadata = [*await self._server.metadata(), ("clusterid", self._cluster_id)]
        client = await self._server.client()
        try:
            answer = await self._call(client, request, metadata)
        finally:
            client.close()
        return checked_answer(
            identity,
            made.key,
            list(answer.cert_chain),
            self._clock(),
            named=self._impersonates,
        )

    async def _call(
        self,
        client: GrpcClient,
        request: IstioCertificateRequest,
        metadata: list[tuple[str, str]],
    ) -> IstioCertificateResponse:
        with trio.move_on_after(CALL_S):
            return await client.unary(CREATE, request, metadata)
        raise AuthorityLateError(f"no answer from {self._server.address} within {CALL_S:g} s")


class Files:
    """PEM files that somebody else renews."""

    def __init__(self, files: CertificateFiles, clock: Callable[[], float]) -> None:
        """Nothing is read yet."""
        self._files, self._clock = files, clock

    async def fetch(self, identity: Identity) -> tuple[Certificate, float]:
        """What the files hold now, and since when it is valid.

        Raises:
            MeshError: not there, or not to be used.

        Cancellation: nothing changes.
        """
        chain, key, roots = [
            await _read(variable, path)
            for variable, path in (
                ("CERT_FILE", self._files.chain),
                ("KEY_FILE", self._files.key),
                ("ROOT_FILE", self._files.roots),
            )
        ]
        return from_files(identity, key, chain, roots, self._clock())


class Nowhere:
    """No source is configured."""

    async def fetch(self, identity: Identity) -> tuple[Certificate, float]:
        """There is none.

        Raises:
            NoCertificatesError: always.

        Cancellation: nothing changes.
        """
        await trio.lowlevel.checkpoint()
        raise NoCertificatesError(f"no certificate for {identity}: CA_ADDRESS is empty")


async def _read(variable: str, path: str) -> bytes:
    try:
        return await trio.Path(Path(path)).read_bytes()
    except OSError as error:
        raise CertificateFileError(f"{path} ({variable}): {error.strerror or error}") from None
