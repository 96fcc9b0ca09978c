"""Whether a container is ready: its listening ports, or its readiness probe."""

import os
import socket
from collections.abc import Collection
from pathlib import Path
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.fields import Part
from mesh.runtime.netns import inside, open_netns, socket_in
from sluice.lab.spawn import run_in

_LISTENING: Final = "0A"  # include/net/tcp_states.h
_HEAD_OCTETS: Final = 4096


def listening_ports(netns: int) -> set[int]:
    """The TCP ports on which anything listens in a namespace; connects to nothing."""
    with inside(netns):
        lines = [
            line
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]
        ]
    fields = (line.split() for line in lines)
    return {int(each[1].rpartition(":")[2], 16) for each in fields if each[3] == _LISTENING}


def listens(path: Path, ports: Collection[int]) -> bool:
    """Whether something listens on each port in a namespace."""
    netns = open_netns(path)
    try:
        return set(ports) <= listening_ports(netns)
    finally:
        os.close(netns)


async def ask(node: Path, pod: Path, address: str, container: Part) -> bool:
    """Ask a container's readiness probe once.

    Args:
        node: the namespace from which the kubelet would ask.
        pod: the pod's own namespace, for a command.
        address: the pod's.
        container: of the pod's spec, with a `readinessProbe`.

    Cancellation: the question is given up.
    """
    probe = container.at("readinessProbe")
    try:
        with trio.move_on_after(probe.number("timeoutSeconds", 1)):
            if probe.has("exec"):
                words = tuple(probe.at("exec").texts("command"))
                code, _, _ = await run_in(pod, words, dict(os.environ), b"")
                return code == 0
            if probe.has("httpGet"):
                port = _port(probe.at("httpGet"), container)
                path = probe.at("httpGet").text("path", "/")
                return await _ask_http(node, (address, port), path)
            async with await connected(node, (address, _port(probe.at("tcpSocket"), container))):
                return True
    except (OSError, MeshError, trio.BrokenResourceError):
        return False
    return False


def _port(action: Part, container: Part) -> int:
    value = action.body.get("port")
    if isinstance(value, int):
        return value
    for port in container.parts("ports"):
        if port.text("name") == value:
            return port.number("containerPort")
    return int(value) if isinstance(value, str) and value.isdecimal() else 0


async def connected(path: Path, address: tuple[str, int]) -> trio.SocketStream:
    """A connection that was made in a namespace.

    Raises:
        OSError: nobody accepts.
        NetnsGoneError: no such namespace.

    Cancellation: the connection is given up.
    """
    netns = open_netns(path)
    try:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        made = trio.socket.from_stdlib_socket(socket_in(netns, family))
    finally:
        os.close(netns)
    try:
        await made.connect(address)
    except BaseException:
        made.close()
        raise
    return trio.SocketStream(made)


async def get_http(path: Path, address: tuple[str, int], target: str) -> tuple[int, bytes]:
    """The status and body of one GET from within a namespace; the server must end the connection.

    Raises:
        OSError: nobody accepts, or what answers is no HTTP.
        trio.BrokenResourceError: the connection broke.

    Cancellation: the question is given up.
    """
    async with await connected(path, address) as stream:
        request = f"GET {target} HTTP/1.1\r\nHost: {address[0]}\r\nConnection: close\r\n\r\n"
        await stream.send_all(request.encode())
        octets = b""
        async for piece in stream:
            octets += piece
    head, _, body = octets.partition(b"\r\n\r\n")
    words = head[:_HEAD_OCTETS].split(b" ", 2)
    if len(words) < 2 or not words[1].isdigit():
        raise OSError("no HTTP answer")
    return int(words[1]), body


async def _ask_http(node: Path, address: tuple[str, int], path: str) -> bool:
    status, _ = await get_http(node, address, path)
    return 200 <= status < 400
