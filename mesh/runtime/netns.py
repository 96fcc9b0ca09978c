"""Network namespaces: sockets inside a pod, without living there.

1. A namespace belongs to a thread. `inside` enters, and leaves in the same synchronous stretch:
   there is no await between, so no other task ever runs in the pod.
2. A thread that cannot come home ends the process at once (exit code STRANDED): whatever it did
   next would happen inside somebody's pod.
3. A socket stays in the namespace in which it was made; bind, connect and accept need no entering.

Python 3.11 has no `os.setns`, hence the C library (numbers from linux/sched.h, linux/sockios.h).
"""

import ctypes
import errno
import fcntl
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from mesh.errors import UnavailableError

STRANDED: Final = 70
"""Exit code of a process whose thread could not leave a pod's namespace."""

_CLONE_NEWNET: Final = 0x40000000
_MS_BIND: Final = 4096
_MNT_DETACH: Final = 2
_SIOCGSKNS: Final = 0x894C
_NSFS_MAGIC: Final = 0x6E736673
_libc: Final = ctypes.CDLL(None, use_errno=True)

OutcomeT = TypeVar("OutcomeT")


class NetnsGoneError(UnavailableError):
    """A network namespace that is not there (any more), or a path that is none."""

    code = "netns_gone"

    def __init__(self, what: str, reason: str) -> None:
        """Keep the path or descriptor, and the kernel's reason."""
        super().__init__(f"network namespace {what}: {reason}")
        self.what, self.reason = what, reason


def _own() -> int:
    # Not /proc/self: that is the main thread's.
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def inside(netns: int) -> Iterator[None]:
    """Run a block in the namespace of a descriptor. Never await in it.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
    """
    home = _own()
    try:
        if _libc.setns(netns, _CLONE_NEWNET):
            raise NetnsGoneError(f"descriptor {netns}", os.strerror(ctypes.get_errno()))
        try:
            yield
        finally:
            if _libc.setns(home, _CLONE_NEWNET):
                os.write(2, b"a thread cannot leave a pod's network namespace: ending\n")
                os._exit(STRANDED)
    finally:
        os.close(home)


def enter(netns: int) -> None:
    """Move the calling thread into a namespace for good.

    For a throwaway thread before it starts a child, or a process that is about to become another.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
    """
    if _libc.setns(netns, _CLONE_NEWNET):
        raise NetnsGoneError(f"descriptor {netns}", os.strerror(ctypes.get_errno()))


def socket_in(
    netns: int, family: int = socket.AF_INET, kind: int = socket.SOCK_STREAM
) -> socket.socket:
    """A non-blocking socket that was made in a namespace.

    Raises:
        NetnsGoneError: the descriptor is no network namespace.
        OSError: the kernel makes no such socket.
    """
    with inside(netns):
        made = socket.socket(family, kind)
    made.setblocking(False)
    return made


def open_netns(path: Path) -> int:
    """A descriptor of a namespace by its path; the caller closes it.

    Raises:
        NetnsGoneError: nothing is there, or something that is no namespace (a bind mount that did
            not reach our mount namespace leaves an empty plain file).
    """
    try:
        netns = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise NetnsGoneError(str(path), error.strerror or str(error)) from error
    if not _is_namespace(netns):
        os.close(netns)
        raise NetnsGoneError(str(path), "a file, not a namespace (mount propagation?)")
    return netns


def _is_namespace(descriptor: int) -> bool:
    statfs = ctypes.create_string_buffer(256)
    if _libc.fstatfs(descriptor, statfs):
        return False
    return ctypes.c_long.from_buffer(statfs).value == _NSFS_MAGIC


def netns_id(netns: int) -> tuple[int, int]:
    """What tells namespaces apart: device and inode."""
    status = os.fstat(netns)
    return status.st_dev, status.st_ino


def netns_of(made: socket.socket) -> int:
    """A descriptor of the namespace in which a socket was made; the caller closes it."""
    netns: int = fcntl.ioctl(made.fileno(), _SIOCGSKNS)
    os.set_inheritable(netns, False)
    return netns


def create_netns(path: Path) -> None:
    """Make a namespace and keep it at a path, with its loopback still down.

    Raises:
        FileExistsError: something is there already.
        OSError: no right, or no such folder.
    """
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL, 0o444))

    def make() -> None:
        source = f"/proc/self/task/{threading.get_native_id()}/ns/net".encode()
        if _libc.unshare(_CLONE_NEWNET) or _libc.mount(
            source, bytes(path), b"none", _MS_BIND, None
        ):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))

    try:
        in_throwaway_thread(make)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def make_netns() -> int:
    """A descriptor of a new namespace that goes with it, its loopback down; the caller closes it.

    Raises:
        OSError: no right.
    """

    def make() -> int:
        if _libc.unshare(_CLONE_NEWNET):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return _own()

    return in_throwaway_thread(make)


def remove_netns(path: Path) -> None:
    """Give a kept namespace up. What still uses it keeps it alive. Nothing there is fine."""
    if _libc.umount2(bytes(path), _MNT_DETACH):
        number = ctypes.get_errno()
        if number not in (errno.EINVAL, errno.ENOENT):
            raise OSError(number, os.strerror(number), str(path))
    path.unlink(missing_ok=True)


def in_throwaway_thread(work: Callable[[], OutcomeT]) -> OutcomeT:
    """Run something in a thread that ends with it: whatever it did to itself goes with it."""
    outcomes: list[OutcomeT] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            outcomes.append(work())
        except BaseException as failure:  # noqa: BLE001 - raised again in the caller's thread
            failures.append(failure)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return outcomes[0]
