"""Messages of the feed to packets and back.

1. A packet is one msgpack array: the message's number, then its fields in order. Control and
   workers are one version of one program, so no field needs a name.
2. Readers and writers are made from the annotations of the messages: one that changes is still
   carried, and one that cannot be carried fails at import.
3. What repeats among a hundred thousand workloads (names of nodes and namespaces, localities,
   ports, lists of services) is the same object in all of them: a worker holds all of it.
4. Any octets give a message or a PeerError.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from enum import IntEnum
from functools import lru_cache, partial
from operator import attrgetter
from types import NoneType, UnionType
from typing import Final, NewType, TypeVar, get_args, get_origin, get_type_hints

from mesh.errors import PeerError, UnavailableError
from mesh.model.policy import Authorization
from mesh.model.workload import Service, Workload
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
    StateDelta,
    ToControl,
    ToWorker,
)
from mesh.wire.pack import Packed, pack, unpack

Message = ToWorker | ToControl
Read = Callable[[Packed], object]
Resource = Workload | Service | Authorization
ResourceT = TypeVar("ResourceT", bound=Resource)

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
)
NUMBER: Final = {message: number for number, message in enumerate(MESSAGES)}
ONE_OF_A_KIND: Final = frozenset({"uid", "name"})
"""Texts that rarely repeat are not interned: the table of interned texts would only grow."""

SHARED_KINDS: Final = 16_384
"""How many distinct values of one kind are kept in order to be shared."""

FIRST_CUT: Final = 256
"""Resources per packet to begin with: one takes about 250 octets."""


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
    return pack((NUMBER[type(message)], *_values(message)), _plain)


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
    for at in range(0, len(delta.removed_addresses), FIRST_CUT):
        yield replace(empty, removed_addresses=delta.removed_addresses[at : at + FIRST_CUT])
    for at in range(0, len(delta.removed_policies), FIRST_CUT):
        yield replace(empty, removed_policies=delta.removed_policies[at : at + FIRST_CUT])
    for at in range(0, len(delta.policies), FIRST_CUT):
        yield replace(empty, policies=delta.policies[at : at + FIRST_CUT])
    for at in range(0, len(delta.services), FIRST_CUT):
        yield replace(empty, services=delta.services[at : at + FIRST_CUT])
    for at in range(0, len(delta.workloads), FIRST_CUT):
        yield replace(empty, workloads=delta.workloads[at : at + FIRST_CUT])
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
    for name in ("policies", "services", "workloads", "removed_addresses", "removed_policies"):
        values = getattr(delta, name)
        if len(values) > 1:
            middle = len(values) // 2
            return (
                _with(delta, name, values[:middle]),
                _with(delta, name, values[middle:]),
            )
    resources: tuple[Resource, ...] = (*delta.policies, *delta.services, *delta.workloads)
    raise FeedTooLargeError(", ".join(resource_name(one) for one in resources), size)


def _with(delta: StateDelta, name: str, values: tuple[object, ...]) -> StateDelta:
    return _replace(delta, **{name: values})


_replace: Callable[..., StateDelta] = replace


def resource_name(resource: Resource) -> str:
    """The name by which the workload API removes it."""
    return resource.uid if isinstance(resource, Workload) else resource.key


def encode_resource(resource: Resource) -> bytes:
    """One workload, service or policy alone, for the last good state on disk."""
    return pack((RESOURCES.index(type(resource)), *_values(resource)), _plain)


def decode_resource(octets: bytes) -> Resource:
    """What `encode_resource` made.

    Raises:
        PeerError: the octets are none of them.
    """
    resource = _numbered(unpack(octets), _RESOURCE_READERS)
    if not isinstance(resource, RESOURCES):
        raise FeedInvalidError("no resource")
    return resource


RESOURCES: Final[tuple[type[Resource], ...]] = (Workload, Service, Authorization)


# Writing.


_getters: Final[dict[type, Callable[[object], tuple[object, ...]]]] = {}


def _values(value: object) -> tuple[object, ...]:
    kind = type(value)
    if kind not in _getters:
        _getters[kind] = _getter(kind)
    return _getters[kind](value)


def _getter(kind: type) -> Callable[[object], tuple[object, ...]]:
    names = _names(kind)
    if not names:
        return lambda _: ()
    if len(names) == 1:
        only = attrgetter(names[0])
        return lambda value: (only(value),)
    every: Callable[[object], tuple[object, ...]] = attrgetter(*names)
    return every


def _plain(value: object) -> object:
    """What msgpack does not know: our values, and views of dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    return _values(value)


def _names(kind: type) -> tuple[str, ...]:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} cannot be carried")
    return tuple(field.name for field in fields(kind))


# Reading.


def _text(value: Packed) -> object:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return sys.intern(value)


@dataclass(frozen=True, slots=True)
class _Exactly:
    """A value of one plain type, unchanged."""

    kind: type[int | float | bytes | str]

    def __call__(self, value: Packed) -> object:
        if not isinstance(value, self.kind):
            raise TypeError(f"not {self.kind.__name__}")
        return value


def _reader(hint: object) -> Read:  # noqa: PLR0911 - one return for each kind of type
    """How to read a value of an annotated type."""
    if hint is str:
        return _text
    if hint is float:
        return _number
    if isinstance(hint, NewType):
        return _reader(hint.__supertype__)
    if isinstance(hint, type) and hint in (bool, int, bytes):
        return _Exactly(hint)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return partial(_member, {member.value: member for member in hint})
    if isinstance(hint, type) and is_dataclass(hint):
        return _shared(_dataclass_reader(hint))
    if isinstance(hint, UnionType):
        return _union_reader(get_args(hint))
    if get_origin(hint) is tuple:
        return _tuple_reader(get_args(hint)[0])
    if get_origin(hint) is Mapping:
        return _mapping_reader(get_args(hint)[1])
    raise TypeError(f"{hint} cannot be carried")


def _number(value: Packed) -> object:
    if not isinstance(value, int | float):
        raise TypeError("not a number")
    return float(value)


def _member(members: Mapping[int, object], value: Packed) -> object:
    if not isinstance(value, int):
        raise TypeError("not a number")
    return members[value]


def _shared(read: Read) -> Read:
    """The same object for the same octets."""
    return lru_cache(maxsize=SHARED_KINDS)(read)


def _dataclass_reader(kind: type) -> Read:
    hints: dict[str, object] = get_type_hints(kind)
    names = _names(kind)
    build: Callable[..., object] = kind
    reads = [_Exactly(str) if name in ONE_OF_A_KIND else _reader(hints[name]) for name in names]

    def read(value: Packed) -> object:
        if not isinstance(value, tuple) or len(value) != len(reads):
            raise TypeError(f"not {kind.__name__}")
        return build(**{n: r(v) for n, r, v in zip(names, reads, value, strict=True)})

    return read


def _union_reader(choices: tuple[object, ...]) -> Read:
    """`X | None`, or values told apart by their number of fields."""
    kinds = [choice for choice in choices if choice is not NoneType]
    if len(kinds) == 1:
        read = _reader(kinds[0])
        return lambda value: None if value is None else read(value)
    by_size = {
        len(_names(kind)): _dataclass_reader(kind) for kind in kinds if isinstance(kind, type)
    }
    if len(by_size) != len(kinds):
        raise TypeError(f"{choices} cannot be told apart")

    def read_one(value: Packed) -> object:
        if not isinstance(value, tuple):
            raise TypeError("not an array")
        return by_size[len(value)](value)

    return read_one


def _tuple_reader(hint: object) -> Read:
    if hint in (Workload, Service, Authorization) and isinstance(hint, type):
        # Not shared: each is the only one of its kind.
        read = _dataclass_reader(hint)
        share = False
    else:
        read = _reader(hint)
        share = True

    def read_all(value: Packed) -> object:
        if not isinstance(value, tuple):
            raise TypeError("not an array")
        return tuple([read(one) for one in value])

    return _shared(read_all) if share else read_all


def _mapping_reader(hint: object) -> Read:
    read = _reader(hint)

    @lru_cache(maxsize=SHARED_KINDS)
    def read_items(items: tuple[tuple[Packed, Packed], ...]) -> object:
        return {_text(key): read(value) for key, value in items}

    def read_mapping(value: Packed) -> object:
        if not isinstance(value, Mapping):
            raise TypeError("not a mapping")
        return read_items(tuple(value.items()))

    return read_mapping


_READERS: Final = tuple(_dataclass_reader(message) for message in MESSAGES)
_RESOURCE_READERS: Final = tuple(_dataclass_reader(resource) for resource in RESOURCES)
