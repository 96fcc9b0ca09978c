"""TCP: words of a line each, and what they are answered with."""

import json
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

from sluice.lab.echo.answers import Peer
from sluice.lab.echo.logbook import note_request
from sluice.lab.echo.reader import Reader
from sluice.lab.echo.settings import Port, Speech, Who

_CHUNK_OCTETS: Final = 1 << 16


class Dialogue(NamedTuple):
    """What an echo says over TCP."""

    who: Who
    ports: Sequence[Port]
    greeting: str
    """What comes first. Empty: the client speaks first, and every piece of it is echoed."""


def serve_lines(connection: socket.socket, peer: Peer, dialogue: Dialogue) -> None:
    """Greet and answer words; or, without a greeting, echo what comes with who one is.

    Raises:
        GoneError: the client has ended.
    """
    facts = _facts(peer, dialogue)
    if not dialogue.greeting:
        _serve_pieces(connection, peer, facts)
        return
    connection.sendall(dialogue.greeting.encode())
    reader = Reader(connection)
    answers = {
        "PING": "PONG",
        "IS_TLS": "true" if peer.tls is not None else "false",
        "TEST": json.dumps(facts),
    }
    while True:
        word = reader.line().decode(errors="replace").strip()
        note_request(word, peer.client)
        connection.sendall(answers.get(word, word).encode() + b"\n")


def _serve_pieces(connection: socket.socket, peer: Peer, facts: dict[str, object]) -> None:
    while octets := connection.recv(_CHUNK_OCTETS):
        text = octets.decode(errors="replace")
        note_request(text.strip(), peer.client)
        connection.sendall(json.dumps({"request": text} | facts).encode() + b"\n")


def _facts(peer: Peer, dialogue: Dialogue) -> dict[str, object]:
    ports = {
        each.is_secure: str(each.number) for each in dialogue.ports if each.speech is Speech.TCP
    }
    facts: dict[str, object] = {**dialogue.who._asdict(), "tcpport": ports.get(False, "")}
    if True in ports:
        facts["tlsport"] = ports[True]
    facts["isTLS"] = peer.tls is not None
    if peer.tls is not None:
        facts["tls"] = peer.tls.shown()
    return facts
