"""The command's side of a lab's socket. Imports little: every command pays for it."""

import socket
import sys
from collections.abc import Iterator
from contextlib import closing

from sluice.lab.errors import LabAbsentError, LabFailedError, LabRefusedError
from sluice.lab.home import Home
from sluice.lab.protocol import FAILED, Reply, Request, parse_reply, request_line


def is_running(home: Home) -> bool:
    """Whether a keeper answers."""
    try:
        _connect(home).close()
    except LabAbsentError:
        return False
    return True


def _connect(home: Home) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        made.connect(str(home.socket))
    except PermissionError as error:
        made.close()
        raise LabRefusedError((f"lab {home.lab!r} is root's: run it as root",)) from error
    except OSError as error:
        made.close()
        raise LabAbsentError(home.lab) from error
    return made


def _replies(home: Home, request: Request) -> Iterator[Reply]:
    with closing(_connect(home)) as connection:
        connection.sendall(request_line(request))
        with connection.makefile("rb") as lines:
            for line in lines:
                yield parse_reply(line)


def ask(home: Home, request: Request) -> Reply:
    """Give an order; what is said meanwhile goes to the standard error.

    Returns:
        The last reply, with its exit code.

    Raises:
        LabAbsentError: no lab of this name runs.
        LabRefusedError: it is somebody else's.
        LabFailedError: it died before it had answered.
    """
    try:
        for reply in _replies(home, request):
            if reply.say:
                print(reply.say, file=sys.stderr, flush=True)
            if reply.exit_code is not None:
                return reply
    except OSError as error:
        raise LabFailedError(f"lab {home.lab!r} broke off: {error}") from error
    raise LabFailedError(f"lab {home.lab!r} died before it had answered: see {home.log('keeper')}")


def obey(home: Home, request: Request) -> int:
    """Give an order, and print the data of its answer; the exit code."""
    reply = ask(home, request)
    sys.stdout.write(reply.out)
    sys.stdout.flush()
    return FAILED if reply.exit_code is None else reply.exit_code
