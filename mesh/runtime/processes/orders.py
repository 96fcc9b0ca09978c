"""What supervisor and control process say to each other: words, over an inherited socket pair.

Apart from the feed's codec, since the supervisor loads no library. A packet is a few words; the
order for a new worker carries the control end of its feed as a descriptor.
"""

from dataclasses import dataclass
from typing import Final

from mesh.errors import PeerError

MAX_ORDER_OCTETS: Final = 64
EXIT_OPERATOR: Final = 78
"""Exit code (EX_CONFIG) of a process that cannot begin until the operator mends something."""


@dataclass(frozen=True, slots=True)
class WorkerStarted:
    """To control: a worker began. The packet carries its feed's control end."""

    index: int
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerGone:
    """To control: a worker ended; a successor has a feed of its own."""

    index: int
    pid: int


@dataclass(frozen=True, slots=True)
class DrainAll:
    """To control: tell all workers to drain within so many milliseconds."""

    milliseconds: int


@dataclass(frozen=True, slots=True)
class Serving:
    """To the supervisor: the pages of the control process are open."""


@dataclass(frozen=True, slots=True)
class Quit:
    """To the supervisor: somebody asked for a graceful end."""


Order = WorkerStarted | WorkerGone | DrainAll | Serving | Quit


class OrderInvalidError(PeerError):
    """A packet between supervisor and control process that is no order."""

    code = "order_invalid"


def encode(order: Order) -> bytes:
    """The packet of an order."""
    return _words(order).encode()


def _words(order: Order) -> str:
    match order:
        case WorkerStarted(index, pid):
            return f"started {index} {pid}"
        case WorkerGone(index, pid):
            return f"gone {index} {pid}"
        case DrainAll(milliseconds):
            return f"drain {milliseconds}"
        case Serving():
            return "serving"
        case Quit():
            return "quit"


def decode(packet: bytes) -> Order:
    """The order of a packet.

    Raises:
        OrderInvalidError: the words are none.
    """
    try:
        match packet.decode("ascii").split(" "):
            case ["started", index, pid]:
                return WorkerStarted(int(index), int(pid))
            case ["gone", index, pid]:
                return WorkerGone(int(index), int(pid))
            case ["drain", milliseconds]:
                return DrainAll(int(milliseconds))
            case ["serving"]:
                return Serving()
            case ["quit"]:
                return Quit()
            case _:
                pass
    except ValueError:
        pass
    raise OrderInvalidError(f"no order: {packet[:MAX_ORDER_OCTETS]!r}")
