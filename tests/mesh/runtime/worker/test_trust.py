"""When tunnels leave, renew and end: real tunnels, and a clock that the test turns."""

from collections.abc import AsyncIterator

import pytest

from mesh.model.identity import Identity
from mesh.observe.metrics import TrafficMetrics
from mesh.runtime import tls
from mesh.runtime.tls_revocation import Revocations
from mesh.runtime.worker.credentials import Credentials
from mesh.runtime.worker.trust import (
    LEAVE_SECONDS,
    LONGEST_SECONDS,
    OwnCertificateExpiredError,
    PeerCertificateExpiredError,
    Trust,
)
from mesh.wire.feed import Certificate
from mesh.wire.http2.frames import Role
from tests.mesh.runtime.tunnels import IDENTITY, Ends, make_ends, running_reactor, until_closed

OTHER = IDENTITY
HOST = "10.0.0.1"
DAY = 86_400.0


class House:
    """A worker's trust, with a clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.credentials = Credentials()
        revocations, metrics = Revocations(""), TrafficMetrics()
        self.known: set[tuple[Identity, str]] = set()
        self.trust = Trust(
            self.credentials,
            revocations,
            metrics,
            lambda identity, host: (identity, host) in self.known,
            lambda: self.now,
        )
        self.renewals = 0

    def renew(self) -> None:
        self.renewals += 1

    def hold(self, until: float) -> None:
        """Our newest certificate."""
        self.credentials.put(Certificate(IDENTITY, b"", b"", b"", until))

    def watch(self, ends: Ends, own: float, peer: float) -> None:
        """The client's end, with the ends of both certificates."""
        self.trust.watch(ends.client, Role.CLIENT, (IDENTITY, own), shown(peer), HOST, self.renew)

    def at(self, now: float) -> None:
        self.now = now
        self.trust.look()


def leaves(ends: Ends) -> bool:
    """Whether the client's end takes no new streams."""
    return ends.client.closing


def shown(until: float) -> tls.Peer:
    return tls.Peer(OTHER, "X25519", until, ())


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    async with running_reactor() as reactor:
        made = await make_ends(reactor)
        yield made
        made.client.close()
        await until_closed(made.client, made.server)


async def test_a_tunnel_leaves_before_its_end_and_its_streams_get_it_renewed(
    house: House, ends: Ends
) -> None:
    house.watch(ends, own=1000 + DAY, peer=1000 + 2 * DAY)
    async with ends.carry():
        house.at(1000 + DAY - LEAVE_SECONDS - 1)
        assert not leaves(ends)
        house.at(1000 + DAY - LEAVE_SECONDS)
        assert leaves(ends)
        assert house.renewals == 1
        house.hold(1000 + 2 * DAY)
        house.at(1000 + DAY)
        assert not ends.client.closed


async def test_what_carries_nothing_is_not_renewed_but_closed(house: House, ends: Ends) -> None:
    house.watch(ends, own=1000 + DAY, peer=1000 + DAY)
    house.at(1000 + DAY - LEAVE_SECONDS)
    await until_closed(ends.client)
    assert house.renewals == 0


async def test_without_a_newer_certificate_of_ours_it_is_cut(house: House, ends: Ends) -> None:
    house.hold(1000 + DAY)
    house.watch(ends, own=1000 + DAY, peer=1000 + 2 * DAY)
    async with ends.carry():
        house.at(1000 + DAY)
        assert isinstance(ends.client.ended_by, OwnCertificateExpiredError)
        await until_closed(ends.server)


@pytest.mark.parametrize(("host", "lives"), [(HOST, True), ("10.0.0.2", False)])
async def test_a_peer_that_has_shown_a_newer_one_from_its_address_may_go_on(
    house: House, ends: Ends, host: str, lives: bool
) -> None:
    house.hold(1000 + 9 * DAY)
    house.watch(ends, own=1000 + 9 * DAY, peer=1000 + DAY)
    async with running_reactor() as reactor:
        proof = await make_ends(reactor)
        house.trust.watch(
            proof.server, Role.SERVER, (IDENTITY, 1000 + 9 * DAY), shown(1000 + 2 * DAY), host, None
        )
        async with ends.carry():
            house.at(1000 + DAY)
            assert ends.client.closed is not lives
            house.at(1000 + 2 * DAY)
            assert isinstance(ends.client.ended_by, PeerCertificateExpiredError)
        proof.client.close()
        await until_closed(proof.client, proof.server)


async def test_while_streams_go_on_it_is_renewed_for_every_certificate(
    house: House, ends: Ends
) -> None:
    house.watch(ends, own=1000 + DAY, peer=1000 + DAY)
    async with ends.carry():
        for day in range(1, 4):
            house.at(1000 + day * DAY - LEAVE_SECONDS)
            assert house.renewals == day
            house.hold(1000 + (day + 1) * DAY)
            proved = shown(1000 + (day + 1) * DAY)
            ours = IDENTITY, proved.not_after
            house.trust.watch(ends.server, Role.SERVER, ours, proved, HOST, None)
            house.trust.forget(ends.server)
            house.at(1000 + day * DAY)
            assert not ends.client.closed


async def test_what_is_closed_is_forgotten(house: House, ends: Ends) -> None:
    house.watch(ends, own=1000 + DAY, peer=1000 + DAY)
    house.trust.forget(ends.client)
    house.at(1000 + 2 * DAY)
    assert ends.client.ended_by is None


async def test_a_peer_that_shows_no_other_keeps_its_streams_while_it_is_known_there(
    house: House, ends: Ends
) -> None:
    house.hold(1000 + 9 * DAY)
    house.watch(ends, own=1000 + 9 * DAY, peer=1000 + DAY)
    house.known.add((OTHER, HOST))
    async with ends.carry():
        house.at(1000 + DAY)
        assert leaves(ends)
        assert not ends.client.closed
        house.known.clear()
        house.at(1000 + DAY + LONGEST_SECONDS)
        assert isinstance(ends.client.ended_by, PeerCertificateExpiredError)
