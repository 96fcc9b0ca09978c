import pytest

from mesh.model.policy import PolicyScope
from mesh.model.workload import NetworkMode, TunnelProtocol, Visibility
from mesh.state.changes import Changes
from mesh.state.world import Counts, World
from tests.mesh.worlds import delta, ip, pod, policy, service, world

A = pod("a", "10.0.0.1", "fd00::1", serves=("shop/web",))
B = pod("b", "10.0.0.2", serves=("shop/web",))
WEB = service("web", "10.96.0.1")
DENY = policy("deny")


def test_a_world_finds_what_it_was_told_by_every_key() -> None:
    known = world(A, B, WEB, DENY)
    assert known.workload(A.uid) is A
    assert known.workload_at("", ip("10.0.0.1")) is A
    assert known.workload_at("", ip("fd00::1")) is A
    assert known.workloads_at("", ip("10.0.0.2")) == (B,)
    assert known.pod("shop", "a", "a") is A
    assert known.service("shop/web") is WEB
    assert known.service_at("", ip("10.96.0.1")) is WEB
    assert known.service_named("web") is WEB
    assert known.policy("shop/deny") is DENY
    assert list(known.endpoints("shop/web")) == [A, B]
    assert known.is_endpoint("shop/web", B.uid)
    assert known.counts == Counts(2, 1, 1)
    assert sorted(known.workloads(), key=lambda one: one.name) == [A, B]
    assert list(known.services()) == [WEB]
    assert list(known.policies()) == [DENY]


def test_a_world_says_nothing_of_what_it_was_not_told() -> None:
    known = world(A)
    assert known.workload("other") is None
    assert known.workload_at("", ip("10.0.0.9")) is None
    assert known.workload_at("far", ip("10.0.0.1")) is None
    assert known.workloads_at("far", ip("10.0.0.1")) == ()
    assert known.workload_named("shop", "db") is None
    assert known.workloads_named("shop", "db") == ()
    assert known.pod("shop", "b", "b") is None
    assert known.service("shop/none") is None
    assert known.service_at("", ip("10.0.0.1")) is None
    assert known.service_named("none") is None
    assert known.policy("shop/none") is None
    assert list(known.endpoints("shop/none")) == []
    assert not known.is_endpoint("shop/none", A.uid)


def test_a_pod_is_found_only_by_its_own_namespace_and_account() -> None:
    known = world(A)
    assert known.pod("shop", "a", "other") is None
    assert known.pod("yard", "a", "a") is None


def test_a_workload_that_is_no_pod_by_its_uid_is_found_by_name_too() -> None:
    machine = pod("m", uid="Kubernetes/networking.istio.io/WorkloadEntry/shop/m")
    known = world(machine, pod("m", namespace="yard"))
    assert known.pod("shop", "m", "m") is machine
    known.apply(delta(version=2, removed=(machine.uid,)))
    assert known.pod("shop", "m", "m") is None


def test_pods_of_several_clusters_are_found() -> None:
    far = pod("far", "10.9.0.1", cluster="two")
    known = world(A, far)
    assert known.pod("shop", "far", "far") is far
    known.apply(delta(version=2, removed=(far.uid,)))
    assert known.pod("shop", "far", "far") is None
    assert known.pod("shop", "a", "a") is A


def test_pods_of_the_hosts_network_do_not_own_its_address() -> None:
    shared = pod("h", "192.0.2.1", mode=NetworkMode.HOST_NETWORK, serves=("shop/web",))
    known = world(shared)
    assert known.workload_at("", ip("192.0.2.1")) is None
    assert list(known.endpoints("shop/web")) == [shared]
    known.apply(delta(version=2, removed=(shared.uid,)))
    assert known.counts.workloads == 0


def test_a_pod_wins_its_address_over_other_kinds_and_a_tunnel_over_plain_tcp() -> None:
    entry = pod("e", "10.0.0.7", uid="Kubernetes/networking.istio.io/WorkloadEntry/shop/e")
    plain = pod("plain", "10.0.0.7", protocol=TunnelProtocol.NONE)
    tunnelled = pod("tunnelled", "10.0.0.7")
    known = world(entry, plain, tunnelled)
    assert known.workloads_at("", ip("10.0.0.7")) == (tunnelled, plain, entry)
    known.apply(delta(version=2, removed=(tunnelled.uid,)))
    assert known.workload_at("", ip("10.0.0.7")) is plain


def test_a_workload_with_a_hostname_is_found_by_it() -> None:
    first = pod("db-1", hostname="db")
    second = pod("db-2", hostname="db")
    known = world(first, second)
    assert known.workload_named("shop", "db") is first
    assert known.workloads_named("shop", "db") == (first, second)
    known.apply(delta(version=2, removed=(first.uid,)))
    assert known.workload_named("shop", "db") is second


def test_an_endpoint_may_come_before_its_service() -> None:
    known = world(A)
    known.apply(delta(WEB, version=2))
    assert known.is_endpoint("shop/web", A.uid)


def test_a_workload_that_changes_leaves_the_services_it_left() -> None:
    known = world(A, WEB)
    known.apply(delta(pod("a", "10.0.0.3", serves=("shop/other",)), version=2))
    assert list(known.endpoints("shop/web")) == []
    assert known.is_endpoint("shop/other", A.uid)
    assert known.workload_at("", ip("10.0.0.1")) is None
    assert known.workload_at("", ip("10.0.0.3")) is known.workload(A.uid)


def test_a_service_that_comes_again_keeps_its_endpoints() -> None:
    known = world(A, WEB)
    known.apply(delta(service("web", "10.96.0.2"), version=2))
    assert known.is_endpoint("shop/web", A.uid)
    assert known.service_at("", ip("10.96.0.1")) is None


# Versions.


def test_additions_count_at_once_and_removals_at_the_end_of_a_version() -> None:
    known = world(A, WEB, DENY)
    part = delta(B, version=2, last=False, removed=(A.uid,), removed_policies=("shop/deny",))
    known.apply(part)
    assert known.workload(A.uid) is A
    assert known.workload(B.uid) is B
    assert known.version == 1
    known.apply(delta(version=2))
    assert known.workload(A.uid) is None
    assert known.policy("shop/deny") is None
    assert known.version == 2


def test_what_is_removed_and_comes_again_in_the_same_version_stays() -> None:
    known = world(A, WEB, DENY)
    known.apply(
        delta(
            version=2,
            last=False,
            removed=(A.uid, "shop/web"),
            removed_policies=("shop/deny",),
        )
    )
    known.apply(delta(A, WEB, DENY, version=2))
    assert known.counts == Counts(1, 1, 1)


def test_an_unfinished_version_is_forgotten_when_another_begins() -> None:
    known = world(A, DENY)
    known.apply(delta(version=2, last=False, removed=(A.uid,), removed_policies=("shop/deny",)))
    known.apply(delta(B, version=3))
    assert known.workload(A.uid) is A
    assert known.policy("shop/deny") is DENY


def test_a_reset_removes_at_its_end_whatever_it_did_not_name() -> None:
    known = world(A, WEB, DENY)
    known.apply(delta(A, version=2, last=False, reset=True))
    assert known.counts == Counts(1, 1, 1)
    changes = known.apply(delta(B, version=2))
    assert known.counts == Counts(2, 0, 0)
    assert changes.services == {"shop/web"}
    assert changes.policies == {"shop/deny"}
    assert changes.workloads == {B.uid}


def test_a_reset_that_is_not_finished_removes_nothing() -> None:
    known = world(A, WEB, DENY)
    known.apply(delta(version=2, last=False, reset=True))
    known.apply(delta(B, version=3))
    assert known.counts == Counts(2, 1, 1)


def test_a_name_that_is_not_known_may_be_removed() -> None:
    known = world(A)
    changes = known.apply(delta(version=2, removed=("x", "y/z"), removed_policies=("p",)))
    assert changes == Changes()


def test_between_two_steps_workloads_go_before_the_policies_that_they_named() -> None:
    named = pod("n", "10.0.0.4", policies=("shop/deny",))
    known = world(named, DENY)
    for _ in known.steps(delta(version=2, reset=True)):
        if known.workload(named.uid) is not None:
            assert known.policy("shop/deny") is DENY
    assert known.counts == Counts(0, 0, 0)


def test_a_large_removal_is_made_in_steps() -> None:
    many = tuple(pod(f"p{n}", f"10.1.{n >> 8}.{n & 255}") for n in range(2000))
    known = world(*many)
    sizes = [
        len(changes.workloads)
        for changes in known.steps(delta(version=2, removed=tuple(one.uid for one in many)))
    ]
    assert sum(sizes) == 2000
    assert max(sizes) <= 256


# What has changed.


def test_what_comes_again_unchanged_is_no_change() -> None:
    known = world(A, WEB, DENY)
    changes = known.apply(
        delta(pod("a", *("10.0.0.1", "fd00::1"), serves=("shop/web",)), version=2)
    )
    changes.add(known.apply(delta(WEB, DENY, version=3)))
    assert changes == Changes()
    assert not changes.affects_connections


def test_a_new_workload_has_changed_but_not_moved() -> None:
    changes = World().apply(delta(A))
    assert changes.workloads == {A.uid}
    assert changes.moved == set()
    assert changes.affects_connections


@pytest.mark.parametrize(
    "later",
    [
        pod("a", "10.0.0.9"),
        pod("a", "10.0.0.1", "fd00::1", protocol=TunnelProtocol.NONE),
        pod("a", "10.0.0.1", "fd00::1", network="far"),
        pod("a", "10.0.0.1", "fd00::1", hostname="a"),
    ],
    ids=["address", "tunnel", "network", "hostname"],
)
def test_a_workload_that_is_reached_otherwise_has_moved(later: object) -> None:
    assert isinstance(later, type(A))
    known = world(A)
    assert known.apply(delta(later, version=2)).moved == {A.uid}


def test_a_workload_that_is_gone_has_moved() -> None:
    assert world(A).apply(delta(version=2, removed=(A.uid,))).moved == {A.uid}


def test_a_workload_that_only_got_a_policy_has_not_moved() -> None:
    known = world(A)
    later = pod("a", "10.0.0.1", "fd00::1", serves=("shop/web",), policies=("shop/deny",))
    changes = known.apply(delta(later, version=2))
    assert changes.moved == set()
    assert changes.concerns(later)


# Which service is meant.


def test_an_exact_address_comes_before_any_range() -> None:
    wide = service("wide", "10.96.0.0/16")
    known = world(wide, WEB)
    assert known.service_at("", ip("10.96.0.1")) is WEB
    assert known.service_at("", ip("10.96.0.2")) is wide


def test_a_hidden_exact_address_falls_through_to_a_range() -> None:
    hidden = service("hidden", "10.96.0.1", visibility=Visibility.NAMESPACE)
    wide = service("wide", "10.96.0.0/16", namespace="yard")
    known = world(hidden, wide)
    assert known.service_at("", ip("10.96.0.1"), "yard") is wide
    assert known.service_at("", ip("10.96.0.1"), "shop") is hidden


def test_a_policy_of_the_whole_mesh_or_a_namespace_says_how_far_it_reaches() -> None:
    known = World()
    changes = known.apply(
        delta(
            policy("all", scope=PolicyScope.GLOBAL),
            policy("here", scope=PolicyScope.NAMESPACE, namespace="yard"),
            policy("some"),
        )
    )
    assert changes.everywhere
    assert changes.namespaces == {"yard"}
    assert changes.policies == {"shop/all", "yard/here", "shop/some"}


def test_a_policy_that_gets_narrower_or_goes_reaches_as_far_as_it_did() -> None:
    known = world(
        policy("one", scope=PolicyScope.NAMESPACE), policy("two", scope=PolicyScope.GLOBAL)
    )
    narrower = known.apply(delta(policy("one"), version=2))
    assert narrower.namespaces == {"shop"}
    assert known.apply(delta(version=3, removed_policies=("shop/two",))).everywhere
