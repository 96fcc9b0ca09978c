"""One town for all tests that leave it whole: building it takes longer than most of them."""

from collections.abc import Iterator

import pytest

from tests.ztunnel.worker.town import Town, town


@pytest.fixture(scope="session")
def built() -> Iterator[Town]:
    with town() as made:
        yield made


@pytest.fixture
def place(built: Town) -> Town:
    """The town as it is at first, with nothing in its log."""
    built.tell()
    built.settle()
    return built
