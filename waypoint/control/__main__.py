"""Entry of the control process: `python -m waypoint.control ORDERS_FD`, by the supervisor."""

import gc
import logging
import os
import signal
import sys

import trio

from mesh.errors import ConfigError
from mesh.observe.collector import traffic_families
from mesh.observe.request_collector import request_families
from mesh.runtime import logs
from mesh.runtime.control.pages import Pages, serving
from mesh.runtime.control.stats import Stats
from mesh.runtime.control.supervisor_link import SupervisorLink
from mesh.runtime.processes.orders import EXIT_OPERATOR
from waypoint.config import Config
from waypoint.control.admin import WaypointAdmin
from waypoint.control.app import Control

WRONG_USE = 2

log = logging.getLogger(__name__)


async def _serve(descriptor: int, config: Config) -> None:
    supervisor = SupervisorLink(descriptor)
    control = Control(config, supervisor)
    pages = Pages(
        WaypointAdmin(control, supervisor).page,
        Stats(
            "waypoint",
            control,
            control.workers,
            of_rows=(traffic_families, request_families),
            of_own=tuple if control.spans is None else control.spans.families,
        ).page,
        control.readiness.page,
    )
    async with serving(config.ports, pages, ipv6=config.ipv6_enabled):
        gc.collect()
        gc.freeze()
        await control.run()


def main(arguments: list[str]) -> int:
    """Serve until the supervisor goes; EXIT_OPERATOR when it cannot begin, 2 is wrong use."""
    if len(arguments) != 2 or not arguments[1].isdecimal():
        sys.stderr.write("usage: python -m waypoint.control ORDERS_FD (the supervisor does it)\n")
        return WRONG_USE
    # The supervisor decides when to end; a terminal's Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    config = Config.from_env(os.environ)
    logs.configure(config.log_levels, is_json=config.log_json)
    try:
        trio.run(_serve, int(arguments[1]), config)
    except* ConfigError as group:
        _say_all(group)
        return_code = EXIT_OPERATOR
    else:
        return_code = 0
    return return_code


def _say_all(group: BaseExceptionGroup[ConfigError]) -> None:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _say_all(error)
            continue
        for problem in error.problems:
            log.critical(problem, extra={"code": error.code})


if __name__ == "__main__":
    sys.exit(main(sys.argv))
