"""Builds the agent from its settings, and says who owns whom."""

import fcntl
import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from cni.agent import Agent
from cni.annotations import Annotations
from cni.attestation import attest_all
from cni.calls import Calls
from cni.doorbell import serve_doorbell
from cni.enrolment import Enrolment, served
from cni.install import Places, keep_installed
from cni.pods import Phase, Pods
from cni.settings import Settings
from cni.status import Status
from cni.world import World
from cni.zds_server import ZdsServer
from mesh.errors import ConfigError
from mesh.redirection.rules import Capture
from mesh.runtime.capture import try_capture
from mesh.runtime.http_server import HttpListenFailedError, listen_http, serve_http
from mesh.runtime.manifests import ManifestFolder, Snapshot
from mesh.runtime.manifests_write import PatchWriter

log = logging.getLogger(__name__)


class AgentAlreadyRunsError(ConfigError):
    """Another agent uses the same run directory."""

    code = "agent_already_runs"

    def __init__(self, run_dir: Path) -> None:
        """Keep the directory."""
        super().__init__((f"--run-dir {run_dir}: another agent uses it; end that one first",))
        self.run_dir = run_dir


class RunDirRefusedError(ConfigError):
    """The agent cannot keep files in its run directory."""

    code = "agent_run_dir_refused"

    def __init__(self, run_dir: Path, reason: str) -> None:
        """Keep the directory and the kernel's reason."""
        super().__init__((f"--run-dir {run_dir} ({reason}): give a folder that can be written",))
        self.run_dir, self.reason = run_dir, reason


class NotRootError(ConfigError):
    """The agent runs as a user who cannot enter pods."""

    code = "agent_not_root"

    def __init__(self) -> None:
        """There is nothing to keep."""
        super().__init__(("entering the namespaces of pods needs root: start the agent as root",))


@contextmanager
def alone(run_dir: Path) -> Iterator[None]:
    """Hold the run directory; the kernel gives it back, however this process ends.

    Raises:
        NotRootError: the agent could do nothing.
        AgentAlreadyRunsError: another process holds it.
        RunDirRefusedError: it cannot be made or written.
    """
    if os.geteuid():
        raise NotRootError
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(run_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise RunDirRefusedError(run_dir, error.strerror or str(error)) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise AgentAlreadyRunsError(run_dir) from None
    try:
        yield
    finally:
        os.close(lock)


async def run(settings: Settings) -> None:
    """Be the agent until a signal says to end. Everything that it did stays in force.

    Raises:
        MeshError: something that it cannot be without is not to be had.

    Cancellation: as a signal.
    """
    await trio.to_thread.run_sync(try_capture, Capture(dns=settings.dns_capture))
    status = Status()
    pods = Pods(settings.run_dir / "pods")
    pods.load()
    world = World(
        Snapshot(),
        settings.node,
        settings.root_namespace,
        settings.excluded,
        settings.dns_capture,
    )

    def changed() -> None:
        status.show(ztunnel_connected=proxies.connected)
        agent.wake()

    proxies = ZdsServer(lambda: served(pods), changed)
    annotations = Annotations(PatchWriter(settings.manifests, f"agent-{settings.node}"))
    # One whose enrolment was not finished is told when it is.
    annotations.only([p for p in pods if p.phase is Phase.ENROLLED and p.earlier is not None])
    agent = Agent(world, pods, Enrolment(pods, proxies, annotations), status)
    calls = Calls(agent, proxies, settings.manifests)
    places = Places(
        net_dir=settings.net_dir,
        bin_dir=settings.bin_dir,
        run_dir=settings.run_dir,
        excluded=settings.excluded,
    )
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_serve_status, settings.status_port, status)
            nursery.start_soon(ManifestFolder(settings.manifests).watch, agent.take)
            await nursery.start(proxies.serve, settings.zds_socket)
            await nursery.start(serve_doorbell, settings.run_dir / "pluginevent.sock", calls.answer)
            status.is_listening = True
            nursery.start_soon(agent.reconcile)
            nursery.start_soon(attest_all, agent, settings.attest_s)
            # Last: a runtime that finds the plugin finds everything behind it.
            nursery.start_soon(keep_installed, places, status)
            log.info("agent of %s, for the manifests in %s", settings.node, settings.manifests)
            async for number in signals:
                log.info("%s: the agent ends; its pods stay in the mesh", signal.strsignal(number))
                nursery.cancel_scope.cancel()


async def _serve_status(port: int, status: Status) -> None:
    try:
        listeners = await listen_http("", port)
    except HttpListenFailedError as error:
        # Pods matter more than numbers about them.
        log.error("no metrics and no readiness page: %s", error, extra={"code": error.code})  # noqa: TRY400
        return
    await serve_http(listeners, status.page)
