"""Who has acknowledged what, by the control plane's own words."""

import pytest

from mesh.model.fields import Json
from sluice.lab.settle import unacknowledged

NODES = ("node-1", "node-2")


def page(generation: int, *clients: dict[str, Json]) -> dict[str, Json]:
    return {"generation": generation, "problems": [], "clients": [*clients]}


def client(node: str, acked: int, *, connected: bool = True, rejected: str = "") -> dict[str, Json]:
    return {
        "node": node,
        "address": "172.30.0.1:1",
        "connected": connected,
        "acked_generation": acked,
        "rejected": rejected,
    }


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        (page(7, client("node-1", 7), client("node-2", 8)), []),
        (page(6, client("node-1", 7)), ["control: to read generation 7, is at 6"]),
        (page(7, client("node-1", 7)), ["ztunnel@node-2: to be connected to the control plane"]),
        (
            page(7, client("node-1", 7), client("node-2", 7, connected=False)),
            ["ztunnel@node-2: to be connected to the control plane"],
        ),
        (page(7, client("node-1", 6), client("node-2", 7)), ["ztunnel@node-1: to acknowledge"]),
        (
            page(9, client("node-1", 3, rejected="bad policy"), client("node-2", 9)),
            ["ztunnel@node-1: rejects it: bad policy"],
        ),
    ],
)
def test_what_is_missing_is_named(said: dict[str, Json], missing: list[str]) -> None:
    assert [*unacknowledged(said, NODES, (), 7)] == missing


def test_a_waypoint_is_waited_for_by_its_pod_beside_the_proxy_of_its_node() -> None:
    proxy = {**client("node-1", 7), "kind": "ztunnel", "pod": "istio-system/ztunnel-node-1"}
    waypoint = {**client("node-1", 6), "kind": "waypoint", "pod": "shop/way-1"}

    said = page(7, proxy, waypoint)
    missing = [*unacknowledged(said, ("node-1",), ("shop/way-1", "shop/way-2"), 7)]
    assert missing == [
        "shop/way-1: to acknowledge",
        "shop/way-2: to be connected to the control plane",
    ]
