"""All workers of a program: who is there, and what is asked of all of them."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import trio

from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.control.link import Link
from mesh.runtime.feed_channel import FeedClosedError
from mesh.wire.feed import Answer, CertificateFailed, Drain, Query, SetLogLevel
from mesh.wire.feed_codec import Message

MAX_LEVELS: Final = 64
"""Of log levels that are repeated to new workers: the newest."""

APPLIED_S: Final = 10.0
"""Longer no worker is waited for before a response is acknowledged."""

LinkT = TypeVar("LinkT", bound=Link)

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Asked:
    """A query that is on its way."""

    missing: set[Link]
    parts: dict[Link, list[bytes]] = field(default_factory=dict)


class Workers(Generic[LinkT]):
    """The links to the workers, by the workers' index."""

    def __init__(self, bell: Bell) -> None:
        """Nobody is there yet."""
        self._bell = bell
        self._links: dict[int, tuple[LinkT, trio.CancelScope]] = {}
        self._asked: dict[int, _Asked] = {}
        self._last_number = 0
        self._drain: Drain | None = None
        self._levels: tuple[SetLogLevel, ...] = ()

    @property
    def links(self) -> tuple[LinkT, ...]:
        """Those that are there."""
        return tuple(link for link, _ in self._links.values())

    @property
    def have_state(self) -> bool:
        """Whether some worker decides by a state, ours or one of a predecessor of ours."""
        return any(link.is_greeted and link.applied for link in self.links)

    @property
    def greeted(self) -> int:
        """How many have said what they have."""
        return sum(link.is_greeted for link in self.links)

    async def run_link(self, link: LinkT) -> None:
        """Converse with a worker until it goes, or another takes its place.

        Cancellation: the worker goes on without us.
        """
        index = link.index
        self.gone(index)
        scope = trio.CancelScope()
        self._links[index] = link, scope
        self._bell.ring()
        try:
            with scope:
                await self._converse(link)
        finally:
            if (now := self._links.get(index)) is not None and now[0] is link:
                del self._links[index]
            self._bell.ring()

    async def _converse(self, link: LinkT) -> None:
        try:
            for level in self._levels:
                await link.say(level)
            if self._drain is not None:
                link.is_draining = True
                await link.say(self._drain)
            await link.run()
        except* FeedClosedError:
            log.info("worker has gone", extra={"worker": link.index, "pid": link.pid})

    def gone(self, index: int, pid: int | None = None) -> None:
        """This worker has ended (any of that index when `pid` is None)."""
        found = self._links.get(index)
        if found is not None and pid in (None, found[0].pid):
            found[1].cancel()

    # Waiting for all.

    async def wait(self, condition: Callable[[], bool]) -> None:
        """Wait until something about the workers is so.

        Cancellation: nothing changes.
        """
        while not condition():
            await self._bell.wait_past(self._bell.count)

    async def wait_applied(self, version: int) -> None:
        """Wait until every worker that is there decides by this version or a later one.

        Cancellation: nothing changes.
        """
        await self.wait(
            lambda: all(link.applied >= version for link in self.links if not link.is_draining)
        )

    def behind(self, version: int) -> list[int]:
        """Indexes of workers that do not decide by this version yet."""
        return [link.index for link in self.links if link.applied < version]

    async def settle(self, version: int) -> None:
        """As `wait_applied`, for a while; who is late is told.

        Cancellation: nothing changes.
        """
        with trio.move_on_after(APPLIED_S) as patience:
            await self.wait_applied(version)
        if patience.cancelled_caught:
            log.error(
                "workers do not apply the state",
                extra={"code": "apply_late", "workers": str(self.behind(version))},
            )

    # Telling and asking all.

    async def certificate_failed(self, identity: Identity, reason: str) -> None:
        """Whoever waits for this certificate waits in vain.

        Cancellation: some workers have been told.
        """
        await self._tell_all(CertificateFailed(identity, reason))

    async def set_levels(self, levels: Iterable[SetLogLevel]) -> None:
        """Log at these levels, also in workers that start later.

        Cancellation: some workers have been told.
        """
        self._levels = (*self._levels, *levels)[-MAX_LEVELS:]
        for level in levels:
            await self._tell_all(level)

    async def drain(self, seconds: float) -> None:
        """Let every worker end.

        Cancellation: some workers have been told.
        """
        self._drain = Drain(seconds)
        for link in self.links:
            link.is_draining = True
        self._bell.ring()
        await self._tell_all(self._drain)

    async def _tell_all(self, message: Message) -> None:
        for link in self.links:
            try:
                await link.say(message)
            except FeedClosedError:
                log.debug("worker has gone", extra={"worker": link.index})

    async def ask(self, topic: str, deadline: float) -> list[bytes]:
        """The answers that have come by a time of trio's clock, complete ones only.

        Cancellation: nothing is left behind.
        """
        number, asked = await self._begin_asking(topic)
        try:
            with trio.move_on_at(deadline):
                await self.wait(lambda: not (asked.missing & set(self.links)))
        finally:
            del self._asked[number]
        return _whole(asked)

    async def _begin_asking(self, topic: str) -> tuple[int, _Asked]:
        self._last_number += 1
        number = self._last_number
        asked = _Asked({link for link in self.links if link.is_greeted and not link.is_draining})
        self._asked[number] = asked
        for link in tuple(asked.missing):
            try:
                await link.say(Query(number, topic))
            except FeedClosedError:
                asked.missing.discard(link)
        return number, asked

    def answered(self, link: Link, answer: Answer) -> None:
        """A part of an answer has come; one that nobody waits for is dropped."""
        asked = self._asked.get(answer.number)
        if asked is not None and link in asked.missing:
            asked.parts.setdefault(link, []).append(answer.body)
            if answer.last:
                asked.missing.discard(link)


def _whole(asked: _Asked) -> list[bytes]:
    return [b"".join(parts) for link, parts in asked.parts.items() if link not in asked.missing]
