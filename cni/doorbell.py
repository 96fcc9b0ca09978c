"""The socket that the plugin calls: each connection is one call and its answer."""

import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import trio

from cni.plugin_call import (
    BAD_CONFIG,
    MAX_CALL_OCTETS,
    PluginCall,
    PluginCallInvalidError,
    decode,
    failure,
)
from mesh.runtime import unix_sockets

READ_SECONDS: Final = 5.0
WRITE_SECONDS: Final = 5.0
_CHUNK_OCTETS: Final = 64 * 1024

Answer = Callable[[PluginCall], Awaitable[bytes]]
log = logging.getLogger(__name__)


async def serve_doorbell(
    path: Path, answer: Answer, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Answer calls until cancelled; started when it listens.

    Raises:
        SocketRefusedError: the socket cannot be made there.

    Cancellation: calls that run are cut, and their pods wait; the socket is taken away.
    """
    with unix_sockets.listening(path, socket.SOCK_STREAM) as listener:
        task_status.started()
        async with trio.open_nursery() as calls:
            while True:
                connection = await unix_sockets.accept(listener)
                calls.start_soon(_serve, connection, answer)


async def _serve(connection: trio.socket.SocketType, answer: Answer) -> None:
    with connection:
        try:
            octets = await _answered(connection, answer)
            with trio.fail_after(WRITE_SECONDS):
                await trio.SocketStream(connection).send_all(octets)
        except (trio.BrokenResourceError, trio.TooSlowError, OSError) as error:
            log.warning("a call of the plugin is given up: %s", str(error) or "too slow")
        except Exception:  # the firewall: a bug costs one call, and its pod waits
            log.exception("a call of the plugin failed", extra={"code": "plugin_call_failed"})


async def _answered(connection: trio.socket.SocketType, answer: Answer) -> bytes:
    try:
        with trio.fail_after(READ_SECONDS):
            call = decode(await _read(connection))
    except PluginCallInvalidError as error:
        return failure("", BAD_CONFIG, error)
    return await answer(call)


async def _read(connection: trio.socket.SocketType) -> bytes:
    octets = bytearray()
    while len(octets) <= MAX_CALL_OCTETS and (more := await connection.recv(_CHUNK_OCTETS)):
        octets += more
    return bytes(octets)
