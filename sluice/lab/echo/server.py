"""Listening on every port of an echo, and a thread for each connection."""

import os
import select
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from sluice.lab.echo.conversations import Conversations
from sluice.lab.echo.datagrams import answer_datagram
from sluice.lab.echo.logbook import note
from sluice.lab.echo.settings import READY, Port, Settings, Speech

_BACKLOG: Final = 4096
_STACK_OCTETS: Final = 1 << 20
_PAUSE_S: Final = 0.1
"""When the process is out of descriptors: those that are open go on."""


def run(settings: Settings, variables: Mapping[str, str]) -> None:
    """Serve for ever.

    Raises:
        OSError: a port is taken, or a file of the settings cannot be read.
        ValueError: the descriptor to tell is no number.
    """
    conversations = Conversations(settings)
    opened = ((_listen(port), port) for port in settings.ports)
    listeners = {listener.fileno(): (listener, port) for listener, port in opened}
    for name in settings.ignored:
        note(f"argument --{name} does nothing here")
    if told := variables.get(READY):
        os.write(int(told), b"\n")
        os.close(int(told))
    threading.stack_size(_STACK_OCTETS)
    poll = select.poll()
    for descriptor in listeners:
        poll.register(descriptor, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            listener, port = listeners[descriptor]
            if port.speech is Speech.UDP:
                with suppress(OSError):
                    answer_datagram(listener, settings.who)
            else:
                _accept(conversations, listener, port)


def _accept(conversations: Conversations, listener: socket.socket, port: Port) -> None:
    try:
        connection, address = listener.accept()
    except (BlockingIOError, ConnectionError):
        return
    except OSError as error:
        note(f"accept: {error}")
        threading.Event().wait(_PAUSE_S)
        return
    connection.setblocking(True)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    words = (connection, _shown(address), port)
    threading.Thread(target=conversations.serve, args=words, daemon=True).start()


def _shown(address: tuple[str, int]) -> str:
    host = address[0].removeprefix("::ffff:")
    return f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"


def _listen(port: Port) -> socket.socket:
    has_v6 = socket.has_dualstack_ipv6()
    sort = socket.SOCK_DGRAM if port.speech is Speech.UDP else socket.SOCK_STREAM
    listener = socket.socket(socket.AF_INET6 if has_v6 else socket.AF_INET, sort)
    if has_v6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    if port.speech is not Speech.UDP:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("::" if has_v6 else "", port.number))
    if port.speech is not Speech.UDP:
        listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener
