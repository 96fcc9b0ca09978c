"""A connection that a pod's application has opened, between its stages."""

import socket
from collections.abc import Callable
from dataclasses import dataclass

from mesh.model.address import SocketAddress
from ztunnel.worker.flow import Flow

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
