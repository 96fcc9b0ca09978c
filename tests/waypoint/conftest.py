"""One town for all tests of waypoints, and one waypoint for the tests of a file."""

from collections.abc import Iterator

import pytest

from tests.waypoint.edge import Edge, edge
from tests.ztunnel.worker.town import Town, town


@pytest.fixture(scope="session")
def place() -> Iterator[Town]:
    with town() as made:
        yield made


@pytest.fixture(scope="module")
def shared(place: Town, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    with edge(place, tmp_path_factory.mktemp("edge")) as running:
        running.proxy.wait_ready()
        yield running
