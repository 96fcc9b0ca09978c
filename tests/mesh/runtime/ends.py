"""Sockets for relay tests, and programs at their ends that send and read at random."""

import hashlib
import random
import socket
import struct

import trio


def tcp_pair(buffer_octets: int = 0) -> tuple[socket.socket, socket.socket]:
    """Two ends of one TCP connection on loopback, non-blocking.

    With small buffers each end is full again and again, whoever reads.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outer = socket.create_connection(listener.getsockname())
        inner, _ = listener.accept()
    for end in (outer, inner):
        end.setblocking(False)
        if buffer_octets:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_octets)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_octets)
    return outer, inner


def stream_of(end: socket.socket) -> trio.SocketStream:
    """A trio stream on a connected socket."""
    return trio.SocketStream(trio.socket.from_stdlib_socket(end))


async def send_at_random(stream: trio.SocketStream, total: int, seed: int, sums: list[str]) -> None:
    """Send so many octets in pieces of all sizes, with pauses, then end; note their hash."""
    source = random.Random(seed)
    digest = hashlib.sha256()
    while total:
        piece = source.randbytes(min(total, source.choice((1, 100, 16_384, 300_000))))
        digest.update(piece)
        total -= len(piece)
        await stream.send_all(piece)
        if source.random() < 0.1:
            await trio.sleep(0.001)
    await stream.send_eof()
    sums.append(digest.hexdigest())


async def read_at_random(stream: trio.SocketStream, seed: int, sums: list[str]) -> None:
    """Read to the end in pieces of all sizes, with pauses; note the hash."""
    source = random.Random(seed)
    digest = hashlib.sha256()
    while piece := await stream.receive_some(source.choice((100, 65_536, 400_000))):
        digest.update(piece)
        if source.random() < 0.1:
            await trio.sleep(0.001)
    sums.append(digest.hexdigest())


async def reset(stream: trio.SocketStream) -> None:
    """Close with a TCP reset."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()
