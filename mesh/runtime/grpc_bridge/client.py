"""gRPC calls from trio: one channel to one server, unary calls and two-way streams.

1. A channel is made for one try: its roots are read and its name resolved anew by whoever makes the
   next one, and gRPC's own back-off never hides behind ours.
2. Waiting happens on gRPC's threads; a cancelled call is cancelled at the server as well.
"""

import contextlib
import queue
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import grpc
import trio

from mesh.errors import UnavailableError

MAX_RECEIVED_OCTETS: Final = 200 * 1024 * 1024
MAX_WAITING_REQUESTS: Final = 64
OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.max_receive_message_length", MAX_RECEIVED_OCTETS),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
_MENDS: Final = {
    "UNAUTHENTICATED": ": our token (AUTH_TOKEN) is refused; the server's log says why"
}
Metadata = Sequence[tuple[str, str]]
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")


class GrpcFailedError(UnavailableError):
    """A call to the control plane failed: not there, not willing, or not in time."""

    code = "grpc_failed"

    def __init__(self, path: str, status: str, details: str) -> None:
        """Keep the method, the status code's name, and the server's (or the library's) words."""
        mend = _MENDS.get(status, "")
        super().__init__(f"{path.rpartition('/')[2]}: {status}: {details}{mend}")
        self.path, self.status, self.details = path, status, details


@dataclass(frozen=True, slots=True)
class Target:
    """Where a server is, and how it is known to be the right one."""

    address: str
    """HOST:PORT."""
    roots: bytes
    """PEM certificates that its chain must lead to."""
    server_name: str = ""
    """The name that its certificate must have, when that is not HOST."""
    is_plain: bool = False
    """No TLS, and anybody may be there: never with a token. `roots` and name do not count."""


@dataclass(frozen=True, slots=True)
class Method(Generic[RequestT, ResponseT]):
    """A method of a service; the functions may raise MeshError on what they cannot read."""

    path: str
    write: Callable[[RequestT], bytes]
    read: Callable[[bytes], ResponseT]


class _Call(Protocol):
    """What grpcio's calls have in common, as far as we use it."""

    def cancel(self) -> object: ...


class GrpcStream(Generic[RequestT, ResponseT]):
    """An open two-way stream. One task receives."""

    def __init__(
        self,
        path: str,
        requests: "queue.Queue[RequestT | None]",
        next_response: Callable[[], ResponseT | None],
    ) -> None:
        """Made by `GrpcClient.stream`."""
        self._path, self._requests, self._next = path, requests, next_response
        self._one_thread = trio.CapacityLimiter(1)

    def send(self, request: RequestT) -> None:
        """Queue a request.

        Raises:
            GrpcFailedError: the server has not taken any for too long.
        """
        try:
            self._requests.put_nowait(request)
        except queue.Full:
            raise GrpcFailedError(self._path, "RESOURCE_EXHAUSTED", "nothing is taken") from None

    async def receive(self) -> ResponseT | None:
        """The next response; None when the server has ended the stream in order.

        Raises:
            GrpcFailedError: the stream broke.

        Cancellation: the stream cannot be used any more.
        """
        try:
            return await trio.to_thread.run_sync(
                self._next, abandon_on_cancel=True, limiter=self._one_thread
            )
        except grpc.RpcError as error:
            raise _translated(self._path, error) from None


class GrpcClient:
    """A channel to a server, by TLS unless its target says otherwise. Close it when done."""

    def __init__(self, target: Target) -> None:
        """Connect with the first call."""
        options: list[tuple[str, int | str]] = list(OPTIONS)
        if target.is_plain:
            self._channel = grpc.insecure_channel(target.address, options=options)
            return
        if target.server_name:
            options.append(("grpc.ssl_target_name_override", target.server_name))
        credentials = grpc.ssl_channel_credentials(root_certificates=target.roots)
        self._channel = grpc.secure_channel(target.address, credentials, options=options)

    def close(self) -> None:
        """End all calls and the connection."""
        self._channel.close()

    async def unary(
        self, method: Method[RequestT, ResponseT], request: RequestT, metadata: Metadata = ()
    ) -> ResponseT:
        """One request, one response.

        Raises:
            GrpcFailedError: whatever went wrong.

        Cancellation: the call is cancelled at the server too.
        """
        call = self._channel.unary_unary(
            method.path, request_serializer=method.write, response_deserializer=method.read
        ).future(request, metadata=tuple(metadata))
        done, token = trio.Event(), trio.lowlevel.current_trio_token()

        def wake(_: object) -> None:
            with contextlib.suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        call.add_done_callback(wake)
        try:
            await done.wait()
        except BaseException:
            _cancel(call)
            raise
        try:
            result: ResponseT = call.result()
        except grpc.RpcError as error:
            raise _translated(method.path, error) from None
        except grpc.FutureCancelledError:
            raise GrpcFailedError(method.path, "CANCELLED", "the channel was closed") from None
        return result

    @asynccontextmanager
    async def stream(
        self, method: Method[RequestT, ResponseT], metadata: Metadata = ()
    ) -> AsyncIterator[GrpcStream[RequestT, ResponseT]]:
        """A two-way stream for the length of a block.

        Cancellation: the stream ends with the block, however that ends.
        """
        requests: queue.Queue[RequestT | None] = queue.Queue(MAX_WAITING_REQUESTS)
        call = self._channel.stream_stream(
            method.path, request_serializer=method.write, response_deserializer=method.read
        )(iter(requests.get, None), metadata=tuple(metadata))
        try:
            await trio.lowlevel.checkpoint()
            responses: Iterator[ResponseT] = iter(call)
            yield GrpcStream(method.path, requests, lambda: next(responses, None))
        finally:
            _end(call, requests)


def _end(call: _Call, requests: "queue.Queue[RequestT | None]") -> None:
    _cancel(call)
    with contextlib.suppress(queue.Full):
        requests.put_nowait(None)  # gRPC's thread that waits for requests ends


def _cancel(call: _Call) -> None:
    call.cancel()


def _translated(path: str, error: object) -> GrpcFailedError:
    # Each RpcError that a call raises is that call as well; the stubs do not know it.
    if isinstance(error, grpc.Call):
        return GrpcFailedError(path, error.code().name, error.details() or "")
    return GrpcFailedError(path, "UNKNOWN", str(error))
