"""Noticing that something below some folders may have changed, also before they exist."""

import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import inotify_simple
import trio

from mesh.errors import UnavailableError

COALESCE_S: Final = 0.01
"""How long a burst of changes is waited for, again and again, at most ROUNDS times."""

ROUNDS: Final = 4

_INSIDE: Final = (
    inotify_simple.flags.CLOSE_WRITE
    | inotify_simple.flags.CREATE
    | inotify_simple.flags.MOVED_TO
    | inotify_simple.flags.MOVED_FROM
    | inotify_simple.flags.DELETE
    | inotify_simple.flags.ATTRIB
    | inotify_simple.flags.DELETE_SELF
    | inotify_simple.flags.MOVE_SELF
    | inotify_simple.flags.ONLYDIR
)
_SELF: Final = (
    inotify_simple.flags.DELETE_SELF
    | inotify_simple.flags.MOVE_SELF
    | inotify_simple.flags.Q_OVERFLOW
)


class WatchFailedError(UnavailableError):
    """A folder cannot be watched: the kernel's inotify limits are used up."""

    code = "manifest_watch_failed"

    def __init__(self, folder: Path, reason: str) -> None:
        """Keep the folder and the kernel's reason."""
        super().__init__(
            f"{folder} cannot be watched ({reason}): raise fs.inotify.max_user_watches"
            " or fs.inotify.max_user_instances"
        )
        self.folder, self.reason = folder, reason


class FolderWatch:
    """One inotify descriptor over a set of folders; closed by leaving its `with`."""

    def __init__(self, counted: Iterable[str]) -> None:
        """Watch nothing yet. Hidden names count for nothing, except the `counted` ones.

        Raises:
            WatchFailedError: the kernel gives no more of these.
        """
        self._counted = frozenset(counted)
        self._names: dict[int, set[str] | None] = {}  # the names that count there, or None: all
        try:
            self._notify = inotify_simple.INotify(inheritable=False, nonblocking=True)
        except OSError as error:
            raise WatchFailedError(Path("/"), error.strerror or str(error)) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._notify.close()

    def add(self, folder: Path) -> None:
        """From now on a change in the folder counts; if it is not there, its appearing does.

        Raises:
            WatchFailedError: the kernel watches no more.
        """
        missing = ""
        for place in (folder, *folder.absolute().parents):
            if (number := self._watch(place)) is not None:
                self._count(number, missing)
                if missing and (place / missing).is_dir():
                    self.add(folder)  # it appeared between the two looks
                return
            missing = place.name

    def _count(self, number: int, name: str) -> None:
        names = self._names.setdefault(number, set())
        if not name:
            self._names[number] = None
        elif names is not None:
            names.add(name)

    def _watch(self, place: Path) -> int | None:
        try:
            number: int = self._notify.add_watch(os.fspath(place), _INSIDE)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise WatchFailedError(place, error.strerror or str(error)) from error
        return number

    async def wait_changed(self) -> None:
        """Return soon after something may have changed; a burst of changes is one.

        Cancellation: what has been noticed and not told may be lost; look at the folders again.
        """
        while not self._noticed():
            await trio.lowlevel.wait_readable(self._notify.fileno())
        for _ in range(ROUNDS):
            await trio.sleep(COALESCE_S)
            if not self._noticed():
                return

    def _noticed(self) -> bool:
        noticed = False
        for event in self._notify.read(timeout=0):
            if event.mask & inotify_simple.flags.IGNORED:
                self._names.pop(event.wd, None)
            noticed = noticed or self._counts(event.wd, event.mask, event.name)
        return noticed

    def _counts(self, number: int, mask: int, name: str) -> bool:
        if mask & _SELF:
            return True
        names = self._names.get(number, ())
        if names is not None:
            return name in names
        return name in self._counted or not name.startswith(".")
