"""What an external authoriser is asked, and what it answers, whatever carries the two.

Envoy's contract as protobuf is in mesh/wire/external_auth.py; who asks nobody does not load that.
"""

from dataclasses import dataclass
from typing import Final

from mesh.errors import PeerError
from mesh.model.address import SocketAddress
from mesh.model.identity import Identity
from mesh.wire.http.messages import Fields, RequestHead

METHOD: Final = b"/envoy.service.auth.v3.Authorization/Check"
MAX_ANSWER_OCTETS: Final = 64 * 1024


class AuthorizerAnswerInvalidError(PeerError):
    """An external authoriser's answer that cannot be used."""

    code = "external_auth_answer_invalid"

    def __init__(self, what: str) -> None:
        """Say what is wrong."""
        super().__init__(f"the authoriser's answer: {what}")
        self.what = what


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request that somebody else is asked about."""

    head: RequestHead
    request_id: bytes
    names: tuple[str, ...]
    """Of the fields that are shown; none: all."""
    body: bytes
    moment: float
    """Seconds since the epoch."""
    source: SocketAddress
    source_identity: Identity | None
    destination: SocketAddress | None
    destination_identity: Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """An authoriser's answer."""

    allowed: bool
    status: int = 200
    """Of a refusal."""
    body: bytes = b""
    put: tuple[tuple[bytes, bytes], ...] = ()
    """Fields for the backend's request; of a refusal, for the client."""
    add: tuple[tuple[bytes, bytes], ...] = ()
    remove: tuple[bytes, ...] = ()
    answer: tuple[tuple[bytes, bytes], ...] = ()
    """Fields that the client's answer gets, when it is allowed."""


def change_request(permission: Permission, fields: Fields) -> None:
    """Do to a request's fields what an answer says."""
    gone = {*permission.remove, *(name for name, _ in permission.put)}
    if gone:
        fields[:] = [field for field in fields if field[0] not in gone]
    fields += [*permission.put, *permission.add]
