from mesh.state.pending import SLICE, Pending
from mesh.state.shards import Shards
from tests.mesh.worlds import delta


def held(*names: str) -> Shards[str, int]:
    made: Shards[str, int] = Shards()
    for name in names:
        made.put(name, 0)
    return made


def addresses(pending: Pending, workloads: Shards[str, int], *services: str) -> list[str]:
    slices = pending.addresses(workloads, list(services))
    return sorted(name for part in slices for name in part)


def test_what_a_part_removes_goes_at_the_end_unless_it_comes_again() -> None:
    pending = Pending(2)
    pending.remove(delta(removed=("a", "b"), removed_policies=("p", "q")))
    pending.keep_address("a")
    pending.keep_policy("q")
    assert addresses(pending, held("a", "b", "c")) == ["b"]
    assert list(pending.policies(["p", "q", "r"])) == [["p"]]


def test_after_a_reset_only_what_was_named_stays() -> None:
    pending = Pending(2, reset=True)
    pending.keep_address("a")
    pending.keep_address("shop/web")
    pending.keep_policy("p")
    assert addresses(pending, held("a", "b"), "shop/web", "shop/old") == ["b", "shop/old"]
    assert list(pending.policies(["p", "q"])) == [["q"]]


def test_a_policy_does_not_keep_a_service_of_the_same_name() -> None:
    pending = Pending(2, reset=True)
    pending.keep_policy("shop/web")
    assert addresses(pending, held(), "shop/web") == ["shop/web"]


def test_slices_are_short() -> None:
    pending = Pending(2)
    names = tuple(str(number) for number in range(SLICE * 2 + 1))
    pending.remove(delta(removed=names))
    assert [len(part) for part in pending.addresses(held(), [])] == [SLICE, SLICE, 1]
