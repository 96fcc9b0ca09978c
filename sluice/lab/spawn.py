"""Processes in the namespaces of a lab.

A throwaway thread goes into the namespaces and starts the child there, which stays; the keeper's
own threads never leave home.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from mesh.errors import MeshError
from mesh.runtime.mounts import open_own_mounts, own_mounts
from mesh.runtime.netns import enter, in_throwaway_thread
from sluice.lab.errors import PodRefusedError
from sluice.lab.files import FileMount, hide_namespaces, show
from sluice.lab.topology import opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """A process to be started."""

    words: tuple[str, ...]
    variables: Mapping[str, str]
    netns: Path
    log: Path
    folder: str = "/"
    files: tuple[FileMount, ...] | None = None
    """What it sees in place of the machine's files; None: the machine's mounts, not a copy."""
    passed: tuple[int, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started, and a descriptor of its mounts when it has its own."""

    process: "subprocess.Popen[bytes]"
    mounts: int | None

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and what it started; gone is fine."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    async def wait(self) -> int:
        """Its exit code, negative for a signal.

        Cancellation: the process goes on.
        """
        try:
            descriptor = os.pidfd_open(self.process.pid)
        except ProcessLookupError:
            return self.process.wait()
        try:
            await trio.lowlevel.wait_readable(descriptor)
        finally:
            os.close(descriptor)
        return self.process.wait()

    def close(self) -> None:
        """Let its mounts go."""
        if self.mounts is not None:
            os.close(self.mounts)


async def start(launch: Launch) -> Running:
    """Start a process in its namespaces, as the leader of a session of its own.

    Raises:
        PodRefusedError: no such program or folder, or the namespaces are gone.

    Cancellation: none while the process is being made.
    """
    return await trio.to_thread.run_sync(_start_blocking, launch)


def _start_blocking(launch: Launch) -> Running:
    def run() -> Running:
        with opened(launch.netns) as netns:
            enter(netns)
        mounts = None
        if launch.files is not None:
            own_mounts()
            hide_namespaces()
            show(launch.files)
            mounts = open_own_mounts()
        return Running(_child(launch), mounts)

    try:
        return in_throwaway_thread(run)
    except (OSError, MeshError) as error:
        raise PodRefusedError(f"{launch.words[0]}: {error}") from error


def _child(launch: Launch) -> "subprocess.Popen[bytes]":
    launch.log.parent.mkdir(parents=True, exist_ok=True)
    with launch.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - running what a manifest says is the lab's purpose
            launch.words,
            env=dict(launch.variables),
            cwd=launch.folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=launch.passed,
        )


async def run_in(
    netns: Path, words: tuple[str, ...], variables: Mapping[str, str], given: bytes
) -> tuple[int, bytes, bytes]:
    """Run a short program in a namespace, with octets as its input.

    Returns:
        Its exit code, output and errors.

    Raises:
        PodRefusedError: it cannot be started.

    Cancellation: the program is killed.
    """

    def begin() -> "subprocess.Popen[bytes]":
        with opened(netns) as descriptor:
            enter(descriptor)
        return subprocess.Popen(  # noqa: S603 - programs of the lab, chosen by its own code
            words,
            env=dict(variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    started: list[subprocess.Popen[bytes]] = []
    given_up = threading.Event()

    def whole() -> tuple[int, bytes, bytes]:
        with begin() as process:
            started.append(process)
            if given_up.is_set():
                process.kill()
            out, err = process.communicate(given)
        return process.returncode, out, err

    try:
        return await trio.to_thread.run_sync(in_throwaway_thread, whole, abandon_on_cancel=True)
    except (OSError, MeshError) as error:
        raise PodRefusedError(f"{words[0]}: {error}") from error
    except trio.Cancelled:
        # It may be starting just now: then its thread, which takes note of its end, kills it.
        given_up.set()
        for process in started:
            process.kill()
        raise
