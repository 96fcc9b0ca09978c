"""The three ports for people and machines that look after a proxy."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from mesh.errors import ConfigError
from mesh.runtime.http_server import Handler, HttpListenFailedError, listen_http, serve_http
from mesh.runtime.settings import Ports

log = logging.getLogger(__name__)

ADMIN_ANSWER_S: Final = 330.0
"""A profile may take five minutes."""

LOOPBACK: Final = ("127.0.0.1", "::1")
EVERYWHERE: Final = ("",)


class PortTakenError(ConfigError):
    """A port of a proxy's pages cannot be opened."""

    code = "port_taken"


@dataclass(frozen=True, slots=True)
class Pages:
    """What answers on each port."""

    admin: Handler
    """From the loopback address only."""
    stats: Handler
    readiness: Handler


@asynccontextmanager
async def serving(ports: Ports, pages: Pages, *, ipv6: bool) -> AsyncIterator[None]:
    """Admin, metrics and readiness pages, for the length of a block.

    Raises:
        PortTakenError: a port is taken; names the port and the variable.

    Cancellation: the pages close with the block.
    """
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
    async with trio.open_nursery() as servers:
        await servers.start(partial(serve_http, admin, pages.admin, answer_s=ADMIN_ANSWER_S))
        await servers.start(serve_http, stats, pages.stats)
        await servers.start(serve_http, readiness, pages.readiness)
        yield
        servers.cancel_scope.cancel()


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
