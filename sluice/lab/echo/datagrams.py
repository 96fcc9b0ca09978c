"""UDP: a datagram of JSON for each that comes."""

import json
import socket
from typing import Final

from sluice.lab.echo.logbook import note
from sluice.lab.echo.settings import Who

_MAX_OCTETS: Final = 1 << 16


def answer_datagram(listener: socket.socket, who: Who) -> None:
    """Answer the datagram that waits.

    Raises:
        BlockingIOError: none waits.
        OSError: the answer cannot be sent.
    """
    octets, address = listener.recvfrom(_MAX_OCTETS)
    text = octets.decode(errors="replace")
    note(f"Received UDP {text!r} from {address[0].removeprefix('::ffff:')} port {address[1]}")
    listener.sendto(json.dumps({"request": text} | who._asdict()).encode(), address)
