"""A connection that a pod's application has opened, between its stages."""

import random
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from mesh.model.address import SocketAddress
from mesh.observe.access_log import ConnectionRecord, Direction
from mesh.runtime.relay.plain import SocketRelay, close
from mesh.runtime.worker import sockets
from mesh.runtime.worker.dial import Dial
from mesh.wire.hbone import TRACE_BITS
from ztunnel.worker.context import Context
from ztunnel.worker.flow import Flow, Flows
from ztunnel.worker.sockets import original_destination

Spawn = Callable[..., object]
"""Starts a coroutine function with its arguments as a task of the pod: for what has to wait."""


@dataclass(slots=True, eq=False)
class Call:
    """What outbound and plain-text inbound know of a connection that they have accepted."""

    flow: Flow
    accepted: socket.socket
    """Belongs to the relay as soon as there is one."""
    destination: SocketAddress
    """Where the application wanted to go."""
    attempts: int = 0
    """How many tunnels have let it down."""
    trace: int = field(default_factory=partial(random.getrandbits, TRACE_BITS))
    """What the other proxies call it."""


def begin(
    context: Context,
    flows: Flows,
    accepted: socket.socket,
    peer: sockets.SocketName,
    direction: Direction,
) -> Call | None:
    """The call that a redirected connection is; None (and it is closed) when it has gone."""
    try:
        sockets.tune(accepted, context.config.keepalive)
        source = sockets.address_of(peer)
        destination = original_destination(accepted, source)
    except OSError:  # it has gone before it began
        accepted.close()
        return None
    record = ConnectionRecord(
        direction=direction, source_address=source, destination_address=destination
    )
    flow = Flow(context, flows, record, lambda _error: close(accepted, reset=True))
    return Call(flow, accepted, destination)


def join_plain(context: Context, spawn: Spawn, call: Call, dialling: Dial) -> None:
    """Relay in plain text to what is dialled, once it is connected; for use inside the flow."""
    if dialling.connected:
        _join(context, call, dialling.connection)
    else:
        spawn(_join_later, context, call, dialling)


async def _join_later(context: Context, call: Call, dialling: Dial) -> None:
    with call.flow:
        _join(context, call, await dialling.wait())


def _join(context: Context, call: Call, far: socket.socket) -> None:
    call.flow.carry(
        lambda on_end: SocketRelay(context.reactor, context.scratch, call.accepted, far, on_end)
    )
