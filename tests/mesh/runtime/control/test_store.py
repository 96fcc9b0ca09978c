"""The state in versions: what a worker gets, from wherever it begins."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.runtime.control.store import SLICE, WAYPOINT_TYPES, Store
from mesh.state.world import World
from mesh.wire.configuration import CONFIGURATION_TYPE
from mesh.wire.discovery_client import ADDRESS_TYPE, AUTHORIZATION_TYPE
from mesh.wire.feed import Configured, StateDelta
from mesh.wire.feed_codec import Resource, decode, resource_name
from tests.ztunnel.control.world import policy, service, workload


def named(*resources: Resource) -> dict[str, Resource]:
    return {resource_name(resource): resource for resource in resources}


def begun(*resources: Resource) -> Store:
    store = Store(before=100)
    store.apply(ADDRESS_TYPE, named(*resources), ())
    store.begin()
    return store


def feed(world: World, packets: Iterable[bytes]) -> int:
    """Apply packets as a worker does; returns the version that it would answer."""
    version = 0
    for packet in packets:
        message = decode(packet)
        assert isinstance(message, StateDelta)
        world.apply(message)
        version = message.version if message.last else version
    return version


def uids(world: World) -> set[str]:
    return {one.name for one in world.workloads()}


def test_there_is_no_version_before_the_whole_state_is_there() -> None:
    store = Store(before=100)
    store.apply(ADDRESS_TYPE, named(workload("a")), ())
    assert store.is_empty
    store.begin()
    assert (store.version, store.is_empty) == (101, False)
    store.begin()
    assert store.version == 101


def test_a_change_is_a_new_version_and_no_change_is_none() -> None:
    store = begun(workload("a"))
    assert store.apply(ADDRESS_TYPE, named(workload("a")), ("unknown",)).version == 101
    delta = store.apply(ADDRESS_TYPE, named(workload("b")), ())
    assert (delta.version, store.version) == (102, 102)
    assert delta.workloads == (workload("b"),)


def test_a_worker_that_has_a_version_gets_the_steps_since() -> None:
    store = begun(workload("a"))
    world = World()
    before = feed(world, [p for piece in store.everything().packets() for p in piece])
    store.apply(ADDRESS_TYPE, named(workload("b"), service("s")), ())
    store.apply(AUTHORIZATION_TYPE, named(policy("p")), ())
    store.apply(ADDRESS_TYPE, {}, (workload("a").uid,))
    steps = store.steps_from(before)
    assert steps is not None
    assert len(steps) == 3
    for step in steps:
        assert feed(world, step.packets) == step.after
    assert uids(world) == {"b"}
    assert [one.key for one in world.policies()] == ["shop/p"]


def test_a_strange_version_has_no_steps() -> None:
    store = begun(workload("a"))
    assert store.steps_from(7) is None
    assert store.steps_from(101) == []


def test_steps_are_forgotten_when_they_are_many() -> None:
    store = Store(before=100, max_kept_octets=2000)
    store.begin()
    for number in range(60):
        store.apply(AUTHORIZATION_TYPE, named(policy(f"p{number}")), ())
    assert store.steps_from(101) is None
    assert store.steps_from(store.version - 1) is not None


@pytest.mark.parametrize("count", [0, 1, SLICE, SLICE + 1, 3 * SLICE])
def test_everything_replaces_whatever_a_worker_has(count: int) -> None:
    store = begun(*(workload(f"w{number}") for number in range(count)), service("s"))
    store.apply(AUTHORIZATION_TYPE, named(policy("p")), ())
    world = World()
    stale = StateDelta(5, last=True, reset=True, workloads=(workload("stale"),))
    world.apply(stale)
    pieces = list(store.everything().packets())
    assert feed(world, [packet for piece in pieces for packet in piece]) == store.version
    assert uids(world) == {f"w{number}" for number in range(count)}
    assert [one.key for one in world.services()] == ["shop/s.shop.svc.cluster.local"]


def test_policies_are_sent_before_what_they_protect() -> None:
    store = begun(workload("a"))
    store.apply(AUTHORIZATION_TYPE, named(policy("p")), ())
    kinds = [type(resource).__name__ for resource in store.everything().resources()]
    assert kinds == ["Authorization", "Workload"]


def test_a_resource_may_have_another_name_in_discovery_than_its_own() -> None:
    store = begun()
    store.apply(ADDRESS_TYPE, {"alias": workload("a")}, ())
    moved = store.apply(ADDRESS_TYPE, {"alias": workload("b")}, ())
    assert moved.removed_addresses == (workload("a").uid,)
    gone = store.apply(ADDRESS_TYPE, {}, ("alias",))
    assert gone.removed_addresses == (workload("b").uid,)


def test_a_loaded_version_is_a_beginning() -> None:
    store = begun(workload("a"))
    successor = Store(before=50)
    successor.load(store.version, store.octets())
    assert successor.version == store.version
    successor.apply(ADDRESS_TYPE, named(workload("b")), ())
    assert successor.version == store.version + 1
    assert successor.steps_from(store.version) is not None


names = st.sampled_from("abcde")
changes = st.lists(
    st.tuples(st.dictionaries(names, st.sampled_from(["10.0.0.1", "10.0.0.2"])), st.sets(names)),
    max_size=6,
)


@given(changes, st.integers(0, 5))
def test_steps_and_everything_lead_to_the_same_state(
    changes: list[tuple[dict[str, str], set[str]]], late: int
) -> None:
    store, follower = begun(), World()
    at = feed(follower, [p for piece in store.everything().packets() for p in piece])
    for number, (put, removed) in enumerate(changes):
        resources = named(*(workload(name, ip=ip) for name, ip in put.items()))
        store.apply(ADDRESS_TYPE, resources, {workload(name).uid for name in removed})
        if number >= late:  # it stays behind for a while
            for step in store.steps_from(at) or ():
                at = feed(follower, step.packets)
    for step in store.steps_from(at) or ():
        at = feed(follower, step.packets)
    other = World()
    feed(other, [p for piece in store.everything().packets() for p in piece])
    assert sorted(w.uid + str(w.addresses) for w in follower.workloads()) == sorted(
        w.uid + str(w.addresses) for w in other.workloads()
    )


def test_a_waypoints_configuration_is_fed_in_versions_like_the_rest() -> None:
    store = Store(before=100, types=WAYPOINT_TYPES)
    store.apply(ADDRESS_TYPE, named(workload("a")), ())
    routes = (Configured("Route/a", "Route", b"1"), Configured("Route/b", "Route", b"1"))
    store.apply(CONFIGURATION_TYPE, named(*routes), ())
    store.begin()
    whole = [decode(packet) for packets in store.everything().packets() for packet in packets]
    kinds = [
        "configuration" if part.configuration else "workloads" if part.workloads else ""
        for part in whole
        if isinstance(part, StateDelta)
    ]
    assert [kind for kind in kinds if kind] == ["configuration", "workloads"]
    changed = store.apply(
        CONFIGURATION_TYPE, named(Configured("Route/a", "Route", b"2")), ("Route/b",)
    )
    assert changed.configuration == (Configured("Route/a", "Route", b"2"),)
    assert changed.removed_configuration == ("Route/b",)
    assert (changed.removed_addresses, changed.removed_policies) == ((), ())
