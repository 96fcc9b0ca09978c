import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.model.fields import FieldInvalidError, Json
from mesh.model.kubernetes import KubernetesObject, ObjectKey, merge_patch

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3)
    ),
    max_leaves=8,
)


def pod(**metadata: Json) -> KubernetesObject:
    named: dict[str, Json] = {"name": "front", "namespace": "shop", **metadata}
    return KubernetesObject.of({"apiVersion": "v1", "kind": "Pod", "metadata": named}, "a.yaml")


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_standard_shows(
    target: Json, patch: Json, result: Json
) -> None:
    assert merge_patch(target, patch) == result


@given(JSON, JSON)
def test_a_merge_patch_changes_neither_argument_and_may_come_twice(
    target: Json, patch: Json
) -> None:
    before = repr((target, patch))

    once = merge_patch(target, patch)

    assert merge_patch(once, patch) == once
    assert repr((target, patch)) == before


def test_a_key_reads_as_people_write_it() -> None:
    assert str(ObjectKey.of("Pod", "shop", "front")) == "Pod shop/front"
    assert str(ObjectKey.of("Pod", "", "front")) == "Pod default/front"
    assert str(ObjectKey.of("Node", "ignored", "one")) == "Node one"


def test_kinds_of_one_name_in_two_groups_are_two_kinds() -> None:
    ours = ObjectKey.of("Gateway", "shop", "gate", "gateway.networking.k8s.io/v1beta1")
    istios = ObjectKey.of("Gateway", "shop", "gate", "networking.istio.io/v1")

    assert ours.kind == "Gateway"
    assert istios.kind == "Gateway.networking.istio.io"
    assert ObjectKey.of("Service", "shop", "web", "serving.knative.dev/v1").kind != "Service"


def body(metadata: Json, **others: Json) -> dict[str, Json]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, **others}


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (body({"name": "x"}, apiVersion=None), "Pod x: apiVersion: must be a name"),
        (body({"name": "x"}, kind=None), "x: kind: must be a name"),
        (body(None), "Pod: metadata.name: must be a name"),
        (body({"name": "a/b"}), "metadata.name: must be a name"),
        (body({"name": 7}), "metadata.name: must be a string, is the number 7"),
        (body([]), "metadata: must be a mapping, is a list"),
        (body({"name": "x", "namespace": 1}), "metadata.namespace: must be a string"),
        (
            body({"name": "x", "labels": {"version": 1}}),
            "Pod default/x: metadata.labels.version: must be a string, is the number 1",
        ),
        (body({"name": "x", "annotations": True}), "metadata.annotations: must be a mapping"),
        (body({"name": "x", "uid": {}}), "metadata.uid: must be a string, is a mapping"),
    ],
)
def test_an_object_that_does_not_say_what_it_is_is_refused(
    body: dict[str, Json], sentence: str
) -> None:
    with pytest.raises(FieldInvalidError) as caught:
        KubernetesObject.of(body)

    assert sentence in str(caught.value)


def test_metadata_is_at_hand() -> None:
    found = pod(labels={"app": "web"}, annotations={"a": "b"}, uid="7", creationTimestamp="t")

    assert (found.labels, found.annotations) == ({"app": "web"}, {"a": "b"})
    assert (found.uid, found.created) == ("7", "t")
    assert (pod().labels, pod().uid, pod().created) == ({}, "", "")


def test_asking_for_a_place_that_is_not_there_never_raises() -> None:
    found = pod().patched({"spec": {"containers": [{"name": "app"}]}})

    assert found.get("spec", "containers", 0, "name") == "app"
    assert found.get("spec", "containers", 1, "name") is None
    assert found.get("spec", "containers", "name") is None
    assert found.get("spec", 0) is None
    assert found.get("status", "phase") is None


def test_a_patched_object_keeps_its_key_and_leaves_the_old_one_alone() -> None:
    before = pod()

    after = before.patched({"metadata": {"name": "other"}, "status": {"phase": "Running"}})

    assert after.key == before.key
    assert after.get("status", "phase") == "Running"
    assert before.get("status") is None
