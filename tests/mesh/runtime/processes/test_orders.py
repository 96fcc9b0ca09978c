"""The words between supervisor and control process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import PeerError
from mesh.runtime.processes import orders
from mesh.runtime.processes.orders import DrainAll, Order, Quit, Serving, WorkerGone, WorkerStarted

ORDERS: tuple[Order, ...] = (
    WorkerStarted(3, 4_194_304),
    WorkerGone(0, 12),
    DrainAll(5000),
    Serving(),
    Quit(),
)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_an_order_arrives_as_it_was_given(order: Order) -> None:
    packet = orders.encode(order)
    assert orders.decode(packet) == order
    assert len(packet) <= orders.MAX_ORDER_OCTETS


@given(st.binary(max_size=70) | st.text(max_size=30).map(str.encode))
def test_anything_else_is_an_error_of_the_peer(packet: bytes) -> None:
    try:
        assert orders.encode(orders.decode(packet))
    except PeerError:
        return
