"""Entry of the control process: `python -m waypoint.control ORDERS_FD`, by the supervisor."""

import os
import sys

from mesh.observe.collector import traffic_families
from mesh.observe.request_collector import request_families
from mesh.runtime.control import process
from mesh.runtime.control.pages import Pages
from mesh.runtime.control.stats import Stats
from mesh.runtime.control.supervisor_link import SupervisorLink
from waypoint.config import Config
from waypoint.control.admin import WaypointAdmin
from waypoint.control.app import Control


def _build(config: Config, supervisor: SupervisorLink) -> tuple[Pages, process.Work]:
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
    return pages, control.run


def main(arguments: list[str]) -> int:
    """Serve until the supervisor goes; EXIT_OPERATOR when it cannot begin, 2 is wrong use."""
    return process.run("waypoint", arguments, lambda: Config.from_env(os.environ), _build)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
