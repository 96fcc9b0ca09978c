"""The last good state: there and back, and everything that must not be believed."""

import dataclasses
import logging
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import PeerError
from mesh.runtime.bell import Bell
from mesh.runtime.control import last_good
from mesh.runtime.control.last_good import FILE, LastGood, LastGoodInvalidError, Saver, read, write
from mesh.runtime.control.store import Store
from mesh.wire.discovery_client import ADDRESS_TYPE
from mesh.wire.feed_codec import encode_resource
from tests.ztunnel.control.world import workload

WEB = workload("web")
STATE = LastGood(
    5.0, 77, {ADDRESS_TYPE: {WEB.uid: encode_resource(WEB)}}, {ADDRESS_TYPE: {WEB.uid: "3"}}
)


def test_a_state_is_read_as_it_was_written() -> None:
    assert read(write(STATE, "east"), "east") == STATE


def test_a_state_of_another_control_plane_is_not_believed() -> None:
    with pytest.raises(LastGoodInvalidError, match="east"):
        read(write(STATE, "east"), "west")


def test_a_state_of_another_program_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    octets = write(STATE, "east")
    monkeypatch.setattr(last_good, "FORMAT", "other")
    with pytest.raises(LastGoodInvalidError, match="version of the program"):
        read(octets, "east")


def test_a_resource_that_cannot_be_read_spoils_the_file() -> None:
    spoilt = dataclasses.replace(STATE, octets={ADDRESS_TYPE: {"x": b"\x93\x07"}})
    with pytest.raises(PeerError):
        read(write(spoilt, "east"), "east")


@given(st.binary(max_size=100), st.integers(0, 400))
def test_garbage_raises_only_an_error_of_the_peer(octets: bytes, at: int) -> None:
    good = write(STATE, "east")
    for spoilt in (octets, good[:at], good[:at] + octets + good[at:]):
        try:
            read(spoilt, "east")
        except PeerError:
            continue


async def test_changes_are_saved_for_root_alone_and_found_again(tmp_path: Path) -> None:
    saver, store, bell = Saver(tmp_path / "deep" / "state", "east", lambda: 9.0), Store(1), Bell()
    path = trio.Path(tmp_path / "deep" / "state" / last_good.FILE)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(saver.keep, store, lambda: {ADDRESS_TYPE: {WEB.uid: "3"}}, bell)
        await trio.testing.wait_all_tasks_blocked()
        store.apply(ADDRESS_TYPE, {WEB.uid: WEB}, ())
        store.begin()
        bell.ring()
        with trio.fail_after(5):
            while not await path.exists():  # noqa: ASYNC110 - a thread writes it
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
    found = await saver.load()
    assert found is not None
    assert (found.version, found.saved_at) == (store.version, 9.0)
    assert found.versions[ADDRESS_TYPE] == {WEB.uid: "3"}
    assert (await path.stat()).st_mode & 0o777 == 0o600
    assert (await path.parent.stat()).st_mode & 0o777 == 0o700


async def test_nothing_saved_is_no_state(tmp_path: Path) -> None:
    assert await Saver(tmp_path, "east", lambda: 9.0).load() is None


async def test_garbage_is_no_state_and_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await trio.Path(tmp_path / last_good.FILE).write_bytes(b"garbage")
    assert await Saver(tmp_path, "east", lambda: 9.0).load() is None
    assert "no last good state" in caplog.text


async def test_a_full_disk_is_said_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    saver, store, bell = Saver(Path("/proc/nowhere"), "east", lambda: 9.0), Store(1), Bell()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(saver.keep, store, dict, bell)
        await trio.testing.wait_all_tasks_blocked()
        store.begin()
        bell.ring()
        with trio.fail_after(5):
            while "is not saved" not in caplog.text:  # noqa: ASYNC110 - a thread fails
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk without room; the file `filler` has it all."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "none", tmp_path], check=True)
    with suppress(OSError), (tmp_path / "filler").open("wb", buffering=0) as filler:
        while filler.write(bytes(4096)):
            pass
    yield tmp_path
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.mark.slow
@pytest.mark.netns
async def test_a_disk_that_has_room_again_gets_the_state_although_nothing_changed(
    full_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    saver, store, bell = Saver(full_disk, "east", lambda: 9.0, again_s=0.01), Store(1), Bell()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(saver.keep, store, dict, bell)
        await trio.testing.wait_all_tasks_blocked()
        store.begin()
        bell.ring()
        with trio.fail_after(5):
            while "is not saved" not in caplog.text:  # noqa: ASYNC110 - a thread fails
                await trio.sleep(0.005)
            assert os.listdir(full_disk) == ["filler"]  # noqa: PTH208 - a blocking look at names
            os.unlink(full_disk / "filler")  # noqa: PTH108 - the same
            while FILE not in os.listdir(full_disk):  # noqa: ASYNC110, PTH208 - a thread writes
                await trio.sleep(0.005)
        nursery.cancel_scope.cancel()
