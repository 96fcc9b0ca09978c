"""What the proxy itself changes in a request's head, whatever the routes say.

1. Who calls is said by us alone: what a client wrote about that is taken out.
2. `forwarded` (RFC 7239) names the client's address and, as an extension, its identity;
   `x-forwarded-client-cert` is Envoy's way to say it, when it is wanted.
3. Nothing else is added but a request id where there is none, and nothing at all to an answer.
"""

import re
from random import Random
from typing import Final

from mesh.model.address import SocketAddress, format_ip
from mesh.model.identity import Identity
from mesh.wire.http.messages import TELLING, Fields, RequestHead
from mesh.wire.http1.own import NO_TRAILERS

FORWARDED: Final = b"forwarded"
CLIENT_CERTIFICATE: Final = b"x-forwarded-client-cert"
REQUEST_ID: Final = b"x-request-id"
CONTENT_TYPE: Final = b"content-type"
GRPC_TIMEOUT: Final = b"grpc-timeout"
GRPC: Final = b"application/grpc"
AFTER_GRPC: Final = frozenset((b"", b"+", b";"))
"""What may follow it; anything else is gRPC-Web, which is HTTP."""

_GRPC_TIMEOUT: Final = re.compile(rb"(\d{1,8})([HMSmun])")
_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_PAIR: Final = rb"""(?:[!#$%&'*+\-.^_`|~\w]+=(?:[!#$%&'*+\-.^_`|~\w:\[\]/]+|"(?:[^"\\]|\\.)*+"))"""
_ELEMENTS: Final = re.compile(rb"%b?(?:[ \t]*[;,][ \t]*%b?)*+" % (_PAIR, _PAIR))
"""Of `forwarded` (RFC 7239 section 4): a quotation that does not end would swallow our element."""
_IDENTITY: Final = re.compile(rb"[;,\s]identity\s*=|^identity\s*=", re.IGNORECASE)


def forwarded(address: SocketAddress, identity: Identity | None) -> bytes:
    """Our element of `forwarded`."""
    host = format_ip(address.ip)
    node = f'"[{host}]"' if len(address.ip) == 16 else host
    told = f';identity="{identity}"' if identity else ""
    return f"for={node}{told}".encode()


def client_certificate(own: Identity, identity: Identity | None) -> bytes:
    """The value of `x-forwarded-client-cert`; empty when the client has shown none."""
    return f"By={own};URI={identity}".encode() if identity else b""


def tell_caller(head: RequestHead, names: dict[bytes, bytes], told: bytes, shown: bytes) -> None:
    """Say who calls, in place of whatever the client said.

    Args:
        head: changed in place.
        names: its fields by name.
        told: our element of `forwarded`.
        shown: what `x-forwarded-client-cert` is to say; empty: nothing.
    """
    fields = head.fields
    if not TELLING.isdisjoint(names):
        before = b", ".join(v for n, v in fields if n == FORWARDED and _may_stay(v))
        fields[:] = [(n, v) for n, v in fields if n not in TELLING]
        if before:
            told = before + b", " + told
    fields.append((FORWARDED, told))
    if shown:
        fields.append((CLIENT_CERTIFICATE, shown))


def _may_stay(value: bytes) -> bool:
    return _ELEMENTS.fullmatch(value) is not None and not _IDENTITY.search(value)


def passable(trailers: Fields) -> Fields:
    """The trailers of a request that may go on: none that frames it, or says who calls.

    Some servers put trailers among the fields of the head.
    """
    return [pair for pair in trailers if pair[0] not in NO_TRAILERS and pair[0] not in TELLING]


def name_request(fields: Fields, names: dict[bytes, bytes], random: Random) -> bytes:
    """The request's id: its own, or a new one (a version 4 UUID), which it gets."""
    found = names.get(REQUEST_ID)
    if found:
        return found
    digits = f"{random.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    made = f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
    named = made.encode()
    fields.append((REQUEST_ID, named))
    return named


def grpc_seconds(names: dict[bytes, bytes]) -> float | None:
    """How long a gRPC call may take, by its own word; None when it says nothing valid."""
    value = names.get(GRPC_TIMEOUT)
    if value is None:
        return None
    found = _GRPC_TIMEOUT.fullmatch(value)
    return None if found is None else int(found[1]) * _UNITS[found[2]]
