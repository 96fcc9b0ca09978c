from mesh.model.policy import PolicyScope
from mesh.state.changes import Changes
from tests.mesh.worlds import pod, policy

A = pod("a", "10.0.0.1", policies=("shop/named",))


def test_a_change_concerns_the_workload_itself() -> None:
    assert Changes(workloads={A.uid}).concerns(A)
    assert not Changes(workloads={"other"}).concerns(A)


def test_a_policy_concerns_who_names_it_or_lives_where_it_reaches() -> None:
    assert Changes(policies={"shop/named"}).concerns(A)
    assert not Changes(policies={"shop/other"}).concerns(A)
    assert Changes(policies={"shop/x"}, namespaces={"shop"}).concerns(A)
    assert not Changes(policies={"yard/x"}, namespaces={"yard"}).concerns(A)
    assert Changes(policies={"root/x"}, everywhere=True).concerns(A)


def test_a_service_alone_changes_no_judgement() -> None:
    assert not Changes(services={"shop/web"}).affects_connections


def test_changes_add_up() -> None:
    total = Changes(workloads={"a"}, moved={"a"})
    other = Changes(services={"s"}, policies={"p"}, namespaces={"n"}, everywhere=True)
    total.add(other)
    assert total == Changes({"a"}, {"s"}, {"p"}, {"a"}, {"n"}, everywhere=True)


def test_both_versions_of_a_policy_say_how_far_it_reaches() -> None:
    changes = Changes()
    changes.note_policy("shop/p", (None, policy("p", scope=PolicyScope.NAMESPACE)))
    changes.note_policy("shop/q", (policy("q", scope=PolicyScope.GLOBAL), policy("q")))
    assert changes.namespaces == {"shop"}
    assert changes.everywhere


def test_another_account_is_another_workload_for_whoever_is_connected() -> None:
    changes = Changes()
    changes.note_workload(A.uid, A, pod("a", "10.0.0.1", namespace="yard", uid=A.uid))
    assert changes.moved == {A.uid}
