"""A worker's end of the feed: what every worker does with it, whatever it carries.

1. The feed is the only way in. When the control process dies, nothing here notices: its successor
   says `hello` on the same channel and is told what is here.
2. State changes are applied at once, then whatever they forbid ends, then `Applied` is answered.
3. No connection waits for the control process, except for a first certificate.
"""

import gc
import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import trio

from mesh.errors import MeshError
from mesh.runtime import logs
from mesh.runtime.feed_channel import FeedChannel, FeedClosedError
from mesh.runtime.profile import answer_profile
from mesh.runtime.worker.credentials import Credentials
from mesh.state.world import World
from mesh.wire import feed_answers
from mesh.wire.feed import (
    Applied,
    Certificate,
    CertificateFailed,
    CertificateWanted,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    Query,
    SetLogLevel,
    StateDelta,
    ToControl,
)
from mesh.wire.feed_codec import Message

log = logging.getLogger(__name__)


class Program(Protocol):
    """What a program makes of what its worker is told."""

    async def apply(self, delta: StateDelta) -> None:
        """Take the change over into the world, and end what it forbids.

        Cancellation: the worker goes away.
        """

    async def obey(self, message: Message, descriptor: int | None, tasks: trio.Nursery) -> None:
        """Anything that only this program knows; `tasks` end with the feed.

        Cancellation: the worker goes away.
        """

    async def introduce(self) -> None:
        """Say what is held, to a control process that has just begun.

        Cancellation: the worker goes away.
        """

    async def answer(self, query: Query) -> None:
        """A question that only this program knows.

        Cancellation: the worker goes away.
        """

    def rows(self) -> Iterable[feed_answers.MetricRow]:
        """What was counted."""

    async def drain(self, seconds: float) -> None:
        """Take nothing new; return when nothing is open, or when the time is over.

        Cancellation: the worker goes away.
        """


class FeedEnd:
    """One per worker."""

    def __init__(self, channel: FeedChannel, world: World, credentials: Credentials) -> None:
        """Of this channel; world and credentials are the worker's."""
        self._channel = channel
        self._world = world
        self._credentials = credentials

    async def obey(self, program: Program) -> None:
        """Do what the feed says, until it ends or a drain is done.

        Cancellation: the feed stays open.
        """
        async with trio.open_nursery() as tasks:
            tasks.start_soon(self._wish)
            await self._listen(program, tasks)
            tasks.cancel_scope.cancel()

    async def say(self, message: ToControl, descriptor: int | None = None) -> None:
        """Tell the control process, if there is one.

        Cancellation: it was told whole or not at all.
        """
        with suppress(FeedClosedError):  # who reads the feed sees its end, and ends us
            await self._channel.send(message, descriptor)

    async def _listen(self, program: Program, tasks: trio.Nursery) -> None:
        while True:
            try:
                packet = await self._channel.receive()
            except MeshError as error:
                log.warning("not a message of ours: %s", error, extra={"code": error.code})
                continue
            if packet is None:
                return
            message, descriptor = packet
            match message:
                case StateDelta():
                    await self._apply(program, message)
                case Query() if feed_answers.profile_wanted(message.topic) is not None:
                    tasks.start_soon(self._profile, message)
                case Query():
                    await self._answer(program, message)
                case Drain(deadline_s=seconds):
                    tasks.start_soon(self._drain, program, seconds, tasks.cancel_scope)
                case Certificate() | CertificateFailed() | ForgetCertificate():
                    self._certify(message)
                case SetLogLevel(logger=scope, level=level):
                    logs.set_levels(f"{scope}={level}" if scope else level)
                case _:
                    await program.obey(message, descriptor, tasks)

    def _certify(self, message: Certificate | CertificateFailed | ForgetCertificate) -> None:
        match message:
            case Certificate():
                self._credentials.put(message)
            case CertificateFailed():
                self._credentials.fail(message.identity, message.reason)
            case ForgetCertificate():
                self._credentials.forget(message.identity)

    async def _apply(self, program: Program, delta: StateDelta) -> None:
        await program.apply(delta)
        if delta.last:
            if delta.reset:
                # It will stay for long, and has no cycles: the collector need not look at it.
                gc.freeze()
            await self.say(Applied(delta.version))

    async def _answer(self, program: Program, query: Query) -> None:
        match query.topic:
            case feed_answers.HELLO:
                await self._introduce(program)
            case feed_answers.METRICS:
                for part in feed_answers.metric_answers(query.number, program.rows()):
                    await self.say(part)
            case _:
                await program.answer(query)

    async def _introduce(self, program: Program) -> None:
        await self.say(Hello(os.getpid(), self._world.version, self._credentials.identities()))
        await program.introduce()
        await self.say(HelloEnd())
        for identity in self._credentials.awaited():
            await self.say(CertificateWanted(identity))

    async def _profile(self, query: Query) -> None:
        for part in await answer_profile(query):
            await self.say(part)

    async def _wish(self) -> None:
        async for identity in self._credentials.wishes:
            await self.say(CertificateWanted(identity))

    async def _drain(self, program: Program, seconds: float, whole: trio.CancelScope) -> None:
        await program.drain(seconds)
        await self.say(Drained())
        whole.cancel()
