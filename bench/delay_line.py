"""A long cable where the kernel has no netem: two TUN devices, and a process between them.

`python -m bench.delay_line NEAR FAR MILLISECONDS MEGABITS` makes both devices in its own namespace,
from where they may be moved. Each packet leaves the other device after the delay, and no faster
than the rate allows; what a queue of one delay cannot hold is dropped, as a router would.
"""

import fcntl
import os
import select
import struct
import sys
import time
from collections import deque
from contextlib import suppress
from typing import Final

TUNSETIFF: Final = 0x400454CA
IFF_TUN: Final = 0x0001
IFF_NO_PI: Final = 0x1000
PACKET_OCTETS: Final = 65_536
BATCH: Final = 64


class Way:
    """One direction: packets in the order of their time."""

    def __init__(self, source: int, sink: int, delay_s: float, octets_per_s: float) -> None:
        """Both are descriptors of TUN devices."""
        self._source = source
        self._sink = sink
        self._delay_s = delay_s
        self._per_octet_s = 1 / octets_per_s
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._free_at = 0.0

    def take(self, now: float) -> None:
        """Read what the source has to send."""
        for _ in range(BATCH):
            try:
                packet = os.read(self._source, PACKET_OCTETS)
            except BlockingIOError:
                return
            begins = max(now, self._free_at)
            # A queue of one delay before the wire: what does not fit is lost.
            if begins - now <= self._delay_s:
                self._free_at = begins + len(packet) * self._per_octet_s
                self._waiting.append((self._free_at + self._delay_s, packet))

    def give(self, now: float) -> None:
        """Write what has been on its way long enough."""
        waiting = self._waiting
        while waiting and waiting[0][0] <= now:
            with suppress(OSError):  # the device is down: the packet is lost
                os.write(self._sink, waiting[0][1])
            waiting.popleft()

    @property
    def next_at(self) -> float:
        """When `give` has something to do."""
        return self._waiting[0][0] if self._waiting else float("inf")


def device(name: str) -> int:
    """A TUN device of the current namespace; it lives as long as the descriptor."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI))
    return descriptor


def main(near: str, far: str, milliseconds: str, megabits: str) -> None:
    """Carry packets until killed."""
    ends = device(near), device(far)
    delay_s, octets_per_s = float(milliseconds) / 1000, float(megabits) * 1e6 / 8
    ways = {
        ends[0]: Way(ends[0], ends[1], delay_s, octets_per_s),
        ends[1]: Way(ends[1], ends[0], delay_s, octets_per_s),
    }
    epoll = select.epoll()
    for end in ends:
        epoll.register(end, select.EPOLLIN)
    print("carrying", flush=True)
    while True:
        now = time.monotonic()
        for way in ways.values():
            way.give(now)
        due = min(way.next_at for way in ways.values())
        timeout = max(0.0, due - time.monotonic()) if due < float("inf") else -1
        for end, _ in epoll.poll(timeout):
            ways[end].take(time.monotonic())


if __name__ == "__main__":
    main(*sys.argv[1:5])
