"""What people see of each kind."""

import json

import pytest

from mesh.model.fields import Json
from sluice.lab.objects import make_object
from sluice.lab.printing import printed

BORN = "2026-01-01T00:00:00Z"
NOW = 1_767_225_600.0 + 90
SERVICE: dict[str, Json] = {
    "clusterIP": "10.96.0.1",
    "ports": [{"port": 80}, {"port": 53, "protocol": "UDP"}],
}


def shown(kind: str, namespace: str = "shop", **fields: Json) -> dict[str, str]:
    """Each column's word."""
    metadata: dict[str, Json] = {"name": "a", "creationTimestamp": BORN}
    metadata |= {"namespace": namespace} if namespace else {}
    text = printed([make_object(kind, "v1", metadata, **fields)], "", NOW, is_list=True)
    head, row = text.splitlines()
    return dict(zip(head.split(), row.split(), strict=True))


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("Service", {"spec": SERVICE}, {"TYPE": "ClusterIP", "PORT(S)": "80/TCP,53/UDP"}),
        ("Service", {"spec": {"clusterIP": "None"}}, {"CLUSTER-IP": "None", "PORT(S)": "<none>"}),
        (
            "Deployment",
            {"spec": {"replicas": 3}, "status": {"readyReplicas": 2, "updatedReplicas": 3}},
            {"READY": "2/3", "UP-TO-DATE": "3", "AVAILABLE": "0"},
        ),
        (
            "EndpointSlice",
            {
                "addressType": "IPv4",
                "ports": [{"port": 80}],
                "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}],
            },
            {"ADDRESSTYPE": "IPv4", "PORTS": "80", "ENDPOINTS": "10.0.0.1,10.0.0.2"},
        ),
        ("Secret", {"stringData": {"a": "1", "b": "2"}}, {"TYPE": "Opaque", "DATA": "2"}),
        ("PeerAuthentication", {"spec": {"mtls": {"mode": "STRICT"}}}, {"MODE": "STRICT"}),
        ("AuthorizationPolicy", {"spec": {}}, {"ACTION": "ALLOW"}),
        (
            "Pod",
            {
                "spec": {"containers": [{"name": "x"}], "nodeName": "node-1"},
                "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
            },
            {"READY": "0/1", "STATUS": "Running", "IP": "10.0.0.1", "NODE": "node-1"},
        ),
        ("Pod", {}, {"STATUS": "Pending", "IP": "<none>", "NODE": "<none>"}),
        ("ServiceAccount", {}, {"NAMESPACE": "shop", "NAME": "a", "AGE": "90s"}),
    ],
)
def test_each_kind_has_kubectls_columns(
    kind: str, fields: dict[str, Json], words: dict[str, str]
) -> None:
    assert shown(kind, **fields).items() >= words.items()


def test_what_lives_in_no_namespace_shows_none() -> None:
    assert shown("Namespace", "") == {"NAME": "a", "STATUS": "Active", "AGE": "90s"}
    assert shown("Node", "")["STATUS"] == "NotReady"


def test_nothing_is_a_head_alone_and_an_empty_list_for_programs() -> None:
    assert printed([], "", NOW, is_list=True).split() == ["NAMESPACE", "NAME", "AGE"]
    assert json.loads(printed([], "json", NOW, is_list=True))["items"] == []
