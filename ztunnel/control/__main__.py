"""Entry of the control process: `python -m ztunnel.control ORDERS_FD`, by the supervisor."""

import os
import sys

from mesh.observe.collector import traffic_families
from mesh.observe.dns_metrics import dns_families
from mesh.runtime.control import process
from mesh.runtime.control.pages import Pages
from mesh.runtime.control.stats import Stats
from mesh.runtime.control.supervisor_link import SupervisorLink
from ztunnel.config import Config
from ztunnel.control import local_state
from ztunnel.control.admin import NodeAdmin
from ztunnel.control.app import Control, warn_all
from ztunnel.control.stats import pod_families


def _build(config: Config, supervisor: SupervisorLink) -> tuple[Pages, process.Work]:
    warn_all(config.warnings)
    control = Control(config, supervisor, local_state.load(config))
    pages = Pages(
        NodeAdmin(control, supervisor).page,
        Stats(
            "ztunnel",
            control,
            control.workers,
            of_rows=(traffic_families, dns_families),
            of_own=lambda: pod_families(control.pods, control.workers),
        ).page,
        control.readiness.page,
    )
    return pages, control.run


def main(arguments: list[str]) -> int:
    """Serve until the supervisor goes; EXIT_OPERATOR when it cannot begin, 2 is wrong use."""
    return process.run("ztunnel", arguments, lambda: Config.from_env(os.environ), _build)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
