"""The loopback of a namespace that a test has made."""

import fcntl
import os
import socket
import struct
from pathlib import Path

from mesh.runtime.netns import open_netns, socket_in

SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def up(netns: Path) -> None:
    """Bring it up."""
    descriptor = open_netns(netns)
    try:
        with socket_in(descriptor, socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sh", b"lo", IFF_UP))
    finally:
        os.close(descriptor)
