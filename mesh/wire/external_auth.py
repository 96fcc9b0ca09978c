"""The question to an external authoriser and its answer: Envoy's contract, in gRPC's framing.

`envoy.service.auth.v3.Authorization/Check`: one message each way. Query parameters that an answer
wants changed are not: then the answer is unusable, and so a refusal.
"""

import re
from collections.abc import Iterable
from typing import Final

from google.protobuf.message import DecodeError

from mesh.model.address import SocketAddress, format_ip
from mesh.model.identity import Identity
from mesh.proto import external_auth_pb2 as messages
from mesh.wire.authorizer import AuthorizerAnswerInvalidError, Permission, Question
from mesh.wire.http.messages import TELLING

OK: Final = 0
FORBIDDEN: Final = 403
_PREFIX_OCTETS: Final = 5
_NOT_ITS_OWN: Final = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields of the connection and of framing: whatever an authoriser says of them does not count."""
_UNSAYABLE: Final = _NOT_ITS_OWN | TELLING
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")


def question_octets(question: Question) -> bytes:
    """The question in gRPC's framing."""
    head = question.head
    shown = {name.encode() for name in question.names}
    fields: dict[str, str] = {
        ":method": _text(head.method),
        ":path": _text(head.target),
        ":authority": _text(head.authority),
    }
    for name, value in head.fields:
        if not shown or name in shown:
            key = _text(name)
            fields[key] = f"{fields[key]},{_text(value)}" if key in fields else _text(value)
    http = messages.AttributeContext.HttpRequest(
        id=_text(question.request_id),
        method=_text(head.method),
        headers=fields,
        path=_text(head.target),
        host=_text(head.authority),
        scheme=_text(head.scheme),
        size=-1 if head.length is None else head.length,
        protocol="HTTP/2" if head.version == 20 else "HTTP/1.1",
        body=_whole_text(question.body),
        raw_body=question.body,
    )
    request = messages.AttributeContext.Request(http=http)
    request.time.FromNanoseconds(int(question.moment * 1e9))
    told = messages.AttributeContext(
        source=_peer(question.source, question.source_identity),
        destination=_peer(question.destination, question.destination_identity),
        request=request,
    )
    octets = messages.CheckRequest(attributes=told).SerializeToString()
    return b"\0" + len(octets).to_bytes(4, "big") + octets


def _whole_text(octets: bytes) -> str:
    """The text that some authorisers look for; empty when it is none (Envoy's pack_as_bytes)."""
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return ""


def _peer(
    address: SocketAddress | None, identity: Identity | None
) -> messages.AttributeContext.Peer:
    peer = messages.AttributeContext.Peer(principal=str(identity) if identity else "")
    if address is not None:
        peer.address.socket_address.address = format_ip(address.ip)
        peer.address.socket_address.port_value = address.port
    return peer


def permission_of(octets: bytes) -> Permission:
    """The answer, of gRPC's framing.

    Raises:
        AuthorizerAnswerInvalidError: it is none, or wants what cannot be done.
    """
    if len(octets) < _PREFIX_OCTETS or octets[0] != 0:
        raise AuthorizerAnswerInvalidError("no uncompressed message")
    if int.from_bytes(octets[1:_PREFIX_OCTETS], "big") != len(octets) - _PREFIX_OCTETS:
        raise AuthorizerAnswerInvalidError("not exactly one message")
    try:
        answer = messages.CheckResponse.FromString(octets[_PREFIX_OCTETS:])
    except DecodeError as error:
        raise AuthorizerAnswerInvalidError(str(error)) from error
    return _allowed(answer.ok_response) if answer.status.code == OK else _denied(answer)


def _allowed(ok: messages.OkHttpResponse) -> Permission:
    if ok.query_parameters_to_set or ok.query_parameters_to_remove:
        raise AuthorizerAnswerInvalidError("it changes query parameters")
    removed = {name.lower().encode() for name in ok.headers_to_remove} - _NOT_ITS_OWN
    return Permission(
        allowed=True,
        put=_pairs(each for each in ok.headers if not each.append.value),
        add=_pairs(each for each in ok.headers if each.append.value),
        remove=tuple(sorted(removed)),
        answer=_pairs(ok.response_headers_to_add),
    )


def _denied(answer: messages.CheckResponse) -> Permission:
    denied = answer.denied_response
    status = denied.status.code or FORBIDDEN
    if not 200 <= status <= 599:
        raise AuthorizerAnswerInvalidError(f"status {status}")
    return Permission(
        allowed=False,
        status=status,
        body=denied.body.encode(),
        put=_pairs(denied.headers),
    )


def _pairs(options: Iterable[messages.HeaderValueOption]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple(pair for pair in map(_pair, options) if pair[0] not in _UNSAYABLE)


def _pair(option: messages.HeaderValueOption) -> tuple[bytes, bytes]:
    header = option.header
    name, value = header.key.lower().encode(), header.raw_value or header.value.encode()
    if not _NAME.fullmatch(name) or not set(value).isdisjoint(b"\r\n\0"):
        raise AuthorizerAnswerInvalidError(f"a header named {header.key[:80]!r}")
    return name, value


def _text(octets: bytes) -> str:
    return octets.decode("utf-8", "replace")
