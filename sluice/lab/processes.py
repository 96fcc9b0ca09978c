"""Which processes belong to a lab, and their end.

A number in /proc may be another process a moment later: a descriptor of the process is taken first,
then it is looked at again, and the signal goes to the descriptor.
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from sluice.lab.home import LAB_VARIABLE, Home

_PROC: Final = Path("/proc")
_DYING_S: Final = 5.0
"""How long a killed process may take to be gone: the kernel has its memory to give back."""


def _pids() -> Iterator[int]:
    return (int(name) for name in os.listdir(_PROC) if name.isdecimal())  # noqa: PTH208 - a thousand names


def _carries(pid: int, entry: bytes) -> bool:
    try:
        return entry in _PROC.joinpath(str(pid), "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _netns_of(pid: int) -> tuple[int, int] | None:
    try:
        status = _PROC.joinpath(str(pid), "ns/net").stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _ancestors() -> set[int]:
    """Our own process and those that wait for it."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 1:
        found.add(pid)
        try:
            line = _PROC.joinpath(str(pid), "stat").read_text()
        except OSError:
            break
        # The name in brackets may hold anything, brackets too; the parent is the second after it.
        pid = int(line.rpartition(")")[2].split()[1])
    return found


def _kill(pids: list[int], still_matches: Callable[[int], bool]) -> int:
    """Kill those that still match, wait for their ends, and say how many there were."""
    descriptors: list[int] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            descriptor = os.pidfd_open(pid)
            if still_matches(pid) and _signal(descriptor):
                descriptors.append(descriptor)
            else:
                os.close(descriptor)
    try:
        _wait_ends(descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return len(descriptors)


def _signal(descriptor: int) -> bool:
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def _wait_ends(descriptors: list[int]) -> None:
    """Wait until processes have ended, or no longer when one cannot."""
    ends = time.monotonic() + _DYING_S
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    left = len(descriptors)
    while left and (remaining := ends - time.monotonic()) > 0:
        for descriptor, _ in poll.poll(remaining * 1000):
            poll.unregister(descriptor)
            left -= 1


def _is_running(pid: int) -> bool:
    try:
        return _PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def kill_inside(path: Path) -> int:
    """Kill every process in a network namespace, and say how many there were."""
    try:
        status = path.stat()
    except OSError:
        return 0
    wanted = status.st_dev, status.st_ino
    if wanted == _netns_of(os.getpid()):
        return 0  # a name without a namespace behind it, or our own: nothing of the lab's

    def matches(pid: int) -> bool:
        return _netns_of(pid) == wanted and _is_running(pid)

    return _kill([pid for pid in _pids() if matches(pid)], matches)


def kill_lab(home: Home) -> int:
    """Kill every process of a lab but ourselves, once, and say how many there were."""
    entry = f"{LAB_VARIABLE}={home.lab}".encode()
    spared = _ancestors()

    def matches(pid: int) -> bool:
        return pid not in spared and _carries(pid, entry) and _is_running(pid)

    count = _kill([pid for pid in _pids() if matches(pid)], matches)
    return count + sum(kill_inside(path) for path in home.all_netns())
