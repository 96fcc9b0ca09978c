"""What the command and a lab's keeper say to each other, over the lab's socket.

One request and its replies, each a line of JSON. The last reply has the exit code.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_LINE_OCTETS: Final = 64 * 1024 * 1024
DONE: Final = 0
FAILED: Final = 1
WRONG_USE: Final = 2
NOT_ACKNOWLEDGED: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command wants."""

    order: str
    words: tuple[str, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    """Manifests: where each is from, and what it says."""
    is_waiting: bool = True
    seconds: float = 0.0
    """How long to wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A part of the answer: data, words for people, or the end."""

    out: str = ""
    say: str = ""
    exit_code: int | None = None
    place: Mapping[str, str] = field(default_factory=dict)
    """Of `exec`: where the command is to run."""


def request_line(request: Request) -> bytes:
    """A request as it is sent."""
    fields = {
        "order": request.order,
        "words": request.words,
        "texts": request.texts,
        "is_waiting": request.is_waiting,
        "seconds": request.seconds,
    }
    return json.dumps(fields).encode() + b"\n"


def parse_request(line: bytes) -> Request:
    """A request as it was sent.

    Raises:
        ValueError: it is none.
    """
    match json.loads(line):
        case {
            "order": str(order),
            "words": list(words),
            "texts": list(texts),
            "is_waiting": bool(is_waiting),
            "seconds": int() | float() as seconds,
        }:
            return Request(
                order=order,
                words=tuple(str(word) for word in words),
                texts=tuple((str(origin), str(text)) for origin, text in texts),
                is_waiting=is_waiting,
                seconds=float(seconds),
            )
        case _:
            raise ValueError("no request of the lab's")


def reply_line(reply: Reply) -> bytes:
    """A reply as it is sent."""
    fields = {
        "out": reply.out,
        "say": reply.say,
        "exit_code": reply.exit_code,
        "place": dict(reply.place),
    }
    return json.dumps(fields).encode() + b"\n"


def parse_reply(line: bytes) -> Reply:
    """A reply as it was sent.

    Raises:
        ValueError: it is none.
    """
    match json.loads(line):
        case {"out": str(out), "say": str(say), "exit_code": code, "place": dict(place)}:
            entries = {str(name): str(value) for name, value in place.items()}
            number = code if isinstance(code, int) else None
            return Reply(out=out, say=say, exit_code=number, place=entries)
        case _:
            raise ValueError("no reply of a lab's")
