"""Messages of the feed to packets and back.

1. A packet is one msgpack array: the message's number, then its fields in order. Control and
   workers are one version of one program, so no field needs a name.
2. Readers and writers are made from the annotations of the messages: one that changes is still
   carried, and one that cannot be carried fails at import.
3. What repeats among a hundred thousand workloads (names of nodes and namespaces, localities,
   ports, lists of services) is the same object in all of them: a worker holds all of it.
4. Any octets give a message or a PeerError.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from mesh.errors import PeerError, UnavailableError
from mesh.model.workload import Workload
from mesh.wire.feed import (
    MAX_PACKET_OCTETS,
    AddPod,
    Answer,
    Applied,
    Certificate,
    CertificateFailed,
    CertificateWanted,
    Drain,
    Drained,
    ForgetCertificate,
    Hello,
    HelloEnd,
    PodHeld,
    PodListening,
    Query,
    RemovePod,
    SetLogLevel,
    Spans,
    StateDelta,
    ToControl,
    ToWorker,
)
from mesh.wire.feed_fields import (
    RESOURCES,
    Read,
    Resource,
    dataclass_reader,
    field_values,
    plain,
)
from mesh.wire.pack import Packed, pack, unpack

__all__ = [
    "FeedInvalidError",
    "FeedTooLargeError",
    "Message",
    "Resource",
    "decode",
    "decode_resource",
    "encode",
    "encode_resource",
    "resource_name",
    "state_packets",
]

Message = ToWorker | ToControl

# The order is the wire's: new messages go to the end.
MESSAGES: Final[tuple[type[Message], ...]] = (
    StateDelta,
    AddPod,
    RemovePod,
    Certificate,
    CertificateFailed,
    ForgetCertificate,
    Drain,
    SetLogLevel,
    Query,
    Hello,
    PodHeld,
    HelloEnd,
    PodListening,
    Applied,
    CertificateWanted,
    Answer,
    Drained,
    Spans,
)
NUMBER: Final = {message: number for number, message in enumerate(MESSAGES)}
LISTS: Final = (
    "removed_addresses",
    "removed_policies",
    "removed_configuration",
    "policies",
    "configuration",
    "services",
    "workloads",
)
"""Of a delta, in the order in which they are sent: who is let in, before who there is."""

FIRST_CUT: Final = 128
"""Resources per packet at most: a worker takes them in two milliseconds, and then looks up."""


class FeedInvalidError(PeerError):
    """A packet that is no message."""

    code = "feed_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what did not fit."""
        super().__init__(f"not a message of the feed: {reason}")
        self.reason = reason


class FeedTooLargeError(UnavailableError):
    """A single object that does not fit into a packet."""

    code = "feed_too_large"

    def __init__(self, name: str, size: int) -> None:
        """Keep the object's name and its size in octets."""
        super().__init__(
            f"{name} takes {size} octets, more than the {MAX_PACKET_OCTETS} of a packet"
        )
        self.name, self.size = name, size


def encode(message: Message) -> bytes:
    """The packet of a message."""
    return pack((NUMBER[type(message)], *field_values(message)), plain)


def decode(packet: bytes) -> Message:
    """The message of a packet.

    Raises:
        PeerError: the octets are no message.
    """
    message = _numbered(unpack(packet), _READERS)
    if not isinstance(message, MESSAGES):
        raise FeedInvalidError("no message")
    return message


def _numbered(parts: Packed, readers: tuple[Read, ...]) -> object:
    """What an array (number, field, field ...) means, by the reader of that number."""
    match parts:
        case (int(number), *values) if 0 <= number < len(readers):
            try:
                return readers[number](tuple(values))
            except (TypeError, ValueError, LookupError) as error:
                raise FeedInvalidError(f"{type(error).__name__}: {error}") from None
        case _:
            raise FeedInvalidError("not an array that begins with a number of ours")


def state_packets(delta: StateDelta) -> Iterator[bytes]:
    """Cut a delta of any size into packets: `reset` on the first only, `last` on the last only.

    Raises:
        FeedTooLargeError: one object alone does not fit.
    """
    pieces = list(_cut(delta))
    for position, piece in enumerate(pieces):
        whole = replace(piece, reset=delta.reset and position == 0)
        yield from _fitting(replace(whole, last=delta.last and position == len(pieces) - 1))


def _cut(delta: StateDelta) -> Iterator[StateDelta]:
    """Removals first, so that a name that moved from one object to another is free again."""
    empty = StateDelta(delta.version, last=False)
    for name in LISTS:
        values: tuple[object, ...] = getattr(delta, name)
        for at in range(0, len(values), FIRST_CUT):
            yield _with(empty, name, values[at : at + FIRST_CUT])
    yield empty


def _fitting(delta: StateDelta) -> Iterator[bytes]:
    """A piece as one packet, or as halves of it."""
    packet = encode(delta)
    if len(packet) <= MAX_PACKET_OCTETS:
        yield packet
        return
    first, second = _halves(delta, len(packet))
    yield from _fitting(replace(first, last=False))
    yield from _fitting(replace(second, reset=False))


def _halves(delta: StateDelta, size: int) -> tuple[StateDelta, StateDelta]:
    for name in LISTS:
        values = getattr(delta, name)
        if len(values) > 1:
            middle = len(values) // 2
            return (
                _with(delta, name, values[:middle]),
                _with(delta, name, values[middle:]),
            )
    resources: tuple[Resource, ...] = (
        *delta.policies,
        *delta.configuration,
        *delta.services,
        *delta.workloads,
    )
    raise FeedTooLargeError(", ".join(resource_name(one) for one in resources), size)


def _with(delta: StateDelta, name: str, values: tuple[object, ...]) -> StateDelta:
    return _replace(delta, **{name: values})


_replace: Callable[..., StateDelta] = replace


def resource_name(resource: Resource) -> str:
    """The name by which the workload API removes it."""
    return resource.uid if isinstance(resource, Workload) else resource.key


def encode_resource(resource: Resource) -> bytes:
    """One resource alone, for the last good state on disk."""
    return pack((RESOURCES.index(type(resource)), *field_values(resource)), plain)


def decode_resource(octets: bytes) -> Resource:
    """What `encode_resource` made.

    Raises:
        PeerError: the octets are none of them.
    """
    resource = _numbered(unpack(octets), _RESOURCE_READERS)
    if not isinstance(resource, RESOURCES):
        raise FeedInvalidError("no resource")
    return resource


_READERS: Final = tuple(dataclass_reader(message) for message in MESSAGES)
_RESOURCE_READERS: Final = tuple(dataclass_reader(resource) for resource in RESOURCES)
