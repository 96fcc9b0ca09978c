"""The control process's end of the orders that it shares with its supervisor."""

import array
import os
import socket
from typing import Final

import trio

from mesh.errors import PeerError
from mesh.runtime.processes import orders
from mesh.runtime.processes.orders import Order

INT_OCTETS: Final = array.array("i").itemsize


class SupervisorLink:
    """Orders to and from the supervisor. Owns the descriptor."""

    def __init__(self, descriptor: int) -> None:
        """Take over a connected SOCK_SEQPACKET descriptor."""
        self._socket = trio.socket.from_stdlib_socket(socket.socket(fileno=descriptor))

    async def send(self, order: Order) -> None:
        """Tell the supervisor.

        Cancellation: the order was sent or not.
        """
        await self._socket.send(orders.encode(order))

    async def receive(self) -> tuple[Order, int | None] | None:
        """The next order, with the descriptor that came along (the caller's).

        Returns:
            None when the supervisor has gone.

        Raises:
            PeerError: a packet that is no order.

        Cancellation: no order is lost.
        """
        packet, ancillary, _, _ = await self._socket.recvmsg(
            orders.MAX_ORDER_OCTETS, socket.CMSG_SPACE(INT_OCTETS), socket.MSG_CMSG_CLOEXEC
        )
        descriptor = _descriptor(ancillary)
        if not packet:
            return None
        try:
            return orders.decode(packet), descriptor
        except PeerError:
            if descriptor is not None:
                os.close(descriptor)
            raise


def _descriptor(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, octets in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            return array.array("i", octets[:INT_OCTETS])[0]
    return None
