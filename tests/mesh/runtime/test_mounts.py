"""Mounts that only one process and its children see."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mesh.runtime.mounts import (
    MountRefusedError,
    bind,
    detach,
    enter_mounts,
    open_own_mounts,
    own_mounts,
)
from mesh.runtime.netns import in_throwaway_thread

pytestmark = pytest.mark.netns
READ = "import sys; print(open(sys.argv[1]).read(), end='')"


def read_by_child(path: Path) -> str:
    """What a child of the calling thread reads."""
    words = [sys.executable, "-c", READ, str(path)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Two files."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_text("ours")
    theirs.write_text("theirs")
    return ours, theirs


def test_a_file_is_shown_to_a_child_and_to_nobody_else(files: tuple[Path, Path]) -> None:
    ours, theirs = files

    def work() -> str:
        own_mounts()
        bind(ours, theirs)
        return read_by_child(theirs)

    assert in_throwaway_thread(work) == "ours"
    assert theirs.read_text() == "theirs"


def test_mounts_can_be_entered_again_by_their_descriptor(files: tuple[Path, Path]) -> None:
    ours, theirs = files

    def work() -> int:
        own_mounts()
        bind(ours, theirs, is_read_only=True)
        return open_own_mounts()

    kept = in_throwaway_thread(work)
    try:

        def again() -> str:
            enter_mounts(kept)
            return read_by_child(theirs)

        assert in_throwaway_thread(again) == "ours"
    finally:
        os.close(kept)


def test_what_is_read_only_cannot_be_written(files: tuple[Path, Path]) -> None:
    ours, theirs = files

    def work() -> None:
        own_mounts()
        bind(ours, theirs, is_read_only=True)
        theirs.write_text("spoilt")

    with pytest.raises(OSError, match="Read-only"):
        in_throwaway_thread(work)
    assert ours.read_text() == "ours"


def test_what_was_shown_can_be_taken_away_twice(files: tuple[Path, Path]) -> None:
    ours, theirs = files

    def work() -> str:
        own_mounts()
        bind(ours, theirs)
        detach(theirs)
        detach(theirs)  # nothing there is fine
        return theirs.read_text()

    assert in_throwaway_thread(work) == "theirs"


def test_a_mount_that_cannot_be_is_refused_with_its_reason(tmp_path: Path) -> None:
    def work() -> None:
        own_mounts()
        bind(tmp_path / "absent", tmp_path)

    with pytest.raises(MountRefusedError, match="No such file"):
        in_throwaway_thread(work)
    with pytest.raises(MountRefusedError), (tmp_path / "plain").open("w") as plain:
        in_throwaway_thread(lambda: enter_mounts(plain.fileno()))
