"""A gRPC server over TLS whose calls cannot starve one another (docs/decisions/0005).

1. Two pools behind one port: streams hold a thread each for as long as they are open, single calls
   hold theirs for a moment. A stream above the capacity is refused at once.
2. Who calls is checked before anything of the message is read; a caller that then does not send it
   is cut off.
3. Single calls are answered in their thread, by functions that do not touch trio: they go on while
   the trio thread is busy. Streams are trio tasks.
4. A failure of ours ends a call with the status that `status_of` gives it; a bug ends that call
   with INTERNAL and one traceback.
"""

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

import grpc
import trio

from mesh.errors import ConfigError, MeshError, UnavailableError
from mesh.runtime.grpc_bridge.server_stream import ServerStream
from mesh.runtime.grpc_bridge.status import Code, Status

REFUSING_THREADS: Final = 4
"""Of the streams' pool, beyond the capacity: to refuse with."""
SWEEP_SECONDS: Final = 1.0
SHUTTING_DOWN: Final = Status(Code.UNAVAILABLE, "shutting down")

log = logging.getLogger(__name__)


class GrpcListenFailedError(ConfigError):
    """The gRPC port cannot be opened."""

    code = "grpc_listen_failed"

    def __init__(self, address: str, reason: str) -> None:
        """Keep where, and grpcio's reason."""
        mend = "free the port, or choose another HOST:PORT of this machine"
        super().__init__((f"cannot listen on {address}: {reason}; {mend}",))
        self.address, self.reason = address, reason


class StreamsExhaustedError(UnavailableError):
    """More streams than the server's capacity: this one was refused."""

    code = "streams_exhausted"

    def __init__(self, capacity: int) -> None:
        """Keep the capacity."""
        super().__init__(f"all {capacity} places for streams are taken")
        self.capacity = capacity


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call before its first message."""

    metadata: Mapping[str, str]
    """Names are lower case; of a repeated one the first counts."""
    peer: str
    """ADDRESS:PORT."""


@dataclass(frozen=True, slots=True)
class UnaryMethod:
    """One request, one response.

    `accept` judges the caller and returns what answers its request; both run in a thread, and
    raise a MeshError to refuse.
    """

    service: str
    name: str
    accept: Callable[[Call], Callable[[bytes], bytes]]


@dataclass(frozen=True, slots=True)
class StreamMethod:
    """Requests and responses for as long as both sides like.

    `accept` judges the caller in a thread; what it returns serves the stream as a trio task, and
    ends it by returning or by a MeshError.
    """

    service: str
    name: str
    accept: Callable[[Call], Callable[[ServerStream], Awaitable[None]]]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What a TLS server shows: PEM, the chain leaf first."""

    key: bytes
    chain: bytes

    def __repr__(self) -> str:
        return "KeyPair(...)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one server holds at most."""

    streams: int = 256
    unary_threads: int = 16
    waiting_calls: int = 256
    request_octets: int = 32 * 1024 * 1024
    read_s: float = 10.0
    """For a single call's request to arrive."""
    grace_s: float = 2.0
    """For single calls to be answered when the server stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpcServer:
    """What is served. `key_pair` is asked at each handshake, and may answer anew at any time."""

    address: str
    key_pair: Callable[[], KeyPair]
    unary: Sequence[UnaryMethod]
    streams: Sequence[StreamMethod]
    status_of: Callable[[MeshError], Status]
    limits: Limits = Limits()

    async def serve(self, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled. Started (with the port): calls are answered.

        Raises:
            GrpcListenFailedError: the port is taken, or no such address.

        Cancellation: no new calls; streams end as UNAVAILABLE; single calls have `grace_s`.
        """
        calls_pool = ThreadPoolExecutor(self.limits.unary_threads, "grpc-call")
        streams_pool = ThreadPoolExecutor(self.limits.streams + REFUSING_THREADS, "grpc-stream")
        async with trio.open_nursery() as calls:
            streams = _Streams(self, calls, streams_pool)
            readers = _Readers(self.limits.read_s)
            server = grpc.server(
                calls_pool,
                options=_options(self.limits),
                maximum_concurrent_rpcs=self.limits.streams + self.limits.waiting_calls,
            )
            server.add_generic_rpc_handlers(
                [
                    *(_unary_handler(self, method, readers) for method in self.unary),
                    *(_stream_handler(method, streams) for method in self.streams),
                ]
            )
            port = _listen(server, self.address, _credentials(self.key_pair))
            server.start()
            calls.start_soon(readers.cut_off_the_slow)
            task_status.started(port)
            try:
                await trio.sleep_forever()
            finally:
                with trio.move_on_after(self.limits.grace_s + 5, shield=True):
                    stopped = server.stop(self.limits.grace_s)
                    await trio.to_thread.run_sync(stopped.wait, abandon_on_cancel=True)
                calls_pool.shutdown(wait=False)
                streams_pool.shutdown(wait=False)


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # or a second server on the port would not be noticed
        ("grpc.max_receive_message_length", limits.request_octets),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 16 * 1024),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


def _listen(server: grpc.Server, address: str, credentials: grpc.ServerCredentials) -> int:
    try:
        port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise GrpcListenFailedError(address, str(error)) from error
    if not port:
        raise GrpcListenFailedError(address, "no such address, or the port is taken")
    return port


def _credentials(key_pair: Callable[[], KeyPair]) -> grpc.ServerCredentials:
    shown = [key_pair()]

    def configuration() -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(shown[0].key, shown[0].chain)])

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        newest = key_pair()
        if newest is shown[0]:
            return None
        shown[0] = newest
        return configuration()

    return grpc.dynamic_ssl_server_credentials(configuration(), renewed)  # type: ignore[arg-type]  # None means "as before"


def _unary_handler(
    server: GrpcServer, method: UnaryMethod, readers: "_Readers"
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    """Declared as a stream of requests, so that the caller is judged before its request is read.

    On the wire there is no difference.
    """

    def answer(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        status = Status(Code.OK)
        try:
            return method.accept(_call_of(context))(readers.read_blocking(requests, context))
        except grpc.RpcError:
            return b""  # the caller has gone, or was cut off
        except Exception as error:  # noqa: BLE001 - the firewall of a call: see _settle
            status = _settle(server, error)
        _abort(context, status)
        return b""

    return grpc.method_handlers_generic_handler(
        method.service, {method.name: grpc.stream_unary_rpc_method_handler(answer)}
    )


def _stream_handler(
    method: StreamMethod, streams: "_Streams"
) -> "grpc.GenericRpcHandler[bytes, bytes]":
    def responses(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        return streams.serve_blocking(method, requests, context)

    # grpcio's own way to give a method another pool than its server's; a test would notice if it
    # went: single calls must be answered while all places for streams are taken.
    responses.experimental_thread_pool = streams.pool  # type: ignore[attr-defined]  # see above
    return grpc.method_handlers_generic_handler(
        method.service, {method.name: grpc.stream_stream_rpc_method_handler(responses)}
    )


def _call_of(context: grpc.ServicerContext) -> Call:
    metadata: dict[str, str] = {}
    for name, value in context.invocation_metadata():
        if isinstance(value, str):
            metadata.setdefault(name.lower(), value)
    return Call(metadata, unquote(context.peer().partition(":")[2]))


def _settle(server: GrpcServer, error: BaseException) -> Status:
    """The status that a failure ends a call with; what is not ours is a bug, and logged."""
    if isinstance(error, MeshError):
        return server.status_of(error)
    log.error("call failed", exc_info=error, extra={"code": "grpc_call_failed"})
    return Status(Code.INTERNAL, "internal error; the server's log has it")


def _abort(context: grpc.ServicerContext, status: Status) -> None:
    """End the call; raises what grpcio uses for that."""
    context.abort(grpc.StatusCode[status.code.value], status.details)


class _Readers:
    """Single calls whose request has not arrived yet."""

    def __init__(self, read_s: float) -> None:
        self._read_s = read_s
        self._since: dict[grpc.ServicerContext, float] = {}

    def read_blocking(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        """The one request of a call; `grpc.RpcError` when it never came."""
        self._since[context] = time.monotonic()
        try:
            return next(requests, b"")
        finally:
            del self._since[context]

    async def cut_off_the_slow(self) -> None:
        """Cancel calls that do not send their request in time; for ever."""
        while True:
            await trio.sleep(SWEEP_SECONDS)
            oldest = time.monotonic() - self._read_s
            for context, since in list(self._since.items()):
                if since < oldest:
                    context.cancel()  # type: ignore[no-untyped-call]  # the stubs forgot it


class _Streams:
    """The open streams: places, and the nursery's end of each."""

    def __init__(self, server: GrpcServer, calls: trio.Nursery, pool: ThreadPoolExecutor) -> None:
        self.pool = pool
        self._server = server
        self._start_soon = calls.start_soon
        self._token = trio.lowlevel.current_trio_token()
        self._places = threading.BoundedSemaphore(server.limits.streams)

    def serve_blocking(
        self, method: StreamMethod, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes]:
        """A stream's responses, from its thread of the pool."""
        if not self._places.acquire(blocking=False):
            refusal = StreamsExhaustedError(self._server.limits.streams)
            _abort(context, self._server.status_of(refusal))
        try:
            for response in self._responses_blocking(method, requests, context):
                if isinstance(response, bytes):
                    yield response
                elif response.code is not Code.OK:
                    _abort(context, response)
        finally:
            self._places.release()

    def _responses_blocking(
        self, method: StreamMethod, requests: Iterator[bytes], context: grpc.ServicerContext
    ) -> Iterator[bytes | Status]:
        try:
            call = _call_of(context)
            handler = method.accept(call)
            stream = trio.from_thread.run_sync(
                self._opened, call.peer, handler, trio_token=self._token
            )
        except (trio.RunFinishedError, trio.Cancelled, RuntimeError):
            yield SHUTTING_DOWN
            return
        except Exception as error:  # noqa: BLE001 - the firewall of a call: see _settle
            yield _settle(self._server, error)
            return
        if stream.watch(context):
            stream.start_reading(requests)
        else:
            stream.scope.cancel()
        yield from stream.responses()

    def _opened(
        self, peer: str, handler: Callable[[ServerStream], Awaitable[None]]
    ) -> ServerStream:
        stream = ServerStream(peer)
        self._start_soon(self._run, stream, handler)
        return stream

    async def _run(
        self, stream: ServerStream, handler: Callable[[ServerStream], Awaitable[None]]
    ) -> None:
        status = SHUTTING_DOWN
        try:
            with stream.scope:
                await handler(stream)
            status = Status(Code.OK)
        except* Exception as group:  # noqa: BLE001 - the firewall of a call: see _settle
            status = _settle(self._server, _first(group))
        finally:
            stream.finish(status)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
