"""The process that runs users' filters: `python -m waypoint.filters.host DESCRIPTOR`.

1. It has one inherited socket and, when the waypoint is root, the rights of nobody: it holds no
   key, and what a filter does to its memory is done to no one else's.
2. One call at a time. The worker ends this process when a call takes too long; an alarm ends it
   when the worker cannot do so any more. It starts no other process and no thread.
3. A hook that raises fails its own call. A source that cannot be loaded leaves the one before.
"""

import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Mapping
from types import ModuleType
from typing import Final

from mesh.errors import PeerError
from mesh.wire.pack import Packed, pack, unpack
from waypoint.filter import Answer, Filter, Headers, Request, Response
from waypoint.filters.messages import (
    DONE,
    FAILED,
    LOADED,
    MAX_PACKET_OCTETS,
    Hook,
)

LONGEST_CALL_S: Final = 10
NOBODY: Final = 65534
MEMORY_OCTETS: Final = 512 * 1024 * 1024
MAX_REASON_LENGTH: Final = 2000


class FilterSourceError(PeerError):
    """A filter's source that does not define exactly one filter."""

    code = "filter_source_invalid"


class FilterResultError(PeerError):
    """A filter's hook gave something that it may not give."""

    code = "filter_result_invalid"


class Host:
    """The filters by name, and one object for each request and filter."""

    def __init__(self) -> None:
        """Know none."""
        self._classes: dict[str, type[Filter]] = {}
        self._objects: dict[tuple[int, str], Filter] = {}

    def answer(self, message: tuple[Packed, ...]) -> tuple[object, ...] | None:
        """Do what a message says; None when it wants no answer."""
        match message:
            case (_, str(word), str(name), int(request), *arguments) if word in _HOOKS:
                done = self._call(_HOOKS[word], name, request, arguments)
                return (message[0], DONE, *done)
            case (number, "load", str(name), str(source), Mapping() as config):
                self._classes[name] = load(name, source, config)
                return (number, LOADED, hooks_of(self._classes[name]))
            case (_, "forget", str(name)):
                self._classes.pop(name, None)
            case (_, "end", int(request)):
                for key in [key for key in self._objects if key[0] == request]:
                    del self._objects[key]
            case _:
                raise PeerError(f"not a message: {message!r:.200}")
        return None

    def _call(
        self, hook: Hook, name: str, request: int, arguments: list[Packed]
    ) -> tuple[object, ...]:
        key = (request, name)
        found = self._objects.get(key)
        if found is None:
            found = self._objects[key] = self._classes[name]()
        match hook, arguments:
            case Hook.REQUEST, [method, target, authority, fields, client, route]:
                head = Request(
                    _text(method),
                    _text(target),
                    _text(authority),
                    _headers(fields),
                    _text(client),
                    _text(route),
                )
                answer = found.request(head)
                changed = (head.method, head.target, head.authority, _pairs(head.headers))
                return (*changed, _answer(answer))
            case Hook.RESPONSE, [int(status), fields]:
                response = Response(status, _headers(fields))
                found.response(response)
                return (_status(response.status), _pairs(response.headers))
            case Hook.REQUEST_BODY, [bytes(piece), bool(last)]:
                return (_octets(found.request_body(piece, last=last)),)
            case Hook.RESPONSE_BODY, [bytes(piece), bool(last)]:
                return (_octets(found.response_body(piece, last=last)),)
            case _:
                raise PeerError(f"not the arguments of {hook}")


_HOOKS: Final = {hook.value: hook for hook in Hook}


def load(name: str, source: str, config: Mapping[Packed, Packed]) -> type[Filter]:
    """Run a source; the one filter that it defines, with its settings.

    Raises:
        FilterSourceError: it defines none, or several. Whatever the source itself raises comes too.
    """
    module = ModuleType(f"filter {name}")
    exec(compile(source, f"<filter {name}>", "exec"), module.__dict__)  # noqa: S102 - what it is for
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Filter)
        and each.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise FilterSourceError(f"defines {len(found)} subclasses of Filter: write exactly one")
    return type(found[0].__name__, (found[0],), {"config": config})


def hooks_of(found: type[Filter]) -> list[str]:
    """The hooks that a filter overrides."""
    return [hook.value for hook in Hook if getattr(found, hook) is not getattr(Filter, hook)]


def _text(value: Packed) -> str:
    if not isinstance(value, str):
        raise PeerError("not a text")
    return value


def _headers(value: Packed) -> Headers:
    headers = Headers()
    if not isinstance(value, tuple):
        raise PeerError("not a list of fields")
    for pair in value:
        match pair:
            case (str(name), str(text)):
                headers.add(name, text)
            case _:
                raise PeerError("not a field")
    return headers


def _pairs(headers: Headers) -> list[tuple[str, str]]:
    pairs: list[tuple[object, object]] = [*headers.pairs]
    for name, value in pairs:
        if not (isinstance(name, str) and isinstance(value, str)):
            raise FilterResultError(f"the header {name!r} is not text")
        if set(name + value) & {"\r", "\n", "\0"} or not name.strip():
            raise FilterResultError(f"the header {name!r} has what no header may have")
    return headers.pairs


def _answer(answer: Answer | None) -> object:
    if answer is None:
        return None
    if not isinstance(answer, Answer):
        raise FilterResultError(f"request() gave a {type(answer).__name__}: give Answer or None")
    return (_status(answer.status), _pairs(answer.headers), _octets(answer.body))


def _status(status: object) -> int:
    if not isinstance(status, int) or not 200 <= status <= 599:
        raise FilterResultError(f"the status {status!r} is not one from 200 to 599")
    return status


def _octets(piece: object) -> bytes:
    if not isinstance(piece, bytes):
        raise FilterResultError(f"gave a {type(piece).__name__}: give bytes")
    return piece


def serve(feed: socket.socket) -> None:
    """Answer calls until the worker is gone."""
    host = Host()
    while packet := feed.recv(MAX_PACKET_OCTETS):
        message = unpack(packet)
        if not isinstance(message, tuple) or len(message) < 2:
            raise PeerError("not a message")
        signal.alarm(LONGEST_CALL_S)
        try:
            answer = host.answer(message)
        except Exception:  # noqa: BLE001 - a user's code may raise anything: its own call fails
            reason = traceback.format_exc(limit=-3)[-MAX_REASON_LENGTH:]
            answer = (message[0], FAILED, reason)
        signal.alarm(0)
        if answer is not None:
            octets = pack(answer)
            if len(octets) > MAX_PACKET_OCTETS:
                octets = pack((message[0], FAILED, f"gave more than {MAX_PACKET_OCTETS} octets"))
            feed.sendall(octets)


def main(words: list[str]) -> None:
    """Run on an inherited descriptor."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_OCTETS, MEMORY_OCTETS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    with socket.socket(fileno=int(words[0])) as feed:
        serve(feed)


if __name__ == "__main__":
    main(sys.argv[1:])
