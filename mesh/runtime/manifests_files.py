"""Files that hold things by object key, kept in step with the disk at the price of what changed.

1. A file is read again when its stamp (times, size, inode) differs, or when it was written so
   recently that the stamp may not tell; it is parsed again only when its octets differ.
2. What a file held stays in force while the file is unreadable, or has a problem and no longer
   holds it: a slip of the pen must not take objects away.
3. So does everything below a folder that cannot be listed: only one that is not there is empty.
4. Names that begin with a dot are not read. A link to a file is followed, one to a folder is not.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from time import time_ns
from typing import Generic, TypeVar

from mesh.model.kubernetes import ObjectKey

ValueT = TypeVar("ValueT")
Reading = tuple[Mapping[ObjectKey, ValueT], list[str]]

SUFFIXES = (".yaml", ".yml", ".json")

_RACY_NS = 50_000_000
# The kernel stamps with a clock of a few milliseconds' step: two writes may share a stamp.

Stamp = tuple[int, int, int, int]


@dataclass(slots=True)
class _File(Generic[ValueT]):
    stamp: Stamp | None = None
    digest: bytes = b""
    held: Mapping[ObjectKey, ValueT] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Files(Generic[ValueT]):
    """Everything below one folder, by object key."""

    def __init__(self, root: Path, read: Callable[[str, str], Reading[ValueT]]) -> None:
        """Hold nothing yet; `read` gets a file's text and its name for people."""
        self.root = root
        self._read = read
        self._files: dict[str, _File[ValueT]] = {}
        self._holders: dict[ObjectKey, list[str]] = {}
        self._unlisted: dict[str, str] = {}
        self._unread: set[str] = set()

    @property
    def is_listed(self) -> bool:
        """Whether every folder could be looked into."""
        return not self._unlisted

    @property
    def is_incomplete(self) -> bool:
        """Whether something could not be read just now: nobody tells when it can, so try again."""
        return bool(self._unlisted or self._unread)

    @property
    def problems(self) -> Iterator[str]:
        """What is wrong with folders and files, in the order of their paths."""
        for folder, reason in sorted(self._unlisted.items()):
            yield _unreadable(str(self.root / folder), reason, "mend its rights")
        for path in sorted(path for path, file in self._files.items() if file.problems):
            yield from self._files[path].problems

    def holders(self, key: ObjectKey) -> list[tuple[str, ValueT]]:
        """Who holds a key, in the order of the paths."""
        paths = self._holders.get(key, ())
        return [(path, self._files[path].held[key]) for path in paths]

    def refresh(self, on_folder: Callable[[Path], None]) -> set[ObjectKey]:
        """Read what has changed: the keys that it concerns.

        `on_folder` is called with each folder just before it is listed.
        """
        self._unlisted = {}
        found = dict(_walk(self.root, on_folder, self._unlisted))
        changed: set[ObjectKey] = set()
        for path in self._files.keys() - found.keys():
            if not self._is_hidden(path):
                changed |= self._replace(path, {})
                del self._files[path]
                self._unread.discard(path)
        for path, stamp in found.items():
            file = self._files.setdefault(path, _File())
            if file.stamp != stamp:
                changed |= self._reread(path, file, stamp)
        return changed

    def _is_hidden(self, path: str) -> bool:
        return any(not folder or path.startswith(f"{folder}/") for folder in self._unlisted)

    def _reread(self, path: str, file: _File[ValueT], stamp: Stamp) -> set[ObjectKey]:
        fresh = time_ns() - max(stamp[:2]) < _RACY_NS
        self._unread.discard(path)
        try:
            octets = (self.root / path).read_bytes()
            digest = blake2b(octets, digest_size=16).digest()
            file.stamp = None if fresh else stamp
            if file.digest == digest:
                return set()
            file.digest = digest
            held, file.problems = self._read(octets.decode("utf-8-sig"), path)
        except FileNotFoundError:
            held, file.problems, file.stamp, file.digest = {}, [], None, b""
        except OSError as error:
            file.problems = [_unreadable(path, error.strerror or str(error), "mend its rights")]
            file.stamp, file.digest = None, b""
            self._unread.add(path)
            return set()
        except UnicodeDecodeError:
            file.problems = [_unreadable(path, "it is not UTF-8", "save it as UTF-8")]
            return set()
        return self._replace(path, {**file.held, **held} if file.problems else held)

    def _replace(self, path: str, held: Mapping[ObjectKey, ValueT]) -> set[ObjectKey]:
        file = self._files[path]
        for key in file.held.keys() - held.keys():
            self._holders[key].remove(path)
            if not self._holders[key]:
                del self._holders[key]
        for key in held.keys() - file.held.keys():
            holders = self._holders.setdefault(key, [])
            holders.append(path)
            holders.sort(key=lambda name: name.split("/"))
        changed = {*file.held, *held}
        file.held = held
        return changed


def _unreadable(path: str, reason: str, mend: str) -> str:
    return f"{path}: cannot be read ({reason}): {mend}; what it held last stays in force"


def _walk(
    root: Path, on_folder: Callable[[Path], None], unlisted: dict[str, str]
) -> Iterator[tuple[str, Stamp]]:
    folders = [""]
    while folders:
        folder = folders.pop()
        on_folder(root / folder)
        try:
            entries = list(os.scandir(root / folder))
        except (FileNotFoundError, NotADirectoryError):
            continue  # not there (yet), or taken away between two listings
        except OSError as error:
            unlisted[folder] = error.strerror or str(error)
            continue
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.name.endswith(SUFFIXES) and (stamp := _stamp(entry)):
                yield path, stamp


def _stamp(entry: os.DirEntry[str]) -> Stamp | None:
    try:
        status = entry.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino
