"""A worker for tests of the control process: it obeys the feed, and has no sockets."""

import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

from mesh.model.identity import Identity
from mesh.runtime.feed_channel import FeedChannel
from mesh.runtime.netns import netns_id
from mesh.state.world import World
from mesh.wire.feed import (
    AddPod,
    Answer,
    Applied,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    PodHeld,
    PodListening,
    Query,
    RemovePod,
    StateDelta,
)
from mesh.wire.feed_codec import Message


@dataclass(eq=False)
class Puppet:
    """What a worker was told, and what it answers."""

    version: int = 0
    identities: tuple[Identity, ...] = ()
    holds: dict[str, tuple[PodHeld, int]] = field(default_factory=dict)
    """Pods that it serves already: the message and the namespace's descriptor."""

    refuses: dict[str, str] = field(default_factory=dict)
    """Why it cannot listen, by uid."""

    answers: dict[str, bytes] = field(default_factory=dict)
    is_deaf: bool = False
    """Applies nothing, answers nothing."""

    world: World = field(default_factory=World)
    heard: list[Message] = field(default_factory=list)
    resets: int = 0
    _changed: trio.lowlevel.ParkingLot = field(default_factory=trio.lowlevel.ParkingLot)

    def pair(self) -> int:
        """A new feed: keeps one end, gives the other."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = FeedChannel(ours.detach())
        return theirs.detach()

    async def run(self) -> None:
        """Obey until the other end goes."""
        try:
            while (packet := await self.channel.receive()) is not None:
                message, descriptor = packet
                self.heard.append(message)
                if not self.is_deaf:
                    await self._obey(message, descriptor)
                elif descriptor is not None:
                    os.close(descriptor)
                self._changed.unpark_all()
        finally:
            self.channel.close()

    async def _obey(self, message: Message, descriptor: int | None) -> None:
        match message:
            case Query():
                await self._answer(message)
            case StateDelta():
                await self._apply(message)
            case AddPod(pod) if descriptor is not None:
                await self._add(pod.uid, PodHeld(pod), descriptor)
            case RemovePod(uid):
                _, held = self.holds.pop(uid)
                os.close(held)
            case Drain():
                await self.say(Drained())
            case ForgetCertificate(identity):
                self.identities = tuple(one for one in self.identities if one != identity)
            case _:
                pass

    async def _answer(self, query: Query) -> None:
        if query.topic == "hello":
            await self._introduce()
        else:
            body = self.answers.get(query.topic, b"")
            await self.say(Answer(query.number, last=False, body=body[:3]))
            await self.say(Answer(query.number, last=True, body=body[3:]))

    async def _apply(self, delta: StateDelta) -> None:
        self.resets += delta.reset
        self.world.apply(delta)
        if delta.last:
            self.version = delta.version
            await self.say(Applied(delta.version))

    async def _add(self, uid: str, held: PodHeld, descriptor: int) -> None:
        if uid in self.refuses:
            os.close(descriptor)
            await self.say(PodListening(uid, self.refuses[uid]))
        else:
            self.holds[uid] = held, descriptor
            await self.say(PodListening(uid))

    async def _introduce(self) -> None:
        await self.say(Hello(os.getpid(), self.version, self.identities))
        for held, descriptor in self.holds.values():
            await self.channel.send(held, descriptor)
        await self.say(HelloEnd())

    async def say(self, message: Message) -> None:
        await self.channel.send(message)

    async def wait_heard(self, kind: type[Message], count: int = 1) -> Message:
        """The `count`th message of a kind."""
        while len(found := [one for one in self.heard if isinstance(one, kind)]) < count:
            await self._changed.park()
        return found[count - 1]

    async def wait_version(self, version: int) -> None:
        """Until it decides by this version."""
        while self.version != version:
            await self._changed.park()

    def namespaces(self) -> set[tuple[int, int]]:
        """Of the pods that it serves."""
        return {netns_id(descriptor) for _, descriptor in self.holds.values()}

    def close(self) -> None:
        """Give up what was received."""
        for _, descriptor in self.holds.values():
            os.close(descriptor)
        self.holds.clear()

    def uids(self) -> Iterable[str]:
        return self.holds.keys()
