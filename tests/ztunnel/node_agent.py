"""A node agent for tests: the agent's side of ZDS, blocking, one request at a time."""

import array
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from mesh.wire import zds
from mesh.wire.feed import PodInfo
from mesh.wire.zds import AddPod, DelPod, KeepPod, Request, SnapshotSent

PATIENCE_S = 10.0


def pod(name: str, namespace: str = "shop") -> PodInfo:
    """A pod that runs as an account of its own name."""
    return PodInfo(f"uid-{name}", name, namespace, name)


class NodeAgent:
    """Listens like the agent does; `accept` takes the proxy's next connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(PATIENCE_S)
        self._peer: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Go away."""
        self.hang_up()
        self._listener.close()
        self.path.unlink(missing_ok=True)

    def hang_up(self) -> None:
        """End the connection."""
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def accept(self) -> Self:
        """Take the proxy's next connection, and its hello."""
        self.hang_up()
        self._peer, _ = self._listener.accept()
        self._peer.settimeout(PATIENCE_S)
        zds.decode_hello(self._peer.recv(zds.MAX_PACKET_OCTETS))
        return self

    def ask(self, request: Request, netns: Path | None = None) -> str:
        """Send a request; returns the answer: an empty text is success."""
        descriptors = [] if netns is None else [os.open(netns, os.O_RDONLY)]
        try:
            return self.ask_raw(zds.encode_request(request), descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def ask_raw(self, packet: bytes, descriptors: Iterable[int] = ()) -> str:
        """Send any packet, with any descriptors."""
        peer = self._connected()
        rights = array.array("i", descriptors)
        peer.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if rights else [])
        return zds.decode_response(peer.recv(zds.MAX_PACKET_OCTETS))

    def has_gone(self) -> bool:
        """Whether the proxy ends the connection."""
        return self._connected().recv(zds.MAX_PACKET_OCTETS) == b""

    def add(self, about: PodInfo, netns: Path) -> str:
        return self.ask(AddPod(about), netns)

    def keep(self, uid: str) -> str:
        return self.ask(KeepPod(uid))

    def remove(self, uid: str) -> str:
        return self.ask(DelPod(uid))

    def snapshot_sent(self) -> str:
        return self.ask(SnapshotSent())

    def _connected(self) -> socket.socket:
        if self._peer is None:
            raise AssertionError("no proxy is connected")
        return self._peer
