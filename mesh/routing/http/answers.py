"""What an answer that a proxy gives itself is in gRPC: a status without content."""

from typing import Final

from mesh.wire.http.messages import Fields, RequestHead, ResponseHead, first

GRPC: Final = b"application/grpc"
GRPC_OK, GRPC_DEADLINE_EXCEEDED, GRPC_UNIMPLEMENTED, GRPC_INTERNAL = 0, 4, 12, 13
GRPC_PERMISSION_DENIED, GRPC_UNAVAILABLE, GRPC_UNAUTHENTICATED = 7, 14, 16

GRPC_OF_HTTP: Final = {
    400: GRPC_INTERNAL,
    401: GRPC_UNAUTHENTICATED,
    403: GRPC_PERMISSION_DENIED,
    404: GRPC_UNIMPLEMENTED,
    429: GRPC_UNAVAILABLE,
    500: GRPC_UNAVAILABLE,
    502: GRPC_UNAVAILABLE,
    503: GRPC_UNAVAILABLE,
    504: GRPC_DEADLINE_EXCEEDED,
}
"""The status of a gRPC call whose HTTP answer would be this one; 500 is Gateway API's for a share
without a backend, where it asks for UNAVAILABLE."""


def is_grpc(head: RequestHead) -> bool:
    """Whether a request is a gRPC call, by its content type (not gRPC-Web, which is HTTP)."""
    kind = first(head.fields, b"content-type")
    return kind is not None and kind.startswith(GRPC) and kind[len(GRPC) :][:1] in b"+;"


def grpc_error(status: int, message: str) -> ResponseHead:
    """The head of a gRPC call that failed: there are no content and no trailers after it."""
    fields: Fields = [(b"content-type", GRPC), (b"grpc-status", b"%d" % status)]
    if message:
        fields.append((b"grpc-message", _percent_encoded(message)))
    return ResponseHead(200, fields)


def _percent_encoded(text: str) -> bytes:
    """Visible ASCII but `%` as it is, and the rest escaped (gRPC over HTTP/2, Responses)."""
    return b"".join(
        bytes((octet,)) if 0x20 <= octet <= 0x7E and octet != 0x25 else b"%%%02X" % octet
        for octet in text.encode()
    )
