"""Double HBONE: a tunnel of one connection inside a stream to another network's gateway.

The gateway sees the outer CONNECT only; the inner tunnel's TLS ends at the destination. The two are
joined by a socket pair, so that the inner tunnel is a tunnel like any other.
"""

import socket
from collections.abc import Callable

import trio

from mesh.model.workload import Workload
from mesh.observe.access_log import ConnectionSecurity
from mesh.routing.outbound import DoubleHbone
from mesh.runtime.http2_transport import Tunnel, TunnelBrokenError
from mesh.runtime.pool import Pool, PoolKey
from mesh.runtime.relay.plain import Ending
from mesh.runtime.relay.stream import StreamRelay, WaitingStream
from mesh.runtime.worker.deadlines import ANSWER_SECONDS
from mesh.runtime.worker.secure import secure
from mesh.wire import hbone
from mesh.wire.http2.events import Headers
from mesh.wire.http2.frames import Role
from mesh.wire.http2.streams import Stream
from ztunnel.worker.call import Call
from ztunnel.worker.context import Context


class DoubleTunnel:
    """One connection to a service of another network."""

    def __init__(
        self, context: Context, pool: Pool, source: Workload, decision: DoubleHbone
    ) -> None:
        """`pool` has the outer tunnels; they are shared."""
        self._context = context
        self._pool = pool
        self._source = source
        self._decision = decision

    async def carry(self, call: Call) -> None:
        """Serve a connection until it is relayed, or has ended."""
        with call.flow:
            inner = await self._inner(call)
            try:
                call.flow.check()
                head = self._request(call, network=self._context.config.network)
                stream, waiting = await _connect(inner, head)
                call.flow.check()
            except BaseException:
                inner.close()
                raise
            self._note(call, inner, waiting)

            def make(on_end: Callable[[Ending], None]) -> StreamRelay:
                def ended(ending: Ending) -> None:
                    on_end(ending)
                    inner.close()

                return StreamRelay(
                    self._context.reactor, call.accepted, inner, stream, waiting, ended
                )

            call.flow.carry(make)

    async def _inner(self, call: Call) -> Tunnel:
        """The inner tunnel, through an outer stream."""
        near = await self._outer(call)
        try:
            return await secure(
                self._context,
                Role.CLIENT,
                await self._context.credentials.of(self._source.identity),
                near,
                expected=self._decision.inner_expected,
                on_close=lambda _tunnel, _reason: None,
            )
        except BaseException:
            near.close()
            raise

    async def _outer(self, call: Call) -> socket.socket:
        """A socket whose other end is a stream to the gateway."""
        decision = self._decision
        outer = await self._pool.tunnel(
            PoolKey(decision.connect_to, decision.gateway, decision.expected)
        )
        stream, waiting = await _connect(outer, self._request(call))
        near, far = socket.socketpair()
        near.setblocking(False)
        far.setblocking(False)
        # When `near` closes the relay sees its end, and when the stream ends `near` does.
        StreamRelay(self._context.reactor, far, outer, stream, waiting, lambda _ending: None)
        return near

    def _request(self, call: Call, network: str | None = None) -> Headers:
        return hbone.request(
            self._decision.authority,
            call.flow.record.source_address,
            self._source,
            trace=call.trace,
            service=self._decision.service.hostname,
            network=network,
        )

    def _note(self, call: Call, inner: Tunnel, waiting: WaitingStream) -> None:
        """Who has answered is known only now: the other network's workloads are not ours."""
        record = call.flow.record
        told = dict(waiting.response).get(b"baggage", b"").decode("latin-1")
        record.destination = hbone.caller(told)
        record.source_identity, record.destination_identity = self._source.identity, inner.peer
        record.security = ConnectionSecurity.MUTUAL_TLS


async def _connect(tunnel: Tunnel, request: Headers) -> tuple[Stream, WaitingStream]:
    """Open a stream and wait for the 200.

    Raises:
        MeshError: no 200 came; the stream is gone.
    """
    waiting = WaitingStream()
    stream = tunnel.open(request, waiting)
    try:
        with trio.move_on_after(ANSWER_SECONDS):
            await waiting.answered.wait()
        _check(waiting)
    except BaseException:
        tunnel.abandon(stream, waiting)
        raise
    return stream, waiting


def _check(waiting: WaitingStream) -> None:
    if waiting.gone:
        raise TunnelBrokenError("the tunnel broke before the peer answered CONNECT")
    if not waiting.response:
        silence = f"none within {ANSWER_SECONDS:g} s"
        reset = f"reset with code {waiting.code}"
        raise hbone.ConnectUnansweredError(silence if waiting.code is None else reset)
    hbone.check_accepted(waiting.response)
