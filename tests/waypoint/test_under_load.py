"""What changes in a waypoint while a client asks without pause: no request fails."""

from pathlib import Path

import pytest

from mesh.model.workload import AppProtocol
from tests.waypoint.badness import good, spoken, undisturbed
from tests.waypoint.edge import IDENTITY, edge
from tests.ztunnel.worker.town import Town

pytestmark = [pytest.mark.netns, pytest.mark.slow]

FINE = "10.80.0.80"


def test_certificates_are_renewed_and_control_is_killed(place: Town, tmp_path: Path) -> None:
    with edge(place, tmp_path) as running:
        running.plane.lasts_s = 4.0
        running.proxy.wait_ready()
        fine, pods = spoken(running, "fine", FINE, "bakery", AppProtocol.HTTP11)
        running.tell(pods, [fine])
        with place.pod("bakery").serving(8080, good), undisturbed(running, FINE):
            running.proxy.wait_line(rf'certificate\tidentity="{IDENTITY}"', 3)
            running.proxy.kill("control")
            running.proxy.wait_line(r'started\tpart="control"', 2)
            running.proxy.wait_line("worker is here", 2)
            running.proxy.wait_line(rf'certificate\tidentity="{IDENTITY}"', 4)
