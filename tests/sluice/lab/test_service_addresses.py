"""Which addresses services get."""

from pathlib import Path

import pytest

from mesh.errors import ConfigError
from sluice.lab.service_addresses import cluster_ips
from tests.sluice.lab.worlds import World

SERVICE = """
apiVersion: v1
kind: Service
metadata: {name: %s}
spec: {ports: [{port: 80}]%s}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def ips(world: World, name: str, more: str = "") -> list[str]:
    world.apply(SERVICE % (name, more))
    found = world.objects.find("Service", "default", name)
    assert found
    return cluster_ips(found)


def test_each_service_has_an_address_of_its_own_and_keeps_it(world: World) -> None:
    assert ips(world, "one") == ["10.96.1.0"]
    assert ips(world, "two") == ["10.96.1.1"]
    assert ips(world, "one", ", selector: {a: b}") == ["10.96.1.0"]


def test_a_service_of_both_families_has_two(world: World) -> None:
    both = ips(world, "both", ", ipFamilyPolicy: PreferDualStack")

    assert both == ["10.96.1.0", "fd00:10:96::100"]
    assert ips(world, "six", ", ipFamilies: [IPv6]") == ["fd00:10:96::101"]


def test_a_headless_service_has_none(world: World) -> None:
    assert ips(world, "headless", ", clusterIP: None") == []


def test_an_address_that_is_asked_for_is_given(world: World) -> None:
    assert ips(world, "asks", ", clusterIP: 10.96.7.7") == ["10.96.7.7"]


@pytest.mark.parametrize("asked", ["10.96.0.10", "192.0.2.1", "ten"])
def test_an_address_that_cannot_be_is_refused(world: World, asked: str) -> None:
    with pytest.raises(ConfigError, match=r"spec\.clusterIP"):
        ips(world, "asks", f", clusterIP: {asked}")


def test_defaults_are_as_an_api_server_writes_them(world: World) -> None:
    ips(world, "one")

    found = world.objects.find("Service", "default", "one")
    assert found
    assert found.get("spec", "ports", 0) == {"protocol": "TCP", "targetPort": 80, "port": 80}
    assert found.get("spec", "type") == "ClusterIP"
    assert found.get("spec", "ipFamilyPolicy") == "SingleStack"
