"""Certificates ahead of need: order, renewal, failure, end. In virtual time."""

from collections.abc import Awaitable, Callable
from random import Random

import trio
import trio.testing

from mesh.errors import UnavailableError
from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.control.certificates import MAX_FETCHES, Certificates, Priority, _Places
from mesh.wire.feed import Certificate
from tests.ztunnel.control.world import identity

WEB = identity("web")
LIFE_S = 1000.0


class RefusedError(UnavailableError):
    """No."""

    code = "test_refused"


class Source:
    """An authority whose mood can be set."""

    def __init__(self) -> None:
        self.asked: list[tuple[Identity, float]] = []
        self.refuses = False
        self.takes_s = 0.0
        self.running = 0
        self.most_running = 0
        self.failed: list[tuple[Identity, str]] = []
        self.certificates = Certificates(
            self.fetch, self.on_failure, Bell(), Random(1), trio.current_time
        )

    async def fetch(self, one: Identity) -> tuple[Certificate, float]:
        now = trio.current_time()
        self.asked.append((one, now))
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await trio.sleep(self.takes_s)
        finally:
            self.running -= 1
        if self.refuses:
            raise RefusedError("not today")
        return Certificate(one, b"k", b"c", b"r", now + LIFE_S), now

    async def on_failure(self, one: Identity, reason: str) -> None:
        await trio.lowlevel.checkpoint()
        self.failed.append((one, reason))

    def want(self, *names: str) -> None:
        self.certificates.want(frozenset(map(identity, names)))


def in_virtual_time(scenario: Callable[[Source], Awaitable[None]]) -> Callable[[], None]:
    """A test that takes a source, as one that takes no time."""

    async def run() -> None:
        async with trio.open_nursery() as nursery:
            source = Source()
            nursery.start_soon(source.certificates.run)
            await scenario(source)
            nursery.cancel_scope.cancel()

    def test() -> None:
        trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))

    test.__name__ = test.__qualname__ = getattr(scenario, "__name__", "scenario")
    return test


@in_virtual_time
async def test_a_certificate_is_fetched_as_soon_as_it_is_wanted_and_once(source: Source) -> None:
    source.want("web")
    source.want("web")
    await trio.sleep(1)
    assert [one for one, _ in source.asked] == [WEB]
    assert source.certificates.held[WEB].identity == WEB


@in_virtual_time
async def test_it_is_renewed_before_the_middle_of_its_life_is_long_past(source: Source) -> None:
    source.want("web")
    await trio.sleep(LIFE_S * 0.51)
    first, second = (at for _, at in source.asked)
    assert LIFE_S * 0.4 <= second - first <= LIFE_S * 0.5


@in_virtual_time
async def test_a_failed_renewal_takes_nothing_away_and_is_tried_again(source: Source) -> None:
    source.want("web")
    await trio.sleep(1)
    held = source.certificates.held[WEB]
    source.refuses = True
    await trio.sleep(LIFE_S * 0.9)
    assert source.certificates.held[WEB] is held
    assert 4 < len(source.asked) < 15
    assert source.certificates.reasons == {}
    assert source.failed == [], "nobody waits for a renewal"
    source.refuses = False
    await trio.sleep(200)
    assert source.certificates.held[WEB] is not held


@in_virtual_time
async def test_tries_grow_apart_up_to_a_limit(source: Source) -> None:
    source.refuses = True
    source.want("web")
    await trio.sleep(2000)
    times = [at for _, at in source.asked]
    gaps = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert 0.8 <= gaps[0] <= 1.2
    assert gaps[1] > gaps[0]
    assert all(120 <= gap <= 180 for gap in gaps[9:])
    assert source.certificates.reasons == {WEB: "not today"}


@in_virtual_time
async def test_whoever_waits_makes_it_try_at_once_and_hears_the_reason(source: Source) -> None:
    source.refuses = True
    source.want("web")
    await trio.sleep(100)  # well into the back-off
    tries = len(source.asked)
    await source.certificates.hurry(WEB)
    await trio.sleep(0.01)
    assert len(source.asked) == tries + 1
    assert source.failed == [(WEB, "not today")]
    await source.certificates.hurry(WEB)  # again, right after
    assert len(source.asked) == tries + 1
    assert len(source.failed) == 2


@in_virtual_time
async def test_a_wish_may_come_before_we_know_that_the_workload_is_here(source: Source) -> None:
    source.refuses = True
    await source.certificates.hurry(WEB)
    await trio.sleep(1)
    assert (source.asked, source.failed) == ([], [])
    source.want("web")
    await trio.sleep(0.1)
    assert source.failed == [(WEB, "not today")]


@in_virtual_time
async def test_an_authority_that_does_not_answer_is_a_failure(source: Source) -> None:
    source.takes_s = 100
    source.want("web")
    await trio.sleep(11)
    assert "10 s" in source.certificates.reasons[WEB]


@in_virtual_time
async def test_a_certificate_that_nobody_needs_any_more_is_forgotten(source: Source) -> None:
    source.want("web", "other")
    await trio.sleep(1)
    source.want("other")
    await trio.sleep(1)
    assert list(source.certificates.held) == [identity("other")]
    await trio.sleep(LIFE_S)
    assert [one for one, _ in source.asked].count(WEB) == 1
    source.want("web", "other")
    await trio.sleep(1)
    assert WEB in source.certificates.held


@in_virtual_time
async def test_few_fetches_run_at_a_time_and_a_waited_for_one_goes_first(source: Source) -> None:
    source.takes_s = 1.0
    names = [f"w{number:02}" for number in range(30)]
    source.want(*names)
    await trio.sleep(0.5)
    started = [one for one, _ in source.asked]
    late = next(one for one in map(identity, names) if one not in started)
    assert len(started) == MAX_FETCHES
    await trio.sleep(10)
    assert source.most_running == MAX_FETCHES
    assert len(source.certificates.held) == 30
    assert late in source.certificates.held


async def test_of_those_that_wait_for_a_place_the_most_urgent_comes_first() -> None:
    places, order = _Places(1), list[Priority]()

    async def work(priority: Priority) -> None:
        await places.take(priority)
        order.append(priority)
        places.give()

    await places.take(Priority.RENEWAL)
    async with trio.open_nursery() as nursery:
        for priority in (Priority.RENEWAL, Priority.FIRST, Priority.WAITED_FOR):
            nursery.start_soon(work, priority)
        await trio.testing.wait_all_tasks_blocked()
        places.give()
    assert order == [Priority.WAITED_FOR, Priority.FIRST, Priority.RENEWAL]
    await places.take(Priority.FIRST)


async def test_a_place_is_not_lost_when_a_waiter_is_cancelled() -> None:
    places = _Places(1)
    await places.take(Priority.FIRST)
    with trio.move_on_after(0.001):
        await places.take(Priority.FIRST)
    places.give()
    await places.take(Priority.FIRST)
