"""What a control process does by its supervisor's orders."""

import logging
from collections.abc import Callable

from mesh.errors import PeerError
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.control.workers import LinkT, Workers
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.processes.orders import DrainAll, Order, WorkerGone, WorkerStarted

log = logging.getLogger(__name__)


def nothing() -> None:
    """Nothing but the workers has to end."""


async def obey(
    supervisor: SupervisorLink,
    workers: Workers[LinkT],
    on_worker: Callable[[WorkerStarted, FeedChannel], None],
    on_drain: Callable[[], None] = nothing,
) -> None:
    """Until the supervisor has gone.

    Args:
        supervisor: whose orders to obey.
        workers: told of who has gone, and of drains.
        on_worker: makes a link of a worker's feed, and has it run.
        on_drain: called before the workers drain.

    Cancellation: no order is lost, but for the one under way.
    """
    while True:
        try:
            packet = await supervisor.receive()
        except PeerError as error:
            log.error("not an order", extra={"code": error.code, "error": str(error)})  # noqa: TRY400 - the words say it
            continue
        if packet is None:
            return
        order, feed = packet
        if isinstance(order, WorkerStarted) and feed is not None:
            on_worker(order, FeedChannel(feed))
            continue
        if isinstance(order, DrainAll):
            on_drain()
        await _obey(workers, order)


async def _obey(workers: Workers[LinkT], order: Order) -> None:
    match order:
        case WorkerGone(index, pid):
            workers.gone(index, pid)
        case DrainAll(milliseconds):
            log.info("drains", extra={"deadline": f"{milliseconds}ms"})
            await workers.drain(milliseconds / 1000)
        case _:
            log.error("not an order for control", extra={"code": "order_invalid"})
