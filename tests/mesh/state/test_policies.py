from mesh.model.policy import Authorization, PolicyScope
from mesh.state.policies import Policies
from tests.mesh.worlds import pod, policy


def policies(*these: Authorization) -> Policies:
    made = Policies()
    for one in these:
        assert made.put(one)
    return made


WHOLE = policy("all", namespace="root", scope=PolicyScope.GLOBAL)
HERE = policy("here", scope=PolicyScope.NAMESPACE)
NAMED = policy("named")
A = pod("a", policies=("shop/named",))


def test_the_mesh_the_namespace_and_the_names_concern_a_workload() -> None:
    held = policies(WHOLE, HERE, NAMED, policy("other"))
    assert held.of(A) == ([WHOLE, HERE, NAMED], [])
    assert held.of(pod("b", namespace="yard")) == ([WHOLE], [])


def test_a_name_that_is_not_known_is_told() -> None:
    assert policies(WHOLE).of(A) == ([WHOLE], ["shop/named"])


def test_a_policy_that_is_named_and_reaches_anyway_concerns_once() -> None:
    held = policies(HERE)
    assert held.of(pod("a", policies=("shop/here", "shop/here"))) == ([HERE], [])


def test_a_policy_whose_scope_changes_moves() -> None:
    held = policies(policy("p", scope=PolicyScope.GLOBAL))
    assert held.put(policy("p"))
    assert not held.put(policy("p"))
    assert held.of(A) == ([], ["shop/named"])
    assert held.put(policy("p", scope=PolicyScope.NAMESPACE))
    assert len(held.of(A)[0]) == 1
    assert held.remove("shop/p")
    assert not held.remove("shop/p")
    assert held.of(A)[0] == []
    assert len(held) == 0


def test_all_can_be_listed() -> None:
    held = policies(WHOLE, NAMED)
    assert list(held) == ["root/all", "shop/named"]
    assert list(held.values()) == [WHOLE, NAMED]
    assert held.get("root/all") is WHOLE
    assert held.get("root/none") is None


def test_of_several_policies_of_a_namespace_one_may_go() -> None:
    held = policies(HERE, policy("also", scope=PolicyScope.NAMESPACE))
    assert held.remove("shop/here")
    assert [one.name for one in held.of(pod("b"))[0]] == ["also"]
