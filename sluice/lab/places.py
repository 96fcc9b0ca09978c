"""Mount points on the machine's file system: made when a volume needs one, taken away with the lab.

A mount needs something below it, and the machine's file system is all there is. What is made is
empty, and is written down first, so that `lab down` can take it away whatever has happened.

A folder that goes takes with it what is mounted there, in other labs' mount namespaces too. So each
lab marks the folders that labs have made while it uses them: with a mark inside, nobody's `rmdir`
succeeds. The mount covers the mark.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from sluice.lab.home import Home

_MARK: Final = ".sluice-lab."


def make_place(home: Home, target: Path, *, is_folder: bool) -> None:
    """Let there be a folder, or an empty file, to mount something over; what is there stays.

    Raises:
        OSError: it cannot be made.
    """
    folder = target if is_folder else target.parent
    for path in reversed((folder, *folder.parents)):
        _make_folder(home, path)
    if not is_folder and not target.exists():
        _note(home, target)
        target.touch()


def remove_places(home: Home) -> None:
    """Take away what this lab has made, unless somebody else uses it."""
    if not home.made_folders.exists():
        return
    for line in reversed(home.made_folders.read_text().splitlines()):
        path = Path(line)
        with suppress(OSError):
            if path.is_dir():
                path.rmdir()
            elif path.stat().st_size == 0:
                path.unlink()


def _make_folder(home: Home, path: Path) -> None:
    # By process: labs in other mount namespaces may have this one's name.
    mark = path / f"{_MARK}{home.lab}.{os.getpid()}"
    if mark.exists() or (path.exists() and not _is_made(path)):
        return
    _note(home, path, mark)
    while not mark.exists():
        path.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # another lab has taken the folder away meanwhile
            mark.touch()


def _is_made(path: Path) -> bool:
    """Whether labs have made this folder."""
    return any(path.glob(f"{_MARK}*"))


def _note(home: Home, *paths: Path) -> None:
    with home.made_folders.open("a") as notes:
        notes.writelines(f"{path}\n" for path in paths)
