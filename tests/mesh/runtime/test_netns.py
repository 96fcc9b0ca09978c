"""Namespaces of the kernel, in the kernel."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.runtime.netns import (
    NetnsGoneError,
    create_netns,
    in_throwaway_thread,
    inside,
    netns_id,
    netns_of,
    open_netns,
    remove_netns,
    socket_in,
)

pytestmark = pytest.mark.netns
HOME = Path("/proc/thread-self/ns/net")


@pytest.fixture
def pod() -> Iterator[int]:
    path = Path("/run/netns/test-netns-pod")
    create_netns(path)
    netns = open_netns(path)
    yield netns
    os.close(netns)
    remove_netns(path)


def test_a_socket_is_made_in_the_pod_and_the_thread_is_home_again(pod: int) -> None:
    before = HOME.stat().st_ino

    with socket_in(pod) as made:
        where = netns_of(made)

        assert netns_id(where) == netns_id(pod)
        os.close(where)
    assert HOME.stat().st_ino == before


def test_a_thread_comes_home_when_the_block_fails(pod: int) -> None:
    before = HOME.stat().st_ino

    with pytest.raises(ZeroDivisionError), inside(pod):
        raise ZeroDivisionError

    assert HOME.stat().st_ino == before


def test_a_thread_that_cannot_come_home_ends_the_process(pod: int) -> None:
    child = os.fork()
    if child == 0:
        with inside(pod):
            # The way home is the first descriptor above the ones that are open now.
            for descriptor in range(3, 64):
                if descriptor != pod:
                    try:
                        os.close(descriptor)
                    except OSError:
                        continue
        os._exit(0)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 70


def test_a_plain_file_is_no_namespace(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.touch()

    with pytest.raises(NetnsGoneError, match="not a namespace"):
        open_netns(plain)
    with pytest.raises(NetnsGoneError, match="No such file"):
        open_netns(tmp_path / "absent")


def test_a_descriptor_of_something_else_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "plain").open("w") as plain, pytest.raises(NetnsGoneError):
        socket_in(plain.fileno())


def test_a_namespace_is_not_made_over_something(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.touch()

    with pytest.raises(FileExistsError):
        create_netns(taken)
    assert taken.exists()


def test_removing_twice_is_fine() -> None:
    path = Path("/run/netns/test-netns-twice")
    create_netns(path)
    remove_netns(path)
    remove_netns(path)

    assert not path.exists()


def test_a_socket_outlives_the_name_of_its_namespace(pod: int) -> None:
    with socket_in(pod, socket.AF_INET, socket.SOCK_DGRAM) as made:
        remove_netns(Path("/run/netns/test-netns-pod"))
        made.bind(("127.0.0.1", 0))


def test_a_throwaway_thread_hands_its_failure_on() -> None:
    with pytest.raises(ZeroDivisionError):
        in_throwaway_thread(lambda: 1 // 0)
