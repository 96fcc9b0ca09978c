"""A whole proxy as processes, for tests: its log, its pages, its children."""

import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Self

from mesh.runtime.netns import inside

PATIENCE_S = 15.0


class Proxy:
    """`python -m ztunnel` (or another program) with free ports for its pages."""

    def __init__(
        self, environ: Mapping[str, str], netns: int | None = None, program: str = "ztunnel"
    ) -> None:
        """Nothing runs yet; it runs in a network namespace, or in ours."""
        self._netns = netns
        self._program = program
        self._environ = {
            "PATH": os.environ["PATH"],
            "SLUICE_ADMIN_PORT": "0",
            "SLUICE_STATS_PORT": "0",
            "SLUICE_READINESS_PORT": "0",
            "IPV6_ENABLED": "false",
            "ZTUNNEL_WORKER_THREADS": "1",
            "WAYPOINT_WORKER_THREADS": "1",
            "CONNECTION_TERMINATION_DEADLINE": "2s",
            **environ,
        }
        self.lines: list[str] = []
        self._more = threading.Condition()
        self.ended = False

    def __enter__(self) -> Self:
        with self._inside():
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._program],
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE_S)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def _inside(self) -> AbstractContextManager[None]:
        return nullcontext() if self._netns is None else inside(self._netns)

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self.ended = True
            self._more.notify_all()

    def wait_line(self, pattern: str, count: int = 1) -> re.Match[str]:
        """The `count`th log line that matches, as soon as it is there."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            found[:] = [m for m in map(re.compile(pattern).search, self.lines) if m]
            return len(found) >= count or self.ended

        with self._more:
            self._more.wait_for(is_there, PATIENCE_S)
        if len(found) < count:
            raise AssertionError(f"no line {count} like {pattern!r} in:\n" + "\n".join(self.lines))
        return found[count - 1]

    def pid_of(self, part: str, count: int = 1) -> int:
        """The pid of the `count`th process of this name (`control`, `worker-0`)."""
        return int(self.wait_line(rf'started\tpart="{part}" pid=(\d+)', count)[1])

    def kill(self, part: str, count: int = 1) -> None:
        """kill -9."""
        os.kill(self.pid_of(part, count), signal.SIGKILL)

    def page(
        self, port: str, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """Status and body of a page of the newest control process; `port` is the page's kind."""
        status, octets = self._ask(port, path, method, headers or {})
        return status, octets.decode()

    def octets(self, port: str, path: str, headers: Mapping[str, str]) -> bytes:
        """The body of a page as it is on the wire."""
        return self._ask(port, path, "GET", headers)[1]

    def _ask(
        self, port: str, path: str, method: str, headers: Mapping[str, str]
    ) -> tuple[int, bytes]:
        started = len([line for line in self.lines if 'started\tpart="control"' in line])
        number = self.wait_line(rf"\tpages\t.*\b{port}=(\d+)", max(1, started))[1]
        connection = http.client.HTTPConnection("127.0.0.1", int(number), timeout=PATIENCE_S)
        try:
            with self._inside():
                connection.connect()
            connection.request(method, path, headers=dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def wait_ready(self) -> None:
        """Return when the readiness page says so."""
        until = time.monotonic() + PATIENCE_S
        answer = (0, "")
        while time.monotonic() < until:
            answer = self.page("readiness", "/healthz/ready")
            if answer == (200, "ready\n"):
                return
            threading.Event().wait(0.02)
        raise AssertionError(f"{answer}\n" + "\n".join(self.lines))

    def exit_code(self) -> int:
        """How it ends, as soon as it does."""
        return self.process.wait(PATIENCE_S)


def is_running(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
