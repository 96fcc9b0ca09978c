"""A lab as its user sees it: the command, and programs inside of pods."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.repo.tree import ROOT

SLUICE = Path(sys.executable).with_name("sluice")
EXAMPLES = ROOT / "examples"
UP_SECONDS = 60
Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class LabFailedError(Exception):
    """A command of the lab failed; the text holds all that it said."""


@dataclass(frozen=True)
class Lab:
    """A running lab by name."""

    name: str

    def run(
        self, *words: str, given: str | None = None, seconds: float = 30
    ) -> subprocess.CompletedProcess[str]:
        """`sluice lab WORDS --name NAME`, whatever its exit code."""
        options = ("--name", self.name)
        command, *rest = words
        return subprocess.run(
            [SLUICE, "lab", command, *options, *rest],
            input=given if given is not None else "",
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def must(self, *words: str, given: str | None = None, seconds: float = 30) -> str:
        """The same, and it has to succeed: its standard output."""
        done = self.run(*words, given=given, seconds=seconds)
        if done.returncode != 0:
            raise LabFailedError(
                f"{' '.join(words)}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done.stdout

    def apply(self, manifest: str) -> None:
        """Create or update objects, and wait until every proxy has them."""
        self.must("apply", "-f", "-", given=manifest)

    def exec(self, where: str, *command: str, seconds: float = 20) -> str:
        """Run something in a pod; it has to succeed."""
        return self.must("exec", where, "--", *command, seconds=seconds)

    def curl(self, where: str, url: str, *more: str) -> dict[str, Json]:
        """What the echo server answers."""
        answer: dict[str, Json] = json.loads(
            self.exec(where, "curl", "-sS", "--max-time", "5", *more, url)
        )
        return answer

    def refused(self, where: str, url: str) -> bool:
        """Whether a connection gets nothing back."""
        done = self.run("exec", where, "--", "curl", "-sS", "--max-time", "5", url)
        return done.returncode in {7, 52, 56}  # refused, empty answer, reset

    def status(self) -> dict[str, Json]:
        """`sluice lab status -o json`."""
        found: dict[str, Json] = json.loads(self.must("status", "-o", "json"))
        return found

    def component(self, name: str) -> int:
        """The process id of a component by its name in `status`."""
        components = self.status()["components"]
        if not isinstance(components, list):
            raise LabFailedError(f"no components: {components}")
        for one in components:
            if isinstance(one, dict) and one["name"] == name and isinstance(one["pid"], int):
                return one["pid"]
        raise LabFailedError(f"no component {name} in {components}")

    @contextmanager
    def program(
        self, where: str, *command: str, env: Mapping[str, str] | None = None
    ) -> Iterator["Program"]:
        """A program that runs in a pod until the block ends."""
        process = subprocess.Popen(
            [SLUICE, "lab", "exec", "--name", self.name, where, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        try:
            yield Program(process)
        finally:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass(frozen=True)
class Program:
    """A running program that is talked to line by line."""

    process: subprocess.Popen[str]

    def say(self, line: str) -> None:
        """Give it a line."""
        if self.process.stdin is None:
            raise LabFailedError("no standard input")
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self) -> str:
        """Its next line; empty at its end."""
        if self.process.stdout is None:
            raise LabFailedError("no standard output")
        return self.process.stdout.readline().rstrip("\n")

    def asks(self, line: str) -> str:
        """Give it a line and take one back."""
        self.say(line)
        return self.hear()


# Echoes lines to a server and back: what stays open while things change around it.
LINES = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as end:
    lines = end.makefile("rw")
    print(lines.readline().rstrip() if sys.argv[3] == "greeted" else "open", flush=True)
    for line in sys.stdin:
        lines.write(line)
        lines.flush()
        answer = lines.readline()
        print(answer.rstrip() or "closed", flush=True)
"""

# Serves lines to whoever connects, upper-cased.
SERVER = """
import socketserver, sys
class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    address_family = __import__("socket").AF_INET6
Server(("::", int(sys.argv[1])), Handler).serve_forever()
"""


def wait_until(what: str, holds: Callable[[], bool], seconds: float = 10) -> None:
    """Look again and again, since processes that were killed tell nobody when they are back."""
    ends = time.monotonic() + seconds
    pause = threading.Event()
    while not holds():
        if time.monotonic() > ends:
            raise LabFailedError(f"not within {seconds:g} s: {what}")
        pause.wait(0.05)


def child_of(supervisor: int, module: str) -> int:
    """The supervisor's child that runs a module; 0 when there is none."""
    for entry in os.listdir("/proc"):  # noqa: PTH208 - numbers are wanted, not paths
        if not entry.isdecimal():
            continue
        try:
            with open(f"/proc/{entry}/stat") as stat:  # noqa: PTH123 - short-lived files
                parent = int(stat.read().rpartition(")")[2].split()[1])
            with open(f"/proc/{entry}/cmdline", "rb") as command:  # noqa: PTH123
                words = command.read().split(b"\0")
        except OSError:
            continue
        if parent == supervisor and module.encode() in words:
            return int(entry)
    return 0


@contextmanager
def lab(
    name: str, *manifests: Path, nodes: int = 2, mesh_config: Path | None = None
) -> Iterator[Lab]:
    """A lab, up and down again."""
    made = Lab(name)
    words = [word for path in manifests for word in ("-f", str(path))]
    words += ["--mesh-config", str(mesh_config)] if mesh_config else []
    try:
        made.must("up", "--nodes", str(nodes), *words, seconds=UP_SECONDS)
        yield made
    finally:
        made.must("down", seconds=UP_SECONDS)
