"""Unix sockets on which only root, or the program's own user, is heard."""

import errno
import logging
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import trio

from mesh.errors import ConfigError

BACKLOG: Final = 128
PAUSE_S: Final = 0.1
"""How long nothing is accepted when descriptors or memory have run out."""

_CREDENTIALS: Final = struct.Struct("3i")
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = logging.getLogger(__name__)


class SocketRefusedError(ConfigError):
    """A program cannot listen on one of its Unix sockets."""

    code = "unix_socket_refused"

    def __init__(self, path: Path, reason: str) -> None:
        """Keep the path and the kernel's reason."""
        super().__init__((f"cannot listen on {path} ({reason}): choose another path",))
        self.path, self.reason = path, reason


@contextmanager
def listening(path: Path, kind: socket.SocketKind) -> Iterator[trio.socket.SocketType]:
    """Listen on a path that only the owner may use, and take it away at the end.

    What an earlier run left there is replaced.

    Raises:
        SocketRefusedError: the path is too long, or there is no right.
    """
    with _listener(path, kind) as listener:
        try:
            yield listener
        finally:
            path.unlink(missing_ok=True)


def _listener(path: Path, kind: socket.SocketKind) -> trio.socket.SocketType:
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # The rights before anybody can connect: not those of a moment later.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(os.fspath(path))
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise SocketRefusedError(path, error.strerror or str(error)) from error
    return trio.socket.from_stdlib_socket(listener)


async def accept(listener: trio.socket.SocketType) -> trio.socket.SocketType:
    """The next connection of somebody who is heard; others are hung up on.

    When descriptors have run out it waits until some are free.

    Cancellation: no connection is lost.
    """
    while True:
        try:
            connection, _ = await listener.accept()
        except OSError as error:
            if error.errno not in _EXHAUSTED:
                raise
            log.error("nothing is accepted: %s", error.strerror)  # noqa: TRY400 - no bug of ours
            await trio.sleep(PAUSE_S)
            continue
        if is_heard(connection):
            return connection
        log.warning("a connection of another user is refused")
        connection.close()


def is_heard(connection: trio.socket.SocketType) -> bool:
    """Whether the peer is root, or runs as our own user."""
    octets = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _pid, user, _group = _CREDENTIALS.unpack(octets)
    return user in (0, os.geteuid())
