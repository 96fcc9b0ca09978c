"""A container: a process in its pod's namespaces, started again when it ends."""

import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.model.fields import Part
from mesh.model.kubernetes import KubernetesObject
from mesh.runtime.backoff import doubling
from sluice.lab.echo import __main__ as echo
from sluice.lab.echo.settings import MODULES, READY
from sluice.lab.environment import expanded, variables_of
from sluice.lab.errors import PodRefusedError
from sluice.lab.files import RESOLV_CONF, FileMount
from sluice.lab.home import LAB_VARIABLE, Home
from sluice.lab.images import image_name, is_echo, is_waypoint
from sluice.lab.mesh import program
from sluice.lab.mesh import variables as mesh_variables
from sluice.lab.objects import Objects
from sluice.lab.pod_run import ContainerRun, PodRun
from sluice.lab.probes import ask, listens
from sluice.lab.spawn import Launch, Running, start
from sluice.lab.volumes import mounts_of, renew_tokens, write_volumes

FIRST_DELAY_S: Final = 0.5
LONGEST_DELAY_S: Final = 10.0
_STEADY_S: Final = 10.0
"""A container that ran so long is started again at once when it ends."""

_PORTS_S: Final = 5.0
"""How long a container without a probe may take until its declared ports listen."""

_GLANCE_S: Final = 0.03
_IMPATIENT_S: Final = 0.2
"""Between the probes of a container that is not ready yet; afterwards as its manifest says."""


@dataclass(frozen=True, slots=True)
class Means:
    """What containers are made with."""

    home: Home
    objects: Objects
    variables: Mapping[str, str]
    """Of the keeper: what a container has before its own."""
    now: Callable[[], str]
    report: Callable[[PodRun], None]


def _launch(
    means: Means, run: PodRun, pod: KubernetesObject, container: Part, passed: int
) -> Launch:
    home = means.home
    variables = dict(means.variables)
    variables |= {"HOSTNAME": pod.key.name, LAB_VARIABLE: home.lab}
    variables |= variables_of(container, pod, means.objects)
    words = container.texts("command") + container.texts("args")
    passed_on: tuple[int, ...] = ()
    if not container.items("command") and is_echo(container.text("image")):
        # No site packages: the echo finds what it needs itself, and starts in a third of the time.
        image = image_name(container.text("image"))
        words = [sys.executable, "-SEI", str(Path(echo.__file__)), image, *container.texts("args")]
        variables = _echo_variables(variables, pod, passed)
        passed_on = (passed,)
    elif not container.items("command") and is_waypoint(container.text("image")):
        words = [*program("waypoint"), *container.texts("args")]
        variables = {**mesh_variables(home), "WAYPOINT_WORKER_THREADS": "1", **variables}
    folders = write_volumes(home, pod, means.objects)
    files = [FileMount(home.resolv_conf(run.place), RESOLV_CONF)]
    files += mounts_of(home, container, folders)
    return Launch(
        words=tuple(expanded(word, variables) for word in words),
        variables=variables,
        netns=home.netns(run.place),
        log=home.log(f"{run.key.namespace}/{run.key.name}"),
        folder=container.text("workingDir", "/"),
        files=tuple(files),
        passed=passed_on,
    )


def _echo_variables(variables: dict[str, str], pod: KubernetesObject, ready: int) -> dict[str, str]:
    known = {"NAMESPACE": pod.key.namespace, "POD_NAME": pod.key.name, "SERVICE_NAME": ""}
    return {**known, **variables, READY: str(ready), MODULES: _module_folders()}


def _module_folders() -> str:
    ours = str(Path(echo.__file__).parents[3])
    return os.pathsep.join({ours, sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})


async def run_container(means: Means, run: PodRun, pod: KubernetesObject, container: Part) -> None:
    """Run a container until its restart policy says that it has ended.

    Cancellation: the process goes on; whoever cancels ends it.
    """
    state = run.containers[container.text("name")]
    policy = pod.at("spec").text("restartPolicy", "Always")
    delays = doubling(FIRST_DELAY_S, LONGEST_DELAY_S)
    while True:
        began = trio.current_time()
        code = await _run_once(means, run, pod, container, state)
        if code is not None and (policy == "Never" or (policy == "OnFailure" and code == 0)):
            state.waits_for = ""
            means.report(run)
            return
        if trio.current_time() - began > _STEADY_S:
            delays = doubling(FIRST_DELAY_S, LONGEST_DELAY_S)
        state.restarts += 1
        means.report(run)
        await trio.sleep(next(delays))


async def _run_once(
    means: Means, run: PodRun, pod: KubernetesObject, container: Part, state: ContainerRun
) -> int | None:
    """The exit code of one life of a container; None when it could not even be started."""
    readable, writable = os.pipe()
    try:
        try:
            launch = _launch(means, run, pod, container, writable)
            running = await start(launch)
        except (OSError, MeshError) as error:
            state.waits_for = str(error)
            return None
        finally:
            os.close(writable)
        state.running, state.began, state.waits_for = running, means.now(), "to be ready"
        means.report(run)
        async with trio.open_nursery() as watch:
            watch.start_soon(_watch, means, run, container, readable)
            watch.start_soon(renew_tokens, means.home, pod, means.objects)
            code = await running.wait()
            watch.cancel_scope.cancel()
    finally:
        os.close(readable)
    _ended(state, running, code)
    return code


def _ended(state: ContainerRun, running: Running, code: int) -> None:
    running.close()
    state.running, state.is_ready, state.exit_code = None, False, code
    state.waits_for = f"its process ended with exit code {code}, and is started again"


async def _watch(means: Means, run: PodRun, container: Part, readable: int) -> None:
    state = run.containers[container.text("name")]
    if container.has("readinessProbe"):
        await _follow_probe(means, run, container, state)
        return
    if is_echo(container.text("image")) and not container.items("command"):
        await trio.lowlevel.wait_readable(readable)
        if not os.read(readable, 1):
            return  # it ended before it listened
    else:
        await _wait_ports(means, run, container)
    _tell(means, run, state, is_ready=True)


def _tell(means: Means, run: PodRun, state: ContainerRun, *, is_ready: bool) -> None:
    if state.is_ready != is_ready:
        state.is_ready = is_ready
        state.waits_for = "" if is_ready else "its readiness probe"
        means.report(run)


async def _wait_ports(means: Means, run: PodRun, container: Part) -> None:
    # Without a probe Kubernetes would say ready at once; whoever asks right after `lab apply` is
    # better served by a server that listens. Nothing tells, hence the glances.
    ports = [
        port.number("containerPort")
        for port in container.parts("ports")
        if port.text("protocol", "TCP") == "TCP"
    ]
    with trio.move_on_after(_PORTS_S):
        while ports and not listens(means.home.netns(run.place), ports):  # noqa: ASYNC110 - see above
            await trio.sleep(_GLANCE_S)


async def _follow_probe(means: Means, run: PodRun, container: Part, state: ContainerRun) -> None:
    probe = container.at("readinessProbe")
    failures = 0
    address = run.address.v4 if run.address else ""
    node, pod = means.home.netns(run.node), means.home.netns(run.place)
    await trio.sleep(probe.number("initialDelaySeconds"))
    while True:
        if await ask(node, pod, address, container):
            failures = 0
            _tell(means, run, state, is_ready=True)
        else:
            failures += 1
            if failures >= probe.number("failureThreshold", 3) or not state.is_ready:
                state.waits_for = "its readiness probe"
                _tell(means, run, state, is_ready=False)
        await trio.sleep(probe.number("periodSeconds", 10) if state.is_ready else _IMPATIENT_S)


async def run_first(means: Means, run: PodRun, pod: KubernetesObject) -> None:
    """Run the containers that must have ended well before the others begin, one after the other.

    Cancellation: the process goes on; whoever cancels ends it.
    """
    for container in pod.at("spec").parts("initContainers"):
        name = container.text("name")
        state = run.containers[name] = ContainerRun(name, container.text("image"))
        delays = doubling(FIRST_DELAY_S, LONGEST_DELAY_S)
        while await _run_once(means, run, pod, container, state) != 0:
            if pod.at("spec").text("restartPolicy") == "Never":
                raise PodRefusedError(f"init container {name}: exit code {state.exit_code}")
            state.restarts += 1
            means.report(run)
            await trio.sleep(next(delays))
        del run.containers[name]
