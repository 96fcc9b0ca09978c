"""The processes of a benchmark: started in a namespace, measured from /proc, ended by their id."""

import os
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Final

TICKS: Final = os.sysconf("SC_CLK_TCK")


class Started:
    """A running process; its output is kept, since a full pipe would stop it."""

    def __init__(
        self, command: list[str], *, keep: tuple[int, ...] = (), env: dict[str, str] | None = None
    ) -> None:
        """Start it.

        Args:
            command: program and arguments.
            keep: descriptors that it inherits.
            env: its whole environment; None is ours.
        """
        self.command = command
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            pass_fds=keep,
            env=env,
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its id."""
        return self.process.pid

    def _read(self, output: IO[str]) -> None:
        for line in output:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait_line(self, containing: str, seconds: float = 10) -> str:
        """Wait until it has said something.

        Raises:
            RuntimeError: it ended, or was silent for too long; the message has its last lines.
        """
        return self.wait_for(lambda line: containing in line, 0, seconds, containing)

    def wait_for(
        self, wanted: Callable[[str], bool], first: int, seconds: float, what: str = "such line"
    ) -> str:
        """Wait for a line; `first` is the number of lines that are not looked at.

        Raises:
            RuntimeError: it ended, or was silent for too long; the message has its last lines.
        """
        with self._changed:
            while True:
                for line in self.lines[first:]:
                    if wanted(line):
                        return line
                first = len(self.lines)
                if self._ended or not self._changed.wait(seconds):
                    last = "\n".join(self.lines[-20:])
                    words = " ".join(map(str, self.command))
                    raise RuntimeError(f"no {what!r} from {words}:\n{last}")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss_octets(pid: int) -> int:
    """Its proportional share of memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no Pss in /proc/{pid}/smaps_rollup")
