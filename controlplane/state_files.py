"""The control plane's own files: keys that only it may read, and what it leaves for others.

1. A file appears whole or not at all: it is written beside, brought to the disk, and renamed.
2. A key is never readable by others, not for a moment; one that is, is refused.
3. Who creates holds a lock: two programs that start at once end up with one key.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from mesh.errors import ConfigError

PRIVATE: Final = 0o600
PUBLIC: Final = 0o644
MAX_OCTETS: Final = 256 * 1024
_LOCK: Final = ".lock"
_MENDS: Final = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in the quota",
    errno.EACCES: "run as the folder's owner",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOTDIR: "choose a folder: something on the way is a file",
}


class StateUnusableError(ConfigError):
    """A file of the control plane's state folder cannot be written, or not be used as it is."""

    code = "state_unusable"

    def __init__(self, path: Path, reason: str, mend: str) -> None:
        """Keep the file, what is wrong with it, and what to do."""
        super().__init__((f"{path}: {reason}: {mend}",))
        self.path, self.reason, self.mend = path, reason, mend

    @classmethod
    def of(cls, path: Path, error: OSError) -> "StateUnusableError":
        """From the kernel's answer."""
        reason = error.strerror or str(error)
        return cls(path, reason, _MENDS.get(error.errno or 0, "mend it, or choose another --state"))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder if need be, and be the only one who creates in it.

    Raises:
        StateUnusableError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE)
    except OSError as error:
        raise StateUnusableError.of(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place of what was there.

    Raises:
        StateUnusableError: a full disk, or no right; what was there is still there.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor, for its mode
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        beside.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        _remove_quietly(beside)
        raise StateUnusableError.of(path, error) from error


def read_whole(path: Path) -> bytes | None:
    """A file's content; None when there is none.

    Raises:
        StateUnusableError: it cannot be read, or is far too large.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_OCTETS + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StateUnusableError.of(path, error) from error
    if len(content) > MAX_OCTETS:
        raise StateUnusableError(path, "is too large to be ours", "restore it, or move it away")
    return content


def read_private(path: Path) -> bytes | None:
    """As `read_whole`, for a file that nobody else may be able to read.

    Raises:
        StateUnusableError: the same, or others can read it.
    """
    content = read_whole(path)
    if content is not None and path.stat().st_mode & 0o077:
        raise StateUnusableError(path, "others can read this key", f"chmod 600 {path}")
    return content


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # the first error is the one to tell
