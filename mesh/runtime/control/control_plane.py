"""How the control plane's servers are reached: address, trust, token. Read anew for each try."""

from itertools import count
from pathlib import Path
from typing import Final

import trio

from mesh.errors import UnavailableError
from mesh.runtime.grpc_bridge.client import GrpcClient, Target
from mesh.runtime.settings import Api

SYSTEM_ROOTS: Final = Path("/etc/ssl/certs/ca-certificates.crt")
MAX_FILE_OCTETS: Final = 1024 * 1024


class ControlPlaneFileError(UnavailableError):
    """A token or a root certificate that cannot be read just now."""

    code = "control_plane_file"

    def __init__(self, path: Path, variable: str, reason: str) -> None:
        """Keep the path, the variable that names it, and the reason."""
        super().__init__(f"{path} ({variable}): {reason}")
        self.path, self.variable, self.reason = path, variable, reason


class ControlPlane:
    """One server (discovery or certificates)."""

    def __init__(self, kind: str, api: Api, auth_token: str) -> None:
        """Nothing is read yet.

        Args:
            kind: `XDS` or `CA`: the prefix of the variables.
            api: where it is.
            auth_token: path of a file, or the token itself.
        """
        self._kind, self._api, self._auth_token = kind, api, auth_token
        self._tries = count()

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self._api.address.removeprefix("https://")

    async def client(self) -> GrpcClient:
        """A channel to the server; the caller closes it.

        When its certificate may have two names, they are tried in turn.

        Raises:
            ControlPlaneFileError: the root certificate cannot be read.

        Cancellation: nothing is left open.
        """
        roots = await self._roots()
        use_alternative = bool(self._api.alt_hostname) and next(self._tries) % 2 == 0
        return GrpcClient(
            Target(self.address, roots, self._api.alt_hostname if use_alternative else "")
        )

    async def metadata(self) -> list[tuple[str, str]]:
        """What goes with each call: the token, and the headers of the settings.

        Raises:
            ControlPlaneFileError: the token cannot be read.

        Cancellation: nothing changes.
        """
        headers = list(self._api.headers)
        token = await self._token()
        return [("authorization", f"Bearer {token}"), *headers] if token else headers

    async def _token(self) -> str:
        if "/" not in self._auth_token:
            return self._auth_token
        try:
            return (await _read(Path(self._auth_token), "AUTH_TOKEN")).decode().strip()
        except UnicodeDecodeError:
            raise ControlPlaneFileError(Path(self._auth_token), "AUTH_TOKEN", "no text") from None

    async def _roots(self) -> bytes:
        written = self._api.root_ca
        if "-----BEGIN" in written:
            return written.encode()
        path = SYSTEM_ROOTS if written == "SYSTEM" else Path(written)
        return await _read(path, f"{self._kind}_ROOT_CA")


async def _read(path: Path, variable: str) -> bytes:
    try:
        async with await trio.open_file(path, "rb") as file:
            octets: bytes = await file.read(MAX_FILE_OCTETS)
    except OSError as error:
        raise ControlPlaneFileError(path, variable, error.strerror or str(error)) from None
    return octets
