"""Where a connection was going, in a namespace that tracks no connections."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.runtime.capture import raise_loopback
from mesh.runtime.netns import create_netns, inside, open_netns, remove_netns
from ztunnel.worker.sockets import address_of, original_destination

pytestmark = pytest.mark.netns


@pytest.fixture
def untracked() -> Iterator[int]:
    path = Path("/run/netns/test-sockets-untracked")
    create_netns(path)
    netns = open_netns(path)
    raise_loopback(netns)
    yield netns
    os.close(netns)
    remove_netns(path)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_what_nothing_tracked_was_going_where_it_came_to(untracked: int, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with inside(untracked), socket.create_server((host, 0), family=family) as listener:
        where = listener.getsockname()
        with socket.create_connection(where[:2]):
            accepted, peer = listener.accept()
    with accepted:
        assert original_destination(accepted, address_of(peer)) == address_of(where)
