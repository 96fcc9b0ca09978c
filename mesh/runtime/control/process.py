"""What a control process does around its work: `python -m PROGRAM.control ORDERS_FD`."""

import gc
import logging
import signal
import sys
from collections.abc import Awaitable, Callable
from typing import Final, Protocol, TypeVar

import trio

from mesh.errors import ConfigError
from mesh.runtime import logs
from mesh.runtime.control.pages import Pages, serving
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.processes.orders import EXIT_OPERATOR
from mesh.runtime.settings import Ports

WRONG_USE: Final = 2

log = logging.getLogger(__name__)


class Settings(Protocol):
    """What every program's settings say of its control process."""

    @property
    def log_levels(self) -> str:
        """As `logs.configure` takes them."""

    @property
    def log_json(self) -> bool:
        """JSON lines rather than plain ones."""

    @property
    def ports(self) -> Ports:
        """Of the pages."""

    @property
    def ipv6_enabled(self) -> bool:
        """Whether the pages listen on IPv6 too."""


Work = Callable[[], Awaitable[None]]
"""Runs until the supervisor goes."""

SomeSettings = TypeVar("SomeSettings", bound=Settings)


def run(
    program: str,
    arguments: list[str],
    settings: Callable[[], SomeSettings],
    build: Callable[[SomeSettings, SupervisorLink], tuple[Pages, Work]],
) -> int:
    """Serve until the supervisor goes; EXIT_OPERATOR when it cannot begin, 2 is wrong use.

    Args:
        program: Its package.
        arguments: As of `sys.argv`.
        settings: Reads them.
        build: Makes the parts. Both it and the work, which the pages are open before, may raise
            ConfigError.
    """
    if len(arguments) != 2 or not arguments[1].isdecimal():
        usage = f"usage: python -m {program}.control ORDERS_FD (the supervisor does it)\n"
        sys.stderr.write(usage)
        return WRONG_USE
    # The supervisor decides when to end; a terminal's Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = settings()
    logs.configure(config.log_levels, is_json=config.log_json)
    try:
        trio.run(_serve, int(arguments[1]), config, build)
    except* ConfigError as group:
        _say_all(group)
        return_code = EXIT_OPERATOR
    else:
        return_code = 0
    return return_code


async def _serve(
    descriptor: int,
    config: SomeSettings,
    build: Callable[[SomeSettings, SupervisorLink], tuple[Pages, Work]],
) -> None:
    pages, work = build(config, SupervisorLink(descriptor))
    async with serving(config.ports, pages, ipv6=config.ipv6_enabled):
        gc.collect()
        gc.freeze()
        await work()


def _say_all(group: BaseExceptionGroup[ConfigError]) -> None:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _say_all(error)
            continue
        for problem in error.problems:
            log.critical(problem, extra={"code": error.code})
