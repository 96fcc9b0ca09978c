"""What is written into a status beside what others say there."""

from controlplane.write_statuses import merged_status
from mesh.model.fields import Json
from mesh.model.kubernetes import KubernetesObject

OLD, NOW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
OURS, OTHERS = "sluice.dev/gateway-controller", "somebody.example/else"


def found(status: dict[str, Json], generation: int = 3) -> KubernetesObject:
    metadata: dict[str, Json] = {"name": "x", "generation": generation}
    return KubernetesObject.of(
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "status": status}
    )


def said(kind: str, status: str, reason: str = "R", **more: Json) -> dict[str, Json]:
    return {"type": kind, "status": status, "reason": reason, "message": "m", **more}


def dated(kind: str, status: str, time: str, reason: str = "R") -> dict[str, Json]:
    return said(kind, status, reason, observedGeneration=3, lastTransitionTime=time)


def test_a_new_condition_has_the_time_and_the_generation() -> None:
    merged = merged_status(found({}), {"conditions": [said("A", "True")]}, {}, NOW)

    assert merged == {"conditions": [dated("A", "True", NOW)]}


def test_the_time_changes_with_the_status_and_not_with_the_reason() -> None:
    present = found({"conditions": [dated("A", "True", OLD), dated("B", "True", OLD)]})
    wanted: dict[str, Json] = {"conditions": [said("A", "True", "New"), said("B", "False")]}

    merged = merged_status(present, wanted, {}, NOW)

    assert merged["conditions"] == [dated("A", "True", OLD, "New"), dated("B", "False", NOW)]


def test_conditions_of_others_stay_as_they_are() -> None:
    theirs = said("Theirs", "True", lastTransitionTime=OLD)
    present = found({"conditions": [theirs, dated("A", "True", OLD)], "loadBalancer": {}})

    merged = merged_status(present, {"conditions": [said("A", "True")]}, {}, NOW)

    assert merged == {"conditions": [theirs, dated("A", "True", OLD)]}


def test_a_condition_of_ours_that_is_not_wanted_any_more_goes() -> None:
    last: dict[str, Json] = {"conditions": [dated("Gone", "True", OLD)]}
    present = found(last)

    merged = merged_status(present, {"conditions": [said("A", "True")]}, last, NOW)

    assert merged["conditions"] == [dated("A", "True", NOW)]


def test_entries_of_other_controllers_stay_as_they_are() -> None:
    theirs: Json = {"parentRef": {"name": "x"}, "controllerName": OTHERS, "conditions": []}
    mine: dict[str, Json] = {"parentRef": {"name": "x"}, "controllerName": OURS}
    gone: Json = {"parentRef": {"name": "y"}, "controllerName": OURS, "conditions": []}
    present = found({"parents": [gone, theirs, {**mine, "conditions": [dated("A", "True", OLD)]}]})
    wanted: dict[str, Json] = {"parents": [{**mine, "conditions": [said("A", "True")]}]}

    merged = merged_status(present, wanted, {}, NOW)

    assert merged["parents"] == [theirs, {**mine, "conditions": [dated("A", "True", OLD)]}]


def test_conditions_of_a_listener_keep_their_time_by_its_name() -> None:
    present = found(
        {
            "listeners": [
                {"name": "a", "conditions": [dated("P", "True", OLD)]},
                {"name": "b", "conditions": [dated("P", "True", OLD)]},
            ]
        }
    )
    wanted: dict[str, Json] = {"listeners": [{"name": "b", "conditions": [said("P", "True")]}]}

    merged = merged_status(present, wanted, {}, NOW)

    assert merged["listeners"] == [{"name": "b", "conditions": [dated("P", "True", OLD)]}]
