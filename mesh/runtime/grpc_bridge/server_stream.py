"""One open stream of a gRPC server: its threads on one side, its trio task on the other.

    client -> reader thread -> `receive` -> the trio task -> `send` -> pool thread -> client

1. One message is on the way in each direction: a slow side stops the other, and nothing grows.
2. grpcio calls us from threads of its own; only `trio.lowlevel.TrioToken` crosses over.
3. Whoever learns first that the stream is over tells both sides.
"""

import queue
import threading
from collections.abc import Callable, Iterator

import grpc
import trio

from mesh.runtime.grpc_bridge.status import Code, Status

_OVER = (
    trio.RunFinishedError,
    trio.Cancelled,
    trio.BrokenResourceError,
    trio.ClosedResourceError,
)
"""What a thread sees when the trio side has ended."""


class ServerStream:
    """The trio side: requests in, responses out. For one task; made by the server."""

    def __init__(self, peer: str) -> None:
        """Open, in the trio thread."""
        self.peer = peer
        """ADDRESS:PORT of the client."""
        self.scope = trio.CancelScope()
        """Cancelled when the client has gone."""
        self._token = trio.lowlevel.current_trio_token()
        self._requests_in, self._requests_out = trio.open_memory_channel[bytes](0)
        self._credit = trio.Semaphore(1, max_value=1)
        self._responses: queue.SimpleQueue[bytes | Status] = queue.SimpleQueue()

    async def receive(self) -> bytes | None:
        """The next request; None when the client sends no more.

        Cancellation: no request is lost.
        """
        try:
            return await self._requests_out.receive()
        except trio.EndOfChannel:
            return None

    async def send(self, response: bytes) -> None:
        """Hand over a response, when the one before it has gone out.

        Cancellation: the response was handed over or it was not.
        """
        await self._credit.acquire()
        self._responses.put(response)

    def finish(self, status: Status) -> None:
        """The task has ended: so does the stream, with this status."""
        self._requests_out.close()
        self._responses.put(status)

    # The other side: what grpcio's threads call.

    def watch(self, context: grpc.ServicerContext) -> bool:
        """End the task when the client goes; whether the client is still there."""
        return bool(context.add_callback(self._client_has_gone))

    def _client_has_gone(self) -> None:
        self._responses.put(Status(Code.OK))
        self._soon(self.scope.cancel)

    def responses(self) -> Iterator[bytes | Status]:
        """What the task sends, and last how it ended; blocks in between."""
        while True:
            response = self._responses.get()
            yield response
            if isinstance(response, Status):
                return
            self._soon(self._credit.release)

    def start_reading(self, requests: Iterator[bytes]) -> None:
        """Pass the client's requests on, from a thread that ends with the stream."""
        threading.Thread(
            target=self._read_blocking, args=(requests,), name="grpc-reader", daemon=True
        ).start()

    def _read_blocking(self, requests: Iterator[bytes]) -> None:
        try:
            for octets in requests:
                trio.from_thread.run(self._requests_in.send, octets, trio_token=self._token)
        except (grpc.RpcError, *_OVER):
            return  # the client's end is told by `watch`, ours by `finish`
        self._soon(self._requests_in.close)

    def _soon(self, action: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(action)
        except trio.RunFinishedError:
            return
