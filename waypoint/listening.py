"""Where a waypoint listens. Light: the supervisor looks whether it can be done."""

import socket

from mesh.model.names import HBONE_PORT
from mesh.runtime.worker import sockets
from waypoint.config import Config


def listen(config: Config) -> socket.socket:
    """A worker's listener: every address of its own namespace, shared with other workers.

    Raises:
        ListenFailedError: the port is taken by somebody else.
    """
    return sockets.listen(None, HBONE_PORT, ipv6=config.ipv6_enabled, prepare=sockets.share_port)
