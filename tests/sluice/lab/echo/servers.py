"""Echo servers as processes of their own on loopback."""

import os
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sluice.lab.echo import __main__ as echo
from sluice.lab.echo.settings import BASIC, MODULES, READY
from tests.repo.tree import ROOT

WHO = {"NAMESPACE": "shop", "POD_NAME": "web-1", "SERVICE_NAME": "web"}
_FOLDERS = os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")])


@dataclass(frozen=True)
class Running:
    """A running echo server."""

    log: Path
    pid: int

    def lines(self) -> list[str]:
        """What it has written down."""
        return self.log.read_text().splitlines()


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody uses."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


@contextmanager
def running(
    log: Path, variables: Mapping[str, str], words: Sequence[str] = (BASIC,)
) -> Iterator[Running]:
    """A server that listens, until the block ends."""
    readable, writable = os.pipe()
    told = {**WHO, **variables, MODULES: _FOLDERS, READY: str(writable)}
    command = [sys.executable, "-SEI", str(Path(echo.__file__)), *words]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, env=told, stdout=out, stderr=subprocess.STDOUT, pass_fds=(writable,)
        )
    os.close(writable)
    try:
        assert os.read(readable, 1) == b"\n", log.read_text()
        yield Running(log, process.pid)
    finally:
        os.close(readable)
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Basic:
    """A server of echo-basic that speaks HTTP, and its ports."""

    server: Running
    http: int
    h2c: int
    https: int
    udp: int


@contextmanager
def basic(log: Path, more: Mapping[str, str]) -> Iterator[Basic]:
    """A server of HTTP on ports of its own."""
    http, h2c, https, udp = free_ports(4)
    ports = {"HTTP_PORT": http, "H2C_PORT": h2c, "HTTPS_PORT": https, "UDP_PORT": udp}
    variables = {name: str(port) for name, port in ports.items()}
    with running(log, {**variables, **more}) as server:
        yield Basic(server, http, h2c, https, udp)
