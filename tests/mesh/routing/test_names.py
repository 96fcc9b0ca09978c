"""Which names are the mesh's, spelled in every way, and which addresses they have."""

import pytest

from mesh.model.address import format_ip
from mesh.model.workload import (
    HealthPolicy,
    IpFamilies,
    NetworkAddress,
    Service,
    Visibility,
    Workload,
    WorkloadStatus,
)
from mesh.routing.names import Naming, OwnName, resolve
from tests.mesh.worlds import pod, service, world

ZONE = "svc.cluster.local"
CLIENT = pod("web", "10.0.0.9")


def kube(name: str, *vips: str, namespace: str = "shop", **words: object) -> Service:
    host = f"{name}.{namespace}.{ZONE}"
    return service(name, *vips, namespace=namespace, hostname=host, canonical=True, **words)  # type: ignore[arg-type]


def outside(host: str, *vips: str, namespace: str = "shop", **words: object) -> Service:
    return service(host, *vips, namespace=namespace, hostname=host, **words)  # type: ignore[arg-type]


def asked(
    name: str,
    *resources: Service | Workload,
    octets: int = 4,
    client: Workload = CLIENT,
    naming: Naming | None = None,
) -> tuple[str, list[str]] | None:
    """The alias and the addresses, or None for a name that is not ours."""
    found: OwnName | None = resolve(world(*resources), naming or Naming(), client, name, octets)
    return None if found is None else (found.alias, [format_ip(ip) for ip in found.addresses])


SHOP = kube("cart", "10.96.0.1", "fd00::1")
BANK = kube("vault", "10.96.0.2", namespace="bank")


@pytest.mark.parametrize(
    ("name", "alias", "address"),
    [
        (f"cart.shop.{ZONE}", "", "10.96.0.1"),
        ("cart", "", "10.96.0.1"),
        ("cart.shop", "", "10.96.0.1"),
        ("cart.shop.svc", "", "10.96.0.1"),
        ("vault.bank", "", "10.96.0.2"),
        ("vault.bank.svc", "", "10.96.0.2"),
        (f"vault.bank.{ZONE}", "", "10.96.0.2"),
        # What a search list makes of a whole name is that name.
        (f"db.example.com.shop.{ZONE}", "db.example.com", "10.96.0.3"),
        (f"db.example.com.{ZONE}", "db.example.com", "10.96.0.3"),
        ("db.example.com.cluster.local", "db.example.com", "10.96.0.3"),
        (f"cart.shop.{ZONE}.shop.{ZONE}", f"cart.shop.{ZONE}", "10.96.0.1"),
        ("db.example.com", "", "10.96.0.3"),
    ],
)
def test_a_service_is_found_by_every_form_of_its_name(name: str, alias: str, address: str) -> None:
    database = outside("db.example.com", "10.96.0.3")
    assert asked(name, SHOP, BANK, database) == (alias, [address])


@pytest.mark.parametrize(
    "name",
    [
        "",
        "vault",
        f"vault.shop.{ZONE}",
        "cart.bank",
        "example.com",
        "com",
        f"nobody.shop.{ZONE}",
        "cluster.local",
        f"cart.shop.{ZONE}.",
        "xdb.example.com",
        f"cart.shop.{ZONE}.example.com",
    ],
)
def test_other_names_are_not_ours(name: str) -> None:
    assert asked(name, SHOP, BANK, outside("db.example.com", "10.96.0.3")) is None


def test_a_family_that_a_service_has_not_is_an_empty_answer() -> None:
    assert asked("cart", SHOP, octets=16) == ("", ["fd00::1"])
    assert asked("vault.bank", BANK, octets=16) == ("", [])


@pytest.mark.parametrize(
    ("families", "four", "six"),
    [
        (IpFamilies.AUTOMATIC, ["10.96.0.1"], ["fd00::1"]),
        (IpFamilies.DUAL, ["10.96.0.1"], ["fd00::1"]),
        (IpFamilies.IPV4_ONLY, ["10.96.0.1"], []),
        (IpFamilies.IPV6_ONLY, [], ["fd00::1"]),
    ],
)
def test_a_services_families_bound_the_answer(
    families: IpFamilies, four: list[str], six: list[str]
) -> None:
    cart = kube("cart", "10.96.0.1", "fd00::1", families=families)
    assert asked("cart", cart) == ("", four)
    assert asked("cart", cart, octets=16) == ("", six)


def test_without_ipv6_there_are_no_addresses_of_it() -> None:
    assert asked("cart", SHOP, octets=16, naming=Naming(ipv6=False)) == ("", [])
    assert asked("cart", SHOP, naming=Naming(ipv6=False)) == ("", ["10.96.0.1"])


def test_addresses_on_another_network_are_none() -> None:
    far = kube("cart", "10.96.0.1", network="west")
    assert asked("cart", far) == ("", [])
    assert asked("cart", far, client=pod("web", "10.0.0.9", network="west")) == (
        "",
        ["10.96.0.1"],
    )
    assert asked("cart", far, naming=Naming(network="west")) == ("", ["10.96.0.1"])


def test_a_range_is_no_answer() -> None:
    assert asked("db.example.com", outside("db.example.com", "10.7.0.0/16")) is None
    both = outside("db.example.com", "10.7.0.0/16", "10.96.0.3")
    assert asked("db.example.com", both) == ("", ["10.96.0.3"])


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("a.example.com", "10.96.0.4"),
        ("a.b.example.com", "10.96.0.4"),
        ("deep.west.example.com", "10.96.0.5"),
        ("west.example.com", "10.96.0.4"),
        (f"a.example.com.shop.{ZONE}", "10.96.0.4"),
        ("exact.example.com", "10.96.0.6"),
    ],
)
def test_a_wildcard_answers_for_what_is_below_it_the_longest_first_and_never_as_an_alias(
    name: str, address: str
) -> None:
    entries = (
        outside("*.example.com", "10.96.0.4"),
        outside("*.west.example.com", "10.96.0.5"),
        outside("exact.example.com", "10.96.0.6"),
    )
    assert asked(name, *entries) == ("", [address])


def test_a_wildcard_is_not_its_own_domain() -> None:
    assert asked("example.com", outside("*.example.com", "10.96.0.4")) is None


def test_a_wildcard_within_the_cluster_is_found_by_short_names() -> None:
    assert asked("any.shop", outside(f"*.shop.{ZONE}", "10.96.0.4")) == ("", ["10.96.0.4"])


def test_a_name_as_it_is_goes_before_what_it_could_be_completed_to() -> None:
    entry = outside("cart.shop", "10.96.0.7")
    assert asked("cart.shop", SHOP, entry) == ("", ["10.96.0.7"])


def test_what_is_hidden_in_another_namespace_is_not_there() -> None:
    hidden = outside("db.example.com", "10.96.0.3", namespace="bank")
    private = Visibility.NAMESPACE
    mine = outside("db.example.com", "10.96.0.8", visibility=private)
    theirs = outside("db.example.com", "10.96.0.9", namespace="bank", visibility=private)
    assert asked("db.example.com", hidden) == ("", ["10.96.0.3"])
    assert asked("db.example.com", mine) == ("", ["10.96.0.8"])
    assert asked("db.example.com", theirs) is None


def test_of_several_the_own_namespaces_then_the_canonical_then_the_preferred_then_the_first() -> (
    None
):
    host = "db.example.com"
    east = outside(host, "10.1.0.1", namespace="east")
    west = outside(host, "10.1.0.2", namespace="west")
    kubes = service("db", "10.1.0.3", namespace="north", hostname=host, canonical=True)
    own = outside(host, "10.1.0.4")
    prefers = Naming(preferred_namespace="west")
    assert asked(host, east, west) == ("", ["10.1.0.1"])
    assert asked(host, east, west, naming=prefers) == ("", ["10.1.0.2"])
    assert asked(host, east, west, kubes, naming=prefers) == ("", ["10.1.0.3"])
    assert asked(host, east, west, kubes, own, naming=prefers) == ("", ["10.1.0.4"])


KEY = f"shop/db.shop.{ZONE}"
ENDPOINTS = (
    pod("db-0", "10.0.0.1", "fd01::1", serves=[KEY]),
    pod("db-1", "10.0.0.2", "10.0.0.22", serves=[KEY]),
    pod("db-2", "10.0.0.3", serves=[KEY], status=WorkloadStatus.UNHEALTHY),
)


def test_a_headless_service_has_one_address_of_each_ready_endpoint() -> None:
    headless = kube("db")
    assert asked("db", headless, *ENDPOINTS) == ("", ["10.0.0.1", "10.0.0.2"])
    assert asked("db", headless, *ENDPOINTS, octets=16) == ("", ["fd01::1"])
    assert asked("db", headless) == ("", [])
    every = kube("db", health=HealthPolicy.ALLOW_ALL)
    assert asked("db", every, *ENDPOINTS) == ("", ["10.0.0.1", "10.0.0.2", "10.0.0.3"])


@pytest.mark.parametrize("name", ["db-0.db", "db-0.db.shop", f"db-0.db.shop.{ZONE}"])
def test_a_pod_of_a_headless_service_has_a_name(name: str) -> None:
    assert asked(name, kube("db"), *ENDPOINTS) == ("", ["10.0.0.1"])


def test_other_pods_names_are_the_cluster_dnss() -> None:
    assert asked(f"db-9.db.shop.{ZONE}", kube("db"), *ENDPOINTS) is None
    assert asked(f"db-2.db.shop.{ZONE}", kube("db"), *ENDPOINTS) is None
    assert asked(f"db-0.db.shop.{ZONE}", kube("db", "10.96.0.1"), *ENDPOINTS) is None


def test_a_service_outside_without_addresses_is_the_real_dnss() -> None:
    assert asked("db.example.com", outside("db.example.com")) is None


def test_search_domains_and_the_clusters_domain_are_settings() -> None:
    entry = outside("db.example.com", "10.96.0.3")
    vm = Naming(search=("corp.example",))
    assert asked("db.example.com.corp.example", entry, naming=vm) == (
        "db.example.com",
        ["10.96.0.3"],
    )
    assert asked(f"db.example.com.{ZONE}", entry, naming=vm) is None
    other = service("cart", "10.96.0.1", hostname="cart.shop.svc.home.arpa", canonical=True)
    assert asked("cart", other, naming=Naming(domain="home.arpa")) == ("", ["10.96.0.1"])


def test_addresses_of_several_vips_are_all_told() -> None:
    one = outside("db.example.com", "10.1.0.1", "10.1.0.2")
    assert NetworkAddress("", one.addresses[0].ip) == one.addresses[0]
    assert asked("db.example.com", one) == ("", ["10.1.0.1", "10.1.0.2"])
