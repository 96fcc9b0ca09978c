"""What the kernel and our rights must allow, tried at a program's start, not met in the first pod.

Everything is tried for real, and leaves nothing behind.
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from mesh.errors import ConfigError
from mesh.runtime.netns import NetnsGoneError, inside

OWN_NETNS: Final = Path("/proc/self/ns/net")
_IP_TRANSPARENT: Final = 19  # linux/in.h


class RightMissingError(ConfigError):
    """The kernel does not let this program do what it cannot be without."""

    code = "right_missing"


def missing_right(doing: str, reason: str, capability: str) -> str:
    """A sentence that says what is refused, and who can mend it how."""
    return f"{doing}: {reason}: start it as root, with {capability}, on a kernel that can do it"


def try_sockets(mark: int | None, *, spoofing: bool) -> None:
    """Try what the sockets of a node proxy need: entering a namespace, marks, others' addresses.

    Args:
        mark: the packets' mark; None: they get none.
        spoofing: whether connections must come from their client's address.

    Raises:
        RightMissingError: something is refused; names all of it.
    """
    problems = list(_refused(mark, spoofing=spoofing))
    if problems:
        raise RightMissingError(tuple(problems))


def _refused(mark: int | None, *, spoofing: bool) -> Iterator[str]:
    if reason := _reason(_enter_own):
        yield missing_right("entering a pod's network namespace (setns)", reason, "CAP_SYS_ADMIN")
    if mark is not None and (
        reason := _reason(lambda: _set(socket.SOL_SOCKET, socket.SO_MARK, mark))
    ):
        yield missing_right("PACKET_MARK: marking packets (SO_MARK)", reason, "CAP_NET_ADMIN")
    if spoofing and (reason := _reason(lambda: _set(socket.SOL_IP, _IP_TRANSPARENT, 1))):
        what = "ENABLE_ORIG_SRC: dialling from a client's address (IP_TRANSPARENT)"
        yield missing_right(what, reason, "CAP_NET_ADMIN")


def _reason(work: Callable[[], None]) -> str:
    """Why something is refused; nothing when it is not."""
    try:
        work()
    except NetnsGoneError as error:
        return error.reason
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _enter_own() -> None:
    own = os.open(OWN_NETNS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with inside(own):
            pass
    finally:
        os.close(own)


def _set(level: int, option: int, value: int) -> None:
    with closing(socket.socket()) as tried:
        tried.setsockopt(level, option, value)
