"""The programs of the mesh in a lab: started in their namespaces, and again when they die."""

import logging
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from mesh.errors import MeshError
from mesh.runtime.backoff import doubling
from sluice.lab.errors import PodRefusedError
from sluice.lab.home import Home
from sluice.lab.spawn import Launch, Running, start

_FIRST_DELAY_S: Final = 0.2
_LONGEST_DELAY_S: Final = 5.0
_STEADY_S: Final = 10.0
_GLANCE_S: Final = 0.05
_LOOK_AGAIN_S: Final = 2.0
_GRACE_S: Final = 3.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One program: where it runs, how it is started, and how to see that it is ready."""

    name: str
    place: str
    words: tuple[str, ...]
    variables: Mapping[str, str]
    prepare: Callable[[], Awaitable[None]]
    """Returns when the program may be started; raises when that was not possible just now."""
    is_ready: Callable[[], Awaitable[bool]]


@dataclass(slots=True)
class ComponentRun:
    """What is known of one program."""

    name: str
    pid: int = 0
    """0 while it does not run."""
    is_ready: bool = False
    restarts: int = 0
    waits_for: str = "to be started"
    ready: trio.Event = field(default_factory=trio.Event)
    """Set when it was ready for the first time."""


async def keep(
    home: Home,
    component: Component,
    run: ComponentRun,
    on_change: Callable[[], None],
) -> None:
    """Run a program for ever.

    Args:
        home: of the lab.
        component: the program.
        run: kept up to date.
        on_change: called when `run.is_ready` has changed.

    Cancellation: ends the program, in three seconds at most.
    """
    delays = doubling(_FIRST_DELAY_S, _LONGEST_DELAY_S)
    while True:
        began = trio.current_time()
        try:
            await component.prepare()
            running = await start(_launch(home, component))
        except (OSError, MeshError) as error:
            run.waits_for = str(error)
            log.warning("%s: %s", component.name, error)
        else:
            run.waits_for = await _live(component, run, running, on_change)
            _note(home, component, run.waits_for)
            run.restarts += 1
        if trio.current_time() - began > _STEADY_S:
            delays = doubling(_FIRST_DELAY_S, _LONGEST_DELAY_S)
        await trio.sleep(next(delays))


def _launch(home: Home, component: Component) -> Launch:
    return Launch(
        words=component.words,
        variables=component.variables,
        netns=home.netns(component.place),
        log=home.log(component.name),
    )


def _note(home: Home, component: Component, words: str) -> None:
    log.warning("%s %s", component.name, words)
    with suppress(OSError), home.log(component.name).open("a") as file:
        file.write(f"--- {component.name} {words}\n")


async def _live(
    component: Component, run: ComponentRun, running: Running, on_change: Callable[[], None]
) -> str:
    """One life of a program; why it ended."""
    run.pid, run.waits_for = running.pid, "to be ready"
    try:
        async with trio.open_nursery() as watch:
            watch.start_soon(_watch, component, run, on_change)
            code = await running.wait()
            watch.cancel_scope.cancel()
    finally:
        running.signal(signal.SIGTERM)
        with trio.move_on_after(_GRACE_S, shield=True):
            await running.wait()
        running.signal(signal.SIGKILL)
        run.pid = 0
        _tell(run, on_change, is_ready=False)
    ending = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    return f"{ending}, and is started again"


def _tell(run: ComponentRun, on_change: Callable[[], None], *, is_ready: bool) -> None:
    if run.is_ready == is_ready:
        return
    run.is_ready = is_ready
    if is_ready:
        run.waits_for = ""
        run.ready.set()
    on_change()


async def _watch(component: Component, run: ComponentRun, on_change: Callable[[], None]) -> None:
    # Programs do not tell us that they are ready: they have a page to be asked, as in a cluster.
    while True:
        try:
            is_ready = await component.is_ready()
        except (OSError, MeshError, trio.BrokenResourceError, trio.TooSlowError):
            is_ready = False
        _tell(run, on_change, is_ready=is_ready)
        await trio.sleep(_LOOK_AGAIN_S if is_ready else _GLANCE_S)


async def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until something on the disk is so.

    Raises:
        PodRefusedError: it was not so in time; `what` says what was waited for.

    Cancellation: stops waiting.
    """
    with trio.move_on_after(seconds):
        while not condition():  # noqa: ASYNC110 - another program's file: nobody sets an event
            await trio.sleep(_GLANCE_S)
    if not condition():
        raise PodRefusedError(f"waits for {what}")
