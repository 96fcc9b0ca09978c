"""What the control process knows of one worker, and the conversation with it.

A link brings its worker towards what is wanted, again and again: it compares, sends what is
missing, and waits for the next change. So a worker that begins, one that stayed behind, and one
that a predecessor of ours has fed are the same case. What a program's workers have beside state and
certificates is its own business: it overrides what is named `..._other`.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.identity import Identity
from mesh.runtime.bell import Bell
from mesh.runtime.control.store import Store
from mesh.runtime.feed_channel import FeedChannel, FeedClosedError
from mesh.wire.feed import (
    Answer,
    Applied,
    Certificate,
    CertificateWanted,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    Query,
)
from mesh.wire.feed_codec import Message

HELLO: Final = Query(0, "hello")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Wanted:
    """What every worker is to have. One for all links."""

    store: Store
    certificates: Mapping[Identity, Certificate]
    is_needed: Callable[[Identity], bool]
    """Whether a local workload has this identity."""
    may_replace: Callable[[], bool]
    """Whether our state is at least as new as one that a predecessor of ours gave to a worker."""
    on_certificate_wanted: Callable[[Identity], None]
    on_answer: Callable[["Link", Answer], None]
    bell: Bell


class Link:
    """One worker's feed."""

    def __init__(self, index: int, pid: int, channel: FeedChannel, wanted: Wanted) -> None:
        """Take over the channel; `run` begins the conversation."""
        self.index, self.pid = index, pid
        self.is_greeted = False
        self.is_draining = False
        self.applied = 0
        self.sent_version = 0
        """What the worker has, or is on its way to; 0 is no state at all."""
        self._certificates: dict[Identity, Certificate | None] = {}
        self._channel = channel
        self._wanted = wanted

    @property
    def is_up_to_date(self) -> bool:
        """Whether the worker decides by the newest state."""
        return self.applied == self._wanted.store.version

    async def run(self) -> None:
        """Converse until the worker has gone or the link is cancelled.

        Cancellation: closes the channel; the worker does not notice.
        """
        try:
            await self._channel.send(HELLO)
            async with trio.open_nursery() as talking:
                talking.start_soon(self._keep_up)
                await self._listen()
                talking.cancel_scope.cancel()
        finally:
            self._channel.close()

    async def say(self, message: Message) -> None:
        """Send something that needs no keeping up with.

        Raises:
            FeedClosedError: the worker has gone.

        Cancellation: the message was sent whole or not at all.
        """
        try:
            await self._channel.send(message)
        except (OSError, trio.ClosedResourceError):  # the link was closed meanwhile
            raise FeedClosedError from None

    # Listening.

    async def _listen(self) -> None:
        while True:
            try:
                packet = await self._channel.receive()
            except MeshError as error:
                log.warning(
                    "not a message of a worker",
                    extra={"code": error.code, "worker": self.index, "error": str(error)},
                )
                continue
            if packet is None:
                return
            message, descriptor = packet
            self._heard(message, descriptor)
            self._wanted.bell.ring()

    def _heard(self, message: Message, descriptor: int | None) -> None:
        match message:
            case Applied(version):
                self.applied = version if self.is_greeted else self.applied
            case CertificateWanted(identity):
                self._wanted.on_certificate_wanted(identity)
            case Answer():
                self._wanted.on_answer(self, message)
            case Hello():
                self._begin(message)
            case HelloEnd():
                self.is_greeted = True
                log.info("worker is here", extra={"worker": self.index, "pid": self.pid})
            case Drained():
                log.info("worker has drained", extra={"worker": self.index})
            case _:
                if not self._hear_other(message, descriptor):
                    log.warning("an unexpected message", extra={"worker": self.index})

    def _begin(self, hello: Hello) -> None:
        self.sent_version = self.applied = hello.state_version
        self._certificates = dict.fromkeys(hello.identities)
        self._forget_other()

    # For a program's own.

    def _forget_other(self) -> None:
        """The worker is about to say what it has."""

    def _hear_other(self, _message: Message, _descriptor: int | None) -> bool:
        """Whether this is a message that the program's workers may send."""
        return False

    async def _send_other(self) -> None:
        """Bring the worker closer to what it is to have."""
        await trio.lowlevel.checkpoint()

    # Keeping up.

    async def _keep_up(self) -> None:
        while not self.is_draining:
            seen = self._wanted.bell.count
            if self.is_greeted:
                await self._send_state()
                await self._send_certificates()
                await self._send_other()
            await self._wanted.bell.wait_past(seen)

    async def _send_state(self) -> None:
        store = self._wanted.store
        if store.is_empty or self.sent_version == store.version:
            return
        steps = store.steps_from(self.sent_version)
        if steps is not None:
            for step in steps:
                for packet in step.packets:
                    await self._channel.send_packet(packet)
                self.sent_version = step.after
        elif self.sent_version == 0 or self._wanted.may_replace():
            everything = store.everything()
            for packets in everything.packets():
                for packet in packets:
                    await self._channel.send_packet(packet)
            self.sent_version = everything.version

    async def _send_certificates(self) -> None:
        for identity, certificate in list(self._wanted.certificates.items()):
            if self._certificates.get(identity) is not certificate:
                self._certificates[identity] = certificate
                await self._channel.send(certificate)
        for identity in [one for one in self._certificates if not self._wanted.is_needed(one)]:
            del self._certificates[identity]
            await self._channel.send(ForgetCertificate(identity))
