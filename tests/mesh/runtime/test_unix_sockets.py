"""Who is heard on our Unix sockets."""

import os
import resource
import socket
from pathlib import Path

import pytest
import trio

from mesh.runtime import unix_sockets
from mesh.runtime.unix_sockets import SocketRefusedError, accept

NOBODY = 65534


def test_a_socket_is_the_owner_s_only_and_goes_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "run" / "a.sock"
    for _ in range(2):  # what an earlier run left is replaced
        with unix_sockets.listening(path, socket.SOCK_STREAM):
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.exists()
        path.touch()


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120)

    with (
        pytest.raises(SocketRefusedError, match="xxx"),
        unix_sockets.listening(path, socket.SOCK_STREAM),
    ):
        pass


def connect_as(user: int, path: str) -> None:
    """Connect from a process of another user, which then ends."""
    child = os.fork()
    if child == 0:
        os.setuid(user)
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.recv(1)
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
async def test_another_user_is_hung_up_on_even_where_the_path_is_open(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "a.sock"
    with unix_sockets.listening(path, socket.SOCK_STREAM) as listener:
        for folder in (tmp_path, *tmp_path.parents[:3]):
            folder.chmod(0o755)
        path.chmod(0o666)
        accepted = trio.Event()

        async def accept_one() -> None:
            (await accept(listener)).close()
            accepted.set()

        nursery.start_soon(accept_one)
        await trio.to_thread.run_sync(connect_as, NOBODY, os.fspath(path))
        assert not accepted.is_set()

        with trio.socket.socket(socket.AF_UNIX) as ours:
            await ours.connect(os.fspath(path))
            await accepted.wait()


async def test_when_descriptors_run_out_accepting_pauses_and_recovers(
    tmp_path: Path, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with (
        unix_sockets.listening(tmp_path / "a.sock", socket.SOCK_STREAM) as listener,
        trio.socket.socket(socket.AF_UNIX) as client,
    ):
        await client.connect(os.fspath(tmp_path / "a.sock"))
        accepted: list[trio.socket.SocketType] = []

        async def accept_one() -> None:
            accepted.append(await accept(listener))

        # No number at all: one below those in use may come free at any moment.
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            nursery.start_soon(accept_one)
            await trio.sleep(1)
            assert accepted == []
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await trio.sleep(1)

        assert len(accepted) == 1
        accepted[0].close()
