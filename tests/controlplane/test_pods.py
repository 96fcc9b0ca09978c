"""The pods that certificates depend on: the same whether read at once or change by change."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.pods import PodReader, pods_of
from mesh.model.kubernetes import KubernetesObject
from tests.controlplane.running import pod

names = st.sampled_from("abc")
states = st.tuples(names, names, st.sampled_from(["Running", "Pending", "Failed"]))


def objects(world: dict[str, tuple[str, str, str]]) -> dict[str, KubernetesObject]:
    return {
        name: KubernetesObject.of(pod("ns", name, account=account, node=node, phase=phase), "test")
        for name, (account, node, phase) in world.items()
    }


@given(st.lists(st.dictionaries(names, states), max_size=6))
def test_reading_change_by_change_is_reading_at_once(
    worlds: list[dict[str, tuple[str, str, str]]],
) -> None:
    reader, held = PodReader(), {}
    for world in worlds:
        fresh = objects(world)
        held = {n: held[n] if held.get(n) == fresh[n] else fresh[n] for n in fresh}
        by_key = {found.key: found for found in held.values()}
        assert reader.update(by_key) == pods_of(by_key)


def test_what_did_not_change_is_not_made_again() -> None:
    found = KubernetesObject.of(pod("ns", "a"), "test")
    reader = PodReader()
    first = reader.update({found.key: found})
    assert reader.update({found.key: found}) is first
    assert first.get("ns", "a") is not None
    assert first.get("ns", "b") is None
