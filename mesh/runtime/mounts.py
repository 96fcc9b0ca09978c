"""A mount namespace of one's own: a container's files over the machine's, seen by nobody else.

1. Whoever calls these lives with the outcome: call them in a throwaway thread before it starts a
   child, or in a process that is about to become another program.
2. What is mounted here never reaches the machine; what the machine unmounts goes here too, where
   its mounts are shared.

Numbers from linux/mount.h and linux/sched.h; Python 3.11 has no `os.unshare`.
"""

import ctypes
import os
from pathlib import Path
from typing import Final

from mesh.errors import UnavailableError

_CLONE_FS: Final = 0x200
_CLONE_NEWNS: Final = 0x20000
_MS_RDONLY: Final = 1
_MS_REMOUNT: Final = 32
_MS_BIND: Final = 4096
_MS_REC: Final = 16384
_MS_SLAVE: Final = 1 << 19
_MNT_DETACH: Final = 2
_libc: Final = ctypes.CDLL(None, use_errno=True)


class MountRefusedError(UnavailableError):
    """The kernel does not mount something over a path."""

    code = "mount_refused"

    def __init__(self, what: str, reason: str) -> None:
        """Keep what was to be done, and the kernel's reason."""
        super().__init__(f"{what}: {reason}")
        self.what, self.reason = what, reason


def _call(outcome: int, what: str) -> None:
    if outcome:
        raise MountRefusedError(what, os.strerror(ctypes.get_errno()))


def own_mounts() -> None:
    """Give the calling thread a copy of the mounts that only its children share.

    Raises:
        MountRefusedError: no right.
    """
    _call(_libc.unshare(_CLONE_NEWNS), "make a mount namespace")
    _call(_libc.mount(None, b"/", None, _MS_REC | _MS_SLAVE, None), "make the mounts private")


def enter_mounts(namespace: int) -> None:
    """Move the calling thread into the mount namespace of a descriptor; its folder becomes `/`.

    Raises:
        MountRefusedError: the descriptor is no mount namespace, or no right.
    """
    _call(_libc.unshare(_CLONE_FS), "leave the shared working folder")
    _call(_libc.setns(namespace, _CLONE_NEWNS), "enter a mount namespace")


def open_own_mounts() -> int:
    """A descriptor of the calling thread's mount namespace; the caller closes it."""
    return os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)


def bind(source: Path, target: Path, *, is_read_only: bool = False) -> None:
    """Show one file or folder at the place of another, which must be of the same kind.

    Raises:
        MountRefusedError: either is not there, or they are not of one kind.
    """
    what = f"mount {source} over {target}"
    _call(_libc.mount(bytes(source), bytes(target), None, _MS_BIND, None), what)
    if is_read_only:
        again = _MS_BIND | _MS_REMOUNT | _MS_RDONLY
        _call(_libc.mount(None, bytes(target), None, again, None), what)


def detach(target: Path) -> None:
    """Take the topmost mount of a path away; nothing mounted there is fine."""
    _libc.umount2(bytes(target), _MNT_DETACH)
