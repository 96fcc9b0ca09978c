"""A small collector of traces: real gRPC, which keeps what it hears."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Self

import grpc

from mesh.proto.otlp_resource_pb2 import Resource
from mesh.proto.otlp_trace_pb2 import Span
from mesh.proto.otlp_trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from mesh.wire.otlp import EXPORT
from tests.pki import Issued

PATIENCE_S = 15.0


@dataclass
class Collector:
    """Hears spans by OTLP."""

    issued: Issued | None = None
    """For TLS; None: plain text."""
    port: int = 0
    spans: list[Span] = field(default_factory=list)
    resources: list[Resource] = field(default_factory=list)
    calls: list[Mapping[str, str]] = field(default_factory=list)
    """The metadata of each."""
    statuses: list[grpc.StatusCode] = field(default_factory=list)
    """How the next calls fail, in turn."""
    rejects: int = 0
    """Spans of each call that it says not to take."""
    _server: grpc.Server | None = None
    _more: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Listen, again at the same port when it did before."""
        self._server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((_Methods(self),))
        where = f"localhost:{self.port}"
        if self.issued is None:
            self.port = self._server.add_insecure_port(where)
        else:
            pair = (self.issued.key, self.issued.chain)
            self.port = self._server.add_secure_port(where, grpc.ssl_server_credentials([pair]))
        self._server.start()

    def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.stop(0).wait()
            self._server = None

    def export(
        self, request: ExportTraceServiceRequest, call: grpc.ServicerContext
    ) -> ExportTraceServiceResponse:
        with self._more:
            self.calls.append({str(key): str(value) for key, value in call.invocation_metadata()})
            status = self.statuses.pop(0) if self.statuses else None
            if status is None:
                for told in request.resource_spans:
                    self.resources.append(told.resource)
                    self.spans += [span for scope in told.scope_spans for span in scope.spans]
            self._more.notify_all()
        if status is not None:
            call.abort(status, "not now")
        words = "not wanted" if self.rejects else ""
        partial = ExportTracePartialSuccess(rejected_spans=self.rejects, error_message=words)
        return ExportTraceServiceResponse(partial_success=partial)

    def wait(self, condition: Callable[[], bool]) -> None:
        """Return when something about what was heard is so."""
        with self._more:
            if not self._more.wait_for(condition, PATIENCE_S):
                raise AssertionError(f"heard only: {self.calls} {self.spans}")

    def wait_spans(self, count: int) -> list[Span]:
        """All spans, when there are so many."""
        self.wait(lambda: len(self.spans) >= count)
        return list(self.spans)


def attributes(told: Span | Resource) -> dict[str, str | int]:
    """By name."""
    return {
        one.key: one.value.string_value
        if one.value.HasField("string_value")
        else one.value.int_value
        for one in told.attributes
    }


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        if details.method != EXPORT:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._collector.export,
            request_deserializer=ExportTraceServiceRequest.FromString,
            response_serializer=ExportTraceServiceResponse.SerializeToString,
        )
