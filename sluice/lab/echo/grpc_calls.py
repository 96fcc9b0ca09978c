"""gRPC over HTTP/2: the unary methods of the two public echo services.

Not on grpcio: that does not tell a server the name, version and cipher of a TLS connection, which
answers have to show.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Final

from google.protobuf.message import DecodeError

from sluice.lab.echo.answers import Answer, Echo, Request
from sluice.lab.echo.logbook import note_request
from sluice.lab.echo.settings import Who
from sluice.lab.proto import echo_test_pb2, grpc_echo_pb2

_ASSERTING: Final = "/gateway_api_conformance.echo_basic.grpcecho.GrpcEcho/"
_TESTING: Final = "/proto.EchoTestService/"
_CONTENT: Final = ("content-type", "application/grpc")
_PREFIX_OCTETS: Final = 5
_INVALID_ARGUMENT: Final = 3
_UNIMPLEMENTED: Final = 12
_OF_THE_WIRE: Final = frozenset({"Te", "Content-Length", "Grpc-Encoding", "Grpc-Timeout"})
"""What a gRPC server's library keeps to itself."""


class CallFailedError(Exception):
    """A call that is answered with a status of gRPC."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Calls:
    """Answers calls of one echo."""

    def __init__(self, who: Who, echo: Echo) -> None:
        self._who = who
        self._echo = echo

    def answer(self, request: Request, body: bytes) -> Answer:
        """The answer to one call."""
        if not request.headers.get("Content-Type", [""])[0].startswith(_CONTENT[1]):
            return Answer(415, body=b"application/grpc is expected")
        note_request(request.target, request.peer.client)
        try:
            message = self._reply(request, _message(body))
        except CallFailedError as failure:
            status = (("grpc-status", str(failure.code)), ("grpc-message", str(failure)))
            return Answer(200, (_CONTENT, *status))
        octets = b"\0" + len(message).to_bytes(4, "big") + message
        return Answer(200, (_CONTENT,), octets, trailers=(("grpc-status", "0"),))

    def _reply(self, request: Request, message: bytes) -> bytes:
        if request.target in (f"{_ASSERTING}Echo", f"{_ASSERTING}EchoTwo"):
            return self._asserted(request).SerializeToString()
        if request.target == f"{_TESTING}Echo":
            return self._tested(request, message).SerializeToString()
        _, _, method = request.target.rpartition("/")
        raise CallFailedError(_UNIMPLEMENTED, f"method {method} not implemented")

    def _asserted(self, request: Request) -> grpc_echo_pb2.EchoResponse:
        tls = request.peer.tls
        who = self._who
        return grpc_echo_pb2.EchoResponse(
            assertions=grpc_echo_pb2.Assertions(
                fully_qualified_method=request.target,
                headers=[
                    grpc_echo_pb2.Header(key=name, value=value)
                    for name, value in _metadata(request)
                ],
                authority=request.host,
                context=grpc_echo_pb2.Context(
                    namespace=who.namespace,
                    ingress=who.ingress,
                    service_name=who.service,
                    pod=who.pod,
                ),
                tls_assertions=None
                if tls is None
                else grpc_echo_pb2.TLSAssertions(
                    version=tls.version,
                    negotiated_protocol=tls.protocol,
                    server_name=tls.server_name,
                    cipher_suite=tls.cipher,
                    peer_certificates=tls.certificates,
                ),
            ),
            request=grpc_echo_pb2.EchoRequest(),
        )

    def _tested(self, request: Request, message: bytes) -> echo_test_pb2.EchoResponse:
        try:
            asked = echo_test_pb2.EchoRequest.FromString(message)
        except DecodeError as error:
            raise CallFailedError(_INVALID_ARGUMENT, "no message of this method") from error
        shown: Mapping[str, object] = self._echo.shown(request) | {"message": asked.message}
        return echo_test_pb2.EchoResponse(message=json.dumps(shown))


def _message(body: bytes) -> bytes:
    if len(body) < _PREFIX_OCTETS or len(body) - _PREFIX_OCTETS != int.from_bytes(body[1:5], "big"):
        raise CallFailedError(_INVALID_ARGUMENT, "one message is expected")
    if body[0]:
        raise CallFailedError(_UNIMPLEMENTED, "compression is not understood here")
    return body[_PREFIX_OCTETS:]


def _metadata(request: Request) -> Iterator[tuple[str, str]]:
    yield ":authority", request.host
    for name, values in request.headers.items():
        if name not in _OF_THE_WIRE:
            yield from ((name.lower(), value) for value in values)
