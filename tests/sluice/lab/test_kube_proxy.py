"""Where connections to services go: the endpoints, and the table that nft is given."""

from pathlib import Path

import pytest

from sluice.lab.kube_proxy import Back, Front, fronts, rules
from sluice.lab.objects import node_of
from tests.sluice.lab.worlds import SHOP, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.apply(SHOP)
    return made


def test_a_service_leads_to_its_ready_endpoints(world: World) -> None:
    one, two = world.objects.of("Pod", "shop")
    world.run(one, 2)
    world.run(two, 3, is_ready=False)

    found = fronts(world.objects, "node-1")

    assert found[Front("10.96.1.0", "tcp", 80)] == [Back("10.244.1.2", 3000)]
    assert found[Front("10.96.0.10", "udp", 53)] == [Back("172.30.1.1", 53)]


def test_a_local_service_leads_to_the_nodes_own_endpoints(world: World) -> None:
    world.apply(SHOP.replace("spec: {selector", "spec: {internalTrafficPolicy: Local, selector"))
    here, there = sorted(world.objects.of("Pod", "shop"), key=node_of)
    world.run(here, 2)
    world.run(there, 3)
    front = Front("10.96.1.0", "tcp", 80)

    assert fronts(world.objects, "node-1")[front] == [Back("10.244.1.2", 3000)]
    assert fronts(world.objects, "node-2")[front] == [Back("10.244.1.3", 3000)]
    assert fronts(world.objects, "node-3")[front] == []


def test_the_table_names_fronts_and_backs_and_leaves_out_who_has_none() -> None:
    text = rules(
        {
            Front("10.96.1.0", "tcp", 80): [Back("10.244.1.2", 3000), Back("10.244.2.2", 3000)],
            Front("10.96.1.1", "tcp", 80): [],
            Front("fd00:10:96::100", "udp", 53): [Back("fd00:10:244:1::2", 53)],
        }
    )

    assert "10.96.1.0 . tcp . 80 : goto to-10-96-1-0-tcp-80" in text
    assert "map { 0 : 10.244.1.2 . 3000, 1 : 10.244.2.2 . 3000 }" in text
    assert "meta l4proto udp dnat ip6 to numgen random mod 1" in text
    assert "10.96.1.1" not in text
