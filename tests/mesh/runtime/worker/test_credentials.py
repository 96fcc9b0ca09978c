"""Certificates that are here, awaited, refused."""

import pytest
import trio
import trio.testing

from mesh.runtime.worker.credentials import WAIT_SECONDS, CertificateMissingError, Credentials
from mesh.wire.feed import Certificate
from tests.pki import Authority

MESH = Authority()
WEB = MESH.identity("town", "web")


def issued() -> Certificate:
    papers = MESH.issue(WEB)
    return Certificate(WEB, papers.key, papers.chain, papers.roots, papers.not_after)


async def test_what_is_here_is_given_at_once_and_a_newer_one_replaces_it() -> None:
    credentials = Credentials()
    first, second = issued(), issued()
    credentials.put(first)
    assert (await credentials.of(WEB)).certificate is first
    credentials.put(second)
    held = await credentials.of(WEB)
    assert held.certificate is second
    assert held.client is held.client
    assert credentials.identities() == (WEB,)


async def test_several_who_wait_ask_once_and_are_all_served(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - time jumps
) -> None:
    credentials, found = Credentials(), []

    async def want() -> None:
        found.append(await credentials.of(WEB))

    for _ in range(3):
        nursery.start_soon(want)
    await trio.testing.wait_all_tasks_blocked()
    assert credentials.awaited() == (WEB,)
    assert credentials.wishes.receive_nowait() == WEB
    with pytest.raises(trio.WouldBlock):
        credentials.wishes.receive_nowait()
    credentials.put(issued())
    await trio.testing.wait_all_tasks_blocked()
    assert len(found) == 3
    assert credentials.awaited() == ()


async def test_a_failure_is_told_and_takes_nothing_away(
    nursery: trio.Nursery,
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - time jumps
) -> None:
    credentials = Credentials()

    async def refuse() -> None:
        await trio.testing.wait_all_tasks_blocked()
        credentials.fail(WEB, "the authority said no")

    nursery.start_soon(refuse)
    with pytest.raises(CertificateMissingError, match="the authority said no"):
        await credentials.of(WEB)
    credentials.put(issued())
    credentials.fail(WEB, "no renewal")
    await credentials.of(WEB)
    credentials.forget(WEB)
    assert credentials.identities() == ()


async def test_silence_is_an_error_and_the_next_one_asks_again(
    autojump_clock: trio.testing.MockClock,  # noqa: ARG001 - time jumps
) -> None:
    credentials = Credentials()
    for _ in range(2):
        with pytest.raises(CertificateMissingError, match=f"within {WAIT_SECONDS:g} s"):
            await credentials.of(WEB)
        assert credentials.wishes.receive_nowait() == WEB
