"""The memory in front of the system's resolver."""

import pytest

from mesh.model.address import parse_ip
from mesh.runtime.worker.resolve import KEEP_SECONDS, MOST_NAMES, NameUnknownError, Resolver


async def test_a_name_of_this_machine_is_found_without_any_network() -> None:
    assert parse_ip("127.0.0.1") in await Resolver().addresses("localhost")


async def test_an_answer_is_remembered_for_a_while() -> None:
    now = 0.0
    resolver = Resolver(lambda: now)
    found = await resolver.addresses("localhost")
    assert await resolver.addresses("localhost") is found
    now = KEEP_SECONDS
    assert await resolver.addresses("localhost") is not found


async def test_the_memory_is_bounded() -> None:
    resolver = Resolver()
    for number in range(MOST_NAMES + 10):
        resolver._known[f"{number}.example"] = (0.0, ())
    await resolver.addresses("localhost")
    assert len(resolver._known) == MOST_NAMES
    assert "localhost" in resolver._known


@pytest.mark.parametrize("name", ["", "a" * 300, "nowhere.invalid", "\udc80"])
async def test_what_is_no_name_is_an_error(name: str) -> None:
    with pytest.raises(NameUnknownError):
        await Resolver().addresses(name)
