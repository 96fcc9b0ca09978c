"""What a worker answers to a Query: rows, in parts that fit packets.

A body is a sequence of msgpack arrays, one for each row, so that parts of an answer are simply put
together, and neither side ever has to make or read all of it in one piece. The topics:

| topic | a row |
|---|---|
| `metrics` | a family's name, its label values, its numbers (mesh/observe says which) |
| `connections` | the pod's uid, `inbound` or `outbound`, source, called, reached, protocol |
| `profile SECONDS FREQUENCY` | the process, a stack, microseconds (mesh/runtime/profile.py) |
| `hello` | no rows: the answer is Hello, PodHeld ..., HelloEnd |
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from typing import Final

from mesh.errors import PeerError
from mesh.wire.feed import Answer
from mesh.wire.pack import Packed, pack, unpack_all

HELLO: Final = "hello"
METRICS: Final = "metrics"
CONNECTIONS: Final = "connections"
PROFILE: Final = "profile"

PART_OCTETS: Final = 32 * 1024
"""A part ends with the row that passes this: small enough to be made without a pause."""

MetricRow = tuple[str, tuple[str, ...], tuple[int, ...]]
"""A family's name, the values of its labels, its numbers."""

ProfileRow = tuple[str, str, int]
"""A process, a stack in it, and the CPU time that was spent there."""


class AnswerInvalidError(PeerError):
    """An answer of a worker that is not what was asked for."""

    code = "answer_invalid"

    def __init__(self, reason: str) -> None:
        """Keep what did not fit."""
        super().__init__(f"not an answer: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class LiveConnection:
    """One open connection of a pod, as `config_dump` shows it."""

    pod: str
    """The pod's uid."""
    direction: str
    """`inbound` or `outbound`."""
    source: str
    """Address and port of the client."""
    called: str
    """What the client called: an address with a port, or a hostname."""
    reached: str
    """Where it went: address and port."""
    protocol: str
    """`HBONE` or `TCP`."""


def metric_answers(number: int, rows: Iterable[MetricRow]) -> Iterator[Answer]:
    """The parts of an answer about metrics; each is made when it is asked for."""
    return _parts(number, (pack(row) for row in rows))


def connection_answers(number: int, live: Iterable[LiveConnection]) -> Iterator[Answer]:
    """The parts of an answer about open connections; each is made when it is asked for."""
    return _parts(number, (pack(astuple(one)) for one in live))


def profile_topic(seconds: int, frequency: int) -> str:
    """The topic that asks for a profile."""
    return f"{PROFILE} {seconds} {frequency}"


def profile_wanted(topic: str) -> tuple[int, int] | None:
    """Seconds and frequency of a `profile_topic`; None of any other topic."""
    match topic.split(" "):
        case [word, seconds, frequency] if word == PROFILE and (seconds + frequency).isdecimal():
            return int(seconds), int(frequency)
        case _:
            return None


def profile_answers(number: int, rows: Iterable[ProfileRow]) -> Iterator[Answer]:
    """The parts of an answer about where time is spent; each is made when it is asked for."""
    return _parts(number, (pack(row) for row in rows))


def _parts(number: int, packed: Iterable[bytes]) -> Iterator[Answer]:
    part = bytearray()
    for row in packed:
        part += row
        if len(part) > PART_OCTETS:
            yield Answer(number, last=False, body=bytes(part))
            part.clear()
    yield Answer(number, last=True, body=bytes(part))


def read_metrics(body: bytes) -> tuple[MetricRow, ...]:
    """The rows of a whole answer.

    Raises:
        PeerError: the octets are no such answer.
    """
    return tuple(_metric_row(value) for value in unpack_all(body))


def _metric_row(value: Packed) -> MetricRow:
    match value:
        case (str(name), tuple(labels), tuple(numbers)):
            texts = tuple(label for label in labels if isinstance(label, str))
            counts = tuple(number for number in numbers if isinstance(number, int))
            if len(texts) == len(labels) and len(counts) == len(numbers):
                return name, texts, counts
        case _:
            pass
    raise AnswerInvalidError("no row of a metric")


def read_connections(body: bytes) -> tuple[LiveConnection, ...]:
    """The connections of a whole answer.

    Raises:
        PeerError: the octets are no such answer.
    """
    return tuple(_connection(value) for value in unpack_all(body))


def _connection(value: Packed) -> LiveConnection:
    match value:
        case (str(pod), str(way), str(source), str(called), str(reached), str(protocol)):
            return LiveConnection(pod, way, source, called, reached, protocol)
        case _:
            raise AnswerInvalidError("no row of a connection")


def read_profile(body: bytes) -> tuple[ProfileRow, ...]:
    """The stacks of a whole answer.

    Raises:
        PeerError: the octets are no such answer.
    """
    return tuple(_profile_row(value) for value in unpack_all(body))


def _profile_row(value: Packed) -> ProfileRow:
    match value:
        case (str(process), str(stack), int(weight)):
            return process, stack, weight
        case _:
            raise AnswerInvalidError("no row of a profile")
