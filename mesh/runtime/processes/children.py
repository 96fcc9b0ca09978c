"""The supervisor's children: how one is started, and what is kept of it.

No child outlives the supervisor: each has a pipe whose other end only the supervisor holds, and the
kernel kills the child when that end goes (F_SETSIG on the pipe; the child need not look).
"""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from mesh.runtime.backoff import doubling

BACKOFF_FIRST_S: Final = 0.2
BACKOFF_MOST_S: Final = 15.0
STEADY_S: Final = 10.0
"""A child that lived so long is started anew at once."""


def pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of packets, closed on exec."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What children inherit: nothing that changes what TLS offers.

    OpenSSL reads its configuration at start, and a configuration can take the post-quantum key
    exchange away: children get an empty one.
    """
    inherited = {name: value for name, value in environ.items() if name != "OPENSSL_MODULES"}
    return inherited | {"OPENSSL_CONF": os.devnull, "PYTHONUNBUFFERED": "1"}


@dataclass(eq=False)
class Child:
    """A running process."""

    process: subprocess.Popen[bytes]
    ended: int
    """A descriptor that is readable when the process has ended."""
    lifeline: int
    started_at: float

    @classmethod
    def start(
        cls, module: str, words: Sequence[str], keep: int, environ: Mapping[str, str], now: float
    ) -> "Child":
        """Start `python -m MODULE WORDS`.

        Args:
            module: of this program.
            words: its arguments.
            keep: the one descriptor that it inherits.
            environ: its whole environment.
            now: the time at which it starts.

        Raises:
            OSError: no memory, no descriptors.
        """
        theirs, ours = os.pipe()
        try:
            process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                # -P: the working folder is no place to load modules from.
                [sys.executable, "-P", "-m", module, *words],
                env=dict(environ),
                pass_fds=(keep, theirs),
                stdin=subprocess.DEVNULL,
            )
            _kill_at_hang_up(theirs, process.pid)
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, os.pidfd_open(process.pid), ours, now)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; one that has ended does not mind."""
        self.process.send_signal(number)

    def reap(self) -> int:
        """Wait for the end, give up what was kept, and return the exit code (-N: by signal N)."""
        code = self.process.wait()
        os.close(self.ended)
        os.close(self.lifeline)
        return code


def _kill_at_hang_up(pipe: int, pid: int) -> None:
    """When the pipe's other end is closed, the kernel kills the process."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, pid)
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def _delays() -> Iterator[float]:
    return chain((0.0,), doubling(BACKOFF_FIRST_S, BACKOFF_MOST_S))


@dataclass(slots=True)
class Backoff:
    """When a process that ended is started again: at once, unless it ends again and again."""

    delays: Iterator[float] = field(default_factory=_delays)

    def after(self, lived_s: float) -> float:
        """How long to wait now, given how long the last one lived."""
        if lived_s >= STEADY_S:
            self.delays = _delays()
        return next(self.delays)


def exit_words(code: int) -> str:
    """How a process ended, for a log line."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
