"""The three ports of a node proxy's own namespace."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from mesh.errors import ConfigError
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.http_server import HttpListenFailedError, listen_http, serve_http
from ztunnel.control.admin import Admin
from ztunnel.control.app import Control
from ztunnel.control.stats import Stats

log = logging.getLogger(__name__)

ADMIN_ANSWER_S: Final = 330.0
"""A profile may take five minutes."""

LOOPBACK: Final = ("127.0.0.1", "::1")
EVERYWHERE: Final = ("",)


class PortTakenError(ConfigError):
    """A port of the node proxy's pages cannot be opened."""

    code = "port_taken"


@asynccontextmanager
async def serving(control: Control, supervisor: SupervisorLink) -> AsyncIterator[None]:
    """Admin, metrics and readiness pages, for the length of a block.

    Raises:
        PortTakenError: a port is taken; names the port and the variable.

    Cancellation: the pages close with the block.
    """
    ports = control.config.ports
    ipv6 = control.config.ipv6_enabled
    admin = await _open("SLUICE_ADMIN_PORT", LOOPBACK, ports.admin, ipv6=ipv6)
    stats = await _open("SLUICE_STATS_PORT", EVERYWHERE, ports.stats, ipv6=ipv6)
    readiness = await _open("SLUICE_READINESS_PORT", EVERYWHERE, ports.readiness, ipv6=ipv6)
    log.info(
        "pages",
        extra={
            "admin": _port(admin),
            "stats": _port(stats),
            "readiness": _port(readiness),
        },
    )
    async with trio.open_nursery() as pages:
        admin_page = Admin(control, supervisor).page
        await pages.start(partial(serve_http, admin, admin_page, answer_s=ADMIN_ANSWER_S))
        await pages.start(serve_http, stats, Stats(control).page)
        await pages.start(serve_http, readiness, control.readiness.page)
        yield
        pages.cancel_scope.cancel()


def _port(listeners: list[trio.SocketListener]) -> int:
    return int(listeners[0].socket.getsockname()[1])


async def _open(
    variable: str, hosts: tuple[str, ...], port: int, *, ipv6: bool
) -> list[trio.SocketListener]:
    listeners: list[trio.SocketListener] = []
    for host in hosts:
        try:
            listeners += await listen_http(host, port)
        except HttpListenFailedError as error:
            # A machine without IPv6 has no ::1: the other loopback address is enough.
            if ":" in host and not (ipv6 and error.reason == "Address already in use"):
                continue
            raise PortTakenError(
                (f"{variable}: port {port} cannot be opened ({error.reason}): choose another",)
            ) from None
    return listeners
